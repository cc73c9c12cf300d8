"""How one test's evidence grew: a row for each bucket that brought something new, and the test that made it.

The whole path is kept, not only its end: a threshold once reached is a proof whoever looked at that moment, so verdicts
ask whether it was *ever* reached, and reports draw it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, Self

import numpy as np

from exporter.evidence.grid import Bools, Floats, Ints
from exporter.evidence.progress.timeline import Timeline


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """Arrays of one length; effects are relative changes of rates or means, canary against stable.

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
    recent_estimate: Floats
    """The estimate since the moment from which on there is most evidence; a tolerance is held against it."""
    log10_not_slower: Floats
    """Evidence that the canary is not only slower; infinite where that is not asked."""
    log10_slower: Floats
    """Evidence that the canary is slower, though not worse."""
    quiet: Bools
    """Whether no later beginning has evidence of its own."""
    phase_lower: Floats
    phase_upper: Floats
    """The bounds from the present phase alone, known at the last moment only."""

    @classmethod
    def plain(
        cls,
        *,
        time: Floats,
        estimate: Floats,
        lower: Floats,
        upper: Floats,
        log10_evidence: Floats,
        canary_units: Ints,
        stable_units: Ints,
    ) -> Trajectory:
        """Of a test that begins once and knows nothing of slowness."""
        return cls(
            time=time,
            estimate=estimate,
            lower=lower,
            upper=upper,
            log10_evidence=log10_evidence,
            canary_units=canary_units,
            stable_units=stable_units,
            recent_estimate=estimate,
            log10_not_slower=np.full(len(time), np.inf),
            log10_slower=np.zeros(len(time)),
            quiet=np.ones(len(time), dtype=np.bool_),
            phase_lower=lower,
            phase_upper=upper,
        )

    @classmethod
    def empty(cls) -> Trajectory:
        """No bucket yet."""
        floats, ints = np.zeros(0), np.zeros(0, dtype=np.int64)
        return cls.plain(
            time=floats, estimate=floats, lower=floats, upper=floats, log10_evidence=floats,
            canary_units=ints, stable_units=ints,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.time)

    def then(self, later: Trajectory) -> Trajectory:
        """This trajectory followed by a later one."""
        columns = {
            column.name: np.concatenate([getattr(self, column.name), getattr(later, column.name)])
            for column in fields(self)
        }
        return Trajectory(**columns)


class Test(Protocol):
    """An immutable sequential test: all buckets before `bucket` are folded in."""

    @property
    def bucket(self) -> int:
        """The first bucket that is not folded in."""

    @property
    def units(self) -> tuple[int, int]:
        """Canary and stable units folded in."""

    def dispersed(self, factor: float) -> Self:
        """The same, from now on with likelihoods divided by the over-dispersion of its units."""

    def advance(
        self, rows: Any, timeline: Timeline, until: int
    ) -> tuple[Self, Trajectory]:  # each test reads its own kind of rows
        """The test with the buckets up to `until` folded in, and the path it took there."""


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """A test with its whole path."""

    test: Test
    path: Trajectory = field(default_factory=Trajectory.empty)

    def advance(self, rows: Any, timeline: Timeline, until: int, dispersion: Dispersion = ()) -> Track:
        """The track with the buckets up to `until` folded in.

        Args:
            dispersion: from which bucket on likelihoods are divided by how much, in order; empty: they are not.
        """
        track = self
        for bucket, factor in dispersion:
            track = track._to(rows, timeline, min(bucket, until))
            if bucket < until:
                track = Track(track.test.dispersed(factor), track.path)
        return track._to(rows, timeline, until)

    def _to(self, rows: Any, timeline: Timeline, until: int) -> Track:
        if until <= self.test.bucket:
            return self
        test, later = self.test.advance(rows, timeline, until)
        return Track(test, self.path.then(later) if len(later) else self.path)


Dispersion = Sequence[tuple[int, float]]
