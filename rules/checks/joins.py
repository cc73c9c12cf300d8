"""What an expression is about: one service, one rollout, labels that both sides have, and series recorded before it."""

import contextlib
import re
from collections.abc import Iterator

import promql_parser

from canary import names
from canary.errors import GenerateError
from canary.prometheus.labels import is_scalar, labels, rollout_series, without_identity, without_service
from canary.prometheus.promql import calls, matchers, metrics, parse, template_queries
from rules.checks.rule import Check, Context, Objection, Rule, nodes

# Levels of recorded series that are no labels.
_NO_LABELS = {"canary"}


def _selectors(rule: Rule, _context: Context) -> Iterator[Objection]:
    queries = [query for text in rule.get("annotations", {}).values() for query in template_queries(text)]
    for expression in (rule["expr"], *queries):
        with contextlib.suppress(GenerateError):  # another check's business
            yield from _of_one_service(expression)
    for node in nodes(rule):
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
    for node in nodes(rule):
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
    for node in nodes(rule):
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
    if "record" not in rule or ":" not in rule["record"]:
        return
    kept = labels(parse(rule["expr"]), context.labels)
    level = set(rule["record"].split(":")[0].split("_")) - _NO_LABELS
    lost = sorted(level - kept) if kept is not None else []
    if lost:
        reason = f"is named after {', '.join(lost)}, which its expression has lost"
        yield "promql/aggregate", reason, "keep the label, or name the series otherwise"


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


CHECKS: tuple[Check, ...] = (_selectors, _identities, _impossible, _matching, _levels, _dependencies)
