"""Why something does not fit the rollout's state, in words that say what does."""

from collections.abc import Iterable

from canary.errors import RefusedError
from canary.rollout.commands.verbs import usage
from canary.rollout.state import Rollout, State
from canary.timing.zones import moment
from canary.units import format_ratio


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


def _finishing(rollout: Rollout) -> str:
    back = f"being finished, with {format_ratio(1 - rollout.weight)} of the traffic back on the stable servers"
    return f"{back}, frozen ({rollout.reason or rollout.cause})" if rollout.frozen else back


def described(rollout: Rollout) -> str:
    """The state in words, with since when and why."""
    words = {
        State.PHASE: f"in phase {rollout.phase + 1} ({format_ratio(rollout.weight)})",
        State.HOLDING: f"held in phase {rollout.phase + 1} ({rollout.reason or rollout.cause})",
        State.BAKING: "baking at 100%",
        State.PROMOTED: "promoted",
        State.FINISHING: _finishing(rollout),
        State.FINISHED: "finished",
        State.ROLLING_BACK: f"already rolling back since {moment(rollout.weights[-1].since)} ({rollout.reason})",
        State.ROLLED_BACK: f"rolled back ({rollout.reason})",
        State.FAILED: f"failed ({rollout.reason})",
    }
    return words.get(rollout.state, rollout.state.value)
