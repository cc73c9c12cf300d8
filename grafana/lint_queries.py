"""Lint rules on queries: of panels and annotations."""

from collections.abc import Callable, Iterator
from typing import Any

import promql_parser

from canary import names
from canary.prometheus.labels import rollout_series, without_identity, without_service
from canary.prometheus.promql import calls, fault, matchers, parse
from grafana.expand import expand, variables_in

_RATES = {"rate", "irate"}
"""They need an interval of four scrapes at least, which only `$__rate_interval` has at every zoom."""
# So rare that each single one is shown: increase() cannot see the first, with which the series begins.
_COUNTED_ONE_BY_ONE = {
    names.ROLLBACKS_TOTAL,
    names.ACTIONS_TOTAL,
    names.WEBHOOK_ALERTS_TOTAL,
    names.NOTIFICATIONS_TOTAL,
    names.ROUTER_DRIFT_TOTAL,
    names.EXPORTER_ERRORS_TOTAL,
    names.RECONCILED_ROWS_TOTAL,
    names.CORRECTIONS_TOTAL,
    "alertmanager_notifications_failed_total",
}
_COUNTER_FUNCTIONS = {*_RATES, "increase"}
"""What may be done to a counter: its bare value starts again at 0 with every restart."""

# Lengths that nobody would write, so that they are recognised after parsing.
_BUILT_IN = {"__rate_interval": "173m", "__interval": "179m", "__range": "181m"}
_RATE_INTERVAL_SECONDS = 173 * 60

Query = tuple[str, str]
"""Where a query is, and its text with Grafana's variables."""


def queries(dashboard: dict[str, Any]) -> Iterator[Query]:
    """Every query of the panels and annotations."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield f"{panel['title']}, query {target['refId']}", target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        yield f"annotation {annotation['name']}", annotation["expr"]


def _expanded(dashboard: dict[str, Any], query: str) -> str:
    values = {variable["name"]: "x" for variable in dashboard["templating"]["list"]}
    return expand(query, _BUILT_IN | values)


def _parses(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    known = {variable["name"] for variable in dashboard["templating"]["list"]} | set(_BUILT_IN)
    for place, query in queries(dashboard):
        if unknown := variables_in(query) - known:
            yield place, f"uses the variable {', '.join(sorted(unknown))}, which the dashboard does not have"
        elif wrong := fault(_expanded(dashboard, query)):
            yield place, wrong


def _parsed(dashboard: dict[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """Place, node and enclosing function, for queries that parse; the others are another rule's business."""
    if not any(_parses(dashboard)):
        for place, query in queries(dashboard):
            for node, function in calls(parse(_expanded(dashboard, query))):
                yield place, node, function


def _rate_interval(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for place, node, function in _parsed(dashboard):
        if not isinstance(node, promql_parser.MatrixSelector):
            continue
        ours = node.range.total_seconds() == _RATE_INTERVAL_SECONDS
        if function in _RATES and not ours:
            yield place, f"expected {function} over [$__rate_interval], found another range"


def _counters(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for place, node, function in _parsed(dashboard):
        if not isinstance(node, promql_parser.VectorSelector) or not str(node.name).endswith("_total"):
            continue
        if function not in _COUNTER_FUNCTIONS and node.name not in _COUNTED_ONE_BY_ONE:
            yield place, f"expected the counter {node.name} inside {', '.join(sorted(_COUNTER_FUNCTIONS))}"


def _identities(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every query is about one service; and what it says about rollouts, about the chosen one."""
    if any(_parses(dashboard)):
        return
    for place, query in queries(dashboard):
        tree = parse(_expanded(dashboard, query))
        for reason, _ in without_identity(tree, {}):
            yield place, reason
        for name in without_service(tree):
            yield place, f"expected {name} of one service"
    for place, node, _ in _parsed(dashboard):
        if (
            isinstance(node, promql_parser.VectorSelector)
            and node.name in rollout_series()
            and names.ROLLOUT not in matchers(node)
        ):
            yield place, f"expected {node.name} of one rollout"


RULES: dict[str, Callable[[dict[str, Any]], Iterator[tuple[str, str]]]] = {
    "target-promql-rule": _parses,
    "target-rate-interval-rule": _rate_interval,
    "target-counter-agg-rule": _counters,
    "house-identity-rule": _identities,
}
