"""What the journal means: entries, oldest first, fold into rollouts.

Pure, and total: an entry that does not fit (a phase that the plan does not have, an advance after a rollback) is passed
over, because a journal that ends the process which should be rolling back protects nobody. A rollback wins over all
that may stand after it: two receivers that were cut off from each other can leave such a journal behind.

Every rollout of the journal is folded, not only the newest: what an older one still has open (a message, a report, a
line of the rollback log) is business that stays open when the next one begins.
"""
# long: one function per kind of entry

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from canary.rollout.entries import (
    Adopted,
    Advanced,
    Elapsed,
    Entry,
    Failed,
    FinishBegan,
    Finished,
    FinishReturned,
    FinishStepped,
    Held,
    Notified,
    Promoted,
    Recorded,
    Resumed,
    RollbackDecided,
    RolledBack,
    Started,
    StepDone,
)
from canary.rollout.kinds import Cause, Step
from canary.rollout.plan.planentries import Amended, Approved
from canary.rollout.state import Finishing, Moment, Rollout, State, Timer, Weight


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
        if isinstance(entry, Adopted):
            known[entry.rollout] = _adopted(entry)
        elif isinstance(entry, Started):
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
        plan=entry.plan,
        digest=entry.digest,
        pinned=entry.policy,
        decision=entry.seq,
        decided=_moment(entry),
        timer=_timer(entry),
        passport=entry.passport,
        first_stable_slot=entry.stable_slot,
        began=_moment(entry),
        phase_began=_moment(entry),
        reason=entry.reason,
        actor=entry.actor,
    )


def _adopted(entry: Adopted) -> Rollout:
    """Held where it was found, in the last phase that asks for no more; nobody on the canary means that it is over."""
    phase = max((index for index, ratio in enumerate(entry.traffic) if ratio <= entry.weight), default=0)
    begun = replace(
        _started(entry), phase=phase, weights=(Weight(entry.at, entry.weight),), salts=entry.salts, cause=Cause.MANUAL
    )
    if entry.weight == 0:
        return replace(begun, state=State.ROLLED_BACK, ended_at=entry.at, ended=_moment(entry), steps=frozenset(Step))
    return replace(begun, state=State.HOLDING, held_in=_phase_state(entry.traffic, phase))


def _phase_state(traffic: Sequence[float], phase: int) -> State:
    return State.BAKING if traffic[phase] >= 1 else State.PHASE


def _timer(entry: Entry, seconds: float = 0.0) -> Timer:
    return Timer(seconds, entry.boot, entry.uptime_seconds)


def _moment(entry: Entry) -> Moment:
    return Moment(entry.at, entry.boot, entry.uptime_seconds)


def _countdown_seconds(entry: Held) -> float | None:
    """How long a countdown lasts; older versions wrote when it ends, by the clock that wrote the entry too."""
    return None if entry.rollback_at is None else max(0.0, (entry.rollback_at - entry.at).total_seconds())


_OVER = frozenset({State.ROLLING_BACK, State.ROLLED_BACK, State.FAILED, State.FINISHED})
_GOING_ON = (Advanced, Held, Resumed, Promoted, FinishBegan, FinishStepped, FinishReturned, Finished, Amended)


def _fits(rollout: Rollout, entry: Entry) -> bool:
    """A rollback wins over all that the journal may say afterwards; a phase or step that is none is passed over."""
    if isinstance(entry, _GOING_ON) and rollout.state in _OVER:
        return False
    match entry:
        case FinishBegan():
            return rollout.state is State.PROMOTED and rollout.first_stable_slot is None
        case FinishStepped():
            return rollout.finishing is not None and entry.step < len(rollout.finishing.weights)
        case Finished() if rollout.first_stable_slot is not None:
            return rollout.state is State.PROMOTED
        case FinishReturned() | Finished():
            return rollout.state is State.FINISHING
        case Amended():
            return 0 <= entry.phase < len(entry.traffic) == len(entry.durations_seconds)
    return not isinstance(entry, Advanced) or 0 <= entry.phase < len(rollout.traffic)


def _applied(rollout: Rollout, entry: Entry) -> Rollout:
    decided = replace(rollout, reason=entry.reason, actor=entry.actor, decision=entry.seq, decided=_moment(entry))
    match entry:
        case Advanced():
            return _advanced(decided, entry)
        case Amended():
            return _amended(decided, entry)
        case Held():
            return _held(decided, entry)
        case Resumed():
            return _resumed(decided, entry)
        case Promoted():
            return _promoted(decided, entry)
        case FinishBegan() | FinishStepped() | FinishReturned() | Finished():
            return _finishing(decided, entry)
        case RollbackDecided():
            return _rolling_back(decided, entry)
        case RolledBack():
            # Why it was rolled back is what people want to read, not that it is complete.
            left = replace(rollout, weights=_nobody(rollout, entry))
            return replace(left, state=State.ROLLED_BACK, ended_at=entry.at, ended=_moment(entry), decision=entry.seq)
        case Failed():
            return replace(decided, state=State.FAILED, ended_at=entry.at, ended=_moment(entry))
        case _:
            return _remembered(rollout, entry)


def _nobody(rollout: Rollout, entry: Entry) -> tuple[Weight, ...]:
    """Nobody is on a canary that was rolled back, also where the row that decided so cannot be read."""
    return rollout.weights if rollout.weight == 0 else (*rollout.weights, Weight(entry.at, 0.0))


def _remembered(rollout: Rollout, entry: Entry) -> Rollout:
    """What decides nothing."""
    match entry:
        case Approved():
            return replace(rollout, approvals=rollout.approvals | {(entry.approver, entry.target)})
        case StepDone():
            return replace(rollout, steps=rollout.steps | {entry.step})
        case Recorded():
            return replace(rollout, recorded=rollout.recorded | {entry.key})
        case Notified():
            told = rollout.notified.get(entry.entry, frozenset()) | frozenset(entry.targets)
            expired = rollout.expired | ({entry.entry} if entry.expired else set())
            return replace(rollout, notified={**rollout.notified, entry.entry: told}, expired=expired)
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
        closed=False,
        resumed_at=None,
        rollback_at=None,
        overridden=frozenset(),
        approvals=frozenset(),
        phase=entry.phase,
        phase_started_at=entry.at,
        timer=_timer(entry),
        phase_began=_moment(entry),
        resumed=None,
        countdown_seconds=None,
        weights=(*told.weights, Weight(entry.at, told.traffic[entry.phase])),
    )


def _amended(told: Rollout, entry: Amended) -> Rollout:
    """The weight stays what it is; what was said about phases by their place is no longer about the same ones."""
    return replace(
        told,
        phase=entry.phase,
        traffic=entry.traffic,
        durations_seconds=entry.durations_seconds,
        digest=entry.digest,
        pinned=entry.policy,
        approvals=frozenset(),
        recorded=frozenset(key for key in told.recorded if not key.startswith("gate:")),
    )


def _held(told: Rollout, entry: Held) -> Rollout:
    if told.state is State.FINISHING and told.finishing is not None:
        return _frozen(told, told.finishing, entry)
    cancelled = {told.cause} if entry.cause == Cause.MANUAL and told.rollback_at is not None else set()
    # Lowered by hand after its promotion, it is judged again: only a person gives it all traffic for good once more.
    before = State.BAKING if told.state is State.PROMOTED else told.state
    lowered = entry.weight is not None and entry.weight < told.weight
    return replace(
        told,
        state=State.HOLDING,
        # Whoever had agreed did not know of this.
        approvals=frozenset(),
        held_in=told.held_in or before,
        cause=entry.cause,
        lifts=entry.lifts,
        closed=told.closed or (entry.cause == Cause.BY_HAND and entry.weight is None),
        rollback_at=entry.rollback_at,
        overridden=told.overridden | cancelled,
        countdown_seconds=_countdown_seconds(entry),
        held=_moment(entry),
        ended_at=None,
        ended=None,
        promoted=None,
        weights=(*told.weights, Weight(entry.at, entry.weight or 0.0)) if lowered else told.weights,
    )


def _resumed(told: Rollout, entry: Resumed) -> Rollout:
    if told.state is State.FINISHING and told.finishing is not None:
        finishing = replace(told.finishing, frozen=False, began=_moment(entry))
        return _weighted(replace(told, cause="", lifts=False, finishing=finishing), entry, finishing.weight)
    cancelled = {told.cause} if told.rollback_at is not None else set()
    planned = told.traffic[told.phase]
    return replace(
        told,
        state=told.held_in or told.state,
        held_in=None,
        cause="",
        closed=False,
        resumed_at=entry.at,
        resumed=_moment(entry),
        countdown_seconds=None,
        rollback_at=None,
        overridden=told.overridden | cancelled,
        # What was lowered during the hold goes back to what the phase is about.
        weights=(*told.weights, Weight(entry.at, planned)) if told.weight < planned else told.weights,
    )


def _promoted(told: Rollout, entry: Promoted | FinishReturned) -> Rollout:
    ended = replace(told, state=State.PROMOTED, held_in=None, rollback_at=None, ended_at=entry.at, ended=_moment(entry))
    won = told.promoted or _moment(entry)
    return replace(_weighted(ended, entry, 1.0), cause="", lifts=False, closed=False, promoted=won)


def _finishing(told: Rollout, entry: FinishBegan | FinishStepped | FinishReturned | Finished) -> Rollout:
    began = _moment(entry)
    match entry:
        case FinishBegan():
            finishing = Finishing(entry.weights, entry.step_seconds, -1, began, entry.unverified)
            # The report is made anew when all of it is over.
            begun = replace(told, state=State.FINISHING, finishing=finishing, steps=frozenset())
            return replace(begun, ended_at=None, ended=None)
        case FinishStepped():
            assert told.finishing is not None  # a step of nothing is passed over
            finishing = replace(told.finishing, step=entry.step, began=began, frozen=False)
            return _weighted(replace(told, finishing=finishing, cause="", lifts=False), entry, finishing.weight)
        case FinishReturned():
            return replace(_promoted(told, entry), finishing=None)
        case Finished():
            over = replace(told, state=State.FINISHED, ended_at=entry.at, ended=began)
            if told.first_stable_slot is None:
                return over
            # The slots have changed roles: nobody is on the one that is the canary's now. The report is made anew.
            return _weighted(replace(over, steps=told.steps - {Step.REPORT}), entry, 0.0)


def _frozen(told: Rollout, finishing: Finishing, entry: Held) -> Rollout:
    """While a release is finished a hold freezes the step; by hand, customers go to the canary's servers only."""
    held = replace(told, finishing=replace(finishing, frozen=True), cause=entry.cause, lifts=entry.lifts)
    return _weighted(held, entry, max(told.weight, entry.weight or 0.0))


def _weighted(told: Rollout, entry: Entry, weight: float) -> Rollout:
    return told if told.weight == weight else replace(told, weights=(*told.weights, Weight(entry.at, weight)))


def _rolling_back(told: Rollout, entry: RollbackDecided) -> Rollout:
    return replace(
        told,
        state=State.ROLLING_BACK,
        held_in=None,
        rollback_at=None,
        cause=entry.cause,
        weights=(*told.weights, Weight(entry.at, 0.0)),
        steps=frozenset(),
        finishing=None,
        promoted=None,
        ended_at=None,
        ended=None,
    )
