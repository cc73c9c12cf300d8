"""Means (order value, checkout seconds, satisfaction): differences within strata, normal in the limit.

A unit is a customer, with the mean of the customer's values. Each stratum gives the difference of its
two sides' means; differences are weighted by their precision and mixed over a grid of relative
effects. The variance is plugged in, so the bounds hold asymptotically (Waudby-Smith et al. 2021) and
nothing is said before each side has 30 units.

Values may never vary: a shop with one price, scores that are all the best. Of n units that are all alike another one
may still differ, so variance counts as at least that of one among n that is off by all of the mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from exporter.evidence.grid import (
    EffectGrid,
    Floats,
    Ints,
    confidence_sequence,
    estimate,
    log10_evidence,
    symmetric_grid,
)
from exporter.evidence.progress.timeline import Timeline
from exporter.evidence.progress.trajectory import Trajectory
from exporter.evidence.rows import MeanRows

_SPANS = ((0.3, 0.005), (1.0, 0.05), (4.0, 0.25))
"""Relative changes: half a percent apart where tolerances lie."""
DECREASE_GRID = symmetric_grid(_SPANS, sd=0.2, harm_sign=-1)
INCREASE_GRID = symmetric_grid(_SPANS, sd=0.2, harm_sign=+1)

STRATUM_UNITS = 20
"""Units that close a stratum, whichever side they are on: a size that looked at sides would depend on them. A stratum
of so many loses a twentieth of what its units could tell."""
LEAST_UNITS = 30
"""Units a side must have before its mean counts as normal."""

_ROUNDING = 1e-12
"""What remains of equal values' squares when their mean's are taken off, at most so much of them."""

# Columns of the sums: units, their means and squared means, of the canary, then of stable.
_N_C, _SUM_C, _SQUARES_C, _N_S, _SUM_S, _SQUARES_S = range(6)


@dataclass(frozen=True, slots=True, eq=False)
class Strata:
    """The strata of one segment.

    Attributes:
        ends: when the last unit of each closed stratum entered; later ones belong to the next.
        sizes: canary and stable units of each closed stratum.
        open: sums over the units of the stratum that is still filling.
    """

    ends: Floats = field(default_factory=lambda: np.zeros(0))
    sizes: Floats = field(default_factory=lambda: np.zeros((0, 2)))
    open: Floats = field(default_factory=lambda: np.zeros(6))


@dataclass(frozen=True, slots=True, eq=False)
class MeanTest:
    """The comparison of one mean, all buckets before `bucket` folded in; immutable."""

    alpha: float
    grid: EffectGrid = DECREASE_GRID
    bucket: int = 0
    strata: Mapping[int, Strata] = field(default_factory=dict)
    totals: Floats = field(default_factory=lambda: np.zeros(6))
    """Sums over the closed strata."""
    weighted: Floats = field(default_factory=lambda: np.zeros(2))
    """Sum of the strata's weights (1 / (1/n_c + 1/n_s)) and of weight times difference."""
    dispersion: float = 1.0
    """By what likelihoods are divided where units are not customers: rows of one hang together."""

    def dispersed(self, factor: float) -> MeanTest:
        """The same, from now on with likelihoods divided by the over-dispersion of its units."""
        return replace(self, dispersion=factor)

    def advance(self, rows: MeanRows, timeline: Timeline, until: int) -> tuple[MeanTest, Trajectory]:
        """Fold the buckets up to `until`; `rows` holds at least the values observed in them."""
        if until <= self.bucket:
            return self, Trajectory.empty()
        observed = timeline.bucket(rows.observed)
        segment_of = timeline.segment_of(rows.assigned)
        wanted = (observed >= self.bucket) & (observed < until) & np.isfinite(rows.value)
        strata = dict(self.strata)
        news = [np.zeros((0, 9))]
        for segment in timeline.segments:
            if segment.comparable:
                inside = np.flatnonzero(wanted & (segment_of == segment.index))
                inside = inside[np.argsort(rows.observed[inside], kind="stable")]
                known = strata.get(segment.index, Strata())
                strata[segment.index], found = _fold(known, rows, inside, observed[inside])
                news.append(found)
        news_in_order = np.concatenate(news)
        news_in_order = news_in_order[np.argsort(news_in_order[:, 0], kind="stable")]
        buckets = news_in_order[:, 0].astype(np.int64)
        sums = np.cumsum(news_in_order[:, 1:], axis=0)
        weighted, totals = self.weighted + sums[:, :2], self.totals + sums[:, 2:]
        test = replace(self, bucket=until, strata=strata)
        if len(sums):
            test = replace(test, totals=totals[-1], weighted=weighted[-1])
        last = np.flatnonzero(np.diff(buckets, append=np.iinfo(np.int64).max))
        ready = last[(totals[last, _N_C] >= LEAST_UNITS) & (totals[last, _N_S] >= LEAST_UNITS)]
        return test, self._trajectory(timeline.end_of(buckets[ready]), totals[ready], weighted[ready])

    @property
    def units(self) -> tuple[int, int]:
        """Canary and stable units, those of strata that are still filling included."""
        sums = self.totals + sum((known.open for known in self.strata.values()), np.zeros(6))
        return int(sums[_N_C]), int(sums[_N_S])

    def _trajectory(self, time: Floats, totals: Floats, weighted: Floats) -> Trajectory:
        n_c, n_s = totals[:, _N_C], totals[:, _N_S]
        within = totals[:, _SQUARES_C] - totals[:, _SUM_C] ** 2 / n_c
        within += totals[:, _SQUARES_S] - totals[:, _SUM_S] ** 2 / n_s
        scale, within = _scale(totals, np.maximum(within, 0.0))
        variance = np.maximum(within / (n_c + n_s - 2.0), np.where(scale**2 > 0.0, scale**2 / (n_c + n_s), 1.0))
        effect = self.grid.effects
        precision = (weighted[:, 0] * scale**2 / variance)[:, None]
        observed = (weighted[:, 1] * scale / variance)[:, None]
        path = (observed * effect - 0.5 * precision * effect**2) / self.dispersion
        lower, upper = confidence_sequence(self.grid, path, self.alpha)
        return Trajectory.plain(
            time=time,
            estimate=np.maximum(estimate(self.grid, path), -1.0),
            lower=np.maximum(lower, -1.0),  # nothing falls by more than all of it
            upper=np.maximum(upper, -1.0),
            log10_evidence=log10_evidence(self.grid, path),
            canary_units=n_c.astype(np.int64),
            stable_units=n_s.astype(np.int64),
        )


def _scale(totals: Floats, within: Floats) -> tuple[Floats, Floats]:
    """What changes are relative to, stable's mean, and the squares within both sides without what is rounding.

    Next to a mean of zero any other is as large a change as the grid knows; where all values are zero nothing changed.
    """
    stable, canary = (np.abs(totals[:, value] / totals[:, units]) for value, units in ((_SUM_S, _N_S), (_SUM_C, _N_C)))
    within = np.where(within > _ROUNDING * (totals[:, _SQUARES_C] + totals[:, _SQUARES_S]), within, 0.0)
    next_to_zero = np.where(canary > 0.0, canary / _SPANS[-1][0], np.where(within > 0.0, 0.0, 1.0))
    return np.where(stable > 0.0, stable, next_to_zero), within


def _fold(known: Strata, rows: MeanRows, order: Ints, observed: Ints) -> tuple[Strata, Floats]:
    """The strata with more rows, and what these change: bucket, then the changes of `weighted` and of `totals`.

    Every change is linear in a unit's mean, so that a mean that moves after its stratum closed moves the difference.
    """
    entered = rows.entered[order]
    new = np.isnan(rows.previous[order])
    ends, last = _ends(entered[new], int(known.open[_N_C] + known.open[_N_S]))
    closed = np.concatenate([known.ends, ends])
    stratum = np.searchsorted(closed, entered, side="left")
    changes = _changes(rows, order)
    # The open stratum's sums so far are one more row, in the stratum that fills next.
    stratum = np.append(stratum, len(known.ends))
    changes = np.concatenate([changes, known.open[None]])
    sizes = np.concatenate([known.sizes, np.zeros((len(ends) + 1, 2))])
    for side, column in ((0, _N_C), (1, _N_S)):
        sizes[:, side] += np.bincount(stratum, weights=changes[:, column], minlength=len(sizes))
    closes_at = np.concatenate([np.zeros(len(known.ends), dtype=np.int64), observed[np.flatnonzero(new)[last]]])
    is_closed = stratum < len(closed)
    still_open = changes[~is_closed].sum(axis=0)
    stratum, changes = stratum[is_closed], changes[is_closed]
    at = np.maximum(np.append(observed, 0)[is_closed], closes_at[stratum])
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = np.where((sizes > 0).all(axis=1), sizes.prod(axis=1) / sizes.sum(axis=1), 0.0)
        per_unit = np.where(sizes > 0, weights[:, None] / sizes, 0.0)[stratum]
    difference = per_unit[:, 0] * changes[:, _SUM_C] - per_unit[:, 1] * changes[:, _SUM_S]
    moved = np.column_stack([at, np.zeros(len(at)), difference, changes])
    now_closed = np.arange(len(known.ends), len(closed))
    weighed = np.column_stack([closes_at[now_closed], weights[now_closed], np.zeros((len(now_closed), 7))])
    return Strata(closed, sizes[:-1], still_open), np.concatenate([weighed, moved])


def _ends(entered: Floats, held: int) -> tuple[Floats, Ints]:
    """The entries with which strata close, and the positions of those units; units of one instant stay together."""
    after_instant = np.searchsorted(entered, entered, side="right")
    last: list[int] = []
    next_end = STRATUM_UNITS - held
    while next_end <= len(entered):
        last.append(int(after_instant[max(next_end, 1) - 1]) - 1)
        next_end = last[-1] + 1 + STRATUM_UNITS
    positions = np.asarray(last, dtype=np.int64)
    return entered[positions], positions


def _changes(rows: MeanRows, order: Ints) -> Floats:
    """What each row adds to the six sums: a new unit with its mean, or the change of a mean that was there."""
    value, previous = rows.value[order], rows.previous[order]
    new = np.isnan(previous)
    before = np.where(new, 0.0, previous)
    columns = [new.astype(np.float64), value - before, value**2 - before**2]
    canary = rows.canary[order]
    return np.stack([*(c * canary for c in columns), *(c * ~canary for c in columns)], axis=1)
