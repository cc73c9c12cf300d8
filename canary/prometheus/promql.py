"""PromQL read as a tree: which series an expression reads, and through which recorded ones.

Rules, dashboards and their lints all look at expressions this way, never by searching their text.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import promql_parser
from promql_parser import Expr

from canary.errors import GenerateError

ALERTS = "ALERTS"
"""The series in which Prometheus keeps what fires."""


def parse(expression: str) -> Expr:
    """The tree of an expression.

    Raises:
        GenerateError: it is not PromQL.
    """
    try:
        return promql_parser.parse(expression)
    except ValueError as error:
        raise GenerateError(f"not PromQL: {error}", place=expression) from error


def canonical(expression: str) -> str:
    """An expression in the one way in which it is written here.

    Each server writes expressions in a way of its own: blanks, the order of a selector's labels, `60s` or `1m`, 0.050
    or 0.05. Prometheus and Mimir say theirs of any expression (`format_query`), VictoriaMetrics and Thanos do not.

    Raises:
        GenerateError: it is not PromQL.
    """
    return parse(expression).prettify()


def fault(expression: str) -> str:
    """What is wrong with an expression; empty when it is PromQL."""
    try:
        parse(expression)
    except GenerateError as error:
        return error.what
    return ""


def matchers(selector: promql_parser.VectorSelector) -> dict[str, promql_parser.Matcher]:
    """The label matchers of a selector, by label."""
    return {matcher.name: matcher for matcher in selector.matchers.matchers}


def walk(tree: Expr) -> Iterator[Expr]:
    """Every node of a tree, parents before their children."""
    yield tree
    for child in children(tree):
        yield from walk(child)


def calls(tree: Expr, function: str = "") -> Iterator[tuple[Expr, str]]:
    """Every node of a tree, with the name of the function that encloses it most closely; empty for none."""
    yield tree, function
    inner = tree.func.name if isinstance(tree, promql_parser.Call) else function
    for child in children(tree):
        yield from calls(child, inner)


def children(tree: Expr) -> list[Expr]:
    """The nodes directly below one."""
    match tree:
        case promql_parser.BinaryExpr():
            return [tree.lhs, tree.rhs]
        case promql_parser.AggregateExpr():
            return [tree.expr] if tree.param is None else [tree.expr, tree.param]
        case promql_parser.Call():
            return list(tree.args)
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr() | promql_parser.SubqueryExpr():
            return [tree.expr]
        case promql_parser.MatrixSelector():
            return [tree.vector_selector]
        case _:
            return []


def metrics(expression: str) -> set[str]:
    """The names of the series that an expression reads."""
    return {
        str(node.name)
        for node in walk(parse(expression))
        if isinstance(node, promql_parser.VectorSelector) and node.name
    }


def template_queries(text: str) -> list[str]:
    """The queries in an annotation's template, with `"x"` where a label's value will stand."""
    return [query.replace("%q", '"x"') for query in re.findall(r"(?:query|printf) `([^`]*)`", text)]


def inputs(rules: Iterable[Mapping[str, Any]], every: Iterable[Mapping[str, Any]]) -> set[str]:
    """All series that rules read, through the recorded ones among *every*; recorded names included."""
    recorded = {rule["record"]: rule["expr"] for rule in every if "record" in rule}
    found: set[str] = set()
    open_ends = [rule["expr"] for rule in rules]
    while open_ends:
        for name in metrics(open_ends.pop()) - found:
            found.add(name)
            if name in recorded:
                open_ends.append(recorded[name])
    return found
