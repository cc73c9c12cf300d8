"""A split as the runtime values that Envoy's routes look at, and back. Pure."""

import re
from collections.abc import Mapping
from typing import Final

from canary.routers.base import Reading, Split
from canary.routers.envoy import routes
from canary.routers.envoy.ring import CLUSTERS, PLACES, Arc

# Up to ten digits, as a salt has.
_NUMBER: Final = re.compile(r"[0-9]{1,10}", re.ASCII)


def values_of(split: Split) -> Mapping[str, int]:
    """The values that put a split into force."""
    weights = Arc.of(split).weights
    let_in = split.testers_alone or (split.testers and split.weight_ratio > 0)
    return {
        **{routes.weight_key(name): weight for name, weight in weights.items()},
        routes.SALT: split.salt,
        routes.TESTERS: 100 if let_in else 0,
        routes.EVERYBODY: 100 if split.everybody else 0,
    }


def reading_of(instance: str, values: Mapping[str, str], process: str = "") -> Reading:
    """What an Envoy's runtime values amount to; a process that lacks them has lost them, and has no name.

    Args:
        process: which one it is; empty when that cannot be told.

    Raises:
        ValueError: a value is no whole number. Envoy would take what the configuration says instead.
    """

    def number(key: str, default: int = 0) -> int:
        text = values.get(key, str(default))
        if not _NUMBER.fullmatch(text):
            raise ValueError(f"its runtime value {key} is {text[:40]!r}, expected a whole number")
        return int(text)

    begun = Arc(0, 0).weights
    weights = {name: number(routes.weight_key(name), begun[name]) for name in CLUSTERS}
    salt, let_in = number(routes.SALT), number(routes.TESTERS) > 0
    total, length = sum(weights.values()), weights["canary-a"] + weights["canary-b"]
    if total <= 0:
        return Reading(instance, None, error="the weights add up to 0: Envoy has no route for anybody")
    everybody = number(routes.EVERYBODY) > 0
    ours = weights == Arc(salt % PLACES, length).weights and everybody == (length == PLACES)
    return Reading(
        instance,
        length / total,
        salt=salt if ours and routes.SALT in values else None,
        testers=let_in and length > 0 and ours,
        # What lets anybody in at a weight of 0 is told, so that it is put right.
        testers_alone=(let_in or everybody) and not length,
        error="" if ours or not length else "has weights that no rollout set",
        process=process if routes.SALT in values else "",
        closed=ours and routes.SALT in values and not (length or let_in),
    )
