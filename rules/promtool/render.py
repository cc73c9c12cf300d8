"""Trial files as text. Long, and of one shape, they are written line by line: PyYAML takes seconds for one."""

import json
from collections.abc import Iterator

from canary.units import format_duration
from rules.promtool.case import Case, Trial
from rules.promtool.values import text


def render(tests: list[Trial], rule_files: list[str], step: float) -> str:
    """One promtool test file; all its tests are evaluated every *step* seconds."""
    lines = [
        "rule_files:",
        *(f"  - {name}" for name in rule_files),
        f"evaluation_interval: {format_duration(step)}",
        "tests:",
        *(line for test in tests for line in _test(test)),
    ]
    return "\n".join(lines) + "\n"


def _test(test: Trial) -> Iterator[str]:
    yield f"  - name: {json.dumps(test.name)}"
    yield f"    interval: {format_duration(test.world.step)}"
    yield "    input_series:"
    for series, values in test.world.items():
        yield f"      - series: {_quoted(series)}"
        yield f"        values: {text(values)}"
    yield "    promql_expr_test:"
    for case in test.cases:
        yield from _question(case)


def _question(case: Case) -> Iterator[str]:
    """Asks for the series ALERTS, because an alert_rule_test would compare every word of the annotations as well."""
    rule = case.rule
    own = {"alertname": rule["alert"], "alertstate": "firing"}
    yield f"      - expr: {_quoted(_selector(own | dict(case.recipe.match)))}"
    yield f"        eval_time: {format_duration(case.at)}"
    if case.fires:
        yield "        exp_samples:"
        yield f"          - labels: {_quoted(_selector(own | rule['labels'] | dict(case.recipe.dynamic)))}"
        yield "            value: 1"
    else:
        yield "        exp_samples: []"


def _selector(labels: dict[str, str]) -> str:
    inside = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"ALERTS{{{inside}}}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
