"""The sequential log-rank test of units that may convert later."""

import numpy as np
import pytest

from exporter.evidence.conversion import COHORT_CANARY_UNITS, COHORT_STABLE_UNITS, GRID, ConversionTest
from exporter.evidence.grid import Floats, log10_evidence
from exporter.evidence.hypergeometric import log_pmf
from exporter.evidence.rows import ConversionRows
from exporter.evidence.timeline import Timeline
from tests.exporter.evidence.simulation import END, START, WEIGHTS, rollout

TIMELINE = Timeline.of(START, 2.0, WEIGHTS)
ALL = TIMELINE.complete(END)


def conversions(seed: int, per_minute: float, **shop: float) -> ConversionRows:
    """The visits of one simulated rollout."""
    rows = rollout(np.random.default_rng(seed), per_minute, **shop).kpis["conversion_rate"]
    assert isinstance(rows, ConversionRows)
    return rows


def one_table(canary: int, stable: int, events: int, canary_events: int) -> Floats:
    """The log-probability of one table over the grid."""
    table = np.asarray([[canary], [stable], [events], [canary_events]])
    likelihood: Floats = log_pmf(table[0], table[1], table[2], table[3], GRID.effects)[0]
    return likelihood


def test_one_conversion_weighs_what_the_formula_says() -> None:
    """One order among known numbers at risk adds exactly its hypergeometric log-probability."""
    entered = START + np.asarray([1.0, 2.0, 3.0, 4.0, 5.0])
    canary = np.asarray([True, True, False, False, False])
    converted = np.asarray([np.nan, START + 100.0, np.nan, START + 200.0, np.nan])

    test, path = ConversionTest(0.01).advance(ConversionRows(entered, entered, canary, converted), TIMELINE, ALL)

    first = one_table(2, 3, 1, 1)
    second = one_table(1, 3, 1, 0)
    np.testing.assert_allclose(test.likelihood, first + second)
    assert path.time.tolist() == [START + 102.0, START + 202.0]


def test_cohorts_close_by_age_and_entries_and_at_weight_changes() -> None:
    """Every closed cohort is a minute old, holds enough of both sides, and stays within its segment."""
    test, _ = ConversionTest(0.01).advance(conversions(1, 60.0), TIMELINE, ALL)

    for segment, cohorts in test.cohorts.items():
        closed = cohorts.entered[:-1]
        assert (np.diff(cohorts.starts) >= 30).all()
        assert (closed[:, 0] >= COHORT_CANARY_UNITS).all()
        assert (closed[:, 1] >= COHORT_STABLE_UNITS).all()
        assert cohorts.starts[0] == TIMELINE.bucket(np.asarray([TIMELINE.segments[segment].start]))[0]


def test_cohort_boundaries_do_not_depend_on_outcomes() -> None:
    """The same entries with other outcomes make the same cohorts."""
    rows = conversions(2, 60.0)
    other = ConversionRows(rows.assigned, rows.entered, rows.canary, rows.converted[::-1].copy())

    mine, _ = ConversionTest(0.01).advance(rows, TIMELINE, ALL)
    theirs, _ = ConversionTest(0.01).advance(other, TIMELINE, ALL)

    for segment, cohorts in mine.cohorts.items():
        assert cohorts.starts.tolist() == theirs.cohorts[segment].starts.tolist()


def test_units_from_before_the_rollout_do_not_count() -> None:
    """Visits that began before the rollout change nothing, even if they order during it."""
    rows = conversions(3, 60.0)
    early = np.full(50, START - 30.0)
    more = ConversionRows(
        np.concatenate([early, rows.assigned]),
        np.concatenate([early, rows.entered]),
        np.concatenate([np.zeros(50, dtype=np.bool_), rows.canary]),
        np.concatenate([early + 90.0, rows.converted]),
    )

    mine, _ = ConversionTest(0.01).advance(rows, TIMELINE, ALL)
    theirs, _ = ConversionTest(0.01).advance(more, TIMELINE, ALL)

    np.testing.assert_array_equal(mine.likelihood, theirs.likelihood)
    assert mine.units == theirs.units


def test_swapping_the_arms_mirrors_the_likelihood() -> None:
    """Calling the canary stable and stable the canary mirrors the likelihood, cohorts being equal."""
    rng = np.random.default_rng(4)
    timeline = Timeline.of(START, 2.0, [(START, 0.5)])
    entered = START + np.sort(rng.uniform(0, 55, 200))
    canary = np.arange(200) % 2 == 0
    converted = np.where(rng.random(200) < 0.3, entered + rng.exponential(60, 200), np.nan)

    mine, _ = ConversionTest(0.01).advance(ConversionRows(entered, entered, canary, converted), timeline, 1000)
    theirs, _ = ConversionTest(0.01).advance(ConversionRows(entered, entered, ~canary, converted), timeline, 1000)

    # The cohort closes after the last entry here, so that both sides' minima play no part.
    assert all(len(cohorts.starts) <= 2 for cohorts in mine.cohorts.values())
    np.testing.assert_allclose(mine.likelihood, theirs.likelihood[::-1], atol=1e-8)


@pytest.mark.parametrize("lag_seconds", [1.0, 360.0, 1800.0])
def test_a_healthy_canary_is_rarely_accused(lag_seconds: float) -> None:
    """Evidence ever reaches 1/alpha in at most alpha of healthy rollouts, whatever the lag of orders."""
    alpha, rollouts = 0.05, 200

    accused = 0
    for seed in range(rollouts):
        _, path = ConversionTest(alpha).advance(conversions(seed, 40.0, lag_seconds=lag_seconds), TIMELINE, ALL)
        accused += bool((path.log10_evidence >= -np.log10(alpha)).any())

    # alpha * rollouts is 10; three standard deviations above it is 19.
    assert accused <= 19


def test_mean_evidence_of_healthy_rollouts_is_at_most_one() -> None:
    """The evidence at the end of healthy rollouts averages one at most, within four standard errors."""
    evidence = []
    for seed in range(300):
        test, _ = ConversionTest(0.05).advance(conversions(1000 + seed, 20.0), TIMELINE, ALL)
        evidence.append(10 ** float(log10_evidence(GRID, test.likelihood)))

    mean, error = np.mean(evidence), np.std(evidence) / np.sqrt(len(evidence))
    assert mean <= 1.0 + 4.0 * error
    assert mean > 0.3


def test_a_canary_on_which_nobody_orders_is_caught() -> None:
    """A canary without a single order is proven worse although it brings no events of its own."""
    rows = conversions(5, 200.0, harm=1.0)

    _, path = ConversionTest(0.01).advance(rows, TIMELINE, ALL)

    assert not np.isfinite(rows.converted[rows.canary]).any()
    assert path.log10_evidence.max() > 2.0
    assert path.estimate[-1] < -0.5


def test_a_unit_whose_entry_was_folded_too_early_is_at_risk_when_it_converts() -> None:
    """A conversion of a unit that appeared after the lateness horizon cannot break the table."""
    entered = START + np.asarray([1.0, 2.0, 3.0])
    canary = np.asarray([True, False, False])
    nothing = np.full(3, np.nan)
    test, _ = ConversionTest(0.01).advance(ConversionRows(entered, entered, canary, nothing), TIMELINE, 100)
    late = START + np.asarray([5.0, 6.0])
    converted = START + np.asarray([300.0, 310.0])

    test, _ = test.advance(ConversionRows(late, late, np.asarray([True, True]), converted), TIMELINE, ALL)

    assert np.isfinite(test.likelihood).all()
