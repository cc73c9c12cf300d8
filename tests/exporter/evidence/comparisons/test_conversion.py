"""The sequential log-rank test of units that may convert later."""

import numpy as np
import pytest

from exporter.evidence.cohorts import AGE_ENDS, COHORT_UNITS
from exporter.evidence.comparisons.conversion import GRID, ConversionTest
from exporter.evidence.grid import Floats, log10_evidence
from exporter.evidence.hypergeometric import log_pmf
from exporter.evidence.progress.timeline import Timeline
from exporter.evidence.rows import ConversionRows
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
    """An order adds its hypergeometric log-probability among those of its cohort who got as old without one."""
    entered = START + np.asarray([1.0, 1.0, 1.0, 1.0, 1.0])
    canary = np.asarray([True, True, False, False, False])
    converted = np.asarray([np.nan, START + 100.0, np.nan, START + 200.0, np.nan])

    test, path = ConversionTest.new(0.01).advance(ConversionRows(entered, entered, canary, converted), TIMELINE, ALL)

    np.testing.assert_allclose(test.likelihood, one_table(2, 3, 1, 1) + one_table(1, 3, 1, 0))
    assert len(path) == 2


def test_a_conversion_is_used_once_all_of_its_cohort_had_the_same_time() -> None:
    """An order counts when the youngest unit of its cohort has outgrown the order's class of ages."""
    entered = START + np.asarray([1.0, 299.0])
    converted = np.asarray([START + 101.0, np.nan])
    rows = ConversionRows(entered, entered, np.asarray([True, False]), converted)
    # Fifty buckets after its entry; the cohort's last bucket is the one before the weight changes.
    over = 149 + int(AGE_ENDS[np.searchsorted(AGE_ENDS, 50, side="right")])

    before, _ = ConversionTest.new(0.01).advance(rows, TIMELINE, over - 1)
    after, path = before.advance(rows, TIMELINE, over)

    assert not before.likelihood.any()
    np.testing.assert_allclose(after.likelihood, one_table(1, 1, 1, 1))
    assert path.time.tolist() == [START + 2.0 * over]


def test_classes_of_ages_wait_little() -> None:
    """No conversion waits for more than a bucket or a fifth of its age until its class is over."""
    ages = np.arange(1, 5000)

    waiting = AGE_ENDS[np.searchsorted(AGE_ENDS, ages, side="right")] - ages

    assert (waiting <= np.maximum(2, 0.2 * ages)).all()


def test_cohorts_close_by_entries_and_at_weight_changes() -> None:
    """Every cohort closed before its segment's end holds enough units, and the end closes one too."""
    test, _ = ConversionTest.new(0.01).advance(conversions(1, 60.0), TIMELINE, ALL)

    for segment in TIMELINE.segments:
        cohorts = test.cohorts[segment.index]
        ended = TIMELINE.first_bucket_from(segment.end) if np.isfinite(segment.end) else ALL + 1
        inside = cohorts.entered[:-1][cohorts.starts[1:] < ended]
        assert (inside.sum(axis=1) >= COHORT_UNITS[0]).all()
        assert ended in cohorts.starts or not np.isfinite(segment.end)


def test_cohort_boundaries_do_not_depend_on_outcomes() -> None:
    """The same entries with other outcomes make the same cohorts."""
    rows = conversions(2, 60.0)
    other = ConversionRows(rows.assigned, rows.entered, rows.canary, rows.converted[::-1].copy())

    mine, _ = ConversionTest.new(0.01).advance(rows, TIMELINE, ALL)
    theirs, _ = ConversionTest.new(0.01).advance(other, TIMELINE, ALL)

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

    mine, _ = ConversionTest.new(0.01).advance(rows, TIMELINE, ALL)
    theirs, _ = ConversionTest.new(0.01).advance(more, TIMELINE, ALL)

    np.testing.assert_array_equal(mine.likelihood, theirs.likelihood)
    assert mine.units == theirs.units


def test_swapping_the_arms_mirrors_the_likelihood() -> None:
    """Calling the canary stable and stable the canary mirrors the likelihood when the cohorts are the same."""
    rng = np.random.default_rng(4)
    timeline = Timeline.of(START, 2.0, [(START, 0.5), (START + 10, 0.6)])
    entered = START + np.sort(rng.uniform(0, 10, 36))
    canary = np.arange(36) % 2 == 0
    converted = np.where(rng.random(36) < 0.5, entered + rng.exponential(60, 36), np.nan)

    mine, _ = ConversionTest.new(0.01).advance(ConversionRows(entered, entered, canary, converted), timeline, 1000)
    theirs, _ = ConversionTest.new(0.01).advance(ConversionRows(entered, entered, ~canary, converted), timeline, 1000)

    assert mine.likelihood.any()
    np.testing.assert_allclose(mine.likelihood, theirs.likelihood[::-1], atol=1e-8)


@pytest.mark.parametrize(
    ("conversion", "lag_seconds"), [(0.1, 1.0), (0.1, 360.0), (0.1, 1800.0), (0.5, 0.001), (0.5, 10.0)]
)
def test_a_healthy_canary_is_rarely_accused(conversion: float, lag_seconds: float) -> None:
    """Evidence ever reaches 1/alpha in at most alpha of healthy rollouts, however soon and often units convert."""
    alpha, rollouts = 0.05, 200

    accused = 0
    for seed in range(rollouts):
        rows = conversions(seed, 40.0, conversion=conversion, lag_seconds=lag_seconds)
        _, path = ConversionTest.new(alpha).advance(rows, TIMELINE, ALL)
        accused += bool((path.log10_evidence >= -np.log10(alpha)).any())

    # alpha * rollouts is 10; three standard deviations above it is 19.
    assert accused <= 19


def test_mean_evidence_of_healthy_rollouts_is_at_most_one() -> None:
    """The evidence at the end of healthy rollouts averages one at most, within four standard errors."""
    evidence = []
    for seed in range(300):
        test, _ = ConversionTest.new(0.05).advance(conversions(1000 + seed, 20.0), TIMELINE, ALL)
        evidence.append(10 ** float(log10_evidence(GRID, test.likelihood)))

    mean, error = np.mean(evidence), np.std(evidence) / np.sqrt(len(evidence))
    assert mean <= 1.0 + 4.0 * error
    assert mean > 0.3


def test_a_canary_on_which_nobody_orders_is_caught() -> None:
    """A canary without a single order is proven worse although it brings no events of its own."""
    rows = conversions(5, 200.0, harm=1.0)

    _, path = ConversionTest.new(0.01).advance(rows, TIMELINE, ALL)

    assert not np.isfinite(rows.converted[rows.canary]).any()
    assert path.log10_evidence.max() > 2.0
    assert path.estimate[-1] < -0.5


def test_a_unit_whose_entry_was_folded_too_early_is_at_risk_when_it_converts() -> None:
    """A conversion of a unit that appeared after the lateness horizon cannot break the table."""
    entered = START + np.asarray([1.0, 2.0, 3.0])
    canary = np.asarray([True, False, False])
    nothing = np.full(3, np.nan)
    test, _ = ConversionTest.new(0.01).advance(ConversionRows(entered, entered, canary, nothing), TIMELINE, 100)
    late = START + np.asarray([5.0, 6.0])
    converted = START + np.asarray([300.0, 310.0])

    test, _ = test.advance(ConversionRows(late, late, np.asarray([True, True]), converted), TIMELINE, ALL)

    assert np.isfinite(test.likelihood).all()
