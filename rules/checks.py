"""What is looked at in one rule: the checks of pint that need no Prometheus, by pint's names."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import promql_parser

from canary import names
from canary.errors import GenerateError
from canary.prometheus.labels import Labels, is_scalar, labels, rollout_series, without_identity, without_service
from canary.prometheus.promql import calls, children, matchers, metrics, parse, template_queries, walk
from canary.units import format_duration, parse_duration

Rule = Mapping[str, Any]
Objection = tuple[str, str, str]
"""pint's name of the check, what was found, what to do."""

_RECORD = re.compile(r"[a-z_]+:[a-zA-Z_][a-zA-Z0-9_]*:[a-z][a-z0-9_]*")
_ALERT = re.compile(r"[A-Z][A-Za-z0-9]*")
_COMPARISONS = {">", "<", ">=", "<=", "==", "!="}
_ARITHMETIC = {"+", "-", "*", "/"}
_COUNTING = {"rate", "irate", "increase", "resets"}
_EXPERIMENTAL = {"limitk", "limit_ratio", "mad_over_time", "sort_by_label", "sort_by_label_desc", "info"}

# Levels of recorded series that are no labels.
_NO_LABELS = {"canary"}


@dataclass(frozen=True)
class Context:
    """What a rule is held against.

    Attributes:
        scrape_seconds: how often targets are scraped.
        recorded: group and position of each recorded series.
        labels: of each recorded series.
        group, position: where the rule stands.
    """

    scrape_seconds: float
    recorded: Mapping[str, tuple[str, int]]
    labels: Mapping[str, Labels]
    group: str
    position: int


def _nodes(rule: Rule) -> Iterator[promql_parser.Expr]:
    return walk(parse(rule["expr"]))


def _names(rule: Rule, _context: Context) -> Iterator[Objection]:
    if "record" in rule and not _RECORD.fullmatch(rule["record"]):
        yield "rule/name", "the name is not level:metric:operations", "name it so"
    if "alert" in rule and not _ALERT.fullmatch(rule["alert"]):
        yield "rule/name", "the name is not in CamelCase", "name it so"


def _own_labels(rule: Rule, _context: Context) -> Iterator[Objection]:
    own = rule.get("labels", {})
    for wanted in (names.SERVICE, *((names.SEVERITY, names.ACTION) if "alert" in rule else ())):
        if not own.get(wanted):
            yield "rule/label", f"has no label {wanted}", "add it"
    if "alert" in rule and own.get(names.ACTION) not in names.ACTIONS:
        yield "rule/label", f"action is {own.get(names.ACTION)!r}", f"use one of {', '.join(names.ACTIONS)}"
    for label, value in own.items():
        if re.search(r"\{\{.*(\$value|\.Value)", value):
            yield "alerts/template", f"label {label} holds the value, and so changes all the time", "use an annotation"
        elif "://" in value or " " in value.strip("{} "):
            yield "rule/reject", f"label {label} holds a sentence or an address", "use an annotation"


def _annotations(rule: Rule, _context: Context) -> Iterator[Objection]:
    if "alert" not in rule:
        return
    annotations = rule.get("annotations", {})
    for wanted in ("summary", "description", "runbook_url", "dashboard_url"):
        if not annotations.get(wanted):
            yield "alerts/annotation", f"has no annotation {wanted}", "add it"
    for name, text in annotations.items():
        for query in template_queries(text):
            try:
                parse(query)
            except GenerateError as error:
                yield "alerts/template", f"annotation {name}: {error}", "correct the query"


def _durations(rule: Rule, _context: Context) -> Iterator[Objection]:
    for key in ("for", "keep_firing_for"):
        try:
            parse_duration(rule.get(key, "0s"))
        except ValueError as error:
            yield "alerts/for", f"{key}: {error}", "write a duration such as 30s"


def _compares(rule: Rule, _context: Context) -> Iterator[Objection]:
    """An alert without a condition fires as long as its series exist."""
    if "alert" not in rule:
        return
    for node in _nodes(rule):
        if isinstance(node, promql_parser.BinaryExpr) and str(node.op) in {*_COMPARISONS, "and", "unless"}:
            return
        if isinstance(node, promql_parser.Call) and node.func.name in ("absent", "absent_over_time", "vector"):
            return
        if isinstance(node, promql_parser.VectorSelector) and node.name and ":" in node.name:
            return  # a recorded series may hold the condition
    yield "alerts/comparison", "fires whenever its series exist", "compare with a limit"


def _absent(rule: Rule, context: Context) -> Iterator[Objection]:
    calls = (node.func.name for node in _nodes(rule) if isinstance(node, promql_parser.Call))
    if "alert" in rule and "absent" in calls and parse_duration(rule.get("for", "0s")) < 2 * context.scrape_seconds:
        yield "alerts/absent", "fires when a single scrape is missed", "let it wait for at least two scrapes (`for`)"


def _rates(rule: Rule, context: Context) -> Iterator[Objection]:
    for node in _nodes(rule):
        if not isinstance(node, promql_parser.Call) or node.func.name not in _COUNTING:
            continue
        for inner in walk(node):
            if isinstance(inner, promql_parser.SubqueryExpr):
                yield "promql/rate", "takes a rate of a subquery", "take the rate of the counter itself, then aggregate"
            if not isinstance(inner, promql_parser.MatrixSelector):
                continue
            seconds, selector = inner.range.total_seconds(), inner.vector_selector
            if seconds < 2 * context.scrape_seconds:
                reason = f"{node.func.name}() looks at {format_duration(seconds)}, less than two scrapes"
                yield "promql/rate", reason, "lengthen signals.window, or shorten signals.scrape_interval"
            if selector.name and ":" in selector.name:
                yield "promql/rate", f"takes a rate of the recorded {selector.name}", "take it of the counter itself"


def _counters(rule: Rule, _context: Context) -> Iterator[Objection]:
    """A counter by itself only grows; `max` and `count` ask whether it is there."""
    for parent, child in _edges(parse(rule["expr"])):
        if (
            isinstance(child, promql_parser.VectorSelector)
            and (child.name or "").endswith("_total")
            and not isinstance(parent, promql_parser.MatrixSelector)
            and not (isinstance(parent, promql_parser.AggregateExpr) and str(parent.op) in ("max", "count"))
        ):
            yield "promql/counter", f"reads the counter {child.name} as it is", "use rate() or increase()"


def _edges(tree: promql_parser.Expr) -> Iterator[tuple[promql_parser.Expr, promql_parser.Expr]]:
    for child in children(tree):
        yield tree, child
        yield from _edges(child)


def _guards(rule: Rule, _context: Context) -> Iterator[Objection]:
    """Inside an aggregation one NaN spoils everything."""
    for parent, child in _edges(parse(rule["expr"])):
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
    for node in _nodes(rule):
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


def _selectors(rule: Rule, _context: Context) -> Iterator[Objection]:
    queries = [query for text in rule.get("annotations", {}).values() for query in template_queries(text)]
    for expression in (rule["expr"], *queries):
        with contextlib.suppress(GenerateError):  # another check's business
            yield from _of_one_service(expression)
    for node in _nodes(rule):
        if not isinstance(node, promql_parser.VectorSelector):
            continue
        for matcher in matchers(node).values():
            if str(matcher.op).endswith(".Re") and re.match(r"\^|.*\$$", matcher.value):
                yield "promql/regexp", f"{matcher.name}=~ is anchored anyway", "leave ^ and $ out"


def _of_one_service(expression: str) -> Iterator[Objection]:
    for name in without_service(parse(expression)):
        yield "promql/selector", f"{name} of every service", f"select one by {names.SERVICE}"


def _identities(rule: Rule, context: Context) -> Iterator[Objection]:
    """What is joined is about the same thing; and of a rollout, about the same rollout."""
    tree = parse(rule["expr"])
    for reason, remedy in without_identity(tree, context.labels):
        yield "promql/identity", reason, remedy
    found = labels(tree, context.labels)
    if "alert" in rule and found is not None and names.ROLLOUT not in found:
        for name in sorted(_read_of_rollouts(tree, context)):
            yield "promql/identity", f"fires because of {name}, and does not say of which rollout", "keep the label"


def _read_of_rollouts(tree: promql_parser.Expr, context: Context) -> set[str]:
    """The series about rollouts that an expression reads; that one is missing says nothing about any rollout."""
    return {
        node.name
        for node, function in calls(tree)
        if isinstance(node, promql_parser.VectorSelector)
        and node.name
        and not function.startswith("absent")
        and (node.name in rollout_series() or names.ROLLOUT in (context.labels.get(node.name) or ()))
    }


def _impossible(rule: Rule, context: Context) -> Iterator[Objection]:
    """Two sides that are matched on a label which one of them has lost."""
    for node in _nodes(rule):
        if not isinstance(node, promql_parser.BinaryExpr) or node.modifier is None or node.modifier.matching is None:
            continue
        matching = node.modifier.matching
        if not str(matching.type).endswith("Include"):
            continue
        for side in (node.lhs, node.rhs):
            kept = labels(side, context.labels)
            lost = [label for label in matching.labels if kept is not None and label not in kept]
            if lost:
                yield "promql/impossible", f"joins on {', '.join(lost)}, which one side has lost", "keep the label"


def _matching(rule: Rule, context: Context) -> Iterator[Objection]:
    """Two sides that are matched on all their labels, and do not have the same."""
    for node in _nodes(rule):
        if not isinstance(node, promql_parser.BinaryExpr) or str(node.op) == "or" or is_scalar(node.lhs, node.rhs):
            continue
        left, right = labels(node.lhs, context.labels), labels(node.rhs, context.labels)
        explicit = node.modifier is not None and node.modifier.matching is not None
        if not explicit and left is not None and right is not None and left != right:
            reason = f"matches {_listed(left)} with {_listed(right)}"
            yield "promql/vector_matching", reason, "say on which labels: `on (...)`"


def _listed(kept: frozenset[str]) -> str:
    return ", ".join(sorted(kept)) or "nothing"


def _levels(rule: Rule, context: Context) -> Iterator[Objection]:
    """A recorded series is named after the labels that it has kept."""
    if "record" not in rule:
        return
    kept = labels(parse(rule["expr"]), context.labels)
    level = set(rule["record"].split(":")[0].split("_")) - _NO_LABELS
    lost = sorted(level - kept) if kept is not None else []
    if lost:
        reason = f"is named after {', '.join(lost)}, which its expression has lost"
        yield "promql/aggregate", reason, "keep the label, or name the series otherwise"


def _templates(rule: Rule, context: Context) -> Iterator[Objection]:
    """Templates see the labels of the expression only, and numbers with all their digits."""
    if "alert" not in rule:
        return
    known = labels(parse(rule["expr"]), context.labels)
    for name, text in rule.get("annotations", {}).items():
        unknown = sorted(set(re.findall(r"\$labels\.(\w+)", text)) - (known or set())) if known is not None else []
        if unknown:
            reason = f"annotation {name} reads {', '.join(unknown)}, which the expression does not give"
            yield "alerts/template", reason, f"read one of {', '.join(sorted(known or ()))}"
        if re.search(r"\{\{-?\s*(\$value|\.Value)\s*-?\}\}", text) and _fractional(rule):
            reason = f"annotation {name} prints the value with all its digits"
            yield "alerts/template", reason, "write {{ $value | humanize }}, humanizePercentage or humanizeDuration"


def _fractional(rule: Rule) -> bool:
    """Whether an alert's value is a rate, a ratio or a mean."""
    return any(
        (isinstance(node, promql_parser.Call) and node.func.name in _COUNTING)
        or (isinstance(node, promql_parser.BinaryExpr) and str(node.op) == "/")
        or (isinstance(node, promql_parser.VectorSelector) and ":" in (node.name or ""))
        for node in _nodes(rule)
    )


def _dependencies(rule: Rule, context: Context) -> Iterator[Objection]:
    for name in sorted(metrics(rule["expr"])):
        if ":" not in name:
            continue
        if name not in context.recorded:
            yield "rule/dependency", f"reads {name}, which no rule records", "record it, or correct the name"
            continue
        group, position = context.recorded[name]
        if group != context.group:
            yield "rule/dependency", f"reads {name} of another group, up to an interval late", "use one group for both"
        elif position >= context.position:
            yield "rule/dependency", f"reads {name}, which is recorded after it", "put it before"


Check = Callable[[Rule, Context], Iterator[Objection]]

CHECKS: tuple[Check, ...] = (
    _names, _own_labels, _annotations, _durations, _compares, _absent, _rates, _counters, _guards, _fragile, _selectors,
    _identities, _impossible, _matching, _levels, _templates, _dependencies,
)  # fmt: skip
