"""The lint of dashboards: quiet on ours, and each rule finds its fault."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from canary.policy.model import Policy
from grafana import generate
from grafana.lint import RULES, lint, main
from scripts import golden

Dashboard = dict[str, Any]

# The 17 rules of dashboard-linter's lint/rules.go.
_DASHBOARD_LINTER = {
    "template-datasource-rule", "template-job-rule", "template-instance-rule", "template-label-promql-rule",
    "template-on-time-change-reload-rule", "panel-datasource-rule", "panel-title-description-rule", "panel-units-rule",
    "panel-no-targets-rule", "target-logql-rule", "target-logql-auto-rule", "target-promql-rule",
    "target-rate-interval-rule", "target-job-rule", "target-instance-rule", "target-counter-agg-rule",
    "uneditable-dashboard",
}  # fmt: skip


def _graph(dashboard: Dashboard) -> Dashboard:
    found: Dashboard = next(panel for panel in dashboard["panels"] if panel["type"] == "timeseries")
    return found


def _ask(dashboard: Dashboard, expression: str) -> None:
    _graph(dashboard)["targets"][0]["expr"] = expression


def test_generated_dashboards_are_clean(dashboards: dict[str, Dashboard]) -> None:
    """The lint has nothing to say about what we generate."""
    found = [str(finding) for name, dashboard in dashboards.items() for finding in lint(name, dashboard)]

    assert found == []


def test_no_rule_of_dashboard_linter_is_forgotten() -> None:
    """Each of its rules is implemented, or left out with a reason, in the file that dashboard-linter itself reads."""
    excluded = yaml.safe_load((golden.ROOT / ".lint").read_text())["exclusions"]

    assert set(RULES) | set(excluded) >= _DASHBOARD_LINTER
    assert not set(RULES) & set(excluded)
    assert all(entry["reason"] for entry in excluded.values())


@pytest.mark.parametrize(
    ("rule", "damage"),
    [
        ("uneditable-dashboard", lambda d: d.update(editable=True)),
        ("house-schema-rule", lambda d: d.update(schemaVersion=42)),
        ("house-schema-rule", lambda d: d.update(uid="x" * 41)),
        ("house-panel-type-rule", lambda d: _graph(d).update(type="graph")),
        ("house-empty-panel-rule", lambda d: _graph(d)["fieldConfig"]["defaults"].pop("noValue")),
        ("house-layout-rule", lambda d: _graph(d)["gridPos"].update(x=20)),
        ("house-layout-rule", lambda d: _graph(d)["gridPos"].update(y=0, x=0)),
        ("house-layout-rule", lambda d: _graph(d).update(id=d["panels"][0]["id"])),
        ("panel-datasource-rule", lambda d: _graph(d)["datasource"].update(uid="P1")),
        ("panel-datasource-rule", lambda d: _graph(d)["targets"][0]["datasource"].update(uid="P1")),
        ("panel-title-description-rule", lambda d: _graph(d).update(description="")),
        ("panel-units-rule", lambda d: _graph(d)["fieldConfig"]["defaults"].update(unit="parsecs")),
        ("panel-no-targets-rule", lambda d: _graph(d).update(targets=[])),
        ("panel-no-targets-rule", lambda d: _graph(d)["targets"][1].update(refId="A")),
        ("template-datasource-rule", lambda d: d["templating"]["list"][0].update(label="Source")),
        ("template-label-promql-rule", lambda d: d["templating"]["list"][1].update(query="label_values(up{, job)")),
        ("template-label-promql-rule", lambda d: d["templating"]["list"][1].update(query="everything(up)")),
        ("template-label-promql-rule", lambda d: d["templating"]["list"][1].update(datasource={"uid": "P1"})),
        ("template-on-time-change-reload-rule", lambda d: d["templating"]["list"][2].update(refresh=1)),
        ("house-variable-order-rule", lambda d: d["templating"]["list"].reverse()),
        ("house-variable-order-rule", lambda d: d["templating"]["list"].pop()),
        ("target-promql-rule", lambda d: _ask(d, "sum by (kpi (up)")),
        ("target-promql-rule", lambda d: _ask(d, 'up{job="$job"}')),
        ("target-promql-rule", lambda d: d["annotations"]["list"][0].update(expr="up{")),
        ("target-rate-interval-rule", lambda d: _ask(d, "rate(a_total[5m])")),
        ("target-rate-interval-rule", lambda d: _ask(d, "1 - sum(irate(a_total[$__range])) by (x)")),
        ("target-counter-agg-rule", lambda d: _ask(d, "sum by (x) (a_total) / b")),
    ],
)
def test_each_rule_finds_its_fault(
    rule: str, damage: Callable[[Dashboard], object], dashboards: dict[str, Dashboard]
) -> None:
    """A dashboard damaged in one place is found by the rule that watches it."""
    dashboard = copy.deepcopy(dashboards["canary-rollout.json"])

    damage(dashboard)

    assert rule in {finding.rule for finding in lint("x", dashboard)}


def test_a_finding_names_place_reason_and_rule(dashboards: dict[str, Dashboard]) -> None:
    """One line says where the fault is, what was expected, and which rule says so."""
    dashboard = copy.deepcopy(dashboards["canary-rollout.json"])
    dashboard["editable"] = True

    (finding,) = lint("canary-rollout.json", dashboard)

    assert str(finding) == (
        "canary-rollout.json: expected editable: false; changes in the browser would be lost with the next generation "
        "(uneditable-dashboard)"
    )


def test_the_command_says_nothing_about_a_clean_policy(capsys: pytest.CaptureFixture[str], policy: Policy) -> None:
    """`python -m grafana.lint` on the house's policy prints nothing and succeeds."""
    status = main([str(Path(policy.base) / "canary.yaml")])

    assert (status, capsys.readouterr().out) == (0, "")


def test_the_command_prints_what_it_finds(
    capsys: pytest.CaptureFixture[str], policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Findings are printed, one a line, and the exit status is 1."""
    broken = {"x.json": json.loads(generate.dashboards(policy)["canary-guard.json"]) | {"editable": True}}
    monkeypatch.setattr("grafana.lint.dashboards", lambda _: {name: json.dumps(it) for name, it in broken.items()})

    status = main([str(Path(policy.base) / "canary.yaml")])

    assert status == 1
    assert capsys.readouterr().out.count("\n") == 1
