"""Cohorts close by the number of their units alone; anything else lets sides choose who is compared."""

import numpy as np

from exporter.evidence.cohorts import COHORT_UNITS, Cohorts, EnteredUnits, Tables, fold
from exporter.evidence.grid import Bools, Floats, Ints
from exporter.evidence.hypergeometric import log_pmf
from exporter.evidence.progress.timeline import Timeline

WEIGHT, THETA, FIRST_FAILURE, SEQUENCES = 0.05, 6.0, 15, 40_000
"""A provider fails for everybody from the sixteenth unit of a stratum on; nothing is wrong with the canary."""


def _factors(closed_after: Ints, canary: Bools) -> Floats:
    """P_theta / P_1 of each sequence's first stratum."""
    position = np.arange(canary.shape[1])
    inside = position < closed_after[:, None]
    failed = inside & (position >= FIRST_FAILURE)
    n_c, n = (inside & canary).sum(axis=1), inside.sum(axis=1)
    m, x = failed.sum(axis=1), (failed & canary).sum(axis=1)
    terms = log_pmf(n_c, n - n_c, m, x, np.asarray([0.0, np.log(THETA)]))
    return np.exp(terms[:, 1] - terms[:, 0])


def test_a_stratum_that_closes_by_number_is_a_fair_bet_and_one_that_looks_at_sides_is_not() -> None:
    """The mean factor is one by number; closing with the first canary unit after ten stable ones it is far above."""
    canary = np.random.default_rng(1).random((SEQUENCES, 400)) < WEIGHT
    enough = (np.cumsum(canary, axis=1) >= 1) & (np.cumsum(~canary, axis=1) >= 10)
    by_side = _factors(enough.argmax(axis=1) + 1, canary)
    by_number = _factors(np.full(SEQUENCES, COHORT_UNITS[1]), canary)

    error = by_number.std() / np.sqrt(SEQUENCES)
    assert abs(by_number.mean() - 1.0) < 4.0 * error
    assert by_side.mean() > 1.3


def test_the_judges_own_cohorts_are_fair_bets() -> None:
    """However often a provider begins to fail for everybody, what a cohort multiplies evidence by has mean one."""
    rng = np.random.default_rng(3)
    timeline = Timeline.of(0.0, 1.0, [(0.0, WEIGHT)])
    entered = np.arange(400_000)
    canary = rng.random(len(entered)) < WEIGHT
    failed = entered // 47 % 2 == 1  # begins and ends anywhere within a cohort
    until = len(entered)

    units = EnteredUnits(entered, canary, np.where(failed, entered, 1 << 40))
    _, tables, _ = fold(Cohorts.first(timeline.segments[0], timeline), units, timeline, 0, until, [])

    told = Tables.together([tables])  # without cohorts that have one side only, which multiply by one
    terms = log_pmf(told.canary, told.stable, told.events, told.canary_events, np.asarray([0.0, np.log(THETA)]))
    factors = np.exp(terms[:, 1] - terms[:, 0])
    assert len(factors) > 3_000
    assert abs(factors.mean() - 1.0) < 4.0 * factors.std() / np.sqrt(len(factors))


def test_the_last_unit_of_a_cohort_is_the_canarys_as_often_as_any() -> None:
    """Sides know nothing of where a cohort ends: the canary's share of last units is its weight."""
    rng = np.random.default_rng(2)
    timeline = Timeline.of(0.0, 1.0, [(0.0, WEIGHT)])
    entered = np.cumsum(1 + rng.poisson(2.0, 60_000)).astype(np.int64)
    canary = rng.random(len(entered)) < WEIGHT
    until = int(entered[-1]) + 1
    units = EnteredUnits(entered, canary, np.full(len(entered), 1 << 40))

    cohorts, _, _ = fold(Cohorts.first(timeline.segments[0], timeline), units, timeline, 0, until, [])

    last = np.searchsorted(entered, cohorts.starts[1:]) - 1
    sizes = cohorts.entered[:-1].sum(axis=1)
    assert (sizes >= COHORT_UNITS[0]).all()
    assert sizes[1:].max() <= COHORT_UNITS[1]
    error = np.sqrt(WEIGHT * (1 - WEIGHT) / len(last))
    assert abs(canary[last].mean() - WEIGHT) < 4.0 * error
