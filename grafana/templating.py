"""What Grafana makes of a dashboard's query variables."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from grafana.expand import expand

# The two forms that the dashboards use; the comma before the label is the last one.
_QUERY = re.compile(r"label_values\((?P<selector>.+), *(?P<label>\w+)\)|query_result\((?P<expression>.+)\)", re.DOTALL)


@dataclass(frozen=True)
class VariableQuery:
    """`label_values(expression, label)`, or `query_result(expression)` when there is no label."""

    expression: str
    label: str = ""


def variable_query(text: str) -> VariableQuery:
    """The parts of a variable's query.

    Raises:
        ValueError: the query is of neither form.
    """
    match = _QUERY.fullmatch(text)
    if match is None:
        raise ValueError(f"expected label_values(selector, label) or query_result(expression), found {text!r}")
    return VariableQuery(match["selector"] or match["expression"], match["label"] or "")


def resolve(
    dashboard: Mapping[str, Any],
    built_in: Mapping[str, str],
    label_values: Callable[[str, str], list[str]],
    query: Callable[[str], list[dict[str, str]]],
) -> dict[str, list[str]]:
    """The values of every query variable, in Grafana's order; each sees the first value of those before it.

    Args:
        built_in: Grafana's own variables.
        label_values: Gives the values of a label of the series that a selector chooses.
        query: Gives the labels of the series that an expression has, in Prometheus' order.
    """
    chosen, found = dict(built_in), {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] != "query":
            continue
        asked = variable_query(variable["query"])
        expression = expand(asked.expression, chosen)
        values = (
            label_values(expression, asked.label) if asked.label else _matched(variable["regex"], query(expression))
        )
        # 0 keeps the order, 2 sorts backwards.
        values = sorted(values, reverse=True) if variable["sort"] == 2 else values
        found[variable["name"]] = values
        chosen[variable["name"]] = values[0] if values else ""
    return found


def _matched(pattern: str, series: list[dict[str, str]]) -> list[str]:
    """What the first group of the pattern, between slashes, finds in each series as Grafana writes it."""
    written = ("{" + ", ".join(f'{key}="{value}"' for key, value in labels.items()) + "}" for labels in series)
    matches = (re.search(pattern.strip("/"), text) for text in written)
    return [match[1] for match in matches if match]
