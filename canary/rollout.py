"""The rollout as a pure state machine: journal entries fold into a `Rollout`; commands become entries or a refusal.

Nothing here acts. `fold` says what the journal means, the functions named after commands say what may be appended
next. The receiver appends first and acts afterwards, so that after a crash the journal still says what is wanted.

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

from canary.errors import RefusedError
from canary.policy.model import Policy


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
            started, `phase` when advanced, `cause` (an alert's name, `manual`, `watchdog`) on rollback,
            `step` when a step is done.
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


def fold(entries: Iterable[Entry]) -> Rollout | None:
    """The newest rollout that the entries, oldest first, describe; None before the first."""
    rollout: Rollout | None = None
    for entry in entries:
        if entry.kind is Kind.STARTED:
            rollout = _started(entry)
        elif rollout is not None and entry.rollout == rollout.id:
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


def _applied(rollout: Rollout, entry: Entry) -> Rollout:
    told = replace(rollout, reason=entry.reason, actor=entry.actor)
    match entry.kind:
        case Kind.ADVANCED:
            phase = int(entry.data["phase"])
            return replace(
                told,
                state=_phase_state(rollout.traffic, phase),
                held_in=None,
                phase=phase,
                phase_started_at=entry.at,
                weights=(*rollout.weights, Weight(entry.at, rollout.traffic[phase])),
            )
        case Kind.HELD:
            return replace(told, state=State.HOLDING, held_in=rollout.held_in or rollout.state)
        case Kind.RESUMED:
            return replace(told, state=rollout.held_in or rollout.state, held_in=None)
        case Kind.PROMOTED:
            weights = rollout.weights if rollout.weight >= 1 else (*rollout.weights, Weight(entry.at, 1.0))
            return replace(told, state=State.PROMOTED, held_in=None, ended_at=entry.at, weights=weights)
        case Kind.ROLLBACK:
            return replace(
                told,
                state=State.ROLLING_BACK,
                held_in=None,
                cause=str(entry.data["cause"]),
                weights=(*rollout.weights, Weight(entry.at, 0.0)),
                steps=frozenset(),
                ended_at=None,
            )
        case Kind.STEP_DONE:
            return replace(rollout, steps=rollout.steps | {Step(entry.data["step"])})
        case Kind.ROLLED_BACK:
            return replace(rollout, state=State.ROLLED_BACK, ended_at=entry.at)
        case Kind.FAILED:
            return replace(told, state=State.FAILED, ended_at=entry.at)
        case _:
            return rollout


def start(
    current: Rollout | None, policy: Policy, *, rollout: str, stable: str, canary: str, at: datetime, actor: str
) -> Entry:
    """The entry that begins a rollout.

    Raises:
        RefusedError: another rollout is not over, or both versions are the same.
    """
    if current is not None and current.state not in TERMINAL:
        raise RefusedError(
            f"rollout {current.id} is {_described(current)}; wait until it is over, or end it with "
            "`canary rollback --reason TEXT` or `canary promote`"
        )
    if stable == canary:
        raise RefusedError(f"--canary and --stable are both {stable!r}; a rollout needs two versions")
    data = {
        "stable": stable,
        "canary": canary,
        "traffic": [phase.traffic for phase in policy.phases],
        "durations_seconds": [phase.duration for phase in policy.phases],
    }
    return Entry(rollout, Kind.STARTED, at, actor, f"{canary} against {stable}", data)


def advance(current: Rollout | None, *, at: datetime, actor: str, reason: str) -> Entry:
    """The entry that goes to the next phase, or promotes after the last.

    Raises:
        RefusedError: no rollout runs, or it is held.
    """
    rollout = _require(current, {State.PHASE, State.BAKING}, "advance")
    following = rollout.phase + 1
    if following >= len(rollout.traffic):
        return Entry(rollout.id, Kind.PROMOTED, at, actor, reason)
    return Entry(rollout.id, Kind.ADVANCED, at, actor, reason, {"phase": following})


def promote(current: Rollout | None, *, at: datetime, actor: str, reason: str) -> Entry:
    """The entry that gives all traffic to the canary for good, whatever phase it is in.

    Raises:
        RefusedError: no rollout runs.
    """
    rollout = _require(current, RUNNING, "promote")
    return Entry(rollout.id, Kind.PROMOTED, at, actor, reason)


def hold(current: Rollout | None, *, at: datetime, actor: str, reason: str) -> Entry:
    """The entry that freezes the weight.

    Raises:
        RefusedError: no rollout runs, or it is held already.
    """
    rollout = _require(current, {State.PHASE, State.BAKING}, "hold")
    return Entry(rollout.id, Kind.HELD, at, actor, reason)


def resume(current: Rollout | None, *, at: datetime, actor: str, reason: str) -> Entry:
    """The entry that lets a held rollout go on.

    Raises:
        RefusedError: the rollout is not held.
    """
    rollout = _require(current, {State.HOLDING}, "resume")
    return Entry(rollout.id, Kind.RESUMED, at, actor, reason)


def roll_back(current: Rollout | None, *, at: datetime, actor: str, reason: str, cause: str) -> Entry:
    """The entry that takes all customers off the canary.

    Raises:
        RefusedError: there is nothing to roll back, or it is being rolled back already.
    """
    rollout = _require(current, RUNNING | {State.PROMOTED}, "roll back")
    return Entry(rollout.id, Kind.ROLLBACK, at, actor, reason, {"cause": cause})


def _require(current: Rollout | None, allowed: Iterable[State], wish: str) -> Rollout:
    if current is None:
        raise RefusedError(f"cannot {wish}: no rollout has been started; begin with `canary start`")
    if current.state not in set(allowed):
        raise RefusedError(f"cannot {wish}: rollout {current.id} is {_described(current)}")
    return current


def _described(rollout: Rollout) -> str:
    """The state in words, with since when and why."""
    words = {
        State.PHASE: f"in phase {rollout.phase} ({rollout.weight:.0%})",
        State.HOLDING: f"held in phase {rollout.phase} ({rollout.reason})",
        State.BAKING: "baking at 100%",
        State.PROMOTED: "promoted",
        State.ROLLING_BACK: f"already rolling back since {rollout.weights[-1].since:%H:%M:%S} UTC ({rollout.reason})",
        State.ROLLED_BACK: f"rolled back ({rollout.reason})",
        State.FAILED: f"failed ({rollout.reason})",
    }
    return words.get(rollout.state, rollout.state.value)
