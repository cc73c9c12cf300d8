"""What a running service takes over when it reads its policy again, and what only a restart can.

A service is built of parts that were given addresses, paces and secrets when it began. What they were not made to
change, a reload must refuse and not half take over: a policy that is said to be reloaded, and is not in force, is
believed.
"""

from collections.abc import Collection
from dataclasses import fields
from typing import Any

from canary.errors import Fault, RestartNeededError
from canary.policy.model import Policy


def require_reloadable(old: Policy, new: Policy, may_change: Collection[str]) -> None:
    """Refuse a policy that differs where only a restart helps.

    Args:
        old: what is in force.
        new: what was read.
        may_change: sections, and keys as `receiver.token_file`, that are taken over.

    Raises:
        RestartNeededError: one fault for each key that has changed and is not taken over.
    """
    faults = [
        Fault(place, "has changed, and is read only at the start", "restart the service, or put the old value back")
        for place in _changed(old, new, "")
        if not (place in may_change or place.partition(".")[0] in may_change or place == "base")
    ]
    if faults:
        raise RestartNeededError(faults)


def _changed(old: Any, new: Any, before: str) -> list[str]:
    """The sections that differ; of `receiver`, the keys."""
    places = []
    for field in fields(old):
        was, now = getattr(old, field.name), getattr(new, field.name)
        if was == now:
            continue
        if field.name == "receiver":
            places += _changed(was, now, "receiver.")
        else:
            places.append(f"{before}{field.name}")
    return places
