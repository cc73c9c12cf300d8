"""What a comparison of units in time reads, and of how many of them nobody knows yet what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from exporter.evidence.cohorts import Cohorts
from exporter.evidence.grid import Bools, Floats
from exporter.evidence.progress.timeline import Timeline

_LONG_ENOUGH = 0.75
"""Of the youngest quarter nobody expects to know what became of it: a canary that settles later may be healthy."""


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """What the test reads: units with the time of the event, nan while it has not happened.

    Attributes:
        decided: when it is known whether the event happens at all; None where only time tells (conversions).
    """

    assigned: Floats
    entered: Floats
    canary: Bools
    happened: Floats
    decided: Floats | None = None


def undecided(rows: Events, timeline: Timeline, known: Mapping[int, Cohorts], until: int) -> float:
    """By how much more of the canary's units than of stable's it is open what becomes of them, in the same cohorts.

    Of all phases together or of the present one, whichever is more.
    """
    if rows.decided is None:
        return 0.0
    entered, end = timeline.bucket(rows.entered), float(timeline.end_of(np.asarray(until - 1)))
    open_ = np.isfinite(rows.decided) & (rows.decided >= end) & (entered < until)
    segment_of = timeline.segment_of(rows.assigned)
    phases = [np.zeros((0, 2))]
    for index in sorted(known):
        cohorts, ours = known[index], open_ & (segment_of == index)
        cohort = np.maximum(np.searchsorted(cohorts.starts, entered[ours], side="right") - 1, 0)
        waiting = np.bincount(2 * cohort + ~rows.canary[ours], minlength=cohorts.entered.size).reshape(-1, 2)
        both = (cohorts.entered > 0).all(axis=1)
        units = cohorts.entered[both].astype(np.float64)
        more = np.minimum(waiting[both] / units, 1.0) @ np.asarray([1.0, -1.0])
        phases.append(np.column_stack([units.prod(axis=1) / units.sum(axis=1), more]))
    return max(_of_the_oldest(np.concatenate(phases)), _of_the_oldest(phases[-1]), 0.0)


def _of_the_oldest(weighed: Floats) -> float:
    """The mean of the second column, weighed by the first, over the oldest rows that have enough of the weight."""
    weight, value = weighed[: 1 + int(np.searchsorted(weighed[:, 0].cumsum(), _LONG_ENOUGH * weighed[:, 0].sum()))].T
    return float(weight @ value / weight.sum()) if len(weight) else 0.0
