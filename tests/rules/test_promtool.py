"""The generated promtool tests: they pass, and leave no alert untested."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from canary import names
from canary.policy import Policy
from rules.generate import alerts_file, prometheus_files, rule_groups
from rules.promtool import scenarios
from rules.promtool.scenes import Question
from scripts import golden
from tests.support.documents.policies import policy_of_kind
from tests.support.programs.promtool import promtool

# What each alert must be shown to do.
_ALWAYS = {"fires", "before", "limit", "missed"}
_OF_COUNTERS = {"reset", "few"}


def _alerts(policy: Policy) -> list[dict[str, Any]]:
    return [rule for group in rule_groups(policy)["alerts"]["groups"] for rule in group["rules"]]


# Worlds that are about a rule's shape, which is the same whatever a policy's numbers and names, by their names' ends.
_SHAPES = (": a missed scrape", ": absent series", ": what was said of an earlier rollout", ": a counter reset")

_OWN: dict[str, Callable[[Any], bool]] = {
    "custom": lambda test: not test["name"].endswith(_SHAPES),
    "haproxy": lambda test: any("haproxy_backend" in one["series"] for one in test["input_series"] or ()),
    "native": lambda test: (
        any("http_requests_total" in one["series"] for one in test["input_series"] or ())
        and not any(names.PHASE_COMPLETE in one["expr"] for one in test["promql_expr_test"] or ())
    ),
}
"""What a policy's worlds have that the strategy's own policy does not show as well; native histograms stand next to
what reads requests."""


def _keep(path: Path, own: Callable[[Any], bool]) -> None:
    """Leave out of a test file what is no policy's own; without any world left there is no file."""
    found = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
    found["tests"] = [test for test in found["tests"] if own(test)]
    if found["tests"]:
        path.write_text(yaml.dump(found, Dumper=yaml.CSafeDumper))
    else:
        path.unlink()


def _leave_out_annotations(path: Path) -> None:
    """Whether an alert fires does not hang on them, and promtool reads them anew for each world: half of its work."""
    found = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
    for group in found["groups"]:
        for rule in group["rules"]:
            rule.pop("annotations", None)
    path.write_text(yaml.dump(found, Dumper=yaml.CSafeDumper))


# A policy's files take promtool up to 50 s of CPU: it evaluates every rule at every step of 600 worlds. So they may
# take minutes on a busy machine, and a time-out is only there for a promtool that hangs.
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["strategy", "custom", "haproxy", "native"])
def test_promtool_runs_them(kind: str, tmp_path: Path) -> None:
    """Every case of every test file holds; the strategy's against the very rule files that Prometheus loads."""
    for name, text in prometheus_files(policy_of_kind(kind)).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    for path in (tmp_path / "tests").iterdir():
        if kind in _OWN:
            _keep(path, _OWN[kind])
    for path in (tmp_path / "rules").iterdir():
        if kind in _OWN:
            _leave_out_annotations(path)
    files = sorted(str(path) for path in (tmp_path / "tests").iterdir())
    assert files

    outcome = promtool("test", "rules", *files)

    assert outcome.returncode == 0, (outcome.stdout + outcome.stderr)[-4000:]
    assert outcome.stdout.count("SUCCESS") == len(files)


@pytest.mark.parametrize("kind", ["strategy", "minimal", "custom", "haproxy", "kpis only"])
def test_no_alert_lacks_its_cases(kind: str) -> None:
    """Each alert rule fires, just does not, waits for its time, lives through a missed scrape and misses its series.

    Those that look at counters also meet a reset, and too little traffic to say anything.
    """
    policy = policy_of_kind(kind)
    rules = _alerts(policy)
    cases: dict[str, list[Question]] = defaultdict(list)
    for test in scenarios(policy, rules):
        for case in test.questions:
            cases[_identity(case.rule)].append(case)

    for rule in rules:
        if "alert" not in rule or rule["alert"] == names.WATCHDOG:
            continue
        found = cases[_identity(rule)]
        kinds = {case.kind for case in found}
        assert kinds >= _ALWAYS, (rule["alert"], rule["labels"])
        assert "absent" in kinds or all(not case.row.inputs for case in found), (rule["alert"], rule["labels"])
        if any(case.row.few for case in found):
            assert kinds >= _OF_COUNTERS, (rule["alert"], rule["labels"])


def test_alerts_that_judge_a_rollout_meet_what_an_earlier_one_left() -> None:
    """Whatever is known of another rollout makes none of them fire, and is no answer where one is missing."""
    policy = golden.policy("strategy")
    rules = _alerts(policy)
    met = {
        _identity(case.rule) for test in scenarios(policy, rules) for case in test.questions if case.kind == "earlier"
    }

    acting = {
        _identity(rule)
        for rule in rules
        if "alert" in rule and rule["labels"][names.ACTION] in ("rollback", "advance") and rule["alert"] != names.DRILL
    }
    assert acting <= met


def test_alerts_on_rates_meet_resets_and_little_traffic() -> None:
    """Whatever takes a rate or an increase is tested with a counter reset."""
    policy = golden.policy("strategy")
    rules = _alerts(policy)
    recorded = {rule["record"] for rule in rules if "record" in rule and "increase" in rule["record"]}
    counting = {
        _identity(rule)
        for rule in rules
        if "alert" in rule and ("increase(" in rule["expr"] or any(name in rule["expr"] for name in recorded))
    }

    reset = {
        _identity(case.rule)
        for test in scenarios(policy, rules)
        for case in test.questions
        if case.kind == "reset" or (case.kind == "quiet" and test.name.endswith("a counter is reset"))
    }

    assert counting
    assert counting <= reset


def test_they_name_the_rule_file_that_prometheus_loads() -> None:
    """The tests are about the generated file itself, not about a copy."""
    files = prometheus_files(golden.policy("minimal"))
    tests = [text for name, text in files.items() if name.startswith("tests/")]

    assert tests
    assert all(text.startswith(f"rule_files:\n  - ../rules/{alerts_file('corner-shop')}\n") for text in tests)


def _identity(rule: Any) -> str:
    return f"{rule['alert']} {sorted(rule['labels'].items())}"
