"""A test and the path its evidence took so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from exporter.evidence.timeline import Timeline
from exporter.evidence.trajectory import Trajectory


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
