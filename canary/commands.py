"""What may be done to a rollout: each function turns a wish into the next journal entry, or refuses and says why.

Pure, as `canary.rollout` is. Nothing here decides whether a wish is wise; that is the receiver's part.
"""

from collections.abc import Iterable
from datetime import datetime

from canary.errors import RefusedError
from canary.policy.model import Policy
from canary.rollout import RUNNING, TERMINAL, Entry, Kind, Rollout, State
from canary.times import to_text
from canary.units import format_ratio


def start(
    current: Rollout | None,
    policy: Policy,
    *,
    rollout: str,
    stable: str,
    canary: str,
    at: datetime,
    actor: str,
    reason: str = "",
) -> Entry:
    """The entry that begins a rollout; its reason begins with both versions.

    Raises:
        RefusedError: another rollout is not over, or both versions are the same.
    """
    if current is not None and current.state not in TERMINAL:
        raise RefusedError(
            f"rollout {current.id} is {described(current)}; wait until it is over, or end it with "
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
    why = f": {reason}" if reason else ""
    return Entry(rollout, Kind.STARTED, at, actor, f"{canary} against {stable}{why}", data)


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


def hold(
    current: Rollout | None,
    *,
    at: datetime,
    actor: str,
    reason: str,
    cause: str = "manual",
    lifts: bool = False,
    rollback_at: datetime | None = None,
) -> Entry:
    """The entry that freezes the weight.

    Args:
        cause: an alert's name, `watchdog`, `max_duration`, or `manual`, which only a person lifts.
        lifts: whether the hold ends by itself once its cause is gone.
        rollback_at: when given, the hold counts down to a rollback that a person may cancel with `resume`.

    Raises:
        RefusedError: no rollout runs, or it is held already and this hold would add nothing.
    """
    rollout = _require(current, RUNNING, "hold")
    adds = (cause == "manual" and rollout.cause != "manual") or (rollback_at and rollout.rollback_at is None)
    if rollout.state is State.HOLDING and not adds:
        raise RefusedError(f"cannot hold: rollout {rollout.id} is {described(rollout)}")
    data = {"cause": cause, "lifts": lifts} | ({"rollback_at": to_text(rollback_at)} if rollback_at else {})
    return Entry(rollout.id, Kind.HELD, at, actor, reason, data)


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


def give_up(current: Rollout | None, *, at: datetime, actor: str, reason: str) -> Entry:
    """The entry by which a person ends a rollback that cannot be completed, once they have done it by hand.

    Raises:
        RefusedError: nothing is being rolled back.
    """
    rollout = _require(current, {State.ROLLING_BACK}, "give up the rollback")
    return Entry(rollout.id, Kind.FAILED, at, actor, reason)


def _require(current: Rollout | None, allowed: Iterable[State], wish: str) -> Rollout:
    if current is None:
        raise RefusedError(f"cannot {wish}: no rollout has been started; begin with `canary start`")
    if current.state not in set(allowed):
        raise RefusedError(f"cannot {wish}: rollout {current.id} is {described(current)}")
    return current


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
