"""A rule's own words: its name, labels, annotations, templates and durations."""

import re
from collections.abc import Iterator

import promql_parser

from canary import names
from canary.errors import GenerateError
from canary.prometheus.labels import labels
from canary.prometheus.promql import parse, template_queries
from canary.units import parse_duration
from rules.checks.rule import COUNTING, Check, Context, Objection, Rule, nodes

_RECORD = re.compile(r"[a-z_]+:[a-zA-Z_][a-zA-Z0-9_]*:[a-z][a-z0-9_]*")
_ALERT = re.compile(r"[A-Z][A-Za-z0-9]*")


def _names(rule: Rule, _context: Context) -> Iterator[Objection]:
    # By which policy the rules were made stands next to the same series of exporter and receiver.
    if "record" in rule and rule["record"] != names.POLICY_INFO and not _RECORD.fullmatch(rule["record"]):
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
    for wanted in ("summary", "description", "runbook_url", "dashboard_url", "page_url"):
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
            yield (
                "alerts/template",
                reason,
                'write {{ $value | printf "%.2f" }}, or humanizePercentage, humanizeDuration',
            )


def _fractional(rule: Rule) -> bool:
    """Whether an alert's value is a rate, a ratio or a mean."""
    return any(
        (isinstance(node, promql_parser.Call) and node.func.name in COUNTING)
        or (isinstance(node, promql_parser.BinaryExpr) and str(node.op) == "/")
        or (isinstance(node, promql_parser.VectorSelector) and ":" in (node.name or ""))
        for node in nodes(rule)
    )


CHECKS: tuple[Check, ...] = (_names, _own_labels, _annotations, _durations, _templates)
