"""Cohorts: pairs that came one after the other in one phase, and under each draw how many of them met the canary.

Where a KPI has segments, each has cohorts of its own: a payment provider's customers are compared with each other.

A customer is compared with those who came in the same minutes. What the canary's customers were expected to do is what
their cohort did on average, so a shop that sells more in the evening, or whose provider fails for ten minutes, expects
more or less of both sides at once. Cohorts are closed by time and number, never by sides or outcomes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from exporter.evidence.grid import Floats, Ints

_SECONDS = 60.0
_PAIRS = 50
"""A cohort is closed once it lasted so long and holds so many pairs: fewer say little about what was to be expected."""
MOST = 48
"""So many are kept apart, 3 MB with 8,192 draws; beyond, neighbours are added up, as days differ from each other more
than minutes of one morning do."""
_MOST_OF_A_SEGMENT = 16
"""A megabyte each: a segment has fewer customers, and all segments together see more of the time than one of them."""


def most(segments: int) -> int:
    """How many cohorts are kept apart where there are so many segments."""
    return max(MOST, _MOST_OF_A_SEGMENT * segments)


@dataclass(slots=True, eq=False)
class Cohorts:
    """All cohorts of a rollout; arrays by cohort, in the order in which they began.

    Attributes:
        draws: under how many it is known who met the canary.
        most: so many are kept apart.
        phase: which phase's pairs are in it.
        segment: which segment's.
        start: entry of its first pair, seconds since the epoch.
        pairs: how many pairs it holds.
        amount: the sum of what they counted as.
        square: the sum of the squares of it.
    """

    draws: int
    most: int = MOST
    phase: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    segment: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    start: Floats = field(default_factory=lambda: np.zeros(0))
    pairs: Floats = field(default_factory=lambda: np.zeros(0))
    amount: Floats = field(default_factory=lambda: np.zeros(0))
    square: Floats = field(default_factory=lambda: np.zeros(0))
    _canary: Floats = field(init=False)
    """Its first rows are in use: a copy of them all for each new cohort would cost more than everything else."""

    def __post_init__(self) -> None:
        """Begin with none, or with nobody in them."""
        self._canary = np.zeros((max(self.most, len(self.phase)) + 1, self.draws))

    def __len__(self) -> int:
        return len(self.phase)

    @property
    def canary(self) -> Floats:
        """By cohort and draw, how many of its pairs were on the canary."""
        return self._canary[: len(self)]

    def place(self, phase: int, segment: int, entered: Floats) -> Ints:
        """The cohort of each new pair of *phase* and *segment*, in order of entry; opens new ones as they are needed.

        A pair that became known late belongs to the cohort of its time, or to the first of its phase.
        """
        ours = np.flatnonzero((self.phase == phase) & (self.segment == segment))
        if not len(ours):
            ours = np.asarray([self._open(phase, segment, float(entered[0]))])
        starts = self.start[ours]
        at = np.maximum(np.searchsorted(starts, entered, side="right") - 1, 0)
        found = ours[at]
        held = float(self.pairs[ours[-1]])
        first = int(np.searchsorted(entered, starts[-1], side="left"))
        while True:
            # The open cohort is closed before the first pair that finds it both old and large enough.
            old = int(np.searchsorted(entered, self.start[ours[-1]] + _SECONDS, side="left"))
            closing = max(old, first + max(0, int(_PAIRS - held)))
            if closing >= len(entered):
                break
            cohort = self._open(phase, segment, float(entered[closing]))
            ours = np.append(ours, cohort)
            found[closing:] = cohort
            first, held = closing, 0.0
        np.add.at(self.pairs, found, 1.0)
        return found

    def merge(self) -> Ints:
        """Add neighbours of one phase up until no more than `most` are left; gives each old cohort's new number."""
        number = np.arange(len(self))
        while len(self) > self.most:
            neighbours = self._neighbours()
            if not len(neighbours):
                break
            size = self.pairs[neighbours[:, 0]] + self.pairs[neighbours[:, 1]]
            kept, gone = neighbours[int(np.argmin(size))]
            for column in (self.pairs, self.amount, self.square, self._canary):
                column[kept] += column[gone]
            self._canary[gone : len(self) - 1] = self._canary[gone + 1 : len(self)]
            self._canary[len(self) - 1] = 0.0
            for name in ("phase", "segment", "start", "pairs", "amount", "square"):
                setattr(self, name, np.delete(getattr(self, name), gone))
            number = np.where(number == gone, kept, number)
            number -= number > gone
        return number

    def _neighbours(self) -> Ints:
        """Cohorts that follow each other in one phase, without the phase's open one, as long as there are others."""
        pairs = [
            (int(before), int(after))
            for phase, segment in sorted(set(zip(self.phase.tolist(), self.segment.tolist(), strict=True)))
            for ours in [np.flatnonzero((self.phase == phase) & (self.segment == segment))]
            for before, after in pairwise(ours[:-1])
        ]
        return np.asarray(pairs, dtype=np.int64).reshape(-1, 2)

    def _open(self, phase: int, segment: int, start: float) -> int:
        self.phase, self.segment = np.append(self.phase, phase), np.append(self.segment, segment)
        self.start = np.append(self.start, start)
        for name in ("pairs", "amount", "square"):
            setattr(self, name, np.append(getattr(self, name), 0.0))
        if len(self) > len(self._canary):
            self._canary = np.concatenate([self._canary, np.zeros_like(self._canary)])
        return len(self) - 1

    def expected(self, segments: int) -> Floats:
        """By segment and draw, the amount that the canary's pairs would have if all pairs of a cohort were alike."""
        mean = self.amount / np.maximum(self.pairs, 1.0)
        expected: Floats = np.where(self.segment == np.arange(segments)[:, None], mean, 0.0) @ self.canary
        return expected

    def variances(self, segments: int, share: Floats) -> Floats:
        """By segment, the variance over the draws of what the canary's pairs amount to; *share* is by phase.

        It is that of pairs that are drawn one by one, and knows no sides.
        """
        within = np.maximum(self.square - self.amount**2 / np.maximum(self.pairs, 1.0), 0.0)
        weight = share[self.phase]
        variances: Floats = np.bincount(self.segment, weight * (1.0 - weight) * within, segments).astype(np.float64)
        return variances
