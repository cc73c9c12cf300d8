"""What is shown is a change of the rate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import betaln, xlog1py, xlogy

from exporter.evidence.comparisons.conversion import ConversionTest
from exporter.evidence.comparisons.outcome import OutcomeTest
from exporter.evidence.comparisons.rates import Hazards, Share
from exporter.evidence.progress.timeline import Timeline
from exporter.evidence.progress.trajectory import Trajectory
from exporter.evidence.rows import ConversionRows, OutcomeRows
from tests.exporter.evidence.simulation import END, START, WEIGHTS, rollout

TIMELINE = Timeline.of(START, 2.0, WEIGHTS)


@given(st.lists(st.floats(0.0, 0.9), min_size=1, max_size=8), st.floats(-4.0, 4.0))
def test_a_change_of_a_rate_is_one_that_can_be(hazards: list[float], log_ratio: float) -> None:
    """No rate falls by more than all of it or rises above one, and no ratio but one changes it."""
    rate = float(1.0 - np.prod(1.0 - np.asarray(hazards)))
    share = Share(np.asarray([rate]), np.asarray([100.0]))
    stable = Hazards(np.asarray([hazards]), share, share, share, np.zeros((2, 1)))

    converted = float(stable.conversion_change(np.asarray([log_ratio]))[0])
    spared = float(stable.survival_change(np.asarray([log_ratio]))[0])

    assert converted >= -1.0
    assert rate == 0.0 or rate * (1.0 + converted) <= 1.0 + 1e-6
    assert (1.0 - rate) * (1.0 + spared) <= 1.0 + 1e-6
    assert float(stable.conversion_change(np.asarray([0.0]))[0]) == pytest.approx(0.0)


@pytest.mark.parametrize(("conversion", "harm", "lag"), [(0.9, 0.05, 0.001), (0.2, 0.1, 60.0), (0.03, 0.2, 60.0)])
def test_the_change_shown_is_that_of_the_rate_however_frequent(conversion: float, harm: float, lag: float) -> None:
    """Nine of ten or three of a hundred: a loss of so much is shown as so much, not as that of a hazard."""
    rows = rollout(np.random.default_rng(5), 6000.0, conversion=conversion, harm=harm, lag_seconds=lag)
    visits = rows.kpis["conversion_rate"]

    assert isinstance(visits, ConversionRows)
    _, path = ConversionTest.new(0.01).advance(visits, TIMELINE, TIMELINE.complete(END))

    assert path.estimate[-1] == pytest.approx(-harm, abs=0.2 * harm + 0.005)
    assert path.lower[-1] < -harm < path.upper[-1]
    assert path.upper[-1] < 1.0 / conversion - 1.0


ALPHA = 0.05


@pytest.mark.parametrize(("happened", "units"), [(0, 10), (1, 45), (3, 45), (45, 45), (9, 300), (6000, 200_000)])
def test_a_shares_ends_are_where_the_mixture_outweighs_it(happened: int, units: int) -> None:
    """The ends that Newton's method finds are those of a slow search, with scipy's functions."""
    share = Share(np.asarray([happened / units]), np.asarray([float(units)]))

    [lower], [upper] = share.bounds(ALPHA)

    def excess(rate: float) -> float:
        mixture = betaln(happened + 0.5, units - happened + 0.5) - betaln(0.5, 0.5)
        return float(mixture - xlogy(happened, rate) - xlog1py(units - happened, -rate) + np.log(ALPHA))

    wanted = (
        brentq(excess, 1e-12, happened / units, xtol=1e-14) if happened else 0.0,
        brentq(excess, happened / units, 1.0 - 1e-12, xtol=1e-14) if happened < units else 1.0,
    )
    assert (lower, upper) == pytest.approx(wanted, rel=1e-6)


def test_a_shares_ends_hold_at_every_moment() -> None:
    """Of a thousand shares that are looked at after every unit, no more than alpha are ever left out."""
    rng = np.random.default_rng(1)
    missed = 0
    for _ in range(1000):
        units = np.arange(1.0, 401.0)
        share = Share(np.cumsum(rng.random(400) < 0.03) / units, units)
        lower, upper = share.bounds(ALPHA)
        missed += bool(((lower > 0.03) | (upper < 0.03)).any())

    assert missed <= ALPHA * 1000


def outcomes(seed: int, minutes: float, rate: float, failing: tuple[float, float]) -> Trajectory:
    """Payments at *rate* a minute, half of them the canary's; *failing* says how many do: of stable's, of its own."""
    rng = np.random.default_rng(seed)
    count = round(minutes * rate)
    entered = np.sort(START + rng.uniform(0.0, 60.0 * minutes, count))
    canary = rng.random(count) < 0.5
    failed = rng.random(count) < np.where(canary, failing[1], failing[0])
    timeline = Timeline.of(START, 1.0, [(START, 0.5)])
    test = OutcomeTest.new(0.01)
    rows = OutcomeRows(entered, entered, canary, entered + 1.0, failed)
    return test.advance(rows, timeline, timeline.complete(START + 60.0 * minutes))[1]


def test_a_canary_that_fails_beside_a_stable_that_never_does_has_changed_something() -> None:
    """Where stable has no failure at all, what is shown is the canary's own rate; a multiple of nothing is nothing."""
    for seed in range(20):
        path = outcomes(seed, 30.0, 4.0, (0.0, 0.25))

        assert path.estimate[-1] == pytest.approx(-0.25, abs=0.13)
        assert path.lower[-1] < -0.25 < path.upper[-1] + 0.05
        assert path.lower[-1] < path.estimate[-1] < path.upper[-1]


def test_few_units_without_a_failure_do_not_prove_health_and_many_do() -> None:
    """Twenty payments may all have been lucky; of two thousand none fails only where next to none does."""
    few, many = (outcomes(1, 20.0, rate, (0.0, 0.0)) for rate in (2.0, 200.0))
    some = outcomes(2, 20.0, 200.0, (0.0, 0.02))

    assert few.lower[-1] < -0.10
    assert -0.01 < many.lower[-1] < many.upper[-1] < 0.01
    assert -0.05 < some.lower[-1] < -0.02
