"""The rollout as a pure state machine: journal entries fold into `Rollout`s.

Nothing here acts. `fold` says what the journal means; `commands` says what may be appended next. The receiver
appends first and acts afterwards, so that after a crash the journal still says what is wanted.

    idle --start--> phase 0 --advance--> phase 1 ... --advance--> baking (100 %) --promote--> promoted
    phase, baking --hold--> holding --resume--> phase, baking
    phase, holding, baking --rollback--> rolling_back --complete--> rolled_back
    promoted --rollback--> rolling_back          (while the old version is still there)
    rolling_back --fail--> failed                (a person gave up; only then)

Every rollout of the journal is folded, not only the newest: what an older one still has open (a message, a report, a
line of the rollback log) is business that stays open when the next one begins.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from canary.clock import Clock
from canary.rollout.entries import (
    Advanced,
    Cause,
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


class State(StrEnum):
    """Where a rollout stands."""

    IDLE = "idle"
    PHASE = "phase"
    HOLDING = "holding"
    BAKING = "baking"
    PROMOTED = "promoted"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"


RUNNING = frozenset({State.PHASE, State.HOLDING, State.BAKING})
"""States in which customers are on the canary on trial."""

TERMINAL = frozenset({State.PROMOTED, State.ROLLED_BACK, State.FAILED})
"""States from which a new rollout may start."""


@dataclass(frozen=True)
class Weight:
    """The canary's traffic share from a moment on."""

    since: datetime
    ratio: float


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
class Rollout:
    """What the journal says about one rollout.

    Attributes:
        traffic: the canary's weight in each phase, 0 to 1.
        durations_seconds: how long each phase lasts at least.
        decision: position of the last decision in the journal; 0 while it is not written yet.
        phase: index of the current (or last) phase.
        phase_started_at: when it began, by the wall clock; a hold does not move it.
        timer: how long the phase has lasted, by the monotonic clock.
        weights: the weight over time, oldest first; what the evidence's cohorts are cut by.
        held_in: the state that `resume` goes back to.
        resumed_at: when a hold last ended in this phase.
        cause: what the hold or the rollback is due to: a `Cause`, or an alert's name.
        lifts: whether the hold ends by itself once its cause is gone.
        rollback_at: end of the countdown in which a person may still cancel the rollback.
        overridden: causes whose countdown a person has cancelled in this phase.
        recorded: keys of the records that have been made.
        steps: steps of the last decision that are done.
        told: by an entry's position, who has been told of it.
        expired: positions of the entries that nobody was told of in time.
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
    decision: int = 0
    timer: Timer = Timer()
    held_in: State | None = None
    resumed_at: datetime | None = None
    lifts: bool = False
    rollback_at: datetime | None = None
    overridden: frozenset[str] = frozenset()
    recorded: frozenset[str] = frozenset()
    reason: str = ""
    cause: str = ""
    actor: str = ""
    ended_at: datetime | None = None
    steps: frozenset[Step] = frozenset()
    told: Mapping[int, frozenset[str]] = field(default_factory=dict)
    expired: frozenset[int] = frozenset()

    @property
    def weight(self) -> float:
        """The share of customers that should be on the canary now."""
        return self.weights[-1].ratio

    @property
    def running(self) -> bool:
        """Whether customers are on a canary on trial."""
        return self.state in RUNNING

    @property
    def baking(self) -> bool:
        """Whether the last phase, with all traffic, is running (or held)."""
        return State.BAKING in (self.state, self.held_in)

    @property
    def duration_seconds(self) -> float:
        """How long the current phase lasts at least."""
        return self.durations_seconds[self.phase]


def newest(rollouts: dict[str, Rollout]) -> Rollout | None:
    """The rollout that began last; None before the first."""
    return next(reversed(rollouts.values()), None)


def fold(entries: Iterable[Entry], rollouts: Mapping[str, Rollout] | None = None) -> dict[str, Rollout]:
    """Every rollout that the entries describe, by id, in the order of their starts.

    Args:
        entries: oldest first.
        rollouts: what earlier entries have folded into.
    """
    known = dict(rollouts or {})
    for entry in entries:
        if isinstance(entry, Started):
            known[entry.rollout] = _started(entry)
        elif entry.rollout in known and _fits(known[entry.rollout], entry):
            known[entry.rollout] = _applied(known[entry.rollout], entry)
    return known


def _started(entry: Started) -> Rollout:
    return Rollout(
        id=entry.rollout,
        stable=entry.stable,
        canary=entry.canary,
        traffic=entry.traffic,
        durations_seconds=entry.durations_seconds,
        state=_phase_state(entry.traffic, 0),
        started_at=entry.at,
        phase=0,
        phase_started_at=entry.at,
        weights=(Weight(entry.at, entry.traffic[0]),),
        decision=entry.seq,
        timer=_timer(entry),
        reason=entry.reason,
        actor=entry.actor,
    )


def _phase_state(traffic: Sequence[float], phase: int) -> State:
    return State.BAKING if traffic[phase] >= 1 else State.PHASE


def _timer(entry: Entry, seconds: float = 0.0) -> Timer:
    return Timer(seconds, entry.boot, entry.uptime_seconds)


_GOING_ON = (Advanced, Held, Resumed, Promoted)


def _fits(rollout: Rollout, entry: Entry) -> bool:
    """A rollback wins over everything that the journal may say afterwards; a phase that is none is passed over."""
    if isinstance(entry, _GOING_ON) and rollout.state in (State.ROLLING_BACK, State.ROLLED_BACK, State.FAILED):
        return False
    return not isinstance(entry, Advanced) or 0 <= entry.phase < len(rollout.traffic)


def _applied(rollout: Rollout, entry: Entry) -> Rollout:
    told = replace(rollout, reason=entry.reason, actor=entry.actor)
    decided = replace(told, decision=entry.seq) if entry.decides else rollout
    match entry:
        case Advanced():
            return _advanced(decided, entry)
        case Held():
            return _held(decided, entry)
        case Resumed():
            return _resumed(decided, entry)
        case Promoted():
            return _promoted(decided, entry)
        case RollbackDecided():
            return _rolling_back(decided, entry)
        case RolledBack():
            # Why it was rolled back is what people want to read, not that it is complete.
            return replace(rollout, state=State.ROLLED_BACK, ended_at=entry.at, decision=entry.seq)
        case Failed():
            return replace(decided, state=State.FAILED, ended_at=entry.at)
        case _:
            return _remembered(rollout, entry)


def _remembered(rollout: Rollout, entry: Entry) -> Rollout:
    """What decides nothing."""
    match entry:
        case StepDone():
            return replace(rollout, steps=rollout.steps | {entry.step})
        case Recorded():
            return replace(rollout, recorded=rollout.recorded | {entry.key})
        case Notified():
            told = rollout.told.get(entry.entry, frozenset()) | frozenset(entry.targets)
            expired = rollout.expired | ({entry.entry} if entry.expired else set())
            return replace(rollout, told={**rollout.told, entry.entry: told}, expired=expired)
        case Elapsed() if entry.phase == rollout.phase:
            return replace(rollout, timer=_timer(entry, entry.seconds))
        case _:
            return rollout


def _advanced(told: Rollout, entry: Advanced) -> Rollout:
    return replace(
        told,
        state=_phase_state(told.traffic, entry.phase),
        held_in=None,
        cause="",
        resumed_at=None,
        rollback_at=None,
        overridden=frozenset(),
        phase=entry.phase,
        phase_started_at=entry.at,
        timer=_timer(entry),
        weights=(*told.weights, Weight(entry.at, told.traffic[entry.phase])),
    )


def _held(told: Rollout, entry: Held) -> Rollout:
    cancelled = {told.cause} if entry.cause == Cause.MANUAL and told.rollback_at is not None else set()
    return replace(
        told,
        state=State.HOLDING,
        held_in=told.held_in or told.state,
        cause=entry.cause,
        lifts=entry.lifts,
        rollback_at=entry.rollback_at,
        overridden=told.overridden | cancelled,
    )


def _resumed(told: Rollout, entry: Resumed) -> Rollout:
    cancelled = {told.cause} if told.rollback_at is not None else set()
    return replace(
        told,
        state=told.held_in or told.state,
        held_in=None,
        cause="",
        resumed_at=entry.at,
        rollback_at=None,
        overridden=told.overridden | cancelled,
    )


def _promoted(told: Rollout, entry: Promoted) -> Rollout:
    weights = told.weights if told.weight >= 1 else (*told.weights, Weight(entry.at, 1.0))
    ended = replace(told, state=State.PROMOTED, held_in=None, rollback_at=None, ended_at=entry.at)
    return replace(ended, weights=weights, cause="")


def _rolling_back(told: Rollout, entry: RollbackDecided) -> Rollout:
    return replace(
        told,
        state=State.ROLLING_BACK,
        held_in=None,
        rollback_at=None,
        cause=entry.cause,
        weights=(*told.weights, Weight(entry.at, 0.0)),
        steps=frozenset(),
        ended_at=None,
    )
