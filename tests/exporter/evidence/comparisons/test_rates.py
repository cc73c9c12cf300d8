"""What is shown is a change of the rate."""

import numpy as np
import pytest
from hypothesis import given, settings
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
    stable = Hazards(np.asarray([hazards]), share, share, share)

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


def conversions(seed: int, rate: float, converting: tuple[float, float], lag_seconds: float) -> Trajectory:
    """Forty minutes of checkouts at *rate* a minute; *converting* is stable's share and the canary's own."""
    rng = np.random.default_rng(seed)
    count = round(40.0 * rate)
    entered = np.sort(rng.uniform(START, END - 120.0, count))
    canary = rng.random(count) < 0.5
    converts = rng.random(count) < np.where(canary, converting[1], converting[0])
    converted = np.where(converts, entered + rng.exponential(lag_seconds, count), np.nan)
    timeline = Timeline.of(START, 1.0, [(START, 0.5)])
    rows = ConversionRows(entered, entered, canary, converted)
    return ConversionTest.new(0.01).advance(rows, timeline, timeline.complete(END))[1]


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_a_canary_that_converts_fewer_beside_a_stable_that_always_does_has_changed_something(share: float) -> None:
    """Where every customer of stable converts at once, a multiple of everything is everything; a loss is shown so."""
    for seed in range(10):
        path = conversions(seed, 20.0, (1.0, share), 0.0)

        assert path.estimate[-1] == pytest.approx(share - 1.0, abs=0.2)
        assert path.lower[-1] < share - 1.0 + 1e-9 < path.upper[-1] + 0.01


def test_many_customers_who_all_convert_prove_health_and_few_do_not() -> None:
    """Where everybody converts no ratio can be told, and yet it is soon known that hardly anybody was lost."""
    few, many = (conversions(1, rate, (1.0, 1.0), 0.0) for rate in (0.5, 20.0))

    assert few.lower[-1] < -0.10
    assert -0.05 < many.lower[-1] < many.upper[-1] < 0.05


SHARES = st.sampled_from([0.0, 0.02, 0.5, 0.98, 1.0])


@settings(max_examples=30, deadline=None)
@given(SHARES, SHARES, st.sampled_from([1.0, 20.0]), st.sampled_from([0.0, 20.0]), st.integers(0, 1000))
def test_an_estimate_lies_within_its_bounds(stable: float, canary: float, rate: float, lag: float, seed: int) -> None:
    """Of nothing, of everything and between, few or many: what is shown is never outside of its own band."""
    for path in (conversions(seed, rate, (stable, canary), lag), outcomes(seed, 30.0, rate, (stable, canary))):
        known = np.isfinite(path.estimate)
        assert np.all(path.lower[known] <= path.estimate[known])
        assert np.all(path.estimate[known] <= path.upper[known])


def test_a_canary_that_only_times_out_has_lost_its_payments_as_soon_as_that_is_proven() -> None:
    """Few have waited so long when the first ones time out; what is evidence by then is shown as a loss too."""
    rng = np.random.default_rng(1)
    entered = np.sort(rng.uniform(START, START + 1100.0, 3000))
    canary = rng.random(len(entered)) < 0.1
    gives_up = np.where(canary, entered + 900.0, entered + 20.0)
    timeline = Timeline.of(START, 1.0, [(START, 0.1)])
    rows = OutcomeRows(entered, entered, canary, gives_up, canary)
    _, path = OutcomeTest.new(0.01).advance(rows, timeline, timeline.complete(START + 1100.0))

    proven = np.flatnonzero(path.log10_evidence >= 2.0)

    assert len(proven)
    assert np.all(path.estimate[proven] < -0.2)
    assert np.all(path.lower[proven] < path.estimate[proven])
