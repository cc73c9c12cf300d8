"""An absolute floor on the canary alone: is its success ratio proven to be below it?

Units count in order of entry, never in order of resolution: declines are often known at once while
successes take minutes, and then the first resolved units are all failures. A unit still pending
counts as a success for now, which can only understate the evidence.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from exporter.evidence.grid import Floats, Ints, confidence_sequence, estimate, half_normal_grid, log10_evidence
from exporter.evidence.rows import OutcomeRows
from exporter.evidence.timeline import Timeline
from exporter.evidence.trajectory import Trajectory

GRID = half_normal_grid(((1.0, 0.05), (3.0, 0.1), (6.0, 0.25)), sd=2.0, harm_sign=-1)

_LONGEST_LAG_SECONDS = 3600.0


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
    entered: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Per lag, the units that old before `bucket`; `failed` those of them known to have failed."""
    failed: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def units(self) -> tuple[int, int]:
        """Canary units that entered and were folded in; stable has no part in this."""
        return (int(self.entered[0]) if self.entered.size else 0), 0

    def lags(self, bucket_seconds: float) -> Ints:
        """The prefixes' ages in buckets."""
        longest = (self.pending_timeout_seconds or _LONGEST_LAG_SECONDS) / bucket_seconds
        doublings = max(0, int(np.ceil(np.log2(max(longest, 1.0)))))
        return np.concatenate([[0], 2 ** np.arange(doublings + 1)]).astype(np.int64)

    def advance(self, rows: OutcomeRows, timeline: Timeline, until: int) -> tuple[FloorTest, Trajectory]:
        """Fold the buckets up to `until`; `rows` as for the comparison, and back to the longest lag."""
        if until <= self.bucket:
            return self, Trajectory.empty()
        lags = self.lags(timeline.bucket_seconds)
        chosen = rows.canary & (timeline.segment_of(rows.assigned) >= 0)
        entered = timeline.bucket(rows.entered[chosen])
        known = np.maximum(timeline.bucket(rows.resolved[chosen]), entered)
        failing = rows.failed[chosen] & np.isfinite(rows.resolved[chosen])

        # A prefix of age `lag` holds a unit from bucket entered + lag on, its failure once known too.
        held = [np.sort(entered + lag) for lag in lags]
        failures = [np.sort(np.maximum(known, entered + lag)[failing]) for lag in lags]
        news = np.concatenate([held[0], *failures])
        buckets = np.unique(news[(news >= self.bucket) & (news < until)])
        before = self.entered if self.entered.size else np.zeros(lags.size, dtype=np.int64)
        failed_before = self.failed if self.failed.size else np.zeros(lags.size, dtype=np.int64)
        n, f = _count(held, before, self.bucket, buckets), _count(failures, failed_before, self.bucket, buckets)
        test = replace(
            self,
            bucket=until,
            entered=_count(held, before, self.bucket, np.asarray([until - 1]))[:, 0],
            failed=_count(failures, failed_before, self.bucket, np.asarray([until - 1]))[:, 0],
        )
        return test, self._trajectory(timeline, buckets, n, np.minimum(f, n))

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


def _count(keys: list[Ints], before: Ints, first: int, buckets: Ints) -> Ints:
    """Per lag (rows), how many keys lie in buckets up to each of `buckets`, on top of those `before` `first`."""
    found = [np.searchsorted(key, buckets, side="right") - np.searchsorted(key, first) for key in keys]
    counts: Ints = before[:, None] + np.stack(found)
    return counts


def _ratio(log_odds: Floats) -> Floats:
    ratio: Floats = 1.0 / (1.0 + np.exp(-log_odds))
    return ratio
