"""A rollout that is to begin at a moment: its lines in the journal, and the commands that write them.

It is about no rollout yet, so that its lines stand under a name of their own, as freezes and drills do, and decide
nothing. One start is scheduled at a time: two would be a queue, of which the second begins against a version that
nobody has seen serving.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from pydantic import AwareDatetime

from canary.errors import RefusedError
from canary.policy.plans import NORMAL
from canary.rollout.commands.records import Memory
from canary.rollout.entries import Entry
from canary.rollout.kinds import Kind
from canary.rollout.state import Rollout

SCHEDULE: Final = "schedule"
"""What the column `rollout` of these lines holds."""

_LONGEST: Final = timedelta(days=366)


class Ending(StrEnum):
    """What became of a scheduled start."""

    STARTED = "started"
    CANCELLED = "cancelled"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class Scheduled(Entry):
    """A rollout is to begin at a moment.

    Attributes:
        start_at: when, by the wall clock.
        stable, canary, plan, force, again: as for a start by hand.
    """

    kind = Kind.SCHEDULED
    start_at: AwareDatetime
    stable: str
    canary: str
    plan: str = NORMAL
    force: bool = False
    again: bool = False

    def __str__(self) -> str:
        plan = "" if self.plan == NORMAL else f" by plan {self.plan}"
        return f"{self.canary} against {self.stable}{plan} at {self.start_at:%Y-%m-%d %H:%M} UTC, by {self.actor}"


@dataclass(frozen=True, kw_only=True)
class ScheduleEnded(Entry):
    """A scheduled start is none any more.

    Attributes:
        scheduled: position of the entry that scheduled it.
        ending: what became of it; the reason says why.
    """

    kind = Kind.SCHEDULE_ENDED
    scheduled: int
    ending: Ending


@dataclass(frozen=True, kw_only=True)
class ScheduleStart(Memory):
    """Let a rollout begin at a moment."""

    rollout: str = SCHEDULE
    start_at: datetime
    stable: str
    canary: str
    plan: str = NORMAL
    force: bool = False
    again: bool = False

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:  # noqa: ARG002  # it is about none yet
        """Refused for a moment that has passed, or is more than a year away."""
        if not at < self.start_at < at + _LONGEST:
            raise RefusedError(
                f"{self.start_at:%Y-%m-%d %H:%M:%S} UTC is over or more than a year away; it is "
                f"{at:%Y-%m-%d %H:%M:%S} UTC now",
                place="cannot schedule the start",
                remedy="name a later moment with --at: what is checked before takes some seconds of it",
            )
        return Scheduled(
            rollout=self.rollout,
            at=at,
            actor=self.actor,
            reason=self.reason,
            start_at=self.start_at,
            stable=self.stable,
            canary=self.canary,
            plan=self.plan,
            force=self.force,
            again=self.again,
        )


@dataclass(frozen=True, kw_only=True)
class EndSchedule(Memory):
    """A scheduled start has begun, was refused, or is not wanted any more."""

    rollout: str = SCHEDULE
    scheduled: int
    ending: Ending

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:  # noqa: ARG002  # it is about none
        """Never refused; who writes it looks first whether there is one."""
        return ScheduleEnded(
            rollout=self.rollout,
            at=at,
            actor=self.actor,
            reason=self.reason,
            scheduled=self.scheduled,
            ending=self.ending,
        )
