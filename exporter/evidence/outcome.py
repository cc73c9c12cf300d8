"""Units that succeed or fail (payments): strata of resolved units, compared within each stratum.

Given how many units of a stratum failed, who failed follows Fisher's noncentral hypergeometric
distribution (Turner, Ly, Gruenwald 2021 test such 2x2 tables sequentially). A stratum holds units
assigned under one traffic weight only: failures may be known sooner or later than successes, and
right after a weight change that alone would make one side look worse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from exporter.evidence.grid import Bools, Floats, Ints, confidence_sequence, estimate, log10_evidence, symmetric_grid
from exporter.evidence.hypergeometric import log_pmf
from exporter.evidence.rows import OutcomeRows
from exporter.evidence.timeline import Timeline, stratum_ends
from exporter.evidence.trajectory import Trajectory

# Harm worth catching multiplies the odds of failure by 3 to 20: 97 % that becomes 91 % to 60 %.
GRID = symmetric_grid(((1.0, 0.05), (3.0, 0.1), (6.0, 0.25)), sd=2.0, harm_sign=+1, harm_mode=1.8, harm_sd=0.75)

STRATUM_UNITS = (1, 10)
"""Canary and stable units that close a stratum: as few as can be compared, so that both sides met the same minutes."""


def with_timeout(rows: OutcomeRows, timeout_seconds: float | None) -> OutcomeRows:
    """Units that stay pending longer than the timeout failed at that moment, whatever came later."""
    if timeout_seconds is None:
        return rows
    deadline = rows.entered + timeout_seconds
    late = ~(rows.resolved <= deadline)
    return replace(rows, resolved=np.where(late, deadline, rows.resolved), failed=rows.failed | late)


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeTest:
    """The comparison of one success KPI, all buckets before `bucket` folded in; immutable."""

    alpha: float
    bucket: int = 0
    likelihood: Floats = field(default_factory=lambda: np.zeros(GRID.size))
    open_strata: Mapping[int, Ints] = field(default_factory=dict)
    """By segment, the stratum still filling: canary units, stable units, failures, canary failures."""
    totals: Ints = field(default_factory=lambda: np.zeros(4, dtype=np.int64))
    """The same four counts over everything folded in."""

    def advance(self, rows: OutcomeRows, timeline: Timeline, until: int) -> tuple[OutcomeTest, Trajectory]:
        """Fold the buckets up to `until`; `rows` holds at least the units resolved in them."""
        if until <= self.bucket:
            return self, Trajectory.empty()
        resolved = timeline.bucket(rows.resolved)
        segment_of = timeline.segment_of(rows.assigned)
        comparable = np.asarray([segment.comparable for segment in timeline.segments], dtype=np.bool_)
        wanted = (resolved >= self.bucket) & (resolved < until) & (segment_of >= 0) & comparable[segment_of]
        order = np.flatnonzero(wanted)[np.argsort(rows.resolved[wanted], kind="stable")]
        units = ResolvedUnits(
            segment_of[order], resolved[order], rows.resolved[order], rows.canary[order], rows.failed[order]
        )

        open_strata, buckets, tables = _strata(units, dict(self.open_strata), timeline, self.bucket, until)
        telling = (tables[:, 0] > 0) & (tables[:, 1] > 0) & (tables[:, 2] > 0)
        increments = np.zeros((len(tables), GRID.size))
        n_c, n_s, m, x = tables[telling].T
        increments[telling] = log_pmf(n_c, n_s, m, x, GRID.effects)
        instants, firsts = np.unique(buckets, return_index=True)
        summed = np.add.reduceat(increments, firsts, axis=0) if len(firsts) else increments
        path = self.likelihood + np.cumsum(summed, axis=0)
        counted = self.totals + np.cumsum(units.tables(), axis=0) if len(order) else np.zeros((0, 4), dtype=np.int64)
        test = replace(
            self,
            bucket=until,
            likelihood=path[-1] if len(path) else self.likelihood,
            open_strata=open_strata,
            totals=counted[-1] if len(counted) else self.totals,
        )
        so_far = np.vstack([self.totals[None], counted])[np.searchsorted(units.bucket, instants, side="right")]
        return test, self._trajectory(timeline, instants, path, so_far)

    @property
    def units(self) -> tuple[int, int]:
        """Canary and stable units resolved and folded in."""
        return int(self.totals[0]), int(self.totals[1])

    def _trajectory(self, timeline: Timeline, buckets: Ints, path: Floats, so_far: Ints) -> Trajectory:
        stable, stable_failures = so_far[:, 1], so_far[:, 2] - so_far[:, 3]
        # Laplace's rule keeps the odds off zero while stable has not failed yet.
        odds = (stable_failures + 1.0) / (stable - stable_failures + 1.0)
        lower, upper = confidence_sequence(GRID, path, self.alpha)
        return Trajectory(
            time=timeline.end_of(buckets),
            estimate=_success_change(estimate(GRID, path), odds),
            lower=_success_change(upper, odds),
            upper=_success_change(lower, odds),
            log10_evidence=log10_evidence(GRID, path),
            canary_units=so_far[:, 0],
            stable_units=stable,
        )


def _success_change(log_odds_ratio: Floats, stable_odds: Floats) -> Floats:
    """The relative change of the success ratio that an odds ratio of failure means, at stable's own odds."""
    change: Floats = (1.0 + stable_odds) / (1.0 + np.exp(log_odds_ratio) * stable_odds) - 1.0
    return change


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedUnits:
    """Resolved units in order of time."""

    segment: Ints
    bucket: Ints
    time: Floats
    canary: Bools
    failed: Bools

    def of(self, segment: int, first: int, until: int) -> ResolvedUnits:
        """The units of one segment that were resolved in buckets `first` to `until`."""
        low, high = np.searchsorted(self.bucket, [first, until])
        chosen = np.flatnonzero(self.segment[low:high] == segment) + low
        return ResolvedUnits(
            *(column[chosen] for column in (self.segment, self.bucket, self.time, self.canary, self.failed))
        )

    def tables(self) -> Ints:
        """Each unit as a row of (canary, stable, failed, canary and failed)."""
        return np.stack([self.canary, ~self.canary, self.failed, self.canary & self.failed], axis=1).astype(np.int64)


def _strata(
    units: ResolvedUnits, open_strata: dict[int, Ints], timeline: Timeline, first: int, until: int
) -> tuple[dict[int, Ints], Ints, Ints]:
    """Close what can be closed: the strata still open, and bucket and 2x2 table of each closed one."""
    buckets: list[Ints] = []
    tables: list[Ints] = []
    changes = timeline.changes_within(first, until)
    for segment in timeline.segments:
        if not segment.comparable:
            continue
        held = open_strata.get(segment.index, np.zeros(4, dtype=np.int64))
        for start, end in zip([first, *changes], [*changes, until], strict=True):
            part = units.of(segment.index, start, end)
            ends = stratum_ends(part.time, part.canary, (int(held[0]), int(held[1])), STRATUM_UNITS)
            totals = held + np.vstack([np.zeros(4, dtype=np.int64), np.cumsum(part.tables(), axis=0)])
            closed = (
                np.diff(totals[ends], axis=0, prepend=np.zeros((1, 4), dtype=np.int64)) if ends.size else totals[:0]
            )
            held = totals[-1] - (totals[ends[-1]] if ends.size else 0)
            buckets.append(part.bucket[ends - 1])
            tables.append(closed)
            if end in changes:
                buckets.append(np.asarray([end - 1]))
                tables.append(held[None])
                held = np.zeros(4, dtype=np.int64)
        open_strata[segment.index] = held
    if not buckets:
        return open_strata, np.zeros(0, dtype=np.int64), np.zeros((0, 4), dtype=np.int64)
    bucket, table = np.concatenate(buckets), np.concatenate(tables)
    order = np.argsort(bucket, kind="stable")
    return open_strata, bucket[order], table[order]
