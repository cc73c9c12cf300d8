"""Scenarios as promtool's files: long, and of one shape, so written line by line. PyYAML takes seconds for one."""

import json
from collections.abc import Iterable, Iterator

from canary.policy import Policy
from canary.units import format_duration
from rules.promtool.scenes import Question, Rule, Scenario, scenarios
from rules.promtool.values import text


def test_files(policy: Policy, rules: Iterable[Rule], rule_files: list[str]) -> dict[str, str]:
    """promtool's test files by name; all tests of one file are evaluated at the same interval."""
    by_step: dict[float, list[Scenario]] = {}
    for scenario in scenarios(policy, rules):
        by_step.setdefault(scenario.world.step, []).append(scenario)
    return {
        f"{policy.service}-every-{format_duration(step)}.rules.test.yml": render(found, rule_files, step)
        for step, found in sorted(by_step.items())
    }


def render(tests: list[Scenario], rule_files: list[str], step: float) -> str:
    """One promtool test file; all its tests are evaluated every *step* seconds."""
    lines = [
        "rule_files:",
        *(f"  - {name}" for name in rule_files),
        f"evaluation_interval: {format_duration(step)}",
        "tests:",
        *(line for test in tests for line in _test(test)),
    ]
    return "\n".join(lines) + "\n"


def _test(test: Scenario) -> Iterator[str]:
    yield f"  - name: {json.dumps(test.name)}"
    yield f"    interval: {format_duration(test.world.step)}"
    yield "    input_series:"
    for series, values in test.world.items():
        yield f"      - series: {_quoted(series)}"
        yield f"        values: {text(values)}"
    yield "    promql_expr_test:"
    for question in test.questions:
        yield from _question(question)


def _question(question: Question) -> Iterator[str]:
    """Asks for the series ALERTS, because an alert_rule_test would compare every word of the annotations as well."""
    rule = question.rule
    own = {"alertname": rule["alert"], "alertstate": "firing"}
    yield f"      - expr: {_quoted(_selector(own | dict(question.row.match)))}"
    yield f"        eval_time: {format_duration(question.at)}"
    if question.fires:
        yield "        exp_samples:"
        yield f"          - labels: {_quoted(_selector(own | rule['labels'] | dict(question.row.dynamic)))}"
        yield "            value: 1"
    else:
        yield "        exp_samples: []"


def _selector(labels: dict[str, str]) -> str:
    inside = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"ALERTS{{{inside}}}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
