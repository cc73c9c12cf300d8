"""Somebody else's decision of a moment ago, which whoever types a command cannot have seen.

The command line reads what stands right before it sends, so comparing that says nothing about what the person saw: of
two who typed `canary advance` at once, both did, from 5% to 50%. So what raises or finishes is refused within some
seconds of another person's decision, with who did what, and with the command that goes on all the same: `--seen` and
what stands now, which is refused in turn when that changes. One who gives two commands in a row has seen the first.

What the receiver does by itself is no reason to ask, or a pipeline that waits for a promotion could not finish it at
once; only where it has just advanced, another advance is one phase more than was meant.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from canary.errors import RefusedError
from canary.rollout.commands.verbs import Verb
from canary.rollout.state import State
from canary.units import format_duration

# Somebody who looked, thought and typed; `canary status --watch` and the page have shown the change long before.
_SECONDS: Final = 15.0

# Under these names the receiver decides by itself; whoever confirms the end of a phase goes by Alertmanager's.
_ADVANCES: Final = "alertmanager"
_AUTOMATIC: Final = frozenset({_ADVANCES, "prometheus", "receiver"})

RAISING: Final = (Verb.RESUME, Verb.ADVANCE, Verb.PROMOTE, Verb.FINISH)


def require_looked(verb: str, status: Mapping[str, Any], own: Collection[object]) -> None:
    """Refuse what raises or finishes right after somebody else's decision.

    Args:
        status: what stands now, as the receiver says.
        own: the names under which the person decides.

    Raises:
        RefusedError: it says who decided what, how long ago, and how to go on.
    """
    rollout = status.get("rollout")
    if verb not in RAISING or not rollout or rollout["actor"] in own:
        return
    seconds, actor = rollout.get("decided_seconds"), rollout["actor"]
    if seconds is None or seconds > _SECONDS:
        return
    advanced = actor == _ADVANCES and verb == Verb.ADVANCE and rollout["state"] in (State.PHASE, State.BAKING)
    if actor in _AUTOMATIC and not advanced:
        return
    why = f": {rollout['reason']}" if rollout["reason"] else ""
    raise RefusedError(
        f"{actor} decided {format_duration(max(1, round(seconds)))} ago{why}; rollout {rollout['id']} is "
        f"{rollout['summary']} now",
        place=f"cannot {verb}",
        remedy=f"if that is what you saw, add --seen {status['seen']}",
    )
