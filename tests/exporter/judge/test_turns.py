"""In a large shop, KPIs that roll nothing back wait some seconds for their next look."""

from dataclasses import replace

import numpy as np
import pytest

from exporter.evidence.judge import JudgeParameters, Kind, KpiEvidence, KpiParameters, RolloutJudge, RolloutRows
from exporter.evidence.rows import MeanRows
from exporter.evidence.verdict import Action
from exporter.judge.turns import Turns

START = 1_700_000_000.0
KPIS = tuple(
    KpiParameters(name, Kind.MEAN, tolerance=0.1, action=action)
    for name, action in (
        ("paid", Action.ROLLBACK), ("value", Action.HOLD), ("score", Action.WARN), ("done", Action.HOLD),
    )
)  # fmt: skip


def _said(blind: dict[str, str] | None = None) -> dict[str, KpiEvidence]:
    """What a judge says of each KPI."""
    judge = RolloutJudge(JudgeParameters(started_at=START, kpis=KPIS))
    times = np.asarray([START + 1.0])
    rows = {kpi.name: MeanRows.single(times, times, np.asarray([True]), np.asarray([1.0])) for kpi in KPIS}
    return dict(judge.judge(RolloutRows(rows), [(START, 0.5)], START + 10.0, blind).kpis)


def _looked(seconds: list[float], blind: dict[float, set[str]] | None = None) -> list[set[str]]:
    """Whom each of some looks looked at."""
    turns, looked = Turns(KPIS), []
    for second in seconds:
        waiting = turns.waiting(START + second, 1, (blind or {}).get(second, set()))
        looked.append({kpi.name for kpi in KPIS} - waiting.keys())
        turns.took(START + second, _said(), waiting)
    return looked


def test_what_rolls_back_is_looked_at_each_time_and_all_others_every_five_seconds() -> None:
    """Within five looks, a second apart, everybody has had one turn, and no two of those who wait the same one."""
    first, *later = _looked([float(second) for second in range(6)])

    assert first == {"paid", "value", "score", "done"}
    assert all("paid" in one for one in later)
    assert sorted(name for one in later for name in one - {"paid"}) == ["done", "score", "value"]
    assert max(map(len, later)) == 2


def test_after_a_longer_pause_nobody_waits() -> None:
    """A judge that looks every five seconds or less often looks at everybody."""
    assert all(len(one) == len(KPIS) for one in _looked([0.0, 5.0, 11.0, 60.0]))


def test_a_kpi_that_becomes_blind_or_is_blind_no_more_does_not_wait() -> None:
    """Nobody relies for five seconds on what is not known, and nobody is kept from what is known again."""
    assert "value" in _looked([0.0, 0.1], {0.1: {"value"}})[1]

    turns = Turns(KPIS)
    turns.took(START, _said({"value": "its data are old"}), {})

    assert "value" not in turns.waiting(START + 0.1, 1, set())


@pytest.mark.parametrize(("changes", "waiting"), [(1, 3), (2, 0)])
def test_in_a_new_phase_everybody_is_looked_at(changes: int, waiting: int) -> None:
    """What the phase before said is not what the new one is advanced by."""
    turns = Turns(KPIS)
    turns.waiting(START, 1, set())
    turns.took(START, _said(), {})

    assert len(turns.waiting(START + 0.1, changes, set())) == waiting


def test_what_is_said_of_those_who_wait_is_what_was_said_last() -> None:
    """The judge repeats it word by word, and judges the others."""
    judge = RolloutJudge(JudgeParameters(started_at=START, kpis=KPIS))
    before = replace(_said()["value"], over_dispersion=2.5)

    found = judge.judge(RolloutRows({}), [(START, 0.5)], START + 10.0, waiting={"value": before})

    assert found.kpis["value"] is before
    assert found.kpis["paid"].blind_reason == "its source is missing"
