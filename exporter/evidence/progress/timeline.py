"""How a rollout is cut: into buckets of time and segments of constant traffic weight.

Buckets make evidence independent of when anybody looks: only whole ones count. Segments keep apart units that met
different odds of being on the canary; mixed, a shop whose conversion rises towards the evening would show a difference
where there is none (Simpson's paradox). Strata do the same within a segment: what is compared happened side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from exporter.evidence.grid import Floats, Ints

_NEVER = float(1 << 40)
"""The bucket of what has not happened: later than any rollout, and exact as a float and as an integer."""


def distinct(buckets: Ints, first: int, until: int) -> Ints:
    """The different ones among buckets from `first` up to `until`, in order: counted, which is quicker than sorted."""
    inside = buckets[(buckets >= first) & (buckets < until)]
    found: Ints = np.flatnonzero(np.bincount(inside - first)) + first
    return found


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of time during which the canary's traffic weight was constant."""

    index: int
    start: float
    end: float
    weight: float

    @property
    def comparable(self) -> bool:
        """Whether both sides got traffic."""
        return 0.0 < self.weight < 1.0


@dataclass(frozen=True, slots=True)
class Timeline:
    """Buckets of `bucket_seconds` from `origin` on, and the segments between weight changes."""

    origin: float
    bucket_seconds: float
    segments: tuple[Segment, ...]

    @classmethod
    def of(cls, origin: float, bucket_seconds: float, weights: Sequence[tuple[float, float]]) -> Timeline:
        """Build from the weight history: `(time, the canary's share from then on)`, at least one, any order.

        Of several at one moment the last one given is in force.

        Raises:
            ValueError: there is no weight.
        """
        if not weights:
            raise ValueError("weights: expected the canary's traffic weight since the rollout began, found none")
        changes: list[tuple[float, float]] = []
        for time, weight in sorted(weights, key=itemgetter(0)):
            if not changes or changes[-1][1] != weight:
                changes.append((max(time, origin), weight))
        ends = [*(time for time, _ in changes[1:]), np.inf]
        segments = tuple(
            Segment(index, start, end, weight)
            for index, ((start, weight), end) in enumerate(zip(changes, ends, strict=True))
        )
        return cls(origin, bucket_seconds, segments)

    @property
    def judged_until(self) -> float:
        """When the canary first got all the traffic; infinite before that."""
        return next((segment.start for segment in self.segments if segment.weight >= 1.0), np.inf)

    def bucket(self, times: Floats) -> Ints:
        """The bucket of each time: the last there is for nan, the first for what came before the rollout."""
        index = np.floor((times - self.origin) / self.bucket_seconds)
        buckets: Ints = np.clip(np.nan_to_num(index, nan=_NEVER), 0.0, _NEVER).astype(np.int64)
        return buckets

    def first_bucket_from(self, time: float) -> int:
        """The first bucket that begins at or after `time`."""
        return int(np.ceil((time - self.origin) / self.bucket_seconds))

    def complete(self, until: float) -> int:
        """How many buckets are over at `until`."""
        if not np.isfinite(until):
            return int(_NEVER)
        return max(0, int(np.floor((until - self.origin) / self.bucket_seconds)))

    def end_of(self, buckets: Ints) -> Floats:
        """The time at which each bucket ends."""
        ends: Floats = self.origin + (buckets + 1).astype(np.float64) * self.bucket_seconds
        return ends

    def segment_of(self, times: Floats) -> Ints:
        """The segment each time falls into, -1 before the rollout began."""
        starts = np.asarray([segment.start for segment in self.segments])
        index: Ints = np.searchsorted(starts, times, side="right") - 1
        return index

    def changes_within(self, first: int, until: int) -> list[int]:
        """The weight changes in buckets `first` (exclusive) to `until` (inclusive), rounded up to a bucket."""
        starts = {self.first_bucket_from(segment.start) for segment in self.segments[1:]}
        return sorted(start for start in starts if first < start <= until)
