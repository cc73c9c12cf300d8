"""The commands that finish a release: the stable servers run what the canary's run, and get their traffic back.

Everything is the other way round than in a rollout. The canary's servers are the proven side: they have served
everybody through the bake. So each step that takes customers off them asks for two keys, and what goes back to them
(`--back`) asks for nobody's agreement. A hold freezes the step where it is.
"""

from dataclasses import dataclass
from datetime import datetime

from canary.errors import RefusedError
from canary.rollout.commands.commands import Command
from canary.rollout.commands.records import Memory
from canary.rollout.commands.refusals import described, refusal, required
from canary.rollout.entries import Entry, FinishBegan, Finished, FinishReturned, FinishStepped
from canary.rollout.kinds import Step
from canary.rollout.state import Finishing, Rollout, State


@dataclass(frozen=True, kw_only=True)
class Finish(Command):
    """Begin to finish a promoted release.

    Attributes:
        weights: the share of the canary's servers in each step, 0 in the last.
        step_seconds: how long each step lasts at least.
        unverified: the person says that the stable servers run the new version; nobody could ask them.
    """

    weights: tuple[float, ...]
    step_seconds: float
    unverified: bool = False

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Refused unless the rollout is promoted."""
        known = required(rollout, {State.PROMOTED}, "finish")
        if known.first_stable_slot is not None:
            raise refusal("return traffic from one slot to the other", known)
        return FinishBegan(
            rollout=known.id,
            at=at,
            actor=self.actor,
            reason=self.reason,
            weights=self.weights,
            step_seconds=self.step_seconds,
            unverified=self.unverified,
        )


@dataclass(frozen=True, kw_only=True)
class ChangeRoles(Command):
    """Finish a promoted release where both groups are slots: the one that has everybody is stable from now on."""

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Refused unless the rollout is promoted, and has slots."""
        known = required(rollout, {State.PROMOTED}, "finish")
        if known.first_stable_slot is None:
            raise refusal("change roles", known)
        return Finished(rollout=known.id, at=at, actor=self.actor, reason=self.reason)


@dataclass(frozen=True, kw_only=True)
class FinishStep(Command):
    """Take the next step, or at once the last; after that, do without what is still to be done.

    Attributes:
        last: whether the steps between are left out.
    """

    last: bool = False

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Refused unless there is a further step, and where the finishing is frozen."""
        known, finishing = in_progress(rollout, "take the next step of finishing")
        if Step.TRAFFIC in known.steps and self.last:
            left = f"the canary's process may still run; {self.reason}" if self.reason else "the process may still run"
            return Finished(rollout=known.id, at=at, actor=self.actor, reason=left)
        if finishing.last or (finishing.frozen and not self.last):
            raise refusal("take the next step of finishing", known)
        step = len(finishing.weights) - 1 if self.last else finishing.step + 1
        return FinishStepped(rollout=known.id, at=at, actor=self.actor, reason=self.reason, step=step)


@dataclass(frozen=True, kw_only=True)
class FinishBack(Command):
    """Return everybody to the canary's servers; it does not matter which step had been taken meanwhile."""

    rollout_only = True

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Refused unless a release is being finished, and once the canary's servers are being stopped."""
        known, _ = in_progress(rollout, "return to the canary's servers")
        if Step.TRAFFIC in known.steps:
            raise refusal("return to the canary's servers, whose process is being stopped", known)
        return FinishReturned(rollout=known.id, at=at, actor=self.actor, reason=self.reason)


@dataclass(frozen=True, kw_only=True)
class CompleteFinish(Memory):
    """All traffic is back, and the canary's process is stopped."""

    decision: int

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Refused unless this very release is at its last step."""
        if rollout is None or rollout.state is not State.FINISHING or rollout.decision != self.decision:
            now = described(rollout) if rollout is not None else "unknown"
            raise RefusedError(f"rollout {self.rollout} has changed meanwhile; it is {now}")
        return Finished(rollout=rollout.id, at=at, actor=self.actor, reason=self.reason)


def in_progress(rollout: Rollout | None, wanted: str) -> tuple[Rollout, Finishing]:
    """The rollout that is being finished, and how far.

    Raises:
        RefusedError: none is.
    """
    known = required(rollout, {State.FINISHING}, wanted)
    assert known.finishing is not None  # a rollout in this state has it
    return known, known.finishing
