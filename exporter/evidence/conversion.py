"""Units that may convert later: a stratified sequential log-rank test.

Cox's partial likelihood (1972) of who converts next, cohort by cohort, turned into a test
martingale (ter Schure, Perez-Ortiz, Ly, Gruenwald 2020). The baseline rate, its daily drift, the
lag between visit and order and the changing weight all cancel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from exporter.evidence.grid import (
    Bools,
    Floats,
    Ints,
    confidence_sequence,
    estimate,
    log10_evidence,
    symmetric_grid,
)
from exporter.evidence.hypergeometric import log_pmf
from exporter.evidence.rows import ConversionRows
from exporter.evidence.timeline import Segment, Timeline
from exporter.evidence.trajectory import Trajectory

GRID = symmetric_grid(((0.5, 0.0125), (1.5, 0.05), (4.0, 0.25)), sd=0.5, harm_sign=-1)

COHORT_SECONDS = 60.0
COHORT_CANARY_UNITS = 5
COHORT_STABLE_UNITS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Cohorts:
    """The cohorts of one segment: where each begins, and what was folded in; columns canary, stable."""

    starts: Ints
    entered: Ints
    converted: Ints


@dataclass(frozen=True, slots=True, eq=False)
class ConversionTest:
    """The comparison of one conversion KPI, all buckets before `bucket` folded in.

    Immutable: `advance` gives the test with more buckets folded, and how it got there.
    """

    alpha: float
    bucket: int = 0
    likelihood: Floats = field(default_factory=lambda: np.zeros(GRID.size))
    cohorts: Mapping[int, Cohorts] = field(default_factory=dict)

    def advance(self, rows: ConversionRows, timeline: Timeline, until: int) -> tuple[ConversionTest, Trajectory]:
        """Fold the buckets up to `until`; `rows` holds at least the units that entered or converted in them."""
        if until <= self.bucket:
            return self, Trajectory.empty()
        segment_of = timeline.segment_of(rows.assigned)
        entered = timeline.bucket(rows.entered)
        converted = np.maximum(timeline.bucket(rows.converted), entered)
        cohorts = dict(self.cohorts)
        tables: list[Tables] = []
        for segment in timeline.segments:
            inside = (segment_of == segment.index) & (entered < until) & (converted >= self.bucket)
            if segment.comparable and segment.start < timeline.end_of(np.asarray(until - 1)):
                units = Units(entered[inside], rows.canary[inside], converted[inside])
                known = cohorts.get(segment.index) or _first_cohort(segment, timeline)
                cohorts[segment.index], found = _fold(known, units, self.bucket, until, timeline.bucket_seconds)
                tables.append(found)
        buckets, increments = _increments(tables)
        path = self.likelihood + np.cumsum(increments, axis=0)
        test = replace(self, bucket=until, likelihood=path[-1] if len(path) else self.likelihood, cohorts=cohorts)
        return test, self._trajectory(timeline, buckets, path, rows, (segment_of, entered))

    @property
    def units(self) -> tuple[int, int]:
        """Canary and stable units that entered and were folded in."""
        totals = sum((cohorts.entered.sum(axis=0) for cohorts in self.cohorts.values()), np.zeros(2, dtype=np.int64))
        return int(totals[0]), int(totals[1])

    def _trajectory(
        self, timeline: Timeline, buckets: Ints, path: Floats, rows: ConversionRows, units: tuple[Ints, Ints]
    ) -> Trajectory:
        segment_of, entered = units
        comparable = np.asarray([segment.comparable for segment in timeline.segments], dtype=np.bool_)
        new = (segment_of >= 0) & comparable[segment_of] & (entered >= self.bucket)
        lower, upper = confidence_sequence(GRID, path, self.alpha)
        return Trajectory(
            time=timeline.end_of(buckets),
            estimate=np.expm1(estimate(GRID, path)),
            lower=np.expm1(lower),
            upper=np.expm1(upper),
            log10_evidence=log10_evidence(GRID, path),
            canary_units=self.units[0] + np.searchsorted(np.sort(entered[new & rows.canary]), buckets, side="right"),
            stable_units=self.units[1] + np.searchsorted(np.sort(entered[new & ~rows.canary]), buckets, side="right"),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """Units of one segment: their bucket of entry, side, and bucket of conversion."""

    entered: Ints
    canary: Bools
    converted: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """One row per bucket and cohort in which somebody converted: who was at risk and who converted."""

    bucket: Ints
    canary: Ints
    stable: Ints
    events: Ints
    canary_events: Ints


def _first_cohort(segment: Segment, timeline: Timeline) -> Cohorts:
    start = timeline.bucket(np.asarray([segment.start]))
    return Cohorts(start, np.zeros((1, 2), dtype=np.int64), np.zeros((1, 2), dtype=np.int64))


def _fold(known: Cohorts, units: Units, first: int, until: int, bucket_seconds: float) -> tuple[Cohorts, Tables]:
    span = until - first
    new = units.entered >= first
    by_side = [units.canary, ~units.canary]
    arrivals = np.stack([np.bincount(units.entered[new & side] - first, minlength=span) for side in by_side], axis=1)
    starts = _cohort_starts(known, np.cumsum(arrivals, axis=0), first, round(COHORT_SECONDS / bucket_seconds))
    cohort = np.maximum(np.searchsorted(starts, units.entered, side="right") - 1, 0)
    grown = ((0, starts.size - known.starts.size), (0, 0))
    entered, converted = np.pad(known.entered, grown), np.pad(known.converted, grown)

    # One number per (cohort, bucket), so that counts up to a bucket are two binary searches.
    entry_key = cohort * span + np.maximum(units.entered - first, 0)
    event = units.converted < until
    event_key = cohort * span + (units.converted - first)
    key, events = np.unique(event_key[event], return_counts=True)
    of_cohort, at = key // span, key % span
    at_risk, happened = [], []
    for column, side in enumerate(by_side):
        entries = np.sort(entry_key[new & side])
        conversions = np.sort(event_key[event & side])
        opening = of_cohort * span
        so_far = np.searchsorted(entries, key, side="right") - np.searchsorted(entries, opening)
        gone = np.searchsorted(conversions, key) - np.searchsorted(conversions, opening)
        here = np.searchsorted(conversions, key, side="right") - np.searchsorted(conversions, key)
        # A unit whose entry came after its bucket was folded is at risk when it converts, not before.
        risk = entered[of_cohort, column] - converted[of_cohort, column] + so_far - gone
        at_risk.append(np.maximum(risk, here))
        happened.append(here)
        entered[:, column] += np.bincount(cohort[new & side], minlength=starts.size)
        converted[:, column] += np.bincount(cohort[event & side], minlength=starts.size)
    return Cohorts(starts, entered, converted), Tables(at + first, at_risk[0], at_risk[1], events, happened[0])


def _cohort_starts(known: Cohorts, arrived: Ints, first: int, minimum_buckets: int) -> Ints:
    """Close cohorts once old and large enough; looks at entries only, never at outcomes.

    `arrived` counts canary and stable entries up to and including each bucket from `first` on.
    """
    starts = known.starts.tolist()
    missing = np.asarray([COHORT_CANARY_UNITS, COHORT_STABLE_UNITS]) - known.entered[-1]
    while True:
        filled = [int(np.searchsorted(arrived[:, side], missing[side])) if missing[side] > 0 else 0 for side in (0, 1)]
        last = max(first + max(filled), starts[-1] + minimum_buckets - 1)
        if last >= first + len(arrived):
            return np.asarray(starts, dtype=np.int64)
        starts.append(last + 1)
        missing = arrived[last - first] + (COHORT_CANARY_UNITS, COHORT_STABLE_UNITS)


def _increments(tables: list[Tables]) -> tuple[Ints, Floats]:
    """Sum the tables' log-probabilities by bucket, in order of time."""
    none = np.zeros(0, dtype=np.int64)
    columns = [
        np.concatenate([none, *(getattr(table, name) for table in tables)])
        for name in ("bucket", "canary", "stable", "events", "canary_events")
    ]
    telling = (columns[1] > 0) & (columns[2] > 0)
    bucket, canary, stable, events, canary_events = (column[telling] for column in columns)
    if not bucket.size:
        return none, np.zeros((0, GRID.size))
    order = np.argsort(bucket, kind="stable")
    terms = log_pmf(canary[order], stable[order], events[order], canary_events[order], GRID.effects)
    buckets, firsts = np.unique(bucket[order], return_index=True)
    return buckets, np.add.reduceat(terms, firsts, axis=0)
