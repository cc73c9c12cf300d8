"""Units that may convert later: a stratified sequential log-rank test.

Cox's partial likelihood (1972) of who converts next, turned into a test martingale (ter Schure,
Perez-Ortiz, Ly, Gruenwald 2020). A cohort holds units that entered one after the other under one
traffic weight; its two sides are compared at equal age, one class of ages after the other. The
baseline rate, its daily drift, the lag between visit and order and the changing weight all cancel.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from exporter.evidence.grid import Bools, Floats, Ints, confidence_sequence, estimate, log10_evidence, symmetric_grid
from exporter.evidence.hypergeometric import log_pmf
from exporter.evidence.rows import ConversionRows
from exporter.evidence.timeline import Segment, Timeline
from exporter.evidence.trajectory import Trajectory

GRID = symmetric_grid(((0.5, 0.0125), (1.5, 0.05), (4.0, 0.25)), sd=0.5, harm_sign=-1)
"""Log hazard ratios: fine where harms of interest lie (-0.1 is 10 %), coarse out to a fiftieth of the conversions. Half
a unit of standard deviation says that changes of up to 40 % are not surprising."""

COHORT_UNITS = (5, 20)
"""Canary and stable entries that close a cohort. Large ones mix units that met different hours; small ones leave tables
with one side empty, which say nothing. The canary has the smaller share, so it needs fewer."""

AGE_GROWTH = 1.15
"""Each class of ages ends this much later than the one before, and at least a bucket later: a conversion is used when
its class is over, so news is late by at most 15 % of the time it took to convert, and a day is some eighty classes."""


def _age_ends(longest: int) -> Ints:
    """Ends of the classes of ages, in buckets since entry; a conversion is used when its class is over."""
    ends = [1]
    while ends[-1] < longest:
        ends.append(max(ends[-1] + 1, int(ends[-1] * AGE_GROWTH)))
    return np.asarray(ends, dtype=np.int64)


AGE_ENDS = _age_ends(1 << 20)
_CLASSES = AGE_ENDS.size


@dataclass(frozen=True, slots=True, eq=False)
class Cohorts:
    """The cohorts of one segment; columns are canary and stable.

    Attributes:
        starts: bucket of entry at which each cohort begins; the last one is still open.
        entered: units that entered.
        converted: conversions in classes of ages that are over.
        waiting: cohort, class and side (1 canary) of conversions whose class is not over.
    """

    starts: Ints
    entered: Ints
    converted: Ints
    waiting: Ints


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
        boundaries = timeline.changes_within(self.bucket, until)
        cohorts = dict(self.cohorts)
        tables: list[Tables] = []
        for segment in timeline.segments:
            inside = (segment_of == segment.index) & (entered < until) & (converted >= self.bucket)
            if segment.comparable and segment.start < timeline.end_of(np.asarray(until - 1)):
                units = EnteredUnits(entered[inside], rows.canary[inside], converted[inside])
                known = cohorts.get(segment.index) or _first_cohort(segment, timeline)
                cohorts[segment.index], found = _fold(known, units, self.bucket, until, boundaries)
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
class EnteredUnits:
    """Units of one segment: their bucket of entry, side, and bucket of conversion."""

    entered: Ints
    canary: Bools
    converted: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """One row per cohort and class of ages in which somebody converted: who was at risk and who converted."""

    bucket: Ints
    canary: Ints
    stable: Ints
    events: Ints
    canary_events: Ints


def _first_cohort(segment: Segment, timeline: Timeline) -> Cohorts:
    start = timeline.bucket(np.asarray([segment.start]))
    none = np.zeros((1, 2), dtype=np.int64)
    return Cohorts(start, none, none, np.zeros((3, 0), dtype=np.int64))


def _fold(known: Cohorts, units: EnteredUnits, first: int, until: int, boundaries: list[int]) -> tuple[Cohorts, Tables]:
    new = units.entered >= first
    sides = (units.canary, ~units.canary)
    arrivals = np.stack([np.bincount(units.entered[new & side] - first, minlength=until - first) for side in sides])
    starts = _cohort_starts(known, np.cumsum(arrivals, axis=1), first, boundaries)
    cohort = np.maximum(np.searchsorted(starts, units.entered, side="right") - 1, 0)
    grown = ((0, starts.size - known.starts.size), (0, 0))
    entered, converted = np.pad(known.entered, grown), np.pad(known.converted, grown)
    for column, side in enumerate(sides):
        entered[:, column] += np.bincount(cohort[new & side], minlength=starts.size)

    event = units.converted < until
    age_class = np.searchsorted(AGE_ENDS, units.converted[event] - units.entered[event], side="right")
    fresh = np.stack([cohort[event], age_class, units.canary[event].astype(np.int64)])
    events = np.concatenate([known.waiting, fresh], axis=1)
    # A class is over when the cohort's youngest possible unit has outgrown it; an open cohort has none that is over.
    last = np.append(starts[1:] - 1, until)
    over = last[events[0]] + AGE_ENDS[events[1]] <= until
    tables, converted = _tables(events[:, over], entered, converted, last)
    return Cohorts(starts, entered, converted, events[:, ~over]), tables


def _tables(events: Ints, entered: Ints, converted: Ints, last: Ints) -> tuple[Tables, Ints]:
    """The 2x2 tables of the classes that are over, and the conversions so far with theirs added."""
    # One number per (cohort, class), so that counts up to a class are binary searches.
    keys = events[0] * _CLASSES + events[1]
    key, count = np.unique(keys, return_counts=True)
    cohort = key // _CLASSES
    now = converted.copy()
    at_risk, happened = [], []
    for column in (0, 1):
        of_side = np.sort(keys[events[2] == 1 - column])
        before = np.searchsorted(of_side, key) - np.searchsorted(of_side, cohort * _CLASSES)
        here = np.searchsorted(of_side, key, side="right") - np.searchsorted(of_side, key)
        # A unit whose entry came after its bucket was folded is at risk when it converts, not before.
        at_risk.append(np.maximum(entered[cohort, column] - converted[cohort, column] - before, here))
        happened.append(here)
        now[:, column] += np.bincount(of_side // _CLASSES, minlength=len(now))
    bucket = last[cohort] + AGE_ENDS[key % _CLASSES] - 1
    return Tables(bucket, at_risk[0], at_risk[1], count, happened[0]), now


def _cohort_starts(known: Cohorts, arrived: Ints, first: int, boundaries: list[int]) -> Ints:
    """Close cohorts once large enough, and at weight changes; looks at entries only, never at outcomes.

    `arrived` counts canary and stable entries (rows) up to and including each bucket from `first` on.
    """
    starts = known.starts.tolist()
    boundaries = [boundary for boundary in boundaries if boundary > starts[-1]]
    missing = [COHORT_UNITS[side] - int(known.entered[-1, side]) for side in (0, 1)]
    canary, stable = arrived.tolist()
    while True:
        filled = max(
            bisect_left(counts, wanted) if wanted > 0 else 0
            for counts, wanted in zip((canary, stable), missing, strict=True)
        )
        start = first + filled + 1
        if boundaries and boundaries[0] <= start:
            start = boundaries.pop(0)
        if start > first + len(canary):
            return np.asarray(starts, dtype=np.int64)
        starts.append(start)
        at = start - first - 1
        missing = [counts[at] + minimum for counts, minimum in zip((canary, stable), COHORT_UNITS, strict=True)]


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
