"""PromQL as a tree, for the lint."""

from collections.abc import Iterator
from typing import Any

import promql_parser


def fault(expression: str) -> str:
    """What is wrong with an expression; empty when it parses."""
    try:
        promql_parser.parse(expression)
    except ValueError as error:
        return f"not PromQL: {error}"
    return ""


def parts(expression: str) -> Iterator[tuple[Any, str]]:
    """Every node of an expression, with the name of the function that encloses it most closely.

    Raises:
        ValueError: the expression does not parse.
    """
    yield from _walk(promql_parser.parse(expression), "")


def _walk(node: Any, function: str) -> Iterator[tuple[Any, str]]:
    yield node, function
    inner = node.func.name if isinstance(node, promql_parser.Call) else function
    for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
        child = getattr(node, name, None)
        if child is not None and not isinstance(child, str | int | float):
            yield from _walk(child, inner)
    for child in node.args if isinstance(node, promql_parser.Call) else ():
        yield from _walk(child, inner)


def metrics(expression: str) -> set[str]:
    """The names of all series that an expression reads."""
    return {node.name for node, _ in parts(expression) if isinstance(node, promql_parser.VectorSelector) and node.name}
