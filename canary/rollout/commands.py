"""What may be done to a rollout: each command knows which entry it is in the present state, or refuses and says why.

Pure, as `canary.rollout.state` is. Nothing here decides whether a command is wise; that is the receiver's part.

Every caller says what it *saw*: the rollout, and the number of its last decision. State and phase are not enough, for a
hold that was lifted and set anew looks the same. What was seen is compared when the command is written, not before, so
that two people (or a person and an alert) who decide from the same picture cannot both be obeyed. Commands that lower
or hold compare the rollout only: whoever lowers is obeyed, whatever else has happened to this rollout meanwhile.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Self

from canary.errors import PayloadError, RefusedError
from canary.rollout.entries import (
    Advanced,
    Cause,
    Drilled,
    Elapsed,
    Entry,
    Failed,
    Held,
    Notified,
    Promoted,
    Recorded,
    Resumed,
    RollbackDecided,
    RolledBack,
    Started,
    Step,
    StepDone,
)
from canary.rollout.state import RUNNING, TERMINAL, Rollout, State
from canary.units import format_ratio


class Verb(StrEnum):
    """What people may ask for; the command line, the API and the page have exactly these."""

    START = "start"
    HOLD = "hold"
    RESUME = "resume"
    ADVANCE = "advance"
    PROMOTE = "promote"
    ROLLBACK = "rollback"


@dataclass(frozen=True)
class Seen:
    """What a caller saw before it decided.

    Attributes:
        rollout: the rollout's id; `none` before the first.
        decision: position of its last decision; None when only the rollout was looked at.
    """

    rollout: str = "none"
    decision: int | None = None

    @classmethod
    def of(cls, rollout: Rollout | None) -> Self:
        """What somebody has seen who looked at this rollout."""
        return cls("none", 0) if rollout is None else cls(rollout.id, rollout.decision)

    @classmethod
    def read(cls, text: str) -> Self:
        """What a caller wrote: `ROLLOUT/DECISION`, or `ROLLOUT`.

        Raises:
            PayloadError: it is neither.
        """
        rollout, slash, decision = text.strip().strip('"').partition("/")
        if not rollout or (slash and not (decision.isascii() and decision.isdigit() and len(decision) < 19)):
            raise PayloadError(
                f"expected ROLLOUT/DECISION as `canary status --json` gives it under `seen`, found {text[:80]!a}",
                place="seen",
            )
        return cls(rollout, int(decision) if slash else None)

    def __str__(self) -> str:
        """As `read` takes it."""
        return self.rollout if self.decision is None else f"{self.rollout}/{self.decision}"

    def require(self, rollout: Rollout | None, *, rollout_only: bool) -> None:
        """Refuse when what was seen is no longer so.

        Raises:
            RefusedError: it says what has happened meanwhile.
        """
        now = Seen.of(rollout)
        if self.rollout == now.rollout and (rollout_only or self.decision in (None, now.decision)):
            return
        if rollout is None or self.rollout != now.rollout:
            what = f"rollout {self.rollout} is not the present one, which is {now.rollout}"
        else:
            why = f": {rollout.reason}" if rollout.reason else ""
            what = (
                f"rollout {rollout.id} has changed since you looked; it is {described(rollout)} by {rollout.actor}{why}"
            )
        raise RefusedError(what, remedy="look again (`canary status`) and decide anew")


@dataclass(frozen=True, kw_only=True)
class Command(ABC):
    """What somebody wants the next entry to be.

    Attributes:
        actor: who wants it.
        reason: for people.
        lowers: it takes customers off the canary, or keeps it from getting more. Such a command compares nothing but
            the rollout, and is acted upon although the journal cannot be written.
        looked: it was decided by somebody who looked, so what was seen must still be so; the others only remember
            what has been done, and say themselves what must hold.
    """

    actor: str
    reason: str = ""

    lowers: ClassVar[bool] = False
    looked: ClassVar[bool] = True

    @abstractmethod
    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """The entry that it is in this state.

        Raises:
            RefusedError: it does not fit.
        """

    def repeats(self, entry: Entry, seen: Seen) -> bool:
        """Whether a request with the same key that led to this entry was the same request: about the same rollout."""
        return entry.rollout == seen.rollout


@dataclass(frozen=True, kw_only=True)
class Start(Command):
    """Begin a rollout; its reason begins with both versions."""

    rollout: str
    stable: str
    canary: str
    traffic: tuple[float, ...]
    durations_seconds: tuple[float, ...]

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Refused while another rollout is not over, or when both versions are the same."""
        if rollout is not None and rollout.state not in TERMINAL:
            raise refusal("start another rollout", rollout)
        if rollout is not None and rollout.id == self.rollout:
            raise RefusedError(f"rollout {self.rollout} began in this very second", remedy="try again")
        if self.stable == self.canary:
            raise RefusedError(
                f"--canary and --stable are both {self.stable!r}, expected two versions", remedy="correct one of them"
            )
        why = f": {self.reason}" if self.reason else ""
        return Started(
            rollout=self.rollout,
            at=at,
            actor=self.actor,
            reason=f"{self.canary} against {self.stable}{why}",
            stable=self.stable,
            canary=self.canary,
            traffic=self.traffic,
            durations_seconds=self.durations_seconds,
        )

    def repeats(self, entry: Entry, seen: Seen) -> bool:  # noqa: ARG002  # it began a rollout that nobody had seen
        """Whether the entry began a rollout of the same versions."""
        return isinstance(entry, Started) and (entry.stable, entry.canary) == (self.stable, self.canary)


@dataclass(frozen=True, kw_only=True)
class Advance(Command):
    """Go on to the next phase, or promote after the last."""

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Refused while no rollout runs, or while it is held."""
        known = required(rollout, {State.PHASE, State.BAKING}, "advance")
        following = known.phase + 1
        if following >= len(known.traffic):
            return Promoted(rollout=known.id, at=at, actor=self.actor, reason=self.reason)
        return Advanced(rollout=known.id, at=at, actor=self.actor, reason=self.reason, phase=following)


@dataclass(frozen=True, kw_only=True)
class Promote(Command):
    """Give all traffic to the canary for good, whatever phase it is in."""

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Refused while no rollout runs."""
        known = required(rollout, RUNNING, "promote")
        return Promoted(rollout=known.id, at=at, actor=self.actor, reason=self.reason)


@dataclass(frozen=True, kw_only=True)
class Hold(Command):
    """Freeze the weight.

    Attributes:
        cause: a `Cause`, or an alert's name; only a person lifts a manual hold.
        lifts: whether it ends by itself once its cause is gone.
        rollback_at: when given, it counts down to a rollback that a person may cancel with `resume`.
        phase: when given, it is about this phase only.
    """

    lowers = True
    cause: str = Cause.MANUAL
    lifts: bool = False
    rollback_at: datetime | None = None
    phase: int | None = None

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Refused while no rollout runs, or where it is held already and this hold would add nothing."""
        known = required(rollout, RUNNING, "hold")
        manual = self.cause == Cause.MANUAL and known.cause != Cause.MANUAL
        adds = manual or (self.rollback_at is not None and known.rollback_at is None)
        if known.state is State.HOLDING and not adds:
            raise refusal("hold", known)
        if self.phase not in (None, known.phase):
            raise RefusedError(f"phase {known.phase + 1} of rollout {known.id} has begun meanwhile")
        if self.rollback_at is not None and self.cause in known.overridden:
            raise RefusedError(f"a person has cancelled the rollback for {self.cause} in this phase")
        return Held(
            rollout=known.id,
            at=at,
            actor=self.actor,
            reason=self.reason,
            cause=self.cause,
            lifts=self.lifts,
            rollback_at=self.rollback_at,
        )


@dataclass(frozen=True, kw_only=True)
class Resume(Command):
    """Let a held rollout go on."""

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Refused unless the rollout is held."""
        known = required(rollout, {State.HOLDING}, "resume")
        return Resumed(rollout=known.id, at=at, actor=self.actor, reason=self.reason)


@dataclass(frozen=True, kw_only=True)
class RollBack(Command):
    """Take all customers off the canary.

    Attributes:
        cause: a `Cause`, or an alert's name.
        automatic: nobody has asked for it: then not after the promotion, and not against a person's word.
        countdown: when given, it is the end of this countdown, which a person may have cancelled.
    """

    lowers = True
    cause: str = Cause.MANUAL
    automatic: bool = False
    countdown: datetime | None = None

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Refused where there is nothing to roll back, or where it is being rolled back already."""
        allowed = RUNNING if self.automatic else RUNNING | {State.PROMOTED}
        known = required(rollout, allowed, "roll back")
        if self.automatic and self.cause in known.overridden:
            raise RefusedError(f"a person has cancelled the rollback for {self.cause} in this phase")
        if self.countdown is not None and known.rollback_at != self.countdown:
            raise RefusedError("the countdown was cancelled")
        return RollbackDecided(rollout=known.id, at=at, actor=self.actor, reason=self.reason, cause=self.cause)


@dataclass(frozen=True, kw_only=True)
class GiveUp(Command):
    """End a rollback that cannot be completed, once a person has done it by hand."""

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Refused unless a rollback is going on."""
        known = required(rollout, {State.ROLLING_BACK}, "give up the rollback")
        return Failed(rollout=known.id, at=at, actor=self.actor, reason=self.reason)


@dataclass(frozen=True, kw_only=True)
class Memory(Command):
    """Base of the commands that remember what has been done, about a rollout that need not be the newest.

    Attributes:
        rollout: which one.
    """

    looked = False
    rollout: str
    actor: str = "receiver"


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
        # People are told of a rollback, and its line is logged, also when it has been given up meanwhile.
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
class Notify(Memory):
    """People have been told of an entry, or it has become too old for that.

    Attributes:
        told: the entry's position.
        targets: who took the message.
        owed: who has still to be told.
    """

    told: int
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
            entry=self.told,
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


def accepted(rollout: Rollout | None) -> tuple[Verb, ...]:
    """What people may do to a rollout as it is."""
    match rollout and rollout.state:
        case State.PHASE | State.BAKING:
            return (Verb.HOLD, Verb.ADVANCE, Verb.PROMOTE, Verb.ROLLBACK)
        case State.HOLDING:
            taken_over = rollout is not None and rollout.cause == Cause.MANUAL
            return (*(() if taken_over else (Verb.HOLD,)), Verb.RESUME, Verb.PROMOTE, Verb.ROLLBACK)
        case State.PROMOTED:
            return (Verb.START, Verb.ROLLBACK)
        case State.ROLLING_BACK:
            return (Verb.ROLLBACK,)
        case _:
            return (Verb.START,)


_USAGE = {
    Verb.START: "canary start --canary VERSION --stable VERSION",
    Verb.ROLLBACK: "canary rollback --reason TEXT",
}


def usage(rollout: Rollout | None) -> tuple[str, ...]:
    """What people may do now, as they would type it."""
    if rollout is not None and rollout.state is State.ROLLING_BACK:
        return ("canary rollback --give-up --reason TEXT",)
    return tuple(_USAGE.get(verb, f"canary {verb}") for verb in accepted(rollout))


def refusal(wanted: str, rollout: Rollout | None) -> RefusedError:
    """Why something does not fit the state, and what does."""
    state = "no rollout has been started" if rollout is None else f"rollout {rollout.id} is {described(rollout)}"
    return RefusedError(f"{state}", place=f"cannot {wanted}", remedy="possible now: " + _choice(usage(rollout)))


def _choice(lines: tuple[str, ...]) -> str:
    quoted = [f"`{line}`" for line in lines]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def required(rollout: Rollout | None, allowed: Iterable[State], wanted: str) -> Rollout:
    """The rollout, when it is in one of these states.

    Raises:
        RefusedError: it is not.
    """
    if rollout is None or rollout.state not in set(allowed):
        raise refusal(wanted, rollout)
    return rollout


def _known(rollout: Rollout | None, wanted: str) -> Rollout:
    if rollout is None:
        raise RefusedError(f"no rollout {wanted}")
    return rollout


def described(rollout: Rollout) -> str:
    """The state in words, with since when and why."""
    words = {
        State.PHASE: f"in phase {rollout.phase + 1} ({format_ratio(rollout.weight)})",
        State.HOLDING: f"held in phase {rollout.phase + 1} ({rollout.reason or rollout.cause})",
        State.BAKING: "baking at 100%",
        State.PROMOTED: "promoted",
        State.ROLLING_BACK: f"already rolling back since {rollout.weights[-1].since:%H:%M:%S} UTC ({rollout.reason})",
        State.ROLLED_BACK: f"rolled back ({rollout.reason})",
        State.FAILED: f"failed ({rollout.reason})",
    }
    return words.get(rollout.state, rollout.state.value)
