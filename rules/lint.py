"""Lint of rules by what their expressions say: the checks of pint that need no Prometheus.

promtool says whether a rule works at all; these say whether it does what one wants. `canary check` runs them on what
is generated, a policy's own overrides included.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import promql_parser

from canary import names
from canary.errors import GenerateError
from canary.policy import Policy
from canary.units import format_duration, parse_duration
from rules.expressions import children, metrics, parse, template_queries, walk

Rule = Mapping[str, Any]

_RECORD = re.compile(r"[a-z_]+:[a-zA-Z_][a-zA-Z0-9_]*:[a-z][a-z0-9_]*")
_ALERT = re.compile(r"[A-Z][A-Za-z0-9]*")
_COMPARISONS = {">", "<", ">=", "<=", "==", "!="}
_COUNTING = {"rate", "irate", "increase", "resets"}
_EXPERIMENTAL = {"limitk", "limit_ratio", "mad_over_time", "sort_by_label", "sort_by_label_desc", "info"}
_LONGEST_INTERVAL_SECONDS = 300


@dataclass(frozen=True)
class Problem:
    """What is wrong with one rule.

    Attributes:
        check: pint's name of the check.
        place: the group and the rule.
        reason: what was found.
        remedy: what to do.
    """

    check: str
    place: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}; {self.remedy} ({self.check})"


Check = Callable[[Rule, "_Context"], Iterator[tuple[str, str, str]]]


@dataclass(frozen=True)
class _Context:
    """What a rule is held against."""

    scrape_seconds: float
    recorded: Mapping[str, tuple[str, int]]
    """Group and position of each recorded series."""
    group: str
    position: int


def lint(policy: Policy, groups: Iterable[Mapping[str, Any]]) -> list[Problem]:
    """Every problem of these rule groups, in their order.

    Args:
        policy: for the scrape interval.
        groups: as a rule file holds them.
    """
    groups = list(groups)
    recorded = {
        rule["record"]: (group["name"], position)
        for group in groups
        for position, rule in enumerate(group["rules"])
        if "record" in rule
    }
    problems = list(_of_groups(groups))
    for group in groups:
        for position, rule in enumerate(group["rules"]):
            context = _Context(policy.signals.scrape_interval, recorded, group["name"], position)
            problems += _of_rule(rule, context)
    return problems


def _of_groups(groups: list[Mapping[str, Any]]) -> Iterator[Problem]:
    for group in groups:
        place = f"group {group['name']}"
        interval = parse_duration(group.get("interval", "1m"))
        if interval > _LONGEST_INTERVAL_SECONDS:
            reason = f"is evaluated every {format_duration(interval)}, and leaves gaps after 5m"
            yield Problem("group/interval", place, reason, "use an interval of at most 5m")
    for (name, _), count in Counter(_identity(rule) for group in groups for rule in group["rules"]).items():
        if count > 1:
            reason = f"{count} rules have this name and these labels"
            yield Problem("rule/duplicate", name, reason, "tell them apart by a label, or remove one")


def _identity(rule: Rule) -> tuple[str, str]:
    return rule.get("alert") or rule["record"], str(sorted(rule.get("labels", {}).items()))


def _of_rule(rule: Rule, context: _Context) -> Iterator[Problem]:
    place = f"{context.group}/{rule.get('alert') or rule.get('record')}"
    try:
        parse(rule["expr"])
    except GenerateError as error:
        yield Problem(
            "promql/syntax", place, str(error), "correct the expression, or the selector that it is made with"
        )
        return
    for check in _CHECKS:
        for name, reason, remedy in check(rule, context):
            yield Problem(name, place, reason, remedy)


def _nodes(rule: Rule) -> Iterator[promql_parser.Expr]:
    return walk(parse(rule["expr"]))


def _names(rule: Rule, _context: _Context) -> Iterator[tuple[str, str, str]]:
    if "record" in rule and not _RECORD.fullmatch(rule["record"]):
        yield "rule/name", "the name is not level:metric:operations", "name it so"
    if "alert" in rule and not _ALERT.fullmatch(rule["alert"]):
        yield "rule/name", "the name is not in CamelCase", "name it so"


def _labels(rule: Rule, _context: _Context) -> Iterator[tuple[str, str, str]]:
    labels = rule.get("labels", {})
    for wanted in (names.SERVICE, *((names.SEVERITY, names.ACTION) if "alert" in rule else ())):
        if not labels.get(wanted):
            yield "rule/label", f"has no label {wanted}", "add it"
    if "alert" in rule and labels.get(names.ACTION) not in names.ACTIONS:
        yield "rule/label", f"action is {labels.get(names.ACTION)!r}", f"use one of {', '.join(names.ACTIONS)}"
    for label, value in labels.items():
        if re.search(r"\{\{.*(\$value|\.Value)", value):
            yield "alerts/template", f"label {label} holds the value, and so changes all the time", "use an annotation"
        elif "://" in value or " " in value.strip("{} "):
            yield "rule/reject", f"label {label} holds a sentence or an address", "use an annotation"


def _annotations(rule: Rule, _context: _Context) -> Iterator[tuple[str, str, str]]:
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


def _durations(rule: Rule, _context: _Context) -> Iterator[tuple[str, str, str]]:
    for key in ("for", "keep_firing_for"):
        try:
            parse_duration(rule.get(key, "0s"))
        except ValueError as error:
            yield "alerts/for", f"{key}: {error}", "write a duration such as 30s"


def _compares(rule: Rule, _context: _Context) -> Iterator[tuple[str, str, str]]:
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


def _absent(rule: Rule, context: _Context) -> Iterator[tuple[str, str, str]]:
    calls = (node.func.name for node in _nodes(rule) if isinstance(node, promql_parser.Call))
    if "alert" in rule and "absent" in calls and parse_duration(rule.get("for", "0s")) < 2 * context.scrape_seconds:
        yield "alerts/absent", "fires when a single scrape is missed", "let it wait for at least two scrapes (`for`)"


def _rates(rule: Rule, context: _Context) -> Iterator[tuple[str, str, str]]:
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


def _counters(rule: Rule, _context: _Context) -> Iterator[tuple[str, str, str]]:
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


def _guards(rule: Rule, _context: _Context) -> Iterator[tuple[str, str, str]]:
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


def _fragile(rule: Rule, _context: _Context) -> Iterator[tuple[str, str, str]]:
    for node in _nodes(rule):
        if "alert" in rule and isinstance(node, promql_parser.AggregateExpr) and str(node.op) in ("topk", "bottomk"):
            yield "promql/fragile", f"{node.op} gives other series from one moment to the next", "compare with a limit"
        if isinstance(node, promql_parser.Call) and node.func.name in _EXPERIMENTAL:
            yield "promql/features", f"{node.func.name}() is experimental", "do without it"


def _selectors(rule: Rule, _context: _Context) -> Iterator[tuple[str, str, str]]:
    for node in _nodes(rule):
        if not isinstance(node, promql_parser.VectorSelector):
            continue
        matchers = {matcher.name: matcher for matcher in node.matchers.matchers}
        own = (node.name or "").startswith(("canary_", "shop_")) or ":" in (node.name or "")
        if own and names.SERVICE not in matchers:
            yield "promql/selector", f"{node.name} of every service", f"select one by {names.SERVICE}"
        for matcher in matchers.values():
            if str(matcher.op).endswith(".Re") and re.match(r"\^|.*\$$", matcher.value):
                yield "promql/regexp", f"{matcher.name}=~ is anchored anyway", "leave ^ and $ out"


def _impossible(rule: Rule, _context: _Context) -> Iterator[tuple[str, str, str]]:
    """Two sides that are matched on a label which one of them has aggregated away."""
    for node in _nodes(rule):
        if not isinstance(node, promql_parser.BinaryExpr) or node.modifier is None or node.modifier.matching is None:
            continue
        matching = node.modifier.matching
        if not str(matching.type).lower().endswith("include"):
            continue
        for side in (node.lhs, node.rhs):
            kept = _kept_labels(side)
            lost = [label for label in matching.labels if kept is not None and label not in kept]
            if lost:
                yield "promql/impossible", f"joins on {', '.join(lost)}, which one side has lost", "keep the label"


def _kept_labels(tree: promql_parser.Expr) -> set[str] | None:
    """The labels that an aggregation leaves; None when that cannot be told."""
    if isinstance(tree, promql_parser.ParenExpr):
        return _kept_labels(tree.expr)
    if isinstance(tree, promql_parser.AggregateExpr):
        if tree.modifier is None:
            return set()
        return set(tree.modifier.labels) if str(tree.modifier.type).lower().endswith("by") else None
    return None


def _dependencies(rule: Rule, context: _Context) -> Iterator[tuple[str, str, str]]:
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


_CHECKS: tuple[Check, ...] = (
    _names, _labels, _annotations, _durations, _compares, _absent, _rates, _counters, _guards, _fragile, _selectors,
    _impossible, _dependencies,
)  # fmt: skip
