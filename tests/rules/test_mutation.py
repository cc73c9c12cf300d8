"""Nobody changes a threshold, a comparison or a duration of a generated rule without a promtool case that fails."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from canary import names
from canary.mixin.limits import ladder
from canary.mixin.yamltext import dump
from canary.policy import Policy
from canary.prometheus.promql import ALERTS, inputs
from canary.units import format_duration, parse_duration
from rules.generate import rule_groups
from rules.promtool import scenarios
from rules.promtool.render import render
from rules.promtool.scenes import Scenario
from scripts import golden
from tests.support.programs.promtool import promtool

Rule = Mapping[str, Any]

_NUMBER = re.compile(r"(?<![\w.\[\"$:-])(\d+(?:\.\d+)?)(?![\w.\]\"%])")
_COMPARISON = re.compile(r"(>=|<=|==|!=|>|<)")
_OTHER = {">": ">=", ">=": ">", "<": "<=", "<=": "<", "==": "!=", "!=": "=="}

# Changes that change nothing: what stands in them only guards a division, or never binds with these numbers.
_HARMLESS = (
    re.compile(r"> 0\)"),  # a division by zero is NaN or infinite, and fails every comparison of a ratio
    # The lowest quantile, which is reached by a handful of requests only, and what there is without any.
    re.compile(r", 0\.5\) > 0\) or vector\(0\)"),
    re.compile(r", 0\)"),  # a variance is never negative but by rounding
    re.compile(r"\b0 \*"),  # zeros for versions without errors
    re.compile(r"^vector\(1\)$"),  # the heartbeat's value says nothing
    re.compile(r"\{[^{}]*\}"),  # selectors have no thresholds
    re.compile(r'"[^"]*"'),
)

# A bound worked out from square roots, a quantile that is interpolated, or a difference of shares or of counts that
# rates extrapolate, never equals its limit: `>` and `>=` are the same. Nor does the number of requests from which on a
# quantile is known: it is no multiple of a window's scrapes, and a case that has just enough has a grain more.
_NEVER_EQUAL = re.compile(
    r"(ratio_lower_increase|:mean)\w+\{[^}]*\}\s+>|>(?= on \(rollout(, endpoint)?\)\n)|abs\([^>]*\) >|> 0\)\s+>="
    r'|>=(?= on \(rollout(?:(?!limit=)[^<>])*limit="quantile_minimum_requests")'
)

# Between the clauses of an alert, one for each window of the ladder.
_OR = "\nor on (rollout)\n"

# How many scenarios are tried first on a changed rule; to start promtool takes as long as about two of them.
_FIRST_GROUP = 4

# Where an alert is generated several times from the same lines (for each KPI, phase, state), one stands for all.
_COPIES = (names.REASON, names.SCOPE, names.METRIC)


@dataclass(frozen=True)
class Subject:
    """The rules of one policy, and their tests."""

    rules: list[Rule]
    tests: list[Scenario]
    ladder: tuple[float, ...]
    selector: str


def _subject(policy: Policy) -> Subject:
    groups = rule_groups(policy)["alerts"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    return Subject(rules, scenarios(policy, rules), ladder(policy.signals), f'{{service="{policy.service}"}}')


def _haproxy() -> Policy:
    minimal = golden.policy("minimal")
    return dataclasses.replace(minimal, signals=dataclasses.replace(minimal.signals, preset="haproxy"))


def _name(rule: Rule) -> str:
    return "-".join(filter(None, [rule.get("alert") or rule["record"], *(rule["labels"].get(key) for key in _COPIES)]))


def _one_of_each(subject: Subject) -> list[Rule]:
    """The rules by name, without those that only people read; of those that differ by their window the longest's."""
    read = inputs([rule for rule in subject.rules if "alert" in rule], subject.rules)
    alerts = {_name(rule): rule for rule in reversed(subject.rules) if "alert" in rule}
    recorded = {
        (_any_rung(rule["record"], subject), _any_rung(rule["expr"], subject)): rule
        for rule in subject.rules
        if rule.get("record") in read
    }
    return [*alerts.values(), *recorded.values()]


def _any_rung(text: str, subject: Subject) -> str:
    """The same for every window of the ladder: what is made from one line for each of them is one text then."""
    for seconds in subject.ladder:
        text = re.sub(rf"(?<=[a-z\[]){format_duration(seconds)}\b", "@", text)
        text = text.replace(
            f"_elapsed_seconds{subject.selector}) >= {seconds:g})", f"_elapsed_seconds{subject.selector}) >= @)"
        )
    return text


def _shorter_rungs(expression: str, subject: Subject) -> list[range]:
    """Where an alert says for a window what it says for a longer one in the same words."""
    clauses, begin, seen = [], len(expression), set[str]()
    for clause in reversed(expression.split(_OR)):
        begin -= len(clause)
        if (same := _any_rung(clause, subject)) in seen:
            clauses.append(range(begin, begin + len(clause)))
        seen.add(same)
        begin -= len(_OR)
    return clauses


STRATEGY, HAPROXY = _subject(golden.policy("strategy")), _subject(_haproxy())

# What only HAProxy's preset has reads HAProxy's series; the rest is as in the strategy's own policy.
SUBJECTS = [
    *(pytest.param(STRATEGY, rule, id=_name(rule)) for rule in _one_of_each(STRATEGY)),
    *(
        pytest.param(HAPROXY, rule, id=f"haproxy-{_name(rule)}")
        for rule in _one_of_each(HAPROXY)
        if "haproxy_backend" in rule["expr"]
    ),
]


# The rule that most alerts read has hundreds of scenarios; a time-out is only there for a promtool that hangs.
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("subject", "rule"), SUBJECTS)
def test_no_change_of_a_rule_goes_unnoticed(subject: Subject, rule: Rule, tmp_path: Path) -> None:
    """Each comparison, each number and each `for` of a rule is held by at least one promtool case."""
    groups = list(_groups(_tests_of(subject, rule)))
    changed = [
        {**rule, "expr": expression} for expression in _mutants(rule["expr"], _shorter_rungs(rule["expr"], subject))
    ]
    changed += [{**rule, "for": duration} for duration in _durations(rule)]

    with ThreadPoolExecutor(2) as pool:
        noticed = list(
            pool.map(lambda pair: _noticed(subject, rule, pair[1], groups, tmp_path / str(pair[0])), enumerate(changed))
        )

    for number in {number for number in noticed if number is not None}:
        unchanged = _new(tmp_path / f"unchanged-{number}")
        assert not _fails(subject, rule, rule, groups[number], unchanged), "they hold as long as it is itself"
    survivors = [change for change, number in zip(changed, noticed, strict=True) if number is None]
    assert [f"{change['expr']} for {change.get('for', '0s')}" for change in survivors] == []


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _mutants(expression: str, copies: list[range]) -> Iterator[str]:
    """The expression with one comparison changed, or one number 5 % larger or smaller; not in copies."""

    def is_left(match: re.Match[str]) -> bool:
        return _harmless(expression, match) or any(match.start() in copy for copy in copies)

    for match in _COMPARISON.finditer(expression):
        if not is_left(match) and not _compares_a_bound(expression, match):
            yield expression[: match.start()] + _OTHER[match[0]] + expression[match.end() :]
    for match in _NUMBER.finditer(expression):
        if not is_left(match) and float(match[0]):
            for factor in (0.95, 1.05):
                changed = f"{float(match[0]) * factor:.12g}"
                yield expression[: match.start()] + changed + expression[match.end() :]


def _harmless(expression: str, match: re.Match[str]) -> bool:
    return any(
        found.start() <= match.start() < found.end() for pattern in _HARMLESS for found in pattern.finditer(expression)
    )


def _compares_a_bound(expression: str, match: re.Match[str]) -> bool:
    return any(found.end() == match.end() for found in _NEVER_EQUAL.finditer(expression))


def _durations(rule: Rule) -> Iterator[str]:
    if "for" in rule:
        seconds = parse_duration(rule["for"])
        yield from (format_duration(seconds * 2), "0s")


def _tests_of(subject: Subject, rule: Rule) -> list[Scenario]:
    """The tests that are about a rule, or about alerts that read it."""
    name = rule.get("record")
    about = [
        one
        for one in subject.rules
        if "alert" in one and (one is rule or (name and name in inputs([one], subject.rules)))
    ]
    return [test for test in subject.tests if any(case.rule is one for case in test.questions for one in about)]


def _groups(tests: list[Scenario]) -> Iterator[list[Scenario]]:
    """Scenarios in the order in which they are asked: those at the limits notice most, so they come first.

    Groups double: a change is noticed by few scenarios, and to ask all of them took three times as long.
    """
    ordered = sorted(tests, key=lambda test: (not test.name.endswith(("beyond", "at the limit")), test.world.count))
    first, size = 0, _FIRST_GROUP
    while first < len(ordered):
        yield ordered[first : first + size]
        first, size = first + size, size * 2


def _noticed(subject: Subject, rule: Rule, changed: Rule, groups: list[list[Scenario]], folder: Path) -> int | None:
    """The number of the first group in which a scenario fails; None when all hold."""
    folder.mkdir()
    return next(
        (
            number
            for number, tests in enumerate(groups)
            if _fails(subject, rule, changed, tests, _new(folder / str(number)))
        ),
        None,
    )


def _fails(subject: Subject, rule: Rule, changed: Rule, tests: list[Scenario], folder: Path) -> bool:
    asked = [case.rule for test in tests for case in test.questions]
    if ALERTS in inputs(asked, subject.rules):
        asked += [one for one in subject.rules if _objects(one)]
    needed = inputs(asked, subject.rules)
    rules = [
        {key: value for key, value in (changed if one is rule else one).items() if key != "annotations"}  # fires alike
        for one in subject.rules
        if one is rule or one in asked or one.get("record") in needed
    ]
    (folder / "rules.yml").write_text(dump({"groups": [{"name": "canary", "rules": rules}]}))
    files = []
    for step in {test.world.step for test in tests}:
        path = folder / f"{step}.yml"
        path.write_text(render([test for test in tests if test.world.step == step], ["rules.yml"], step))
        files.append(path)
    return promtool("test", "rules", *files).returncode != 0


def _objects(rule: Rule) -> bool:
    """Whether a rule is one by which the tests object to an advance, or one that must not."""
    labels = rule["labels"]
    return (
        rule.get("alert") == names.SCHEMA_INCOMPATIBLE
        or (rule.get("alert") == names.HIGH_MEMORY and labels[names.ACTION] == "rollback")
        or (rule.get("alert") == names.BLIND_ALERT and labels.get(names.REASON) == "requests")
    )
