"""The first minutes after a change of the weight."""

import numpy as np
import pytest

from exporter.evidence.judge import JudgeParameters, Kind, KpiParameters, RolloutJudge, RolloutRows
from exporter.evidence.progress.timeline import Timeline
from exporter.evidence.progress.warmup import Warmup
from exporter.evidence.rows import ConversionRows, MeanRows, OutcomeRows, Rows
from exporter.evidence.verdict import Verdict

WARMUP = Warmup(Timeline.of(0.0, 1.0, [(0.0, 0.05), (300.0, 0.5)]), 60.0)
INSIDE, OUTSIDE = np.asarray([310.0]), np.asarray([370.0])
BEFORE, CANARY = np.asarray([200.0]), np.asarray([True])


@pytest.mark.parametrize(("happened", "known"), [(INSIDE, False), (OUTSIDE, True)])
def test_what_happens_in_it_does_not_happen(happened: np.ndarray, known: bool) -> None:
    """A failure, an order or a value of somebody who came before is only known outside of it."""
    failure = WARMUP.happened(OutcomeRows(BEFORE, BEFORE, CANARY, happened, CANARY))
    order = WARMUP.happened(ConversionRows(BEFORE, BEFORE, CANARY, happened))
    value = WARMUP.happened(MeanRows(BEFORE, happened, CANARY, BEFORE, BEFORE, BEFORE))

    assert isinstance(failure, OutcomeRows)
    assert isinstance(order, ConversionRows)
    assert isinstance(value, MeanRows)
    assert bool(failure.failed[0]) is known
    assert np.isfinite(order.converted[0]) == known
    assert np.isfinite(value.observed[0]) == known


def test_who_comes_in_it_is_no_unit() -> None:
    """Neither whose first entry falls into it nor who only then begins what the KPI counts."""
    times = np.asarray([200.0, 200.0, 310.0])
    entered = np.asarray([200.0, 310.0, 400.0])
    rows: Rows = ConversionRows(times, entered, np.ones(3, dtype=np.bool_), np.full(3, np.nan))

    assert WARMUP.without(RolloutRows({"kpi": rows})).kpis["kpi"].entered.tolist() == [200.0]


@pytest.mark.parametrize("kind", [Kind.SUCCESS, Kind.CONVERSION])
def test_a_floor_is_passed_by_who_was_known_in_it(kind: Kind) -> None:
    """All succeed, after as long as the warm-up lasts: what was known in it is neither open for ever nor failed."""
    entered = np.arange(0.0, 900.0, 0.5)
    canary = np.arange(len(entered)) % 2 == 0
    known, failed = entered + 60.0, np.zeros(len(entered), dtype=np.bool_)
    rows: Rows = OutcomeRows(entered, entered, canary, known, failed)
    if kind is Kind.CONVERSION:
        rows = ConversionRows(entered, entered, canary, known)
    kpi = KpiParameters("kpi", kind, floor=0.9, pending_timeout_seconds=120.0)
    judge = RolloutJudge(JudgeParameters(started_at=0.0, kpis=(kpi,), warmup_seconds=60.0))
    weights = [(0.0, 0.4), (300.0, 0.5), (600.0, 0.5001)]

    floor = judge.judge(RolloutRows({"kpi": rows}), weights, 1100.0).kpis["kpi"].floor

    assert floor is not None
    assert (floor.verdict, floor.estimate) == (Verdict.PASS, 1.0)
