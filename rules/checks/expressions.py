"""What one expression does by itself: it compares, counts rates of counters, divides by no zero, and stays calm."""

from collections.abc import Iterator

import promql_parser

from canary.prometheus.promql import parse, walk
from canary.units import format_duration, parse_duration
from rules.checks.rule import COUNTING, Check, Context, Objection, Rule, edges, nodes

_COMPARISONS = {">", "<", ">=", "<=", "==", "!="}
_ARITHMETIC = {"+", "-", "*", "/"}

# They need a feature flag, or a Prometheus newer than the oldest that is supported (2.42).
_EXPERIMENTAL = {"limitk", "limit_ratio", "mad_over_time", "sort_by_label", "sort_by_label_desc", "info"}


def _compares(rule: Rule, _context: Context) -> Iterator[Objection]:
    """An alert without a condition fires as long as its series exist."""
    if "alert" not in rule:
        return
    for node in nodes(rule):
        if isinstance(node, promql_parser.BinaryExpr) and str(node.op) in {*_COMPARISONS, "and", "unless"}:
            return
        if isinstance(node, promql_parser.Call) and node.func.name in ("absent", "absent_over_time", "vector"):
            return
        if isinstance(node, promql_parser.VectorSelector) and node.name and ":" in node.name:
            return  # a recorded series may hold the condition
    yield "alerts/comparison", "fires whenever its series exist", "compare with a limit"


def _absent(rule: Rule, context: Context) -> Iterator[Objection]:
    absent = [node for node in nodes(rule) if isinstance(node, promql_parser.Call) and node.func.name == "absent"]
    between = [seconds for node in absent for seconds in _between_samples(node, context)]
    if "alert" in rule and between and parse_duration(rule.get("for", "0s")) < 2 * max(between):
        yield "alerts/absent", "fires when a single scrape is missed", "let it wait for at least two scrapes (`for`)"


def _between_samples(node: promql_parser.Expr, context: Context) -> Iterator[float]:
    """Of each series that is read below a node."""
    for inner in walk(node):
        if isinstance(inner, promql_parser.VectorSelector):
            yield context.seconds_between_samples(inner.name or "")


def _rates(rule: Rule, context: Context) -> Iterator[Objection]:
    for node in nodes(rule):
        if not isinstance(node, promql_parser.Call) or node.func.name not in COUNTING:
            continue
        for inner in walk(node):
            if isinstance(inner, promql_parser.SubqueryExpr):
                yield "promql/rate", "takes a rate of a subquery", "take the rate of the counter itself, then aggregate"
            if not isinstance(inner, promql_parser.MatrixSelector):
                continue
            seconds, selector = inner.range.total_seconds(), inner.vector_selector
            if seconds < 2 * context.seconds_between_samples(selector.name or ""):
                reason = f"{node.func.name}() looks at {format_duration(seconds)}, less than two scrapes"
                yield "promql/rate", reason, "lengthen signals.window, or shorten signals.scrape_interval"
            if selector.name and ":" in selector.name:
                yield "promql/rate", f"takes a rate of the recorded {selector.name}", "take it of the counter itself"


def _counters(rule: Rule, _context: Context) -> Iterator[Objection]:
    """A counter by itself only grows; `max` and `count` ask whether it is there."""
    for parent, child in edges(parse(rule["expr"])):
        if (
            isinstance(child, promql_parser.VectorSelector)
            and (child.name or "").endswith("_total")
            and not isinstance(parent, promql_parser.MatrixSelector)
            and not (isinstance(parent, promql_parser.AggregateExpr) and str(parent.op) in ("max", "count"))
        ):
            yield "promql/counter", f"reads the counter {child.name} as it is", "use rate() or increase()"


def _guards(rule: Rule, _context: Context) -> Iterator[Objection]:
    """Inside an aggregation one NaN spoils everything."""
    for parent, child in edges(parse(rule["expr"])):
        if not isinstance(parent, promql_parser.AggregateExpr) or str(parent.op) not in ("sum", "avg", "stddev"):
            continue
        for node in walk(child):
            if isinstance(node, promql_parser.BinaryExpr) and str(node.op) == "/" and not _positive(node.rhs):
                yield "promql/nan", f"{parent.op}() of a division that may be by zero", "divide by `(… > 0)`"


def _positive(divisor: promql_parser.Expr) -> bool:
    return isinstance(divisor, promql_parser.NumberLiteral) or any(
        isinstance(node, promql_parser.BinaryExpr) and str(node.op) == ">" for node in walk(divisor)
    )


def _fragile(rule: Rule, _context: Context) -> Iterator[Objection]:
    for node in nodes(rule):
        if "alert" in rule and isinstance(node, promql_parser.AggregateExpr) and str(node.op) in ("topk", "bottomk"):
            yield "promql/fragile", f"{node.op} gives other series from one moment to the next", "compare with a limit"
        if isinstance(node, promql_parser.Call) and node.func.name in _EXPERIMENTAL:
            yield "promql/features", f"{node.func.name}() is experimental", "do without it"
        if "alert" in rule and "for" not in rule and _of_aggregates(node):
            reason = "computes with two aggregations, which a restart changes one after the other"
            yield "promql/fragile", reason, "let it wait for at least one scrape (`for`)"


def _of_aggregates(node: promql_parser.Expr) -> bool:
    return (
        isinstance(node, promql_parser.BinaryExpr)
        and str(node.op) in _ARITHMETIC
        and all(isinstance(_bare(side), promql_parser.AggregateExpr) for side in (node.lhs, node.rhs))
    )


def _bare(tree: promql_parser.Expr) -> promql_parser.Expr:
    return _bare(tree.expr) if isinstance(tree, promql_parser.ParenExpr) else tree


CHECKS: tuple[Check, ...] = (_compares, _absent, _rates, _counters, _guards, _fragile)
