"""The rollout as a pure state machine: what one is, and the states that it passes through.

    idle --start--> phase 1 --advance--> phase 2 ... --advance--> baking (100 %) --promote--> promoted
    phase, baking --hold--> holding --resume--> phase, baking
    phase, holding, baking --rollback--> rolling_back --complete--> rolled_back
    promoted --finish--> finished                (with `router.slots`: the two groups change roles, nobody moves)
    promoted --rollback--> rolling_back          (while the old version is still there)
    promoted --finish--> finishing --step--> ... --complete--> finished
    finishing --back--> promoted                 (everybody is on the canary's servers again)
    rolling_back --fail--> failed                (a person gave up; only then)

Nothing here acts. `folding` says what the journal means; `commands` says what may be appended next. The receiver
appends first and acts afterwards, so that after a crash the journal still says what is wanted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from canary.policy.pinning.digest import Data
from canary.policy.plans import NORMAL
from canary.policy.routers.slots import Slot, other
from canary.rollout.kinds import Step
from canary.rollout.passport import Passport
from canary.timing.clock import Clock
from canary.units import format_ratio


class State(StrEnum):
    """Where a rollout stands."""

    IDLE = "idle"
    PHASE = "phase"
    HOLDING = "holding"
    BAKING = "baking"
    PROMOTED = "promoted"
    FINISHING = "finishing"
    FINISHED = "finished"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"


RUNNING = frozenset({State.PHASE, State.HOLDING, State.BAKING})
"""States in which customers are on a canary that is being judged."""

TERMINAL = frozenset({State.PROMOTED, State.FINISHED, State.ROLLED_BACK, State.FAILED})
"""States in which nothing is in progress."""

UNFINISHED = frozenset({State.PROMOTED, State.FINISHING})
"""States in which the new version has won, and the stable servers may still have the old one."""


def weight_words(state: str, weight_ratio: float) -> str:
    """A weight in words: of the canary; of its servers once both groups run the new version, as a release ends."""
    where = "canary's servers" if state in (State.FINISHING, State.FINISHED) else "canary"
    return f"{format_ratio(weight_ratio)} of the customers on the {where}"


@dataclass(frozen=True)
class Weight:
    """The canary's traffic share from a moment on."""

    since: datetime
    ratio: float


@dataclass(frozen=True)
class Moment:
    """When something was, by both clocks of who wrote it: the wall clock for people, the monotonic one for ages."""

    at: datetime
    boot: str = ""
    uptime_seconds: float = 0.0


@dataclass(frozen=True)
class Timer:
    """How long a phase had lasted at one reading of one machine's monotonic clock."""

    seconds: float = 0.0
    boot: str = ""
    uptime_seconds: float = 0.0

    def elapsed_seconds(self, clock: Clock) -> float | None:
        """How long it has lasted by now; None on another machine, or after a reboot: nobody has measured since."""
        if self.boot != clock.boot:
            return None
        return self.seconds + max(0.0, clock.monotonic() - self.uptime_seconds)


@dataclass(frozen=True)
class Finishing:
    """How far a release is finished.

    Attributes:
        weights: the share of the canary's servers in each step, 0 in the last.
        step_seconds: how long each step lasts at least.
        step: index of the step that has been taken; -1 while the stable servers get the new version.
        began: when that step was taken, or a freeze after it ended.
        unverified: a person has said what the stable servers run; what is unreachable holds nothing up.
        frozen: nothing moves until its cause is gone, or a person resumes.
    """

    weights: tuple[float, ...]
    step_seconds: float
    step: int
    began: Moment
    unverified: bool = False
    frozen: bool = False

    @property
    def last(self) -> bool:
        """Whether everybody has returned."""
        return self.step == len(self.weights) - 1

    @property
    def weight(self) -> float:
        """The share that the canary's servers should have."""
        return self.weights[self.step] if self.step >= 0 else 1.0


@dataclass(frozen=True)
class Rollout:
    """What the journal says about one rollout.

    Attributes:
        traffic: the canary's weight in each phase, 0 to 1.
        durations_seconds: how long each phase lasts at least.
        plan: the name of the plan that it runs by.
        digest: of the policy that it runs by; empty where an older version began it.
        pinned: what decides, as it was when the rollout began; None where an older version began it.
        approvals: who has agreed to go on to which phase, while several people must.
        decision: position of the last decision in the journal; 0 while it is not written yet.
        decided: when that decision was made.
        phase: index of the current (or last) phase.
        phase_started_at: when it began, by the wall clock; a hold does not move it.
        timer: how long the phase has lasted, by the monotonic clock.
        weights: the weight over time, oldest first; what the evidence's cohorts are cut by.
        held_in: the state that `resume` goes back to.
        resumed_at: when a hold last ended in this phase.
        cause: what the hold or the rollback is due to: a `Cause`, or an alert's name.
        lifts: whether the hold ends by itself once its cause is gone.
        closed: whether somebody has closed a phase of 0 % to its testers at a router; a person lets them in again.
        rollback_at: end of the countdown in which a person may still cancel the rollback.
        countdown_seconds: how long that countdown lasts, from `held` on.
        began, phase_began, held, resumed, ended: the moments of the same events, from which ages are measured.
        promoted: when the new version won; None before, and once it is judged again. Its watch begins here, and goes
            on while the release is finished, and afterwards.
        overridden: causes whose countdown a person has cancelled in this phase.
        recorded: keys of the records that have been made.
        steps: steps of the last decision that are done.
        notified: by an entry's position, who has been notified of it.
        passport: what was found when it began; None where nobody looked.
        finishing: how far the release is finished; None before, and when everybody was taken back.
        salts: by which routers chose the users before this rollout was adopted.
        expired: positions of the entries that nobody was notified of in time.
        first_stable_slot: with `router.slots`, the one that was stable when it began; None without.
    """

    id: str
    stable: str
    canary: str
    traffic: tuple[float, ...]
    durations_seconds: tuple[float, ...]
    state: State
    started_at: datetime
    phase: int
    phase_started_at: datetime
    weights: tuple[Weight, ...]
    plan: str = NORMAL
    digest: str = ""
    pinned: Data | None = None
    approvals: frozenset[tuple[str, int]] = frozenset()
    decision: int = 0
    decided: Moment | None = None
    timer: Timer = Timer()
    held_in: State | None = None
    resumed_at: datetime | None = None
    lifts: bool = False
    closed: bool = False
    rollback_at: datetime | None = None
    countdown_seconds: float | None = None
    began: Moment | None = None
    phase_began: Moment | None = None
    held: Moment | None = None
    resumed: Moment | None = None
    ended: Moment | None = None
    promoted: Moment | None = None
    overridden: frozenset[str] = frozenset()
    recorded: frozenset[str] = frozenset()
    reason: str = ""
    cause: str = ""
    actor: str = ""
    ended_at: datetime | None = None
    steps: frozenset[Step] = frozenset()
    notified: Mapping[int, frozenset[str]] = field(default_factory=dict)
    expired: frozenset[int] = frozenset()
    passport: Passport | None = None
    finishing: Finishing | None = None
    salts: tuple[int, ...] = ()
    first_stable_slot: Slot | None = None

    @property
    def stable_slot(self) -> Slot | None:
        """With `router.slots`, the one that is stable now: finishing is what changes it."""
        first = self.first_stable_slot
        return other(first) if first is not None and self.state is State.FINISHED else first

    @property
    def slots(self) -> Mapping[str, Slot]:
        """By server's address, its slot at the start; empty where nobody looked, and without slots."""
        first, found = self.first_stable_slot, self.passport
        if first is None or found is None:
            return {}
        return dict.fromkeys(found.stable, first) | dict.fromkeys(found.canary, other(first))

    @property
    def weight(self) -> float:
        """The share of customers that should be on the canary now."""
        return self.weights[-1].ratio

    @property
    def running(self) -> bool:
        """Whether customers are on a canary that is being judged."""
        return self.state in RUNNING

    @property
    def version_weight(self) -> float | None:
        """The share of customers that get the new version, on whichever servers; None when it has been taken back."""
        if self.running:
            return self.weight
        return 1.0 if self.state in (State.PROMOTED, State.FINISHING, State.FINISHED) else None

    @property
    def leaving(self) -> bool:
        """Whether the canary's process is to be stopped: everybody has left it, or is leaving in a rollback."""
        finished = self.state is State.FINISHING and Step.TRAFFIC in self.steps
        return self.state is State.ROLLING_BACK or finished

    @property
    def frozen(self) -> bool:
        """Whether its traffic stays where it is: held, or frozen while the release is finished."""
        return self.state is State.HOLDING or (self.finishing is not None and self.finishing.frozen)

    @property
    def baking(self) -> bool:
        """Whether the last phase, with all traffic, is running (or held)."""
        return State.BAKING in (self.state, self.held_in)

    @property
    def duration_seconds(self) -> float:
        """How long the current phase lasts at least."""
        return self.durations_seconds[self.phase]
