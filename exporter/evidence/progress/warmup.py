"""The first minutes after each change of the weight, left out of every test on both sides: caches are cold in them.

Who came in them is no unit. What happened in them to somebody who came before did not happen, as far as tests know: a
unit whose event is ignored stays among those at risk, which reveals nothing of its side and so is fair to both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from exporter.evidence.grid import Bools, Floats
from exporter.evidence.progress.timeline import Timeline
from exporter.evidence.rows import ConversionRows, EntryRows, MeanRows, OutcomeRows, RolloutRows, Rows


@dataclass(frozen=True, slots=True)
class Warmup:
    """The stretches that are left out."""

    timeline: Timeline
    seconds: float

    def without(self, rows: RolloutRows) -> RolloutRows:
        """The rows without what is left out; outcomes keep theirs until their time-outs are known."""
        if self.seconds <= 0.0:
            return rows
        entries = rows.entries
        if entries is not None:
            kept = ~self._in(entries.entered)
            entries = EntryRows(entries.entered[kept], entries.canary[kept])
        return RolloutRows({name: self._of(kpi) for name, kpi in rows.kpis.items()}, entries)

    def outcomes(self, rows: OutcomeRows) -> OutcomeRows:
        """Outcomes without those that came about within the warm-up."""
        if self.seconds <= 0.0:
            return rows
        ignored = self._in(rows.resolved)
        return replace(rows, resolved=np.where(ignored, np.nan, rows.resolved), failed=rows.failed & ~ignored)

    def _of(self, rows: Rows) -> Rows:
        if isinstance(rows, ConversionRows):
            kept = ~self._in(rows.assigned) & ~self._in(rows.entered)
            converted = np.where(self._in(rows.converted), np.nan, rows.converted)
            return ConversionRows(rows.assigned[kept], rows.entered[kept], rows.canary[kept], converted[kept])
        if isinstance(rows, OutcomeRows):
            kept = ~self._in(rows.assigned) & ~self._in(rows.entered)
            return OutcomeRows(
                rows.assigned[kept], rows.entered[kept], rows.canary[kept], rows.resolved[kept], rows.failed[kept]
            )
        kept = ~self._in(rows.assigned) & ~self._in(rows.entered) & ~self._in(rows.observed)
        columns = (rows.assigned, rows.observed, rows.canary, rows.value, rows.entered, rows.previous)
        assigned, observed, canary, value, entered, previous = (column[kept] for column in columns)
        return MeanRows(assigned, observed, canary, value, entered, previous)  # type: ignore[arg-type]  # columns as above

    def _in(self, times: Floats) -> Bools:
        starts = np.asarray([segment.start for segment in self.timeline.segments])
        at = np.searchsorted(starts, times, side="right") - 1
        within: Bools = (at >= 0) & (times - starts[at] < self.seconds)
        return within
