"""Lint of rules by what their expressions say: the checks of pint that need no Prometheus.

promtool says whether a rule works at all; these say whether it does what one wants. `canary check` runs them on what
is generated, a policy's own overrides included.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from canary.errors import GenerateError
from canary.policy import Policy
from canary.prometheus.labels import Labels, labels
from canary.prometheus.promql import parse
from canary.units import format_duration, parse_duration
from rules.checks import CHECKS, Context, Rule

# Prometheus answers a series for five minutes after its last sample; a group that is evaluated more rarely leaves gaps.
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


def lint(policy: Policy, groups: Iterable[Mapping[str, Any]]) -> list[Problem]:
    """Every problem of these rule groups, in their order.

    Args:
        policy: for how often series are scraped.
        groups: as a rule file holds them.
    """
    groups, signals = list(groups), policy.signals
    recorded = {
        rule["record"]: (group["name"], position)
        for group in groups
        for position, rule in enumerate(group["rules"])
        if "record" in rule
    }
    problems = list(_of_groups(groups))
    kept = _recorded_labels(groups)
    for group in groups:
        for position, rule in enumerate(group["rules"]):
            context = Context(signals.scrape_interval, signals.shop_interval, recorded, kept, group["name"], position)
            problems += _of_rule(rule, context)
    return problems


def _recorded_labels(groups: Iterable[Mapping[str, Any]]) -> dict[str, Labels]:
    """The labels of each recorded series; unknown ones where an expression is no PromQL."""
    kept: dict[str, Labels] = {}
    for rule in (rule for group in groups for rule in group["rules"] if "record" in rule):
        try:
            found = labels(parse(rule["expr"]), kept)
        except GenerateError:
            found = None
        kept[rule["record"]] = None if found is None else found | rule.get("labels", {}).keys()
    return kept


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


def _of_rule(rule: Rule, context: Context) -> Iterator[Problem]:
    place = f"{context.group}/{rule.get('alert') or rule.get('record')}"
    try:
        parse(rule["expr"])
    except GenerateError as error:
        yield Problem(
            "promql/syntax", place, str(error), "correct the expression, or the selector that it is made with"
        )
        return
    for check in CHECKS:
        for name, reason, remedy in check(rule, context):
            yield Problem(name, place, reason, remedy)
