"""Fisher's noncentral hypergeometric distribution, exact and for large counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import nchypergeom_fisher

from exporter.evidence.comparisons.conversion import GRID as CONVERSION_GRID
from exporter.evidence.comparisons.outcome import GRID as OUTCOME_GRID
from exporter.evidence.grid import EffectGrid, Ints, log10_evidence
from exporter.evidence.hypergeometric import exact_log_pmf, log_pmf, saddle_point_log_pmf

Table = tuple[int, int, int, int]


@st.composite
def tables(draw: st.DrawFn, largest: int = 60) -> Table:
    """Canary units, stable units, events, and canary events that fit them."""
    canary, stable = draw(st.integers(1, largest)), draw(st.integers(1, largest * 5))
    events = draw(st.integers(0, canary + stable))
    observed = draw(st.integers(max(0, events - stable), min(events, canary)))
    return canary, stable, events, observed


def columns(rows: list[Table]) -> tuple[Ints, Ints, Ints, Ints]:
    """Tables as arrays."""
    canary, stable, events, observed = np.asarray(rows, dtype=np.int64).T
    return canary, stable, events, observed


def every_outcome(canary: int, stable: int, events: int) -> list[Table]:
    """All tables with the given margins."""
    lowest, highest = max(0, events - stable), min(events, canary)
    return [(canary, stable, events, observed) for observed in range(lowest, highest + 1)]


@given(tables())
@settings(max_examples=60, deadline=None)
def test_agrees_with_the_textbook(table: Table) -> None:
    """The probabilities are scipy's, over the whole grid of odds ratios."""
    canary, stable, events, observed = table
    log_odds = np.linspace(-4.0, 4.0, 9)

    ours = np.exp(log_pmf(*columns([table]), log_odds)[0])

    theirs = nchypergeom_fisher.pmf(observed, canary + stable, canary, events, np.exp(log_odds))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-12)


@given(st.lists(tables(), min_size=1, max_size=30))
@settings(deadline=None)
def test_a_row_does_not_depend_on_its_neighbours(rows: list[Table]) -> None:
    """Many tables at once give what each gives alone, whatever their supports."""
    together = log_pmf(*columns(rows), CONVERSION_GRID.effects)

    for row, result in zip(rows, together, strict=True):
        np.testing.assert_allclose(result, log_pmf(*columns([row]), CONVERSION_GRID.effects)[0], atol=1e-9)


@given(tables())
@settings(deadline=None)
def test_swapping_the_arms_mirrors_the_odds(table: Table) -> None:
    """The canary's table at an odds ratio is stable's table at its inverse."""
    canary, stable, events, observed = table
    swapped = (stable, canary, events, events - observed)

    ours = log_pmf(*columns([table]), OUTCOME_GRID.effects)
    theirs = log_pmf(*columns([swapped]), OUTCOME_GRID.effects)

    np.testing.assert_allclose(ours, theirs[:, ::-1], atol=1e-8)


@given(tables(largest=40))
@settings(deadline=None)
@pytest.mark.parametrize("grid", [CONVERSION_GRID, OUTCOME_GRID])
def test_evidence_is_worth_exactly_one_without_harm(grid: EffectGrid, table: Table) -> None:
    """Whatever the margins, the evidence of one table has mean 1 when the arms do not differ."""
    likelihood = log_pmf(*columns(every_outcome(*table[:3])), grid.effects)
    probability = np.exp(likelihood[:, grid.null])

    mean = float(probability @ 10 ** log10_evidence(grid, likelihood))

    assert probability.sum() == pytest.approx(1.0)
    assert mean == pytest.approx(1.0)


@given(
    canary=st.integers(200, 2000), stable=st.integers(200, 20000), share=st.floats(0.02, 0.98), rank=st.floats(0.2, 0.8)
)
@settings(deadline=None)
def test_large_counts_agree_with_the_exact_sum(canary: int, stable: int, share: float, rank: float) -> None:
    """The saddle-point form is within 1e-4 of the exact sum where both can be computed."""
    events = max(150, min(canary + stable - 150, round(share * min(600, canary + stable))))
    lowest, highest = max(0, events - stable), min(events, canary)
    table = columns([(canary, stable, events, lowest + round(rank * (highest - lowest)))])
    log_odds = np.linspace(-0.7, 0.7, 15)

    np.testing.assert_allclose(saddle_point_log_pmf(*table, log_odds), exact_log_pmf(*table, log_odds), atol=1e-4)


def test_huge_counts_stay_finite_and_peaked_where_they_should() -> None:
    """A bucket of a very large shop gives finite probabilities, largest at the odds ratio it was drawn from."""
    table = columns([(500_000, 500_000, 100_000, 60_000)])

    result = log_pmf(*table, CONVERSION_GRID.effects)[0]

    assert np.isfinite(result).all()
    best = float(np.exp(CONVERSION_GRID.effects[result.argmax()]))
    assert best == pytest.approx((60 / 440) / (40 / 460), rel=0.06)
