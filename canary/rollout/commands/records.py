"""Commands that record what has been done about decisions, about a rollout that need not be the newest.

Nobody has looked before they are made, so nothing that was seen is compared; each says itself what must still hold, so
that a step that took a minute does not tick off the decision that came meanwhile.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from canary.errors import RefusedError
from canary.rollout.commands.commands import Command
from canary.rollout.commands.refusals import described
from canary.rollout.commands.seen import Seen
from canary.rollout.entries import (
    Drilled,
    Elapsed,
    Entry,
    Note,
    Notified,
    Recorded,
    RolledBack,
    StepDone,
)
from canary.rollout.kinds import Category, Step
from canary.rollout.plan.planentries import PolicyChanged
from canary.rollout.state import Rollout, State


@dataclass(frozen=True, kw_only=True)
class Memory(Command):
    """Base of the commands that remember what has been done, about a rollout that need not be the newest.

    Attributes:
        rollout: which one.
    """

    looked = False
    rollout: str
    actor: str = "receiver"

    def repeats(self, entry: Entry, seen: Seen) -> bool:  # noqa: ARG002  # nobody has looked
        """Whether the entry that a request with the same key led to is about the same rollout."""
        return entry.rollout == self.rollout


@dataclass(frozen=True, kw_only=True)
class CompleteStep(Memory):
    """A step has been done and confirmed.

    Attributes:
        decision: the decision that it belongs to: a later one starts its steps anew.
    """

    step: Step
    decision: int

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Refused when it is known already, or when another decision has come meanwhile."""
        known = _known(rollout, self.rollout)
        if self.step in known.steps:
            raise RefusedError(f"rollout {known.id}: step {self.step} is done already")
        # People are notified of a rollback, and its line is logged, also when it has been given up meanwhile.
        if known.decision != self.decision and self.step not in (Step.NOTIFY, Step.LOG):
            raise RefusedError(f"rollout {known.id} has changed meanwhile; it is {described(known)}")
        return StepDone(rollout=known.id, at=at, actor=self.actor, reason=self.reason, step=self.step)


@dataclass(frozen=True, kw_only=True)
class CompleteRollback(Memory):
    """Everything that a rollback asks for has been done and confirmed."""

    decision: int

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Refused unless this very rollback is going on."""
        known = _known(rollout, self.rollout)
        if known.state is not State.ROLLING_BACK or known.decision != self.decision:
            raise RefusedError(f"rollout {known.id} has changed meanwhile; it is {described(known)}")
        return RolledBack(rollout=known.id, at=at, actor=self.actor, reason=self.reason)


@dataclass(frozen=True, kw_only=True)
class Record(Memory):
    """Something worth remembering, once per key."""

    key: str
    occasion: str = ""

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Refused when a record with this key has been made."""
        known = _known(rollout, self.rollout)
        if self.key in known.recorded:
            raise RefusedError(f"rollout {known.id}: {self.key} is recorded already")
        return Recorded(
            rollout=known.id, at=at, actor=self.actor, reason=self.reason, key=self.key, occasion=self.occasion
        )


@dataclass(frozen=True, kw_only=True)
class TakeNote(Memory):
    """A person's observation about a rollout, whichever state it is in."""

    category: Category | None = None

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Refused without a text."""
        known = _known(rollout, self.rollout)
        if not self.reason:
            raise RefusedError("there is nothing to note", remedy="give a text")
        return Note(rollout=known.id, at=at, actor=self.actor, reason=self.reason, category=self.category)


@dataclass(frozen=True, kw_only=True)
class Notify(Memory):
    """People have been told of an entry, or it has become too old for that.

    Attributes:
        about: the entry's position.
        targets: who took the message.
        owed: who has still to be notified.
    """

    about: int
    targets: tuple[str, ...]
    owed: tuple[str, ...] = ()
    expired: bool = False

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Never refused for a rollout that is known."""
        known = _known(rollout, self.rollout)
        return Notified(
            rollout=known.id,
            at=at,
            actor=self.actor,
            entry=self.about,
            targets=self.targets,
            owed=self.owed,
            expired=self.expired,
        )


@dataclass(frozen=True, kw_only=True)
class EndDrill(Memory):
    """A drill has ended; its *rollout* is the drill's own name."""

    passed: bool

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:  # noqa: ARG002  # a drill is about no rollout
        """Never refused."""
        return Drilled(rollout=self.rollout, at=at, actor=self.actor, reason=self.reason, passed=self.passed)


@dataclass(frozen=True, kw_only=True)
class MarkElapsed(Memory):
    """How long the phase has lasted, for another machine that may have to go on from there."""

    phase: int
    seconds: float

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Refused when the phase is over."""
        known = _known(rollout, self.rollout)
        if known.phase != self.phase or not known.running:
            raise RefusedError(f"phase {self.phase + 1} of rollout {known.id} is over")
        return Elapsed(rollout=known.id, at=at, actor=self.actor, phase=self.phase, seconds=self.seconds)


@dataclass(frozen=True, kw_only=True)
class RecordPolicy(Memory):
    """Another policy file has been read; *rollout* is the one that runs, or `policy`."""

    digest: str
    policy: dict[str, Any]

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:  # noqa: ARG002  # it is about the file
        """Never refused."""
        return PolicyChanged(
            rollout=self.rollout, at=at, actor=self.actor, reason=self.reason, digest=self.digest, policy=self.policy
        )


def _known(rollout: Rollout | None, wanted: str) -> Rollout:
    if rollout is None:
        raise RefusedError(f"no rollout {wanted}", remedy="`canary history` shows all")
    return rollout
