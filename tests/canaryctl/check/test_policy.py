"""The policy file as `canary check` shows it."""

from pathlib import Path

from canaryctl.check import Status
from canaryctl.check.policy import check_policy


def test_each_fault_is_a_finding_at_its_line(tmp_path: Path) -> None:
    """The place is file and line, the text names key, expectation and remedy."""
    path = tmp_path / "canary.yaml"
    path.write_text("service: shop\nkpi: {}\nnotify: {}\ndatabase: {refesh: 1s}\n", encoding="utf-8")

    policy, findings = check_policy(path)

    assert policy is None
    assert [str(finding) for finding in findings] == [
        "canary.yaml:2: kpi: unknown key; did you mean 'kpis'?",
        "canary.yaml:4: database.refesh: unknown key; did you mean 'refresh'?",
    ]
    assert {finding.status for finding in findings} == {Status.FAILED}


def test_a_valid_policy_is_summed_up(tmp_path: Path) -> None:
    """One line says what the policy is about."""
    path = tmp_path / "canary.yaml"
    path.write_text("service: shop\nkpis: {x: {kind: mean, of: orders}}\n", encoding="utf-8")

    policy, findings = check_policy(path)

    assert policy is not None
    assert str(findings[0]) == "canary.yaml: valid: service shop, KPIs x, phases 5%, 25%, 50%, 100%"


def test_a_missing_policy_is_a_finding(tmp_path: Path) -> None:
    """The path as given and the option to name another."""
    _, findings = check_policy(tmp_path / "nowhere.yaml")

    assert findings[0].place.endswith("nowhere.yaml")
    assert "name another with --config.file" in findings[0].remedy
