"""What the last releases add up to, as the receiver reads it from its reports."""

import dataclasses
import json
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from alertmanager.receiver.act.telling.reportfiles import ReportFiles
from alertmanager.receiver.decide.driftwatch import DriftWatch
from alertmanager.receiver.gauges import Gauges, Snapshot
from canary import names
from canary.policy.kpis import DEFAULT_KPIS
from canary.policy.model import Drift, Policy
from canary.rollout.plan.plans import Plans
from canary.threads import InlineThreads
from tests.support.receiving.deciding import Deciding


def write(folder: Path, rollout: str, kpi: str, *ends: float) -> None:
    """A report of a release with one KPI."""
    curves = zip(("relative_change", "relative_change_lower", "relative_change_upper"), ends, strict=True)
    versions = {"stable": "v1", "canary": "v2", "state": "finished", "ended_at": "2026-03-03T12:00:00Z"}
    kpis = {kpi: {name: [[0, end]] for name, end in curves}}
    text = json.dumps({"service": "shop", "rollout": rollout, **versions, "kpis": kpis})
    (folder / f"{rollout}.json").write_text(text, encoding="utf-8")


async def test_the_reports_become_metrics(tmp_path: Path) -> None:
    """Change, band, budget and number of releases by KPI; a report that is deleted no longer counts."""
    policy = dataclasses.replace(Policy(service="shop", kpis=DEFAULT_KPIS), base=str(tmp_path))
    (tmp_path / "reports").mkdir()
    write(tmp_path / "reports", "one", "conversion_rate", -0.1, -0.2, 0.0)
    write(tmp_path / "reports", "two", "cart_abandonment_rate", 0.1, 0.05, 0.2)
    registry = CollectorRegistry()
    async with Deciding.about(policy) as deciding:
        watch = DriftWatch(Plans(policy), deciding.store, ReportFiles.of(policy, InlineThreads()).past, deciding.clock)
        registry.register(Gauges("shop", lambda: Snapshot(drifts=tuple(watch.found))))

        def value(metric: str, kpi: str = "conversion_rate") -> float | None:
            return registry.get_sample_value(metric, {"service": "shop", "kpi": kpi})

        assert value(names.DRIFT_CHANGE) is None
        await watch.step()
        assert value(names.DRIFT_CHANGE) == pytest.approx(-0.1)
        assert (value(names.DRIFT_CHANGE_LOWER), value(names.DRIFT_CHANGE_UPPER)) == pytest.approx((-0.2, 0.0))
        assert value(names.DRIFT_RELEASES) == 1
        assert value(names.DRIFT_BUDGET) == pytest.approx(-0.1)
        assert value(names.DRIFT_BUDGET, "cart_abandonment_rate") == pytest.approx(0.1)

        (tmp_path / "reports" / "one.json").unlink()
        await watch.step()
        assert value(names.DRIFT_CHANGE) is None


async def test_another_budget_counts_without_a_new_report(tmp_path: Path) -> None:
    """The policy is read again at each look."""
    policy = dataclasses.replace(Policy(service="shop", kpis=DEFAULT_KPIS), base=str(tmp_path))
    (tmp_path / "reports").mkdir()
    write(tmp_path / "reports", "one", "conversion_rate", -0.1, -0.2, 0.0)
    plans = Plans(policy)
    async with Deciding.about(policy) as deciding:
        watch = DriftWatch(plans, deciding.store, ReportFiles.of(policy, InlineThreads()).past, deciding.clock)
        await watch.step()
        budgets = dataclasses.replace(policy.evidence, drift=Drift(budgets={"conversion_rate": 0.02}))
        plans.file = dataclasses.replace(policy, evidence=budgets)
        await watch.step()
        assert [one.budget for one in watch.found] == [0.02]
