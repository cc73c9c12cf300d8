"""Fixed grids of effects and the log-likelihoods that live on them.

What a test keeps of its data is one log-likelihood per grid point. Sums of those are all there is to update, so looking
costs the same after a minute and after a day, and evidence, estimate and bounds are three readings of one array. A
closed form exists for each test alone; one grid for all is what lets them share every line below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

LN10 = float(np.log(10.0))


@dataclass(frozen=True, slots=True, eq=False)
class EffectGrid:
    """Effects, in ascending order with the null among them, and two priors over them.

    `effects` are log odds ratios for counts and relative changes for means; the null is 0 in both.
    `log_prior_harm` has mass on the harmful side only and is what evidence is averaged with;
    `log_prior_both` is its two-sided twin for the confidence sequence. Both sum to one.
    """

    effects: Floats
    null: int
    log_prior_harm: Floats
    log_prior_both: Floats

    @property
    def size(self) -> int:
        """Number of grid points."""
        return int(self.effects.size)


def symmetric_grid(
    spans: tuple[tuple[float, float], ...], *, sd: float, harm_sign: int, harm_mode: float = 0.0, harm_sd: float = 0.0
) -> EffectGrid:
    """A symmetric grid with normal priors.

    `spans` lists `(up to, step)` from zero outward; `harm_sign` is -1 when harm is an effect below
    the null and +1 when it is above. The two-sided prior is a normal of standard deviation `sd`
    around the null; the prior over harm is its harmful half, unless `harm_mode` and `harm_sd` put
    the weight on the harms that are worth catching.
    """
    right = [0.0]
    for end, step in spans:
        count = round((end - right[-1]) / step)
        right.extend(np.linspace(right[-1], end, count + 1)[1:].tolist())
    positive = np.asarray(right)
    effects = np.concatenate([-positive[:0:-1], positive])
    log_width = np.log(np.gradient(effects))
    both = -0.5 * (effects / sd) ** 2 + log_width
    harm = -0.5 * ((effects - harm_sign * harm_mode) / (harm_sd or sd)) ** 2 + log_width
    return EffectGrid(
        effects=effects,
        null=positive.size - 1,
        log_prior_harm=_normalised(np.where(effects * harm_sign > 0, harm, -np.inf)),
        log_prior_both=_normalised(np.where(effects != 0, both, -np.inf)),
    )


def _normalised(log_mass: Floats) -> Floats:
    normalised: Floats = log_mass - _log_sum_exp(log_mass)
    return normalised


def _log_sum_exp(values: Floats) -> Floats:
    """`log(sum(exp(values)))` along the last axis."""
    top = values.max(axis=-1, keepdims=True)
    summed: Floats = np.log(np.exp(values - top).sum(axis=-1)) + top[..., 0]
    return summed


def log10_harm_mixture(grid: EffectGrid, likelihood: Floats) -> Floats:
    """log10 of `sum_g prior[g] exp(L[g])` over the harmful effects, for one `L` or for a stack of them."""
    harmful = np.isfinite(grid.log_prior_harm)
    mixture: Floats = _log_sum_exp(likelihood[..., harmful] + grid.log_prior_harm[harmful]) / LN10
    return mixture


def log10_evidence(grid: EffectGrid, likelihood: Floats) -> Floats:
    """log10 of `E = sum_g prior[g] exp(L[g] - L[null])`, for one `L` or for a stack of them.

    Without harm, E is a non-negative supermartingale that starts at one (Robbins 1970), so that
    it ever reaches `1/alpha` with probability at most `alpha` (Ville 1939).
    """
    evidence: Floats = log10_harm_mixture(grid, likelihood) - likelihood[..., grid.null] / LN10
    return evidence


def log10_evidence_against(grid: EffectGrid, likelihood: Floats, let_pass: Bools) -> Floats:
    """log10 of the evidence against every effect in `let_pass` at once: the smallest of their own evidences.

    It reaches log10(1/alpha) exactly when the confidence sequence has left all of them behind.
    """
    best_let_pass = np.where(let_pass, likelihood, -np.inf).max(axis=-1)
    evidence: Floats = (_log_sum_exp(likelihood + grid.log_prior_both) - best_let_pass) / LN10
    return evidence


def estimate(grid: EffectGrid, likelihood: Floats) -> Floats:
    """The effect with the largest likelihood; nan where the data say nothing at all."""
    best = grid.effects[np.argmax(likelihood, axis=-1)]
    flat = likelihood.max(axis=-1) - likelihood.min(axis=-1) <= 0.0
    point: Floats = np.where(flat, np.nan, best)
    return point


def confidence_sequence(grid: EffectGrid, likelihood: Floats, alpha: float) -> tuple[Floats, Floats]:
    """Lower and upper effects not yet refuted, valid at every moment at once.

    The set `{g : log(sum_h prior[h] exp L[h]) - L[g] < log(1/alpha)}` (Howard, Ramdas et al. 2021).
    Likelihoods here are log-concave in the effect, so the set is an interval; its ends are
    interpolated between grid points, and are infinite where the grid's own edge is not refuted.
    """
    margin = likelihood - _log_sum_exp(likelihood + grid.log_prior_both)[..., None] - np.log(alpha)
    lower = _first_crossing(grid.effects, margin)
    upper = -_first_crossing(-grid.effects[::-1], margin[..., ::-1])
    return lower, upper


def _first_crossing(effects: Floats, margin: Floats) -> Floats:
    """Where `margin` first turns positive, walking along ascending `effects`."""
    inside = margin > 0
    # A grid coarser than a very sharp likelihood may hold no inside point: its best point stands in.
    first = np.where(inside.any(axis=-1), inside.argmax(axis=-1), margin.argmax(axis=-1))
    before = np.maximum(first - 1, 0)
    high = np.take_along_axis(margin, first[..., None], axis=-1)[..., 0]
    low = np.take_along_axis(margin, before[..., None], axis=-1)[..., 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(high > low, np.clip(high / (high - low), 0.0, 1.0), 0.0)
    crossing = effects[first] - share * (effects[first] - effects[before])
    ends: Floats = np.where(first == 0, -np.inf, crossing)
    return ends


@dataclass(frozen=True, slots=True, eq=False)
class Likelihood:
    """The log-likelihood of one KPI over its grid: additive over data, and all that is kept of it."""

    grid: EffectGrid
    values: Floats

    @classmethod
    def empty(cls, grid: EffectGrid) -> Likelihood:
        """The likelihood of no data."""
        return cls(grid, np.zeros(grid.size))

    def __add__(self, other: Likelihood) -> Likelihood:
        """The likelihood of both sets of data; both must live on the same grid."""
        return Likelihood(self.grid, self.values + other.values)

    @property
    def evidence(self) -> float:
        """log10 of the evidence of harm."""
        return float(log10_evidence(self.grid, self.values))

    @property
    def estimate(self) -> float:
        """The best-supported effect, nan without data."""
        return float(estimate(self.grid, self.values))

    def confidence_sequence(self, alpha: float) -> tuple[float, float]:
        """The effects not refuted at level `alpha`."""
        lower, upper = confidence_sequence(self.grid, self.values, alpha)
        return float(lower), float(upper)
