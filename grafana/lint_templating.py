"""Lint rules on a dashboard's variables."""

from collections.abc import Callable, Iterator
from typing import Any

from canary.prometheus.promql import fault
from grafana.expand import expand, variables_in
from grafana.templating import variable_query

_KNOWN = {"datasource", "service", "rollout", "stable", "canary"}
"""Variables that every dashboard has, so that a link from one to another keeps what was chosen."""
_BUILT_IN = {"__range": "1h"}
"""What Grafana puts in for its own variable in a query that is parsed here; any length serves."""


def _variables(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return list(dashboard["templating"]["list"])


def _datasource(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    found = [variable for variable in _variables(dashboard) if variable["type"] == "datasource"]
    if [(variable["name"], variable["label"], variable["query"]) for variable in found] != [
        ("datasource", "Data source", "prometheus")
    ]:
        yield "variables", "expected one data source variable named datasource, labelled `Data source`, for Prometheus"


def _label_promql(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for variable in _variables(dashboard):
        if variable["type"] != "query":
            continue
        try:
            asked = variable_query(variable["query"])
        except ValueError as error:
            yield f"variable {variable['name']}", str(error)
            continue
        if wrong := fault(expand(asked.expression, dict.fromkeys(_KNOWN, "x") | _BUILT_IN)):
            yield f"variable {variable['name']}", wrong
        if variable.get("datasource", {}).get("uid") != "${datasource}":
            yield f"variable {variable['name']}", "expected the data source ${datasource}"


def _reload(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for variable in _variables(dashboard):
        if variable["type"] == "query" and variable.get("refresh") != 2:
            yield f"variable {variable['name']}", "expected refresh: 2, so that it follows the time range"


def _order(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """A variable may use only those before it; the dashboard may use only those that exist."""
    seen: set[str] = set()
    for variable in _variables(dashboard):
        uses = variables_in(variable["query"]) | variables_in(variable.get("datasource", {}).get("uid", ""))
        uses -= set(_BUILT_IN)
        if missing := uses - seen:
            yield f"variable {variable['name']}", f"uses {', '.join(sorted(missing))} before it is there"
        seen.add(variable["name"])
    if missing := _KNOWN - seen:
        yield "variables", f"expected {', '.join(sorted(missing))}"


RULES: dict[str, Callable[[dict[str, Any]], Iterator[tuple[str, str]]]] = {
    "template-datasource-rule": _datasource,
    "template-label-promql-rule": _label_promql,
    "template-on-time-change-reload-rule": _reload,
    "house-variable-order-rule": _order,
}
