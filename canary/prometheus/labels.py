"""Which labels the series of an expression have, as far as its text tells, and whether joins keep identities apart.

The exporter's and the receiver's own series are known by name; of those that others make, nothing is assumed.

A fact about one rollout that is joined without the rollout's id speaks about any: Prometheus answers the series of the
last rollout for minutes when it was restarted as that rollout ended, and `on ()` makes them the next one's. So joins
name what they join by, two facts about rollouts are joined by `rollout`, and selectors of our own series name the
service, because one Prometheus may watch several. Rules and dashboards are linted by the same functions.
"""

from collections.abc import Iterator, Mapping

import promql_parser
from promql_parser import Expr

from canary import names
from canary.prometheus.promql import ALERTS, matchers, walk

Labels = frozenset[str] | None
"""None when any labels may be there: those of a series that others make."""

# Calls that give a number without labels, which joins with anything.
_SCALARS = {"scalar", "time", "pi"}
_NOTHING: Labels = frozenset()

# What Prometheus adds to every series that it scrapes.
_TARGET = frozenset({"job", "instance"})

# What a process says about itself, before it knows any service.
_OF_PROCESSES = {
    names.BUILD_INFO,
    names.CONFIG_LAST_RELOAD_SUCCESSFUL,
    names.CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP_SECONDS,
}

_OWN: Mapping[str, Labels] = {
    name: _TARGET | {names.SERVICE, *labels} for name, labels in names.LABELS.items() if name.startswith("canary_")
}


def labels(tree: Expr, recorded: Mapping[str, Labels]) -> Labels:
    """The labels that series of an expression may have, their name left out.

    Args:
        recorded: Those of recorded series, by name.
    """
    match tree:
        case promql_parser.VectorSelector():
            return recorded.get(tree.name or "", _OWN.get(tree.name or ""))
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
    kept = named if inner is None else named & inner
    return kept | {_text(tree.param)} if str(tree.op) == "count_values" else kept


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


def _text(argument: Expr | None) -> str:
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


def rollout_series() -> frozenset[str]:
    """The names of our own series that are about a rollout."""
    return frozenset(name for name, own in names.LABELS.items() if names.ROLLOUT in own)


def without_service(tree: Expr) -> Iterator[str]:
    """The names of our own series, recorded ones and ALERTS included, that an expression reads of every service."""
    for node in walk(tree):
        if not isinstance(node, promql_parser.VectorSelector):
            continue
        name = node.name or _named(node)
        own = name.startswith(("canary_", names.SHOP_PREFIX)) or ":" in name or name == ALERTS
        if own and name not in _OF_PROCESSES and not _selects_one(node):
            yield name


def _named(node: promql_parser.VectorSelector) -> str:
    """The name, or what is asked of it, of a selector such as `{__name__=~"canary_.*"}`."""
    matcher = matchers(node).get("__name__")
    return matcher.value if matcher is not None else ""


def _selects_one(node: promql_parser.VectorSelector) -> bool:
    """Whether one service is selected: a regular expression, an inequality or an empty value select several."""
    service = matchers(node).get(names.SERVICE)
    return service is not None and str(service.op).endswith(".Equal") and service.value != ""


def without_identity(tree: Expr, recorded: Mapping[str, Labels]) -> Iterator[tuple[str, str]]:
    """Joins that do not say what is joined: what was found, and what to write instead."""
    for node in walk(tree):
        if not isinstance(node, promql_parser.BinaryExpr) or is_scalar(node.lhs, node.rhs):
            continue
        matching = node.modifier.matching if node.modifier else None
        if matching is None:
            continue  # matched on all labels, an identity included
        named = frozenset(matching.labels)
        if not str(matching.type).endswith("Include"):
            yield f"joins ignoring ({', '.join(sorted(named))})", "name what is joined: `on (rollout)`"
        elif not named:
            yield "joins on (), whatever it is about", "name what is joined: `on (rollout)`, or `on (service)`"
        elif names.ROLLOUT not in named and all(_about_rollout(side, recorded) for side in (node.lhs, node.rhs)):
            listed = ", ".join(sorted(named))
            yield f"joins facts about rollouts on ({listed}), whichever rollouts these are", "join `on (rollout)`"


def _about_rollout(tree: Expr, recorded: Mapping[str, Labels]) -> bool:
    return names.ROLLOUT in (labels(tree, recorded) or frozenset())
