"""What is published of a KPI's evidence is about the KPI that people see."""

from dataclasses import replace

import pytest
from prometheus_client.core import CollectorRegistry

from canary import names
from canary.policy.kpis import Conversion
from exporter.evidence import judge
from exporter.evidence.judge import Action, KpiEvidence, RolloutEvidence, Trajectory, Verdict
from exporter.publish.collector import ExporterCollector, VerdictCollector
from exporter.publish.snapshot import Snapshot
from tests.support.clock import FakeClock

ABANDONMENT = Conversion(kind="conversion", from_="carts", to="orders", complement=True, tolerance=0.1)
COMPLETION = replace(ABANDONMENT, complement=False)

# Of the canary's carts, a fifth fewer become orders than of stable's; by a tenth at least, by three tenths at most.
FALL = judge.TestEvidence(Verdict.FAIL, -0.2, -0.3, -0.1, 3.0, 2.0, 100, 100, None, Trajectory.empty())


def knowledge(kpi: Conversion, stable: float | None) -> Snapshot:
    """What is known of a rollout's one KPI, when stable's value of it is this."""
    found = KpiEvidence("kpi", Verdict.FAIL, Action.HOLD, None, FALL, None, False, None)
    return Snapshot(
        "shop",
        rollout="r-1",
        evidence=RolloutEvidence(Verdict.FAIL, "kpi", None, 0.0, {"kpi": found}, None),
        role_values={} if stable is None else {"kpi": {"stable": stable}},
        policy_kpis={"kpi": kpi},
    )


def published(kpi: Conversion, stable: float | None, metric: str) -> float | None:
    """What a scrape says of the KPI."""
    snapshot = knowledge(kpi, stable)
    registry = CollectorRegistry()
    registry.register(ExporterCollector(lambda: snapshot, FakeClock()))
    return registry.get_sample_value(metric, {"service": "shop", "rollout": "r-1", "kpi": "kpi"})


@pytest.mark.parametrize(
    ("metric", "completion", "abandonment"),
    [
        (names.KPI_RELATIVE_CHANGE, -0.2, 0.3),
        (names.KPI_RELATIVE_CHANGE_LOWER, -0.3, 0.15),
        (names.KPI_RELATIVE_CHANGE_UPPER, -0.1, 0.45),
        (names.KPI_TOLERANCE, 0.1, 0.15),
    ],
)
def test_a_complements_change_is_that_of_what_is_published(metric: str, completion: float, abandonment: float) -> None:
    """Completion falls from 60 % to 48 %, so abandonment rises from 40 % to 52 %, by 30 %; so does its limit."""
    assert published(COMPLETION, 0.6, metric) == pytest.approx(completion)
    assert published(ABANDONMENT, 0.4, metric) == pytest.approx(abandonment)


def test_what_cannot_be_said_of_a_complement_is_absent() -> None:
    """Without stable's value nobody can say by how much the abandonment rose: there is no number, not a wrong one."""
    assert published(ABANDONMENT, None, names.KPI_RELATIVE_CHANGE) is None
    assert published(ABANDONMENT, None, names.KPI_TOLERANCE) is None
    assert published(COMPLETION, None, names.KPI_RELATIVE_CHANGE) == -0.2


def test_what_rolls_back_is_shown_alone_and_nothing_while_nothing_runs() -> None:
    """Scraped more often than all else, it is a few series, each with the value that it has among the others."""
    snapshot = knowledge(COMPLETION, 0.5)
    collectors = VerdictCollector(lambda: snapshot), ExporterCollector(lambda: snapshot, FakeClock())
    alone, among = ([one for family in each.collect() for one in family.samples] for each in collectors)

    assert {sample.name for sample in alone} == {names.KPI_EVIDENCE, names.KPI_PROOF}
    assert all(sample in among for sample in alone)
    assert list(VerdictCollector(lambda: Snapshot("shop")).collect()) == []
