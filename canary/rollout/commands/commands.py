"""What people and alerts may do to a rollout: each command knows which entry it is in the present state, or refuses.

Pure, as `canary.rollout.state` is. Nothing here decides whether a command is wise; that is the receiver's part.

Every caller says what it saw (`canary.rollout.commands.seen`). Commands that lower or hold compare the rollout only:
whoever lowers is obeyed, whatever else has happened to this rollout meanwhile.
"""
# long: one list of commands, each a few lines

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from canary.errors import RefusedError
from canary.policy.plans import NORMAL
from canary.policy.routers.slots import Slot
from canary.rollout.commands.refusals import refusal, required
from canary.rollout.commands.seen import Seen
from canary.rollout.entries import (
    Adopted,
    Advanced,
    Entry,
    Failed,
    Held,
    Promoted,
    Resumed,
    RollbackDecided,
    Started,
)
from canary.rollout.kinds import Category, Cause
from canary.rollout.passport import Passport
from canary.rollout.plan.approvals import agreed
from canary.rollout.plan.planentries import Approved
from canary.rollout.state import RUNNING, TERMINAL, UNFINISHED, Rollout, State
from canary.units import format_ratio

# Far less than the finest share that a router divides off.
_SAME_SHARE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Command(ABC):
    """What somebody wants the next entry to be.

    Attributes:
        actor: who wants it.
        reason: for people.
        lowers: it takes customers off the canary, or keeps it from getting more. Such a command compares nothing but
            the rollout, and is acted upon although the journal cannot be written.
        rollout_only: it compares nothing but the rollout; so does all that lowers.
        looked: it was decided by somebody who looked, so what was seen must still be so; the others only remember
            what has been done, and say themselves what must hold.
    """

    actor: str
    reason: str = ""

    lowers: ClassVar[bool] = False
    rollout_only: ClassVar[bool] = False
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
class _Beginning(Command):
    """What brings a rollout into the journal; its reason begins with both versions."""

    rollout: str
    stable: str
    canary: str
    traffic: tuple[float, ...]
    durations_seconds: tuple[float, ...]
    plan: str = NORMAL
    digest: str = ""
    policy: dict[str, Any] | None = None
    stable_slot: Slot | None = None

    def _fields(self, at: datetime, how: str = "") -> dict[str, Any]:
        """What the entry has whichever way the rollout begins.

        Raises:
            RefusedError: both versions are the same.
        """
        if self.stable == self.canary:
            raise RefusedError(
                f"--canary and --stable are both {self.stable!r}, expected two versions", remedy="correct one of them"
            )
        why = f": {self.reason}" if self.reason else ""
        return {
            "rollout": self.rollout,
            "at": at,
            "actor": self.actor,
            "reason": f"{self.canary} against {self.stable}{how}{why}",
            "stable": self.stable,
            "canary": self.canary,
            "traffic": self.traffic,
            "durations_seconds": self.durations_seconds,
            "plan": self.plan,
            "digest": self.digest,
            "policy": self.policy,
            "stable_slot": self.stable_slot,
        }


@dataclass(frozen=True, kw_only=True)
class Start(_Beginning):
    """Begin a rollout."""

    passport: Passport | None = None

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Refused while another rollout is not over, or when both versions are the same."""
        if rollout is not None and rollout.state not in TERMINAL:
            raise refusal("start another rollout", rollout)
        if rollout is not None and rollout.id == self.rollout:
            raise RefusedError(f"rollout {self.rollout} began in this very second", remedy="try again")
        return Started(**self._fields(at), passport=self.passport)

    def repeats(self, entry: Entry, seen: Seen) -> bool:  # noqa: ARG002  # it began a rollout that nobody had seen
        """Whether the entry began a rollout of the same versions."""
        return isinstance(entry, Started) and (entry.stable, entry.canary) == (self.stable, self.canary)


@dataclass(frozen=True, kw_only=True)
class Adopt(_Beginning):
    """Take over what is in force, where the journal does not know it.

    Attributes:
        salts: by which the routers choose the users now.
    """

    looked = False
    weight: float
    salts: tuple[int, ...] = ()

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Refused for two equal versions, and for a rollout that the journal has as the newest one already."""
        if rollout is not None and rollout.id == self.rollout:
            raise refusal("adopt", rollout)
        fields = self._fields(at, f", adopted at {format_ratio(self.weight)}")
        return Adopted(**fields, weight=self.weight, salts=self.salts)

    def repeats(self, entry: Entry, seen: Seen) -> bool:  # noqa: ARG002  # nobody has seen what the journal lacks
        """Whether the entry adopted the same versions at the same weight."""
        return isinstance(entry, Adopted) and (entry.canary, entry.weight) == (self.canary, self.weight)


@dataclass(frozen=True, kw_only=True)
class Advance(Command):
    """Go on to the next phase, or promote after the last.

    Attributes:
        to: the share of the phase to go to, past those between; None for the next one.
        approver: the proven name of who wants it; where several people must agree, nobody else counts.
    """

    to: float | None = None
    approver: str = ""

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Refused while no rollout runs, or while it is held; the agreement of one where more people must agree."""
        known = required(rollout, {State.PHASE, State.BAKING}, "advance")
        target = known.phase + 1 if self.to is None else self._jump(known, self.to)
        if (waiting := _agreement(self, self.approver, known, target, at)) is not None:
            return waiting
        if target >= len(known.traffic):
            return Promoted(rollout=known.id, at=at, actor=self.actor, reason=self.reason)
        return Advanced(rollout=known.id, at=at, actor=self.actor, reason=self.reason, phase=target)

    @staticmethod
    def _jump(known: Rollout, share: float) -> int:
        """The phase with this share: a jump stays within the plan, so that what is reached is judged as planned."""
        for index, ratio in enumerate(known.traffic):
            if abs(ratio - share) < _SAME_SHARE and index > known.phase:
                return index
        ahead = ", ".join(format_ratio(ratio) for ratio in known.traffic[known.phase + 1 :]) or "none"
        raise RefusedError(
            f"no phase ahead has {format_ratio(share)}; ahead {'is' if ahead == 'none' else 'are'} {ahead}",
            place="cannot advance",
            remedy="name one of them, or `canary promote`",
        )


@dataclass(frozen=True, kw_only=True)
class Promote(Command):
    """Give all traffic to the canary for good, whatever phase it is in.

    Attributes:
        approver: as in `Advance`.
    """

    approver: str = ""

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Refused while no rollout runs; the agreement of one where more people must agree."""
        known = required(rollout, RUNNING, "promote")
        if (waiting := _agreement(self, self.approver, known, len(known.traffic), at)) is not None:
            return waiting
        return Promoted(rollout=known.id, at=at, actor=self.actor, reason=self.reason)


def _agreement(command: Command, approver: str, known: Rollout, target: int, at: datetime) -> Approved | None:
    """What to write while more people must agree; None when they have, or nobody is asked."""
    found = agreed(known, target, approver)
    if not found.missing:
        return None
    share = f"go on to {format_ratio(known.traffic[target])}" if target < len(known.traffic) else "promote"
    why = f": {command.reason}" if command.reason else ""
    return Approved(
        rollout=known.id,
        at=at,
        actor=command.actor,
        reason=f"{found} to {share}, {found.missing} more needed{why}",
        approver=approver,
        target=target,
    )


@dataclass(frozen=True, kw_only=True)
class Hold(Command):
    """Freeze the weight; while a release is finished, its step.

    Attributes:
        cause: a `Cause`, or an alert's name; only a person lifts a manual hold.
        lifts: whether it ends by itself once its cause is gone.
        rollback_at: when given, it counts down to a rollback that a person may cancel with `resume`.
        phase: when given, it is about this phase only.
        weight: when given, the weight is lowered to it, as it was at a router; while a release is finished it is raised
            to it, because the canary's servers are the proven side then.
        kpi: the KPI that the alert is about.
    """

    lowers = True
    cause: str = Cause.MANUAL
    lifts: bool = False
    rollback_at: datetime | None = None
    phase: int | None = None
    weight: float | None = None
    kpi: str = ""

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Refused while no rollout runs, or where it is held already and this hold would add nothing.

        A hold that only a person ends adds to one that ends by itself: it says what there is to be decided.
        """
        moves = self.weight is not None
        known = required(rollout, (RUNNING | {State.PROMOTED} if moves else RUNNING) | {State.FINISHING}, "hold")
        finishing = known.state is State.FINISHING
        if finishing and known.leaving:
            raise refusal("hold", known)
        if self.weight is not None and (self.weight <= known.weight if finishing else self.weight >= known.weight):
            raise RefusedError(f"the weight is {format_ratio(known.weight)} already", place="cannot hold")
        manual = self.cause == Cause.MANUAL and known.cause != Cause.MANUAL
        closes = self.cause == Cause.BY_HAND and not known.closed
        counts, stays = self.rollback_at is not None, known.lifts and not self.lifts
        adds = manual or closes or (known.rollback_at is None and (counts or stays))
        if known.frozen and not (adds or moves):
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
            kpi=self.kpi,
            weight=self.weight,
        )


@dataclass(frozen=True, kw_only=True)
class Resume(Command):
    """Let a held rollout go on."""

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Refused unless the rollout is held, or its finishing frozen."""
        known = required(rollout, {State.HOLDING, State.FINISHING}, "resume")
        if not known.frozen:
            raise refusal("resume", known)
        return Resumed(rollout=known.id, at=at, actor=self.actor, reason=self.reason)


@dataclass(frozen=True, kw_only=True)
class RollBack(Command):
    """Take all customers off the canary.

    Attributes:
        cause: a `Cause`, or an alert's name.
        category: what it is due to, as a person says.
        kpi: the KPI that the alert is about.
        automatic: nobody has asked for it: then not after the promotion, and not against a person's word.
        countdown: it is the end of one, which is over with the hold that counted. Whose countdown it was does not
            matter: another receiver may have written its own hold first, and what this one has lowered stays lowered.
    """

    lowers = True
    cause: str = Cause.MANUAL
    category: Category | None = None
    automatic: bool = False
    countdown: bool = False
    kpi: str = ""

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Refused where there is nothing to roll back, or where it is being rolled back already."""
        allowed = RUNNING if self.automatic else RUNNING | UNFINISHED
        known = required(rollout, allowed, "roll back")
        if self.automatic and self.cause in known.overridden:
            raise RefusedError(f"a person has cancelled the rollback for {self.cause} in this phase")
        if self.countdown and known.state is not State.HOLDING:
            raise RefusedError("the countdown was cancelled")
        return RollbackDecided(
            rollout=known.id,
            at=at,
            actor=self.actor,
            reason=self.reason,
            cause=self.cause,
            category=self.category,
            kpi=self.kpi,
        )


@dataclass(frozen=True, kw_only=True)
class GiveUp(Command):
    """End a rollback that cannot be completed, once a person has done it by hand."""

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Refused unless a rollback is going on."""
        known = required(rollout, {State.ROLLING_BACK}, "give up the rollback")
        return Failed(rollout=known.id, at=at, actor=self.actor, reason=self.reason)
