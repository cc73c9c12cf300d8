"""An absolute floor on the canary alone: is its success ratio proven to be below it?

Units count in order of entry, never in order of resolution: declines are often known at once while
successes take minutes, and then the first resolved units are all failures. A unit still pending
counts as a success for now, which can only understate the evidence.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from exporter.evidence.grid import Floats, Ints, confidence_sequence, estimate, log10_evidence, symmetric_grid
from exporter.evidence.rows import OutcomeRows
from exporter.evidence.timeline import Timeline
from exporter.evidence.trajectory import Trajectory

GRID = symmetric_grid(((1.0, 0.05), (3.0, 0.1), (6.0, 0.25)), sd=2.0, harm_sign=-1)

_LONGEST_LAG_SECONDS = 3600.0


def _none() -> Ints:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class FloorTest:
    """The test of one floor, all buckets before `bucket` folded in; immutable.

    Evidence is looked at for several prefixes of the canary's units, those older than 0, 1, 2, 4, ...
    buckets: the youngest prefix knows most units, the oldest has the fewest pending. Ville's bound
    covers all prefixes at once, so the strongest one speaks.
    """

    floor: float
    alpha: float
    pending_timeout_seconds: float | None = None
    bucket: int = 0
    entered: Ints = field(default_factory=_none)
    """Canary units that entered, by bucket."""
    failures: tuple[Ints, Ints] = field(default_factory=lambda: (_none(), _none()))
    """Buckets in which each failed unit entered and was known to have failed, oldest forgotten."""
    forgotten: int = 0
    """Failures that are in every prefix by now."""

    @property
    def units(self) -> tuple[int, int]:
        """Canary units that entered and were folded in; stable has no part in this."""
        return int(self.entered.sum()), 0

    def lags(self, bucket_seconds: float) -> Ints:
        """The prefixes' ages in buckets."""
        longest = (self.pending_timeout_seconds or _LONGEST_LAG_SECONDS) / bucket_seconds
        doublings = max(0, int(np.ceil(np.log2(max(longest, 1.0)))))
        return np.concatenate([[0], 2 ** np.arange(doublings + 1)]).astype(np.int64)

    def advance(self, rows: OutcomeRows, timeline: Timeline, until: int) -> tuple[FloorTest, Trajectory]:
        """Fold the buckets up to `until`; `rows` holds at least the units that entered or were resolved in them."""
        if until <= self.bucket:
            return self, Trajectory.empty()
        chosen = np.flatnonzero(rows.canary)
        chosen = chosen[timeline.segment_of(rows.assigned[chosen]) >= 0]
        entries = timeline.bucket(rows.entered[chosen])
        known = np.maximum(timeline.bucket(rows.resolved[chosen]), entries)
        arrived = entries[(entries >= self.bucket) & (entries < until)]
        failing = rows.failed[chosen] & (known >= self.bucket) & (known < until)
        entered = np.concatenate([self.entered, np.bincount(arrived - self.bucket, minlength=until - self.bucket)])
        failed_entry = np.concatenate([self.failures[0], entries[failing]])
        failed_known = np.concatenate([self.failures[1], known[failing]])

        lags = self.lags(timeline.bucket_seconds)
        keys = [np.sort(np.maximum(failed_known, failed_entry + lag)) for lag in lags]
        news = np.concatenate([np.unique(arrived), *keys])
        buckets = np.unique(news[(news >= self.bucket) & (news < until)])
        so_far = np.concatenate([[0], np.cumsum(entered)])
        n = np.stack([so_far[np.maximum(buckets + 1 - lag, 0)] for lag in lags])
        failed = self.forgotten + np.stack([np.searchsorted(key, buckets, side="right") for key in keys])
        remembered = np.maximum(failed_known, failed_entry + lags[-1]) >= until
        test = replace(
            self,
            bucket=until,
            entered=entered,
            failures=(failed_entry[remembered], failed_known[remembered]),
            forgotten=self.forgotten + int(np.count_nonzero(~remembered)),
        )
        return test, self._trajectory(timeline, buckets, n, np.minimum(failed, n))

    def _trajectory(self, timeline: Timeline, buckets: Ints, n: Ints, failed: Ints) -> Trajectory:
        if not buckets.size:
            return Trajectory.empty()
        at_floor = np.log(self.floor / (1.0 - self.floor))
        log_success = -np.logaddexp(0.0, -(at_floor + GRID.effects))
        log_failure = -np.logaddexp(0.0, at_floor + GRID.effects)
        likelihood = (n - failed)[..., None] * log_success + failed[..., None] * log_failure
        evidence = log10_evidence(GRID, likelihood)
        strongest = evidence.argmax(axis=0)
        at = (strongest, np.arange(buckets.size))
        path = likelihood[at]
        lower, upper = confidence_sequence(GRID, path, self.alpha)
        return Trajectory(
            time=timeline.end_of(buckets),
            estimate=_ratio(at_floor + estimate(GRID, path)),
            lower=_ratio(at_floor + lower),
            upper=_ratio(at_floor + upper),
            log10_evidence=evidence[at],
            canary_units=n[at],
            stable_units=np.zeros(buckets.size, dtype=np.int64),
        )


def _ratio(log_odds: Floats) -> Floats:
    ratio: Floats = 1.0 / (1.0 + np.exp(-log_odds))
    return ratio
