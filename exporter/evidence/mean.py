"""Means (order value, checkout seconds, satisfaction): differences within strata, normal in the limit.

Each stratum gives the difference of its two means; differences are weighted by their precision and
mixed over a grid of relative effects. The variance is plugged in, so the bounds hold asymptotically
(Waudby-Smith et al. 2021) and nothing is said before each side has 30 values.
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
from exporter.evidence.rows import MeanRows
from exporter.evidence.timeline import Timeline, stratum_ends
from exporter.evidence.trajectory import Trajectory

_SPANS = ((0.3, 0.005), (1.0, 0.05), (4.0, 0.25))
"""Relative changes: half a percent apart where tolerances lie."""
DECREASE_GRID = symmetric_grid(_SPANS, sd=0.2, harm_sign=-1)
INCREASE_GRID = symmetric_grid(_SPANS, sd=0.2, harm_sign=+1)

STRATUM_UNITS = (5, 5)
"""Canary and stable values that close a stratum: a difference of means needs some of both."""
LEAST_UNITS = 30
"""Values a side must have before its mean counts as normal."""

# Columns of the sums: units, values and squared values of the canary, then of stable.
_N_C, _SUM_C, _SQUARES_C, _N_S, _SUM_S, _SQUARES_S = range(6)


@dataclass(frozen=True, slots=True, eq=False)
class MeanTest:
    """The comparison of one mean, all buckets before `bucket` folded in; immutable."""

    alpha: float
    grid: EffectGrid = DECREASE_GRID
    bucket: int = 0
    open_strata: Mapping[int, Floats] = field(default_factory=dict)
    totals: Floats = field(default_factory=lambda: np.zeros(6))
    """Sums over the closed strata."""
    weighted: Floats = field(default_factory=lambda: np.zeros(2))
    """Sum of the strata's weights (1 / (1/n_c + 1/n_s)) and of weight times difference."""

    def advance(self, rows: MeanRows, timeline: Timeline, until: int) -> tuple[MeanTest, Trajectory]:
        """Fold the buckets up to `until`; `rows` holds at least the values observed in them."""
        if until <= self.bucket:
            return self, Trajectory.empty()
        open_strata, buckets, sums = self._close(rows, timeline, until)
        n_c, n_s = sums[:, _N_C], sums[:, _N_S]
        weight = 1.0 / (1.0 / n_c + 1.0 / n_s)
        difference = sums[:, _SUM_C] / n_c - sums[:, _SUM_S] / n_s
        weighted = self.weighted + np.cumsum(np.stack([weight, weight * difference], axis=1), axis=0)
        totals = self.totals + np.cumsum(sums, axis=0)
        test = replace(self, bucket=until, open_strata=open_strata)
        if len(sums):
            test = replace(test, totals=totals[-1], weighted=weighted[-1])
        last = np.flatnonzero(np.diff(buckets, append=np.iinfo(np.int64).max))
        ready = last[(totals[last, _N_C] >= LEAST_UNITS) & (totals[last, _N_S] >= LEAST_UNITS)]
        return test, self._trajectory(timeline.end_of(buckets[ready]), totals[ready], weighted[ready])

    @property
    def units(self) -> tuple[int, int]:
        """Canary and stable values in closed strata."""
        return int(self.totals[_N_C]), int(self.totals[_N_S])

    def _close(self, rows: MeanRows, timeline: Timeline, until: int) -> tuple[dict[int, Floats], Ints, Floats]:
        observed = timeline.bucket(rows.observed)
        segment_of = timeline.segment_of(rows.assigned)
        wanted = (observed >= self.bucket) & (observed < until) & np.isfinite(rows.value)
        open_strata = dict(self.open_strata)
        buckets, sums = [np.zeros(0, dtype=np.int64)], [np.zeros((0, 6))]
        for segment in timeline.segments:
            if not segment.comparable:
                continue
            inside = np.flatnonzero(wanted & (segment_of == segment.index))
            order = inside[np.argsort(rows.observed[inside], kind="stable")]
            held = open_strata.get(segment.index, np.zeros(6))
            canary = rows.canary[order]
            ends = stratum_ends(rows.observed[order], canary, (int(held[_N_C]), int(held[_N_S])), STRATUM_UNITS)
            path = held + np.vstack([np.zeros(6), np.cumsum(_moments(rows, order), axis=0)])
            if ends.size:
                sums.append(np.diff(path[ends], axis=0, prepend=np.zeros((1, 6))))
                buckets.append(observed[order[ends - 1]])
            open_strata[segment.index] = path[-1] - (path[ends[-1]] if ends.size else 0.0)
        bucket, summed = np.concatenate(buckets), np.concatenate(sums)
        in_time = np.argsort(bucket, kind="stable")
        return open_strata, bucket[in_time], summed[in_time]

    def _trajectory(self, time: Floats, totals: Floats, weighted: Floats) -> Trajectory:
        n_c, n_s = totals[:, _N_C], totals[:, _N_S]
        stable_mean = totals[:, _SUM_S] / n_s
        within = totals[:, _SQUARES_C] - totals[:, _SUM_C] ** 2 / n_c
        within += totals[:, _SQUARES_S] - totals[:, _SUM_S] ** 2 / n_s
        scale = np.maximum(np.abs(stable_mean), np.finfo(np.float64).tiny)
        # Values that never vary would make any difference a proof; a millionth of the mean is let pass.
        variance = np.maximum(within / (n_c + n_s - 2.0), (1e-6 * scale) ** 2)
        effect = self.grid.effects
        precision = (weighted[:, 0] * scale**2 / variance)[:, None]
        observed = (weighted[:, 1] * scale / variance)[:, None]
        path = observed * effect - 0.5 * precision * effect**2
        lower, upper = confidence_sequence(self.grid, path, self.alpha)
        return Trajectory(
            time=time,
            estimate=estimate(self.grid, path),
            lower=lower,
            upper=upper,
            log10_evidence=log10_evidence(self.grid, path),
            canary_units=n_c.astype(np.int64),
            stable_units=n_s.astype(np.int64),
        )


def _moments(rows: MeanRows, order: Ints) -> Floats:
    """Each value as a row of (one, value, square) in its side's three columns."""
    value = rows.value[order]
    columns = [np.ones_like(value), value, value**2]
    canary = rows.canary[order]
    return np.stack([*(c * canary for c in columns), *(c * ~canary for c in columns)], axis=1)
