"""Grids of effects and the likelihoods on them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.evidence.comparisons.conversion import GRID as CONVERSION_GRID
from exporter.evidence.comparisons.floor import GRID as FLOOR_GRID
from exporter.evidence.comparisons.mean import DECREASE_GRID, INCREASE_GRID
from exporter.evidence.comparisons.mismatch import GRID as MISMATCH_GRID
from exporter.evidence.comparisons.outcome import GRID as OUTCOME_GRID
from exporter.evidence.grid import EffectGrid, Likelihood, confidence_sequence, log10_evidence, log10_evidence_against

GRIDS = [CONVERSION_GRID, OUTCOME_GRID, FLOOR_GRID, DECREASE_GRID, INCREASE_GRID, MISMATCH_GRID]


def normal(grid: EffectGrid, observed: float, precision: float) -> Likelihood:
    """The likelihood of an effect observed with a normal error."""
    return Likelihood(grid, -0.5 * precision * (grid.effects - observed) ** 2)


@pytest.mark.parametrize("grid", GRIDS)
def test_priors_are_probabilities_and_keep_to_their_side(grid: EffectGrid) -> None:
    """Both priors sum to one, the harmful one has no mass at the null or beyond it, and grids are symmetric."""
    harmful = np.exp(grid.log_prior_harm)

    assert harmful.sum() == pytest.approx(1.0)
    assert np.exp(grid.log_prior_both).sum() == pytest.approx(1.0)
    assert grid.effects[grid.null] == 0.0
    assert len({float(sign) for sign in np.sign(grid.effects[harmful > 0])}) == 1
    np.testing.assert_allclose(grid.effects, -grid.effects[::-1])


@pytest.mark.parametrize("grid", GRIDS)
def test_no_data_say_nothing(grid: EffectGrid) -> None:
    """Without data the evidence is 1, the estimate unknown and no effect refuted."""
    empty = Likelihood.empty(grid)

    assert empty.evidence == pytest.approx(0.0, abs=1e-12)
    assert np.isnan(empty.estimate)
    assert empty.confidence_sequence(0.01) == (-np.inf, np.inf)


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(0.1, 50)), min_size=2, max_size=6),
    st.integers(1, 5),
)
def test_likelihoods_add_up_in_any_grouping(pieces: list[tuple[float, float]], split: int) -> None:
    """Evidence of all data is that of the sum of the parts, however the data were cut up."""
    parts = [normal(OUTCOME_GRID, *piece) for piece in pieces]
    whole = sum(parts[1:], parts[0])
    cut = min(split, len(parts) - 1)

    left = sum(parts[1:cut], parts[0])
    right = sum(parts[cut + 1 :], parts[cut])

    assert (left + right).evidence == pytest.approx(whole.evidence)
    assert (right + left).confidence_sequence(0.05) == pytest.approx(whole.confidence_sequence(0.05))


@given(st.floats(-1, 1), st.floats(5, 5000), st.floats(0.001, 0.2))
def test_bounds_surround_the_estimate_and_widen_with_certainty(observed: float, precision: float, alpha: float) -> None:
    """The confidence sequence holds its estimate, and asking for more certainty never narrows it."""
    likelihood = normal(OUTCOME_GRID, observed, precision)

    lower, upper = likelihood.confidence_sequence(alpha)
    wider_lower, wider_upper = likelihood.confidence_sequence(alpha / 10)

    assert lower <= likelihood.estimate <= upper
    assert wider_lower <= lower
    assert wider_upper >= upper


@given(st.floats(-1, 1), st.floats(5, 5000))
def test_mirrored_data_give_mirrored_bounds(observed: float, precision: float) -> None:
    """Swapping the arms mirrors the confidence sequence."""
    lower, upper = normal(OUTCOME_GRID, observed, precision).confidence_sequence(0.01)
    mirrored = normal(OUTCOME_GRID, -observed, precision).confidence_sequence(0.01)

    assert mirrored == pytest.approx((-upper, -lower))


@given(st.floats(-1, 1), st.floats(5, 5000), st.floats(0.01, 0.5))
def test_evidence_against_a_band_agrees_with_the_bounds(observed: float, precision: float, band: float) -> None:
    """The evidence against a band reaches 1/alpha exactly when no effect in the band is left unrefuted."""
    grid, alpha = MISMATCH_GRID, 0.01
    values = normal(grid, observed, precision).values
    let_pass = np.abs(grid.effects) <= band

    proven = log10_evidence_against(grid, values, let_pass) >= -np.log10(alpha)
    lower, upper = confidence_sequence(grid, values, alpha)
    step = 0.06

    if proven:
        assert lower >= band - step or upper <= -band + step
    else:
        assert lower <= band + step
        assert upper >= -band - step


def test_evidence_grows_with_harm_only() -> None:
    """A harmful observation raises the evidence far over 1, its mirror image sinks it below 1."""
    harmful = float(log10_evidence(OUTCOME_GRID, normal(OUTCOME_GRID, 1.5, 40.0).values))
    mirrored = float(log10_evidence(OUTCOME_GRID, normal(OUTCOME_GRID, -1.5, 40.0).values))

    assert harmful > 10
    assert mirrored < 0
