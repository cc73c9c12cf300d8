"""The rollout as a pure state machine: journal entries fold into a `Rollout`.

Nothing here acts. `fold` says what the journal means; `canary.commands` says what may be appended next. The receiver
appends first and acts afterwards, so that after a crash the journal still says what is wanted.

    idle --start--> phase 0 --advance--> phase 1 ... --advance--> baking (100 %) --promote--> promoted
    phase, baking --hold--> holding --resume--> phase, baking
    phase, holding, baking --rollback--> rolling_back --complete--> rolled_back
    promoted --rollback--> rolling_back          (while the old version is still there)
    rolling_back --fail--> failed                (a person gave up; only then)
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from canary.times import from_text


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


class Kind(StrEnum):
    """What one journal entry records. Decisions change the state; the others are remembered for people."""

    STARTED = "started"
    ADVANCED = "advanced"
    HELD = "held"
    RESUMED = "resumed"
    PROMOTED = "promoted"
    ROLLBACK = "rollback"
    STEP_DONE = "step_done"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    NOTIFIED = "notified"
    NOTED = "noted"


class Step(StrEnum):
    """The steps of a rollback, in the order in which they protect customers."""

    TRAFFIC = "traffic"
    PROCESS = "process"
    NOTIFY = "notify"
    LOG = "log"


@dataclass(frozen=True)
class Entry:
    """One line of the journal.

    Attributes:
        at: when it was decided, UTC.
        actor: a person's name, `alertmanager`, `prometheus`, `watchdog` or `receiver`.
        reason: for people.
        data: what the kind needs: `stable`, `canary`, `traffic` (list of ratios) and `durations_seconds` when
            started, `phase` when advanced, `cause` (an alert's name, `manual`, `watchdog`) on hold and rollback,
            `rollback_at` on a hold that counts down, `step` when a step is done, `entry` and `targets` when people
            have been told, `key` on a note that is made once.
        seq: position in the journal, 0 before it is appended.
    """

    rollout: str
    kind: Kind
    at: datetime
    actor: str
    reason: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    seq: int = 0


@dataclass(frozen=True)
class Weight:
    """The canary's traffic share from a moment on."""

    since: datetime
    ratio: float


@dataclass(frozen=True)
class Rollout:
    """What the journal says about one rollout.

    Attributes:
        traffic: the share of each phase, 0 to 1.
        durations_seconds: how long each phase lasts at least.
        phase: index of the current (or last) phase.
        phase_started_at: when it began; a hold does not move it.
        weights: the share over time, oldest first; what the evidence's cohorts are cut by.
        held_in: the state that `resume` goes back to.
        resumed_at: when a hold last ended in this phase.
        cause: what the hold or the rollback is due to: an alert's name, `manual`, `watchdog`, `max_duration`.
        lifts: whether the hold ends by itself once its cause is gone.
        rollback_at: end of the countdown in which a person may still cancel the rollback.
        forgiven: causes whose countdown a person has cancelled in this phase.
        noted: keys of the notes that have been made.
        steps: steps of the rollback that are done.
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
    held_in: State | None = None
    resumed_at: datetime | None = None
    lifts: bool = False
    rollback_at: datetime | None = None
    forgiven: frozenset[str] = frozenset()
    noted: frozenset[str] = frozenset()
    reason: str = ""
    cause: str = ""
    actor: str = ""
    ended_at: datetime | None = None
    steps: frozenset[Step] = frozenset()

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

    def elapsed_seconds(self, now: datetime) -> float:
        """How long the current phase has lasted."""
        return (now - self.phase_started_at).total_seconds()


def fold(entries: Iterable[Entry], rollout: Rollout | None = None) -> Rollout | None:
    """The newest rollout that the entries, oldest first and coming after *rollout*, describe; None before the first."""
    for entry in entries:
        if entry.kind is Kind.STARTED:
            rollout = _started(entry)
        elif rollout is not None and entry.rollout == rollout.id and not _too_late(rollout, entry):
            rollout = _applied(rollout, entry)
    return rollout


def _started(entry: Entry) -> Rollout:
    traffic = tuple(entry.data["traffic"])
    return Rollout(
        id=entry.rollout,
        stable=entry.data["stable"],
        canary=entry.data["canary"],
        traffic=traffic,
        durations_seconds=tuple(entry.data["durations_seconds"]),
        state=_phase_state(traffic, 0),
        started_at=entry.at,
        phase=0,
        phase_started_at=entry.at,
        weights=(Weight(entry.at, traffic[0]),),
        reason=entry.reason,
        actor=entry.actor,
    )


def _phase_state(traffic: Sequence[float], phase: int) -> State:
    return State.BAKING if traffic[phase] >= 1 else State.PHASE


_GOING_ON = frozenset({Kind.ADVANCED, Kind.HELD, Kind.RESUMED, Kind.PROMOTED})


def _too_late(rollout: Rollout, entry: Entry) -> bool:
    """A rollback wins over everything that the journal may say afterwards."""
    return entry.kind in _GOING_ON and rollout.state in (State.ROLLING_BACK, State.ROLLED_BACK, State.FAILED)


def _applied(rollout: Rollout, entry: Entry) -> Rollout:
    told = replace(rollout, reason=entry.reason, actor=entry.actor)
    match entry.kind:
        case Kind.ADVANCED:
            return _advanced(told, entry)
        case Kind.HELD:
            return _held(told, entry)
        case Kind.RESUMED:
            return _resumed(told, entry)
        case Kind.PROMOTED:
            return _promoted(told, entry)
        case Kind.ROLLBACK:
            return _rolling_back(told, entry)
        case Kind.STEP_DONE:
            return replace(rollout, steps=rollout.steps | {Step(entry.data["step"])})
        case Kind.ROLLED_BACK:
            return replace(rollout, state=State.ROLLED_BACK, ended_at=entry.at)
        case Kind.FAILED:
            return replace(told, state=State.FAILED, ended_at=entry.at)
        case Kind.NOTED:
            return replace(rollout, noted=rollout.noted | {str(entry.data.get("key", ""))})
        case _:
            return rollout


def _advanced(told: Rollout, entry: Entry) -> Rollout:
    phase = int(entry.data["phase"])
    return replace(
        told,
        state=_phase_state(told.traffic, phase),
        held_in=None,
        cause="",
        resumed_at=None,
        rollback_at=None,
        forgiven=frozenset(),
        phase=phase,
        phase_started_at=entry.at,
        weights=(*told.weights, Weight(entry.at, told.traffic[phase])),
    )


def _held(told: Rollout, entry: Entry) -> Rollout:
    cause, deadline = str(entry.data.get("cause", "manual")), entry.data.get("rollback_at")
    cancelled = {told.cause} if cause == "manual" and told.rollback_at is not None else set()
    return replace(
        told,
        state=State.HOLDING,
        held_in=told.held_in or told.state,
        cause=cause,
        lifts=bool(entry.data.get("lifts")),
        rollback_at=from_text(str(deadline)) if deadline else None,
        forgiven=told.forgiven | cancelled,
    )


def _resumed(told: Rollout, entry: Entry) -> Rollout:
    cancelled = {told.cause} if told.rollback_at is not None else set()
    return replace(
        told,
        state=told.held_in or told.state,
        held_in=None,
        cause="",
        resumed_at=entry.at,
        rollback_at=None,
        forgiven=told.forgiven | cancelled,
    )


def _promoted(told: Rollout, entry: Entry) -> Rollout:
    weights = told.weights if told.weight >= 1 else (*told.weights, Weight(entry.at, 1.0))
    ended = replace(told, state=State.PROMOTED, held_in=None, rollback_at=None, ended_at=entry.at)
    return replace(ended, weights=weights, cause="")


def _rolling_back(told: Rollout, entry: Entry) -> Rollout:
    return replace(
        told,
        state=State.ROLLING_BACK,
        held_in=None,
        rollback_at=None,
        cause=str(entry.data["cause"]),
        weights=(*told.weights, Weight(entry.at, 0.0)),
        steps=frozenset(),
        ended_at=None,
    )
