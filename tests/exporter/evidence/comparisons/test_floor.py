"""The absolute floor on the canary alone."""

import numpy as np
import pytest

from exporter.evidence.comparisons.floor import FloorTest
from exporter.evidence.progress.timeline import Timeline
from exporter.evidence.rows import OutcomeRows
from tests.exporter.evidence.simulation import END, START, WEIGHTS, rollout

TIMELINE = Timeline.of(START, 2.0, WEIGHTS)
ALL = TIMELINE.complete(END)


def payments(seed: int, per_minute: float, **shop: float) -> OutcomeRows:
    """The payments of one simulated rollout."""
    rows = rollout(np.random.default_rng(seed), per_minute, **shop).kpis["payment_success_rate"]
    assert isinstance(rows, OutcomeRows)
    return rows


@pytest.mark.parametrize(("decline_seconds", "settle_seconds"), [(1.0, 1.0), (0.1, 300.0), (300.0, 0.1)])
def test_a_canary_at_the_floor_is_rarely_accused(decline_seconds: float, settle_seconds: float) -> None:
    """At most alpha of rollouts at the floor are accused, also when declines are known minutes before successes."""
    alpha, rollouts = 0.05, 200

    accused = 0
    for seed in range(rollouts):
        rows = payments(seed, 60.0, success=0.90, decline_seconds=decline_seconds, settle_seconds=settle_seconds)
        _, path = FloorTest(0.90, alpha, 900.0).advance(rows, TIMELINE, ALL)
        accused += bool((path.log10_evidence >= -np.log10(alpha)).any())

    # alpha * rollouts is 10; three standard deviations above it is 19.
    assert accused <= 19


def test_a_canary_far_below_the_floor_is_proven_soon() -> None:
    """At 60 % success a floor of 90 % is proven broken within a few dozen canary payments."""
    _, path = FloorTest(0.90, 0.01, 900.0).advance(payments(1, 400.0, canary_success=0.60), TIMELINE, ALL)

    proven = int(np.argmax(path.log10_evidence >= 2.0))
    assert path.log10_evidence[proven] >= 2.0
    assert path.canary_units[proven] <= 60
    assert path.lower[-1] <= 0.60 <= path.upper[-1]


def test_stable_has_no_part_in_it() -> None:
    """Whatever stable's payments do, the floor says the same."""
    rows = payments(2, 60.0)
    ruined = OutcomeRows(rows.assigned, rows.entered, rows.canary, rows.resolved, rows.failed | ~rows.canary)

    _, mine = FloorTest(0.90, 0.01).advance(rows, TIMELINE, ALL)
    _, theirs = FloorTest(0.90, 0.01).advance(ruined, TIMELINE, ALL)

    np.testing.assert_array_equal(mine.log10_evidence, theirs.log10_evidence)


def test_pending_payments_never_raise_the_evidence() -> None:
    """Units whose outcome is not known yet count as successes, so that knowing it can only add to the evidence."""
    rows = payments(3, 60.0, canary_success=0.8, decline_seconds=200.0, settle_seconds=200.0)
    known = OutcomeRows(rows.assigned, rows.entered, rows.canary, rows.entered, rows.failed)

    _, waiting = FloorTest(0.90, 0.01, 900.0).advance(rows, TIMELINE, 300)
    _, at_once = FloorTest(0.90, 0.01, 900.0).advance(known, TIMELINE, 300)

    assert waiting.log10_evidence.max() <= at_once.log10_evidence.max() + 1e-9


def test_goes_on_when_the_canary_has_all_the_traffic() -> None:
    """After promotion, units assigned under a weight of 100 % still count."""
    timeline = Timeline.of(START, 2.0, [(START, 1.0)])
    times = START + np.arange(200.0)
    everyone = np.ones(200, dtype=np.bool_)

    _, path = FloorTest(0.90, 0.01).advance(OutcomeRows(times, times, everyone, times, everyone), timeline, 100)

    assert path.log10_evidence[-1] > 10


def test_a_healthy_canary_passes_within_minutes() -> None:
    """A floor far below the truth is proven kept within the first phase, although the oldest prefixes are empty."""
    rows = payments(4, 2000.0, decline_seconds=2.0, settle_seconds=20.0)

    _, path = FloorTest(0.90, 0.01, 900.0).advance(rows, TIMELINE, TIMELINE.complete(START + 300))

    assert path.lower[-1] > 0.90
    assert path.estimate[-1] == pytest.approx(0.97, abs=0.03)


def test_what_is_pending_proves_no_health() -> None:
    """While nearly everything is pending, the lower bound stays below the floor."""
    rows = payments(5, 2000.0, decline_seconds=2000.0, settle_seconds=2000.0)

    _, path = FloorTest(0.90, 0.01, 900.0).advance(rows, TIMELINE, TIMELINE.complete(START + 300))

    assert path.lower[-1] < 0.90


def test_bounds_cover_the_truth_while_outcomes_come_late() -> None:
    """The canary's true success ratio lies within the bounds in nearly all rollouts, at every moment."""
    covered = 0
    for seed in range(60):
        rows = payments(seed, 200.0, canary_success=0.93, decline_seconds=5.0, settle_seconds=240.0)
        _, path = FloorTest(0.90, 0.05, 900.0).advance(rows, TIMELINE, ALL)
        covered += bool(((path.lower <= 0.93) & (path.upper >= 0.93)).all())

    # 3 of 60 may fail; three standard deviations more are 8.
    assert covered >= 52
