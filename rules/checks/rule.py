"""What a check is given: one rule, and what it is held against."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import promql_parser

from canary.prometheus.labels import Labels
from canary.prometheus.promql import children, parse, walk

Rule = Mapping[str, Any]
Objection = tuple[str, str, str]
"""pint's name of the check, what was found, what to do."""

COUNTING = {"rate", "irate", "increase", "resets"}
"""Functions that make a fraction of a counter."""


@dataclass(frozen=True)
class Context:
    """What a rule is held against.

    Attributes:
        scrape_seconds: how often exporter and receiver are scraped.
        shop_scrape_seconds: how often the shop's own targets are.
        recorded: group and position of each recorded series.
        labels: of each recorded series.
        group, position: where the rule stands.
    """

    scrape_seconds: float
    shop_scrape_seconds: float
    recorded: Mapping[str, tuple[str, int]]
    labels: Mapping[str, Labels]
    group: str
    position: int

    def seconds_between_samples(self, series: str) -> float:
        """Of a series by its name: exporter and receiver have samples of theirs more often than a shop may have."""
        own = series.startswith("canary_") or series in self.recorded
        return self.scrape_seconds if own else self.shop_scrape_seconds


Check = Callable[[Rule, Context], Iterator[Objection]]


def nodes(rule: Rule) -> Iterator[promql_parser.Expr]:
    """Every node of a rule's expression."""
    return walk(parse(rule["expr"]))


def edges(tree: promql_parser.Expr) -> Iterator[tuple[promql_parser.Expr, promql_parser.Expr]]:
    """Every node of a tree but the first, after its parent."""
    for child in children(tree):
        yield tree, child
        yield from edges(child)
