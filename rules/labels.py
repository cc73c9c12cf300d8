"""Which labels the series of an expression have, as far as its text tells."""

from collections.abc import Mapping

import promql_parser
from promql_parser import Expr

Labels = frozenset[str] | None
"""None when any labels may be there: those of a series that others make."""

_SCALARS = {"scalar", "time", "pi"}
_NOTHING: Labels = frozenset()


def labels(tree: Expr, recorded: Mapping[str, Labels]) -> Labels:
    """The labels that series of an expression may have, their name left out.

    Args:
        recorded: Those of recorded series, by name.
    """
    match tree:
        case promql_parser.VectorSelector():
            return recorded.get(tree.name or "")
        case promql_parser.AggregateExpr():
            return _aggregated(tree, recorded)
        case promql_parser.BinaryExpr():
            return _joined(tree, recorded)
        case promql_parser.Call():
            return _called(tree, recorded)
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr() | promql_parser.SubqueryExpr():
            return labels(tree.expr, recorded)
        case promql_parser.MatrixSelector():
            return labels(tree.vector_selector, recorded)
        case _:
            return _NOTHING


def _aggregated(tree: promql_parser.AggregateExpr, recorded: Mapping[str, Labels]) -> Labels:
    inner = labels(tree.expr, recorded)
    if str(tree.op) in ("topk", "bottomk"):
        return inner
    if tree.modifier is None:
        return _NOTHING
    named = frozenset(tree.modifier.labels)
    if str(tree.modifier.type).endswith("Without"):
        return None if inner is None else inner - named
    return named if inner is None else named & inner


def _called(tree: promql_parser.Call, recorded: Mapping[str, Labels]) -> Labels:
    name = tree.func.name
    if name in _SCALARS or not tree.args:
        return _NOTHING
    if name in ("absent", "absent_over_time", "vector"):
        return None if name.startswith("absent") else _NOTHING
    position = 1 if name in ("histogram_quantile", "quantile_over_time") else 0
    inner = labels(tree.args[position], recorded)
    if inner is None:
        return None
    if name in ("label_replace", "label_join"):
        return inner | {_text(tree.args[1])}
    return inner - {"le"} if name == "histogram_quantile" else inner


def _text(argument: Expr) -> str:
    assert isinstance(argument, promql_parser.StringLiteral)
    return str(argument.val)


def _joined(tree: promql_parser.BinaryExpr, recorded: Mapping[str, Labels]) -> Labels:
    if is_scalar(tree.lhs, tree.rhs):
        return labels(tree.rhs if _scalar(tree.lhs) else tree.lhs, recorded)
    left, right = labels(tree.lhs, recorded), labels(tree.rhs, recorded)
    match str(tree.op):
        case "or":
            return None if left is None or right is None else left | right
        case "and" | "unless":
            return left
    modifier = tree.modifier
    matching = modifier.matching if modifier else None
    grouped = str(modifier.card).rsplit(".", 1)[-1] if modifier else "OneToOne"
    if modifier and grouped in ("ManyToOne", "OneToMany"):
        many = left if grouped == "ManyToOne" else right
        return None if many is None else many | frozenset(modifier.group_labels or ())
    if matching is None:
        return right if left is None else left
    named = frozenset(matching.labels)
    if str(matching.type).endswith("Include"):
        return named
    return None if left is None else left - named


def is_scalar(*either: Expr) -> bool:
    """Whether one of these is a number, and no series."""
    return any(map(_scalar, either))


def _scalar(tree: Expr) -> bool:
    match tree:
        case promql_parser.NumberLiteral():
            return True
        case promql_parser.Call():
            return tree.func.name in _SCALARS
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr():
            return _scalar(tree.expr)
        case promql_parser.BinaryExpr():
            return _scalar(tree.lhs) and _scalar(tree.rhs)
        case _:
            return False
