"""How an alert is tested: what brings it to its limit, what beyond, and what silences it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rules.promtool.world import ROLLOUT_LABELS, World

Change = Callable[[World], None]


def nothing(_world: World) -> None:
    """Leave the world as it is."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One alert rule, and how to make it fire.

    Attributes:
        scene: recipes of one scene do not disturb each other; they are tested in one world.
        alert: the alert's name.
        match: the rule's own labels, by which it is told from others of the same name.
        dynamic: labels that the alert gets from its expression.
        beyond: makes it fire from the beginning of the rollout on.
        limit: brings it as far as it goes without firing; None when it knows no limit.
        few: beyond, but with too little traffic to say so; None when it does not look at rates.
        inputs: metrics without which it cannot fire.
        also: further reasons to fire, by name.
        quiet: further reasons not to fire, by name.
        state: the rollout's state in which it may fire.
        window: seconds of history that it looks at.
        coarse: scrapes are further apart than the rule's `for`, which is tested elsewhere.
        missing: it fires because something about its own rollout is not there; what was said of another is no answer.
        histogram: it looks at response times as a histogram; promtool's notation has no native ones.
    """

    scene: str
    alert: str
    beyond: Change
    limit: Change | None = None
    few: Change | None = None
    match: Mapping[str, str] = field(default_factory=dict)
    dynamic: Mapping[str, str] = field(default_factory=lambda: dict(ROLLOUT_LABELS))
    inputs: tuple[str, ...] = ()
    also: Mapping[str, Change] = field(default_factory=dict)
    quiet: Mapping[str, Change] = field(default_factory=dict)
    state: str = "phase"
    window: float = 0
    coarse: bool = False
    missing: bool = False
    histogram: bool = False


def step_for(window: float, hold_for: float) -> float:
    """Seconds between scrapes, such that both are multiples of it and the window holds at least four."""
    spans = [round(span * 1000) for span in (window, hold_for) if span]
    if not spans:
        return 5
    common = math.gcd(*spans)
    return common / (math.ceil(4 * common / spans[0]) if window else 1) / 1000


def after(*changes: Change) -> Change:
    """All changes, one after the other."""

    def change(world: World) -> None:
        for one in changes:
            one(world)

    return change
