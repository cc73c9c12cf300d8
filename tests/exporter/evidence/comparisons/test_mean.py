"""The comparison of means."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.evidence.comparisons.mean import DECREASE_GRID, INCREASE_GRID, LEAST_UNITS, MeanTest
from exporter.evidence.grid import Bools, EffectGrid, Floats
from exporter.evidence.progress.timeline import Timeline
from exporter.evidence.progress.trajectory import Trajectory
from exporter.evidence.rows import MeanRows
from tests.exporter.evidence.simulation import END, START, WEIGHTS, weight_at

TIMELINE = Timeline.of(START, 2.0, WEIGHTS)
ALL = TIMELINE.complete(END)


def orders(seed: int, count: int, change: float = 0.0) -> MeanRows:
    """Order values whose canary mean is changed."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(START, END, count))
    canary = rng.random(count) < weight_at(times)
    return MeanRows.single(times, times, canary, rng.lognormal(4.0, 0.8, count) * np.where(canary, 1.0 + change, 1.0))


def test_says_nothing_before_each_side_has_enough_values() -> None:
    """The first row of the path has at least thirty values on each side."""
    _, path = MeanTest(0.01).advance(orders(1, 3000), TIMELINE, ALL)

    assert path.canary_units[0] >= LEAST_UNITS
    assert path.stable_units[0] >= LEAST_UNITS
    assert len(MeanTest(0.01).advance(orders(1, 40), TIMELINE, ALL)[1]) == 0


def test_a_healthy_canary_is_rarely_accused() -> None:
    """At most alpha of healthy rollouts are accused although order values are skewed."""
    alpha, rollouts = 0.05, 200

    accused = 0
    for seed in range(rollouts):
        _, path = MeanTest(alpha).advance(orders(seed, 1500), TIMELINE, ALL)
        accused += bool((path.log10_evidence >= -np.log10(alpha)).any())

    # alpha * rollouts is 10; three standard deviations above it is 19.
    assert accused <= 19


@pytest.mark.parametrize("change", [-0.2, 0.2])
def test_harm_is_found_in_the_direction_that_hurts(change: float) -> None:
    """A fall is evidence where a fall hurts, a rise where a rise does, and the estimate is near the truth."""
    _, path = MeanTest(0.01, DECREASE_GRID).advance(orders(2, 40_000, change), TIMELINE, ALL)
    _, other = MeanTest(0.01, INCREASE_GRID).advance(orders(2, 40_000, change), TIMELINE, ALL)

    accusing, silent = (path, other) if change < 0 else (other, path)
    assert accusing.log10_evidence[-1] > 5
    assert silent.log10_evidence[-1] < 0
    assert accusing.estimate[-1] == pytest.approx(change, abs=0.04)
    assert accusing.lower[-1] <= change <= accusing.upper[-1]


def test_scale_does_not_matter() -> None:
    """Cents or euros, the relative change is the same."""
    rows = orders(3, 3000)
    cents = MeanRows.single(rows.assigned, rows.observed, rows.canary, rows.value * 100)

    _, mine = MeanTest(0.01).advance(rows, TIMELINE, ALL)
    _, theirs = MeanTest(0.01).advance(cents, TIMELINE, ALL)

    np.testing.assert_allclose(mine.log10_evidence, theirs.log10_evidence, atol=1e-6)


def test_values_that_never_vary_do_not_divide_by_zero() -> None:
    """Identical scores everywhere are no difference; missing values are left out."""
    rows = orders(4, 3000)
    same = np.where(np.arange(3000) % 7 == 0, np.nan, 5.0)

    _, path = MeanTest(0.01).advance(MeanRows.single(rows.assigned, rows.observed, rows.canary, same), TIMELINE, ALL)

    assert np.isfinite(path.log10_evidence).all()
    assert path.log10_evidence[-1] < 2
    assert path.lower[-1] > -0.05


def _judged(value: Callable[[Floats, Bools], Floats], grid: EffectGrid = DECREASE_GRID) -> Trajectory:
    """What comes of a value for each customer, of uniform luck and side."""
    rows = orders(5, 3000)
    luck = np.random.default_rng(5).random(3000)
    same = MeanRows.single(rows.assigned, rows.observed, rows.canary, value(luck, rows.canary))
    return MeanTest(0.01, grid).advance(same, TIMELINE, ALL)[1]


@pytest.mark.parametrize("lost", [0.2, 0.5, 1.0])
def test_a_canary_that_changes_the_one_price_is_found(lost: float) -> None:
    """Where values never vary on either side, half the price is a loss of half, and not unknown."""
    path = _judged(lambda _, canary: np.where(canary, 10.0 - 10.0 * lost, 10.0))

    assert path.log10_evidence[-1] > 5
    assert path.estimate[-1] == pytest.approx(-lost)
    assert path.lower[-1] <= -lost <= path.upper[-1] < -0.1


@pytest.mark.parametrize("offset", [0.0, 1.0, -5.0, 1e9])
def test_a_canary_whose_values_are_all_those_of_stable_is_found_healthy(offset: float) -> None:
    """One price, all scores alike, orders that are all free: nothing has changed, and that may be known."""
    path = _judged(lambda luck, _: np.full(len(luck), offset))

    assert path.log10_evidence[-1] < 0
    assert path.estimate[-1] == 0.0
    assert -0.05 < path.lower[-1] < path.upper[-1] < 0.05


def test_one_value_that_differs_among_equal_ones_proves_nothing() -> None:
    """Of three thousand orders at one price, one at half of it on the canary is no loss of more than a hundredth."""

    def one_differs(luck: Floats, canary: Bools) -> Floats:
        value = np.full(len(luck), 10.0)
        value[np.flatnonzero(canary)[20]] = 5.0
        return value

    path = _judged(one_differs)

    assert path.log10_evidence.max() < 2
    assert path.lower[-1] < 0.0 < path.upper[-1]


def test_beside_values_of_zero_any_other_is_a_change_without_bound() -> None:
    """Seconds that were always zero and are not any more: more, by how much cannot be said in percent."""
    path = _judged(lambda _, canary: np.where(canary, 5.0, 0.0), INCREASE_GRID)

    assert path.log10_evidence[-1] > 5
    assert path.upper[-1] == np.inf


FINITE = st.floats(-1e18, 1e18)


@settings(max_examples=60, deadline=None)
@given(FINITE, FINITE, st.sampled_from([0.0, 1e-12, 0.01, 1.0, 1e6]))
def test_whatever_values_are_the_estimate_is_a_change_within_its_bounds(
    stable: float, canary: float, spread: float
) -> None:
    """Negative, huge, tiny and equal values: no NaN but where nothing is known, and no change outside its own band."""
    path = _judged(lambda luck, side: np.where(side, canary, stable) + spread * (luck - 0.5))

    assert np.isfinite(path.log10_evidence).all()
    known = np.isfinite(path.estimate)
    assert np.all(path.lower[known] <= path.estimate[known] + 0.005)
    assert np.all(path.estimate[known] <= path.upper[known] + 0.005)
    assert np.all(path.lower >= -1.0)
