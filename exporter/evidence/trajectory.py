"""How one test's evidence grew: a row for each bucket that brought something new, and the test that made it.

The whole path is kept, not only its end: a threshold once reached is a proof whoever looked at that moment, so verdicts
ask whether it was *ever* reached, and reports draw it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np

from exporter.evidence.grid import Floats, Ints
from exporter.evidence.timeline import Timeline


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """Arrays of one length; effects are relative changes, canary against stable.

    For a floor, `estimate`, `lower` and `upper` are the canary's own success ratio.
    """

    time: Floats
    """End of the bucket, seconds since the epoch."""
    estimate: Floats
    lower: Floats
    upper: Floats
    log10_evidence: Floats
    canary_units: Ints
    stable_units: Ints

    @classmethod
    def empty(cls) -> Trajectory:
        """No bucket yet."""
        floats, ints = np.zeros(0), np.zeros(0, dtype=np.int64)
        return cls(floats, floats, floats, floats, floats, ints, ints)

    def __len__(self) -> int:
        return len(self.time)

    def then(self, later: Trajectory) -> Trajectory:
        """This trajectory followed by a later one."""
        return Trajectory(
            np.concatenate([self.time, later.time]),
            np.concatenate([self.estimate, later.estimate]),
            np.concatenate([self.lower, later.lower]),
            np.concatenate([self.upper, later.upper]),
            np.concatenate([self.log10_evidence, later.log10_evidence]),
            np.concatenate([self.canary_units, later.canary_units]),
            np.concatenate([self.stable_units, later.stable_units]),
        )


class Test(Protocol):
    """An immutable sequential test: all buckets before `bucket` are folded in."""

    @property
    def bucket(self) -> int:
        """The first bucket that is not folded in."""

    @property
    def units(self) -> tuple[int, int]:
        """Canary and stable units folded in."""

    def advance(
        self, rows: Any, timeline: Timeline, until: int
    ) -> tuple[Self, Trajectory]:  # each test reads its own kind of rows
        """The test with the buckets up to `until` folded in, and the path it took there."""


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """A test with its whole path."""

    test: Test
    path: Trajectory = field(default_factory=Trajectory.empty)

    def advance(self, rows: Any, timeline: Timeline, until: int) -> Track:
        """The track with the buckets up to `until` folded in."""
        if until <= self.test.bucket:
            return self
        test, later = self.test.advance(rows, timeline, until)
        return Track(test, self.path.then(later) if len(later) else self.path)
