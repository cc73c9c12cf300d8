"""The first minutes after each change of the weight, left out of every test on both sides: caches are cold in them.

Who came in them is no unit. What happened in them to somebody who came before did not happen, as far as comparisons
know: a unit whose event is ignored stays among those at risk, which reveals nothing of its side and so is fair to both.
A failure that is ignored is decided all the same. Taken for pending, it would count against the canary's health for
ever, and no floor would be passed by a shop whose payments take as long as the warm-up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from exporter.evidence.grid import Bools, Floats
from exporter.evidence.progress.timeline import Timeline
from exporter.evidence.rows import ConversionRows, EntryRows, OutcomeRows, RolloutRows, Rows, some_rows

_Some = TypeVar("_Some", OutcomeRows, Rows)


@dataclass(frozen=True, slots=True)
class Warmup:
    """The stretches that are left out."""

    timeline: Timeline
    seconds: float

    def without(self, rows: RolloutRows) -> RolloutRows:
        """The rows without the units that are left out."""
        if self.seconds <= 0.0:
            return rows
        entries = rows.entries
        if entries is not None:
            kept = ~self._in(entries.entered)
            entries = EntryRows(entries.entered[kept], entries.canary[kept])
        return RolloutRows({name: self._units(kpi) for name, kpi in rows.kpis.items()}, entries)

    def happened(self, rows: _Some) -> _Some:
        """The rows without what happened within the warm-up; time-outs are known before."""
        if self.seconds <= 0.0:
            return rows
        if isinstance(rows, OutcomeRows):
            return replace(rows, failed=rows.failed & ~self._in(rows.resolved))
        if isinstance(rows, ConversionRows):
            return replace(rows, converted=self._outside(rows.converted))
        return replace(rows, observed=self._outside(rows.observed))

    def _units(self, rows: Rows) -> Rows:
        return some_rows(rows, ~self._in(rows.assigned) & ~self._in(rows.entered))

    def _outside(self, times: Floats) -> Floats:
        return np.where(self._in(times), np.nan, times)

    def _in(self, times: Floats) -> Bools:
        starts = np.asarray([segment.start for segment in self.timeline.segments])
        at = np.searchsorted(starts, times, side="right") - 1
        within: Bools = (at >= 0) & (times - starts[at] < self.seconds)
        return within
