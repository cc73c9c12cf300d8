"""What people may ask for, and what of it fits the rollout as it is.

The command line, the API and the page have exactly these verbs, and offer exactly those that fit.
"""

from enum import StrEnum

from canary.rollout.kinds import Cause
from canary.rollout.state import Rollout, State


class Verb(StrEnum):
    """What people may ask for; the command line, the API and the page have exactly these."""

    START = "start"
    HOLD = "hold"
    RESUME = "resume"
    ADVANCE = "advance"
    PROMOTE = "promote"
    FINISH = "finish"
    ROLLBACK = "rollback"


def accepted(rollout: Rollout | None) -> tuple[Verb, ...]:
    """What people may do to a rollout as it is."""
    match rollout and rollout.state:
        case State.PHASE | State.BAKING:
            return (Verb.HOLD, Verb.ADVANCE, Verb.PROMOTE, Verb.ROLLBACK)
        case State.HOLDING:
            taken_over = rollout is not None and rollout.cause == Cause.MANUAL
            return (*(() if taken_over else (Verb.HOLD,)), Verb.RESUME, Verb.PROMOTE, Verb.ROLLBACK)
        case State.PROMOTED:
            return (Verb.FINISH, Verb.START, Verb.ROLLBACK)
        case State.FINISHING:
            assert rollout is not None
            taken_over = rollout.frozen and rollout.cause == Cause.MANUAL
            hold = () if taken_over or rollout.leaving else (Verb.HOLD,)
            return (*hold, *((Verb.RESUME,) if rollout.frozen else ()), Verb.FINISH, Verb.ROLLBACK)
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
    if rollout is not None and rollout.state is State.FINISHING:
        return _finishing(rollout)
    return tuple(_USAGE.get(verb, f"canary {verb}") for verb in accepted(rollout))


def _finishing(rollout: Rollout) -> tuple[str, ...]:
    if rollout.leaving:
        return ("canary finish --now",)
    now = () if rollout.finishing is not None and rollout.finishing.last else ("canary finish --now",)
    rest = (f"canary {verb}" for verb in accepted(rollout) if verb in (Verb.HOLD, Verb.RESUME))
    return (*now, "canary finish --back", *rest)
