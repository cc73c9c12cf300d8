"""Stable held against the shop as it was before the rollout: a canary may hurt everybody through what both share.

A canary that locks the shared database makes both versions fail alike, and no comparison of the two can see it. So
stable's own level is watched: its evidence speaks against every level down to the lowest quarter of the time before the
start, less what the KPI's tolerance lets pass. Nothing is random between *before* and *after*: an outage of a provider
or the hour of the day looks the same, which is why this only ever holds.

Harm grows with the canary's traffic weight, so evidence restarts with every change of it: `E = sum_k w_k E_k`, with
`w_k = 1/(k(k+1))` for the k-th stretch and a start that is still ahead counted as one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from exporter.evidence.comparisons.events import Events
from exporter.evidence.comparisons.floor import GRID, level_likelihood
from exporter.evidence.grid import LN10, Floats, Ints, log10_evidence
from exporter.evidence.progress.timeline import Timeline
from exporter.evidence.progress.trajectory import Trajectory
from exporter.evidence.rows import ConversionRows, OutcomeRows, Rows

CONVERTS_SECONDS = 300.0
"""A unit counts as converted when it did so within this of its entry, before the start and after. Waiting for the
slowest order would tell of a harm only when the rollout is over."""
_MINUTE = 60.0


def events_of(rows: Rows | None) -> Events | None:
    """What happens to units: a conversion, or a failure."""
    if isinstance(rows, ConversionRows):
        return Events(rows.assigned, rows.entered, rows.canary, rows.converted)
    if isinstance(rows, OutcomeRows):
        return Events(rows.assigned, rows.entered, rows.canary, np.where(rows.failed, rows.resolved, np.nan))
    return None


def _none() -> Ints:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class LevelTest:
    """Stable's level against the one before, all buckets before `bucket` folded in; immutable.

    Units that a later change of the weight may have moved to the canary do not count: those that came in under an
    earlier weight, and conversions whose time is not over when the weight changes.

    Attributes:
        limit: the level below which stable is worse than before.
        patience_seconds: for conversions, how long after its entry a unit may convert; nothing for failures, which
            count when they come.
    """

    limit: float
    patience_seconds: float | None = None
    bucket: int = 0
    entered: Ints = field(default_factory=_none)
    """Stable's units, by minute of entry."""
    happened: Ints = field(default_factory=_none)
    """To how many of them the event happened."""
    dispersion: float = 1.0
    """By what likelihoods are divided where units are not customers: rows of one hang together."""

    @property
    def units(self) -> tuple[int, int]:
        """No canary units, and stable's that were folded in."""
        return 0, int(self.entered.sum())

    def dispersed(self, factor: float) -> LevelTest:
        """The same, from now on with likelihoods divided by the over-dispersion of its units."""
        return replace(self, dispersion=factor)

    def advance(self, rows: Events, timeline: Timeline, until: int) -> tuple[LevelTest, Trajectory]:
        """Fold the buckets up to `until`; `rows` holds at least the units that entered, or met the event, in them."""
        if until <= self.bucket:
            return self, Trajectory.empty()
        segment = timeline.segment_of(rows.entered)
        ours = ~rows.canary & (segment >= 0) & (segment == timeline.segment_of(rows.assigned))
        with np.errstate(invalid="ignore"):
            early = rows.happened - rows.entered <= (self.patience_seconds or np.inf)
            ends = np.asarray([one.end for one in timeline.segments])
            counts = ours & early & (rows.happened < ends[segment])
        entries, events = timeline.bucket(rows.entered), timeline.bucket(np.fmax(rows.happened, rows.entered))
        new = ours & (entries >= self.bucket) & (entries < until)
        met = counts & (events >= self.bucket) & (events < until)
        minute = np.maximum((rows.entered - timeline.origin) // _MINUTE, 0.0).astype(np.int64)
        most = int(np.ceil(until * timeline.bucket_seconds / _MINUTE)) + 1
        entered, happened = (
            np.pad(known, (0, most - len(known))) + np.bincount(minute[chosen], minlength=most)
            for known, chosen in ((self.entered, new), (self.happened, met))
        )
        test = replace(self, bucket=until, entered=entered, happened=happened)
        return test, test.known(timeline)

    def known(self, timeline: Timeline) -> Trajectory:
        """One moment: what is known now. Nobody asks what was known before, as the finding may clear."""
        minutes: Floats = timeline.origin + np.arange(len(self.entered), dtype=np.float64) * _MINUTE
        segment = timeline.segment_of(minutes)
        now = float(timeline.end_of(np.asarray([self.bucket - 1]))[0])
        counts = np.asarray([one.comparable for one in timeline.segments])[segment]
        good = np.maximum(self.entered - self.happened, 0)  # a unit that came late was not counted when it entered
        if self.patience_seconds is not None:
            ends = np.asarray([one.end for one in timeline.segments])[segment]
            counts &= minutes + _MINUTE + self.patience_seconds <= np.minimum(ends, now)
            good = self.happened
        starts = [one.index for one in timeline.segments if one.comparable and one.start < now]
        since = counts & (segment >= np.asarray(starts)[:, None])
        units, good = (since * self.entered).sum(axis=1), (since * np.minimum(good, self.entered)).sum(axis=1)
        evidence = log10_evidence(GRID, level_likelihood(self.limit, good, units - good) / self.dispersion) * LN10
        number = np.arange(1, len(starts) + 1)
        weighed = np.append(evidence - np.log(number * (number + 1.0)), -np.log(len(starts) + 1.0))
        loudest = int(weighed[:-1].argmax()) if starts else 0
        with np.errstate(invalid="ignore", divide="ignore"):
            level: Floats = good / units
        return Trajectory.plain(
            time=np.asarray([now]),
            estimate=level[[loudest]] if starts else np.asarray([np.nan]),
            lower=np.zeros(1),
            upper=np.ones(1),
            log10_evidence=np.asarray([np.logaddexp.reduce(weighed) / LN10]),
            canary_units=np.zeros(1, dtype=np.int64),
            stable_units=units[[loudest]] if starts else np.zeros(1, dtype=np.int64),
        )
