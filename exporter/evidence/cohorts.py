"""Cohorts: units that entered one after the other under one weight, and the 2x2 tables of what became of them.

A cohort closes by the **number** of its units alone (and at a change of the weight). A size that depends on how many of
them are the canary's would let sides decide which units are compared, and then they are no random permutation any more:
closing at the first canary unit made the last unit of a stratum the canary's in 60 % instead of 5 %, and the mean of a
factor that must be at most 1 was 1.59.

Its two sides are compared at equal age, one class of ages after the other. The baseline rate, its daily drift, the lag
of what happens and the changing weight all cancel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exporter.evidence.grid import Bools, Floats, Ints
from exporter.evidence.progress.timeline import Segment, Timeline

COHORT_UNITS = (8, 40)
"""Units that close a cohort, at least and at most. A small one loses much of what its units could tell: if the canary
has one customer in twenty and one payment in five fails, cohorts of 20 tell 81 % of what is told to somebody who knows
stable's ratio, of 40 85 % and of 60 87 %. A large one makes everybody wait for its youngest, and mixes units that met
different hours."""
COHORT_SECONDS = 60.0
"""Between the two, as many as a minute brings, which the cohort before has shown."""

AGE_GROWTH = 1.15
"""Each class of ages ends this much later than the one before, and at least a bucket later: an event is used when its
class is over, so news is late by at most 15 % of the time it took, and a day is some eighty classes."""


def _age_ends(longest: int) -> Ints:
    """Ends of the classes of ages, in buckets since entry; an event is used when its class is over."""
    ends = [1]
    while ends[-1] < longest:
        ends.append(max(ends[-1] + 1, int(ends[-1] * AGE_GROWTH)))
    return np.asarray(ends, dtype=np.int64)


AGE_ENDS = _age_ends(1 << 20)
CLASSES = AGE_ENDS.size


@dataclass(frozen=True, slots=True, eq=False)
class Cohorts:
    """The cohorts of one segment; columns are canary and stable.

    Attributes:
        starts: bucket of entry at which each cohort begins; the last one is still open.
        entered: units that entered.
        happened: events in classes of ages that are over.
        waiting: cohort, class and side (1 canary) of events whose class is not over.
    """

    starts: Ints
    entered: Ints
    happened: Ints
    waiting: Ints

    @classmethod
    def first(cls, segment: Segment, timeline: Timeline) -> Cohorts:
        """The first cohort of a segment, without units."""
        none = np.zeros((1, 2), dtype=np.int64)
        return cls(timeline.bucket(np.asarray([segment.start])), none, none, np.zeros((3, 0), dtype=np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class EnteredUnits:
    """Units of one segment: their bucket of entry, side, and the bucket of the event, later than any without one."""

    entered: Ints
    canary: Bools
    happened: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """One row per cohort and class of ages in which something happened: who was at risk and to whom it happened."""

    bucket: Ints
    age_class: Ints
    canary: Ints
    stable: Ints
    events: Ints
    canary_events: Ints

    @classmethod
    def together(cls, tables: list[Tables]) -> Tables:
        """All of them in order of time, those that have only one side at risk left out."""
        none = np.zeros(0, dtype=np.int64)
        names = ("bucket", "age_class", "canary", "stable", "events", "canary_events")
        columns = [np.concatenate([none, *(getattr(table, name) for table in tables)]) for name in names]
        every = cls(*columns)
        telling = np.flatnonzero((every.canary > 0) & (every.stable > 0))
        order = telling[np.argsort(every.bucket[telling], kind="stable")]
        return cls(*(column[order] for column in columns))


@dataclass(frozen=True, slots=True, eq=False)
class AtRisk:
    """One row per cohort and class of ages that was over, with or without an event.

    The product-limit estimates of both sides' rates are made of them.

    Attributes:
        units: by side (stable, canary), how many were at risk.
        events: by side, to how many it happened.
    """

    bucket: Ints
    age_class: Ints
    units: Ints
    events: Ints


def fold(
    known: Cohorts, units: EnteredUnits, timeline: Timeline, first: int, until: int, boundaries: list[int]
) -> tuple[Cohorts, Tables, AtRisk]:
    """The cohorts with buckets `first` up to `until` folded in, and what was over in them."""
    new = units.entered >= first
    sides = (units.canary, ~units.canary)
    arrived = np.cumsum(np.bincount(units.entered[new] - first, minlength=until - first))
    starts = _starts(known, arrived, timeline.bucket_seconds, first, boundaries)
    cohort = np.maximum(np.searchsorted(starts, units.entered, side="right") - 1, 0)
    grown = ((0, starts.size - known.starts.size), (0, 0))
    entered, happened = np.pad(known.entered, grown), np.pad(known.happened, grown)
    for column, side in enumerate(sides):
        entered[:, column] += np.bincount(cohort[new & side], minlength=starts.size)

    event = units.happened < until
    age_class = np.searchsorted(AGE_ENDS, units.happened[event] - units.entered[event], side="right")
    fresh = np.stack([cohort[event], age_class, units.canary[event].astype(np.int64)])
    events = np.concatenate([known.waiting, fresh], axis=1)
    # A class is over when the cohort's youngest possible unit has outgrown it; an open cohort has none that is over.
    last = np.append(starts[1:] - 1, until)
    over = last[events[0]] + AGE_ENDS[events[1]] <= until
    tables, now = _tables(events[:, over], entered, happened, last)
    at_risk = _at_risk(events[:, over], entered, happened, last, (first, until))
    return Cohorts(starts, entered, now, events[:, ~over]), tables, at_risk


def _tables(events: Ints, entered: Ints, happened: Ints, last: Ints) -> tuple[Tables, Ints]:
    """The 2x2 tables of the classes that are over, and the events so far with theirs added."""
    # One number per (cohort, class), so that counts up to a class are binary searches.
    keys = events[0] * CLASSES + events[1]
    key, count = np.unique(keys, return_counts=True)
    cohort = key // CLASSES
    now = happened.copy()
    at_risk, here = [], []
    for column in (0, 1):
        of_side = np.sort(keys[events[2] == 1 - column])
        before = np.searchsorted(of_side, key) - np.searchsorted(of_side, cohort * CLASSES)
        found = np.searchsorted(of_side, key, side="right") - np.searchsorted(of_side, key)
        # A unit whose entry came after its bucket was folded is at risk when the event happens, not before.
        at_risk.append(np.maximum(entered[cohort, column] - happened[cohort, column] - before, found))
        here.append(found)
        now[:, column] += np.bincount(of_side // CLASSES, minlength=len(now))
    bucket = last[cohort] + AGE_ENDS[key % CLASSES] - 1
    return Tables(bucket, key % CLASSES, at_risk[0], at_risk[1], count, here[0]), now


def _at_risk(events: Ints, entered: Ints, happened: Ints, last: Ints, window: tuple[int, int]) -> AtRisk:
    """Every class of every cohort that was over within the window."""
    first, until = (np.searchsorted(AGE_ENDS, edge - last, side="right") for edge in window)
    classes = np.maximum(until - first, 0)
    cohort = np.repeat(np.arange(len(last)), classes)
    age_class = np.arange(len(cohort)) - np.repeat(np.cumsum(classes) - classes, classes) + first[cohort]
    key = cohort * CLASSES + age_class
    units, here = np.empty((2, len(key)), dtype=np.int64), np.empty((2, len(key)), dtype=np.int64)
    for side in (0, 1):
        of_side, column = np.sort((events[0] * CLASSES + events[1])[events[2] == side]), 1 - side
        at = np.searchsorted(of_side, key)
        before = at - np.searchsorted(of_side, cohort * CLASSES)
        here[side] = np.searchsorted(of_side, key, side="right") - at
        units[side] = np.maximum(entered[cohort, column] - happened[cohort, column] - before, here[side])
    return AtRisk(last[cohort] + AGE_ENDS[age_class] - 1, age_class, units, here)


def _starts(known: Cohorts, arrived: Ints, bucket_seconds: float, first: int, boundaries: list[int]) -> Ints:
    """Close cohorts once large enough, and at weight changes; looks at entries only, never at sides or outcomes.

    `arrived` counts entries up to and including each bucket from `first` on.
    """
    starts = known.starts.tolist()
    boundaries = [boundary for boundary in boundaries if boundary > starts[-1]]
    held = int(known.entered[-1].sum())
    before = int(known.entered[-2].sum()) if len(starts) > 1 else 0
    size = _size(before, starts, bucket_seconds)
    counted = 0
    while True:
        at = int(np.searchsorted(arrived, counted + size - held))
        start = first + at + 1
        if boundaries and boundaries[0] <= start:
            start = boundaries.pop(0)
            at = start - first - 1
        if start > first + len(arrived):
            return np.asarray(starts, dtype=np.int64)
        total = int(arrived[at]) if at >= 0 else 0
        starts.append(start)
        size = _size(held + total - counted, starts, bucket_seconds)
        counted, held = total, 0


def _size(units: int, starts: list[int], bucket_seconds: float) -> int:
    """How many units close the next cohort: as many as a minute brings, by the pace of the cohort before."""
    least, most = COHORT_UNITS
    if len(starts) < 2:
        return least
    pace = units * COHORT_SECONDS / ((starts[-1] - starts[-2]) * bucket_seconds)
    return max(least, min(most, round(pace)))


def happened_within(timeline: Timeline, times: Floats, entered: Ints) -> Ints:
    """The bucket of each event, never before the unit's entry."""
    happened: Ints = np.maximum(timeline.bucket(times), entered)
    return happened
