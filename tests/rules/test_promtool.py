"""The generated promtool tests: they pass, and leave no alert untested."""

import dataclasses
from collections import defaultdict
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
from tests.support.programs.promtool import promtool

# What each alert must be shown to do.
_ALWAYS = {"fires", "before", "limit", "missed"}
_OF_COUNTERS = {"reset", "few"}


def _policy(kind: str) -> Policy:
    if kind in golden.POLICIES:
        return golden.policy(kind)
    minimal = golden.policy("minimal")
    if kind == "kpis only":
        return dataclasses.replace(minimal, technical=False)
    changes: dict[str, Any] = {"preset": "haproxy"} if kind == "haproxy" else {"histograms": "native"}
    return dataclasses.replace(minimal, signals=dataclasses.replace(minimal.signals, **changes))


def _alerts(policy: Policy) -> list[dict[str, Any]]:
    return [rule for group in rule_groups(policy)["alerts"]["groups"] for rule in group["rules"]]


# Worlds that are about a rule's shape, which is the same whatever a policy's numbers and names, by their names' ends.
_SHAPES = (": a missed scrape", ": absent series", ": what was said of an earlier rollout", ": a counter reset")


def _drop_shapes(path: Path) -> None:
    """Leave out of a test file what the strategy's own policy has shown of the same rules."""
    found = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
    found["tests"] = [test for test in found["tests"] if not test["name"].endswith(_SHAPES)]
    path.write_text(yaml.dump(found, Dumper=yaml.CSafeDumper))


# A policy's files take promtool up to 50 s of CPU: it evaluates every rule at every step of 600 worlds. So they may
# take minutes on a busy machine, and a time-out is only there for a promtool that hangs.
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["strategy", "custom", "haproxy", "native"])
def test_promtool_runs_them(kind: str, tmp_path: Path) -> None:
    """Every case of every test file holds, against the very rule files that Prometheus loads."""
    for name, text in prometheus_files(_policy(kind)).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    files = sorted(str(path) for path in (tmp_path / "tests").iterdir())
    if kind == "custom":
        for path in files:
            _drop_shapes(Path(path))
    if kind == "haproxy":  # the other files are about what the strategy's own policy has as well
        files = [path for path in files if "haproxy_backend" in Path(path).read_text()]
    if kind == "native":  # likewise: what reads requests stands next to what reads native histograms
        files = [path for path in files if "http_requests_total" in Path(path).read_text()]
    assert files

    outcome = promtool("test", "rules", *files)

    assert outcome.returncode == 0, (outcome.stdout + outcome.stderr)[-4000:]
    assert outcome.stdout.count("SUCCESS") == len(files)


@pytest.mark.parametrize("kind", ["strategy", "minimal", "custom", "haproxy", "kpis only"])
def test_no_alert_lacks_its_cases(kind: str) -> None:
    """Each alert rule fires, just does not, waits for its time, lives through a missed scrape and misses its series.

    Those that look at counters also meet a reset, and too little traffic to say anything.
    """
    policy = _policy(kind)
    rules = _alerts(policy)
    cases: dict[str, list[Question]] = defaultdict(list)
    for test in scenarios(policy, rules):
        for case in test.questions:
            cases[_identity(case.rule)].append(case)

    for rule in rules:
        if "alert" not in rule or rule["expr"] == "vector(1)":
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
