"""One row of the table of cases: what brings a rule to its limit, what beyond, and what else makes it fire or not.

A row says what is *given*, as changes of a healthy world. What is *expected* at which moment follows from the column
that the change stands in, and is the same for all alerts; see `scenes.py`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rules.promtool.world import ROLLOUT_LABELS, World

Change = Callable[[World], None]

NEAR = 0.003
"""How far beyond a limit, or short of it, a row goes: far less than the 5 % by which a changed rule must be noticed,
and more than rates lose by extrapolation."""


@dataclass(frozen=True)
class Row:
    """One alert rule, and how to make it fire.

    Attributes:
        scene: rows of one scene do not disturb each other; they share their worlds, which is ten times as quick.
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
    inputs: Sequence[str] = ()
    also: Mapping[str, Change] = field(default_factory=dict)
    quiet: Mapping[str, Change] = field(default_factory=dict)
    state: str = "phase"
    window: float = 0
    coarse: bool = False
    missing: bool = False
    histogram: bool = False


WINDOW_STEPS = 5
"""Scrapes to a window. Prometheus 3 leaves the scrape on a window's left edge out and extrapolates over its step, where
Prometheus 2 takes it. Of an evenly growing counter both then say the same, and exactly so: 5/4 has no rounding, as 4/3
and 6/5 have. It is enough for one missed scrape to be one."""

# Fractions of a request by step that floating point adds up without rounding; far finer than NEAR.
_GRAIN = 64


def step_for(window: float, hold_for: float) -> float:
    """Seconds between scrapes: a fifth of the window, or less, so that twice the `for` is told from once."""
    if not window:
        return hold_for or 5
    step = window / WINDOW_STEPS
    while hold_for and step >= 2 * hold_for:
        step /= 2
    return round(step, 3)


def at_least(number: float) -> float:
    """The number of requests within a window, or a grain more, that a rule finds to be exactly this."""
    return math.ceil(number * _GRAIN / WINDOW_STEPS) * WINDOW_STEPS / _GRAIN


def at_most(number: float) -> float:
    """The number of requests within a window, or a grain less, that a rule finds to be exactly this."""
    return math.floor(number * _GRAIN / WINDOW_STEPS) * WINDOW_STEPS / _GRAIN


def nothing(_world: World) -> None:
    """Leave the world as it is."""


def after(*changes: Change) -> Change:
    """All changes, one after the other."""

    def change(world: World) -> None:
        for one in changes:
            one(world)

    return change


def without(*metrics: str, **labels: str) -> Change:
    """These series are missing."""

    def change(world: World) -> None:
        for metric in metrics:
            world.drop(metric, **labels)

    return change


def exporter(metric: str, value: float, **labels: str) -> Change:
    """The exporter says this."""
    return lambda world: world.exporter(metric, value, **labels)


def receiver(metric: str, value: float, **labels: str) -> Change:
    """The receiver says this."""
    return lambda world: world.receiver(metric, value, **labels)


def about(  # a row's first columns
    scene: str, alert: str, say: Callable[[str, float], Change], metric: str, beyond: float, limit: float, **more: Any
) -> Row:
    """A row about one number that exporter or receiver *say*, without which nothing fires."""
    return Row(scene, alert, say(metric, beyond), say(metric, limit), **{"inputs": (metric,)} | more)


def says(kpi: str, verdict: str, units: float = 100, **findings: Any) -> Change:
    """The exporter judges a KPI so; *findings* are those of `World.judgement`."""
    return lambda world: world.judgement(kpi, verdict=verdict, units=units, **findings)
