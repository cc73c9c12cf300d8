"""A change freeze that a person begins or lifts: its lines in the journal, and the commands that write them.

It is about the service and not about a rollout, so that its lines stand under a name of their own, as drills do; they
decide nothing about any rollout. The freezes of the policy are not written here: they are where the policy is.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import AwareDatetime

from canary.errors import RefusedError
from canary.rollout.commands.records import Memory
from canary.rollout.entries import Entry
from canary.rollout.kinds import Kind
from canary.rollout.state import Rollout

FREEZE: Final = "freeze"
"""What the column `rollout` of these lines holds."""


@dataclass(frozen=True, kw_only=True)
class Frozen(Entry):
    """Nothing is started or advanced until a moment; it replaces the one before."""

    kind = Kind.FROZEN
    until: AwareDatetime


@dataclass(frozen=True, kw_only=True)
class FreezeLifted(Entry):
    """The freeze that a person began is over before its time."""

    kind = Kind.FREEZE_LIFTED


@dataclass(frozen=True, kw_only=True)
class BeginFreeze(Memory):
    """Start and advance nothing until a moment."""

    rollout: str = FREEZE
    until: datetime

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:  # noqa: ARG002  # a freeze is about no rollout
        """Refused when the moment has passed."""
        if self.until <= at:
            raise RefusedError(
                f"expected a moment after now, {at:%Y-%m-%d %H:%M:%S} UTC, found {self.until:%Y-%m-%d %H:%M:%S} UTC",
                place="freeze until",
            )
        return Frozen(rollout=self.rollout, at=at, actor=self.actor, reason=self.reason, until=self.until)


@dataclass(frozen=True, kw_only=True)
class LiftFreeze(Memory):
    """End the freeze that a person began."""

    rollout: str = FREEZE

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:  # noqa: ARG002  # a freeze is about no rollout
        """Never refused; who asks looks first whether there is one."""
        return FreezeLifted(rollout=self.rollout, at=at, actor=self.actor, reason=self.reason)
