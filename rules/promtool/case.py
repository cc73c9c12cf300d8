"""What promtool is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rules.promtool.recipe import Recipe
from rules.promtool.world import World

Rule = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """One question to promtool: whether an alert fires at one moment of one world.

    Attributes:
        kind: what the case shows: `fires`, `limit`, `before`, `absent`, `reset`, `missed`, `few`, `also`, `quiet`,
            `earlier`.
        rule: the alert rule.
        at: seconds after the test's beginning.
        fires: whether it must.
    """

    kind: str
    rule: Rule
    recipe: Recipe
    at: float
    fires: bool


@dataclass(frozen=True)
class Trial:
    """One world and what is asked in it."""

    name: str
    world: World
    cases: list[Case] = field(default_factory=list)
