"""Pairs of a customer and a phase: who has been counted, in which cohort, and as what.

A customer counts once in each phase, with one amount (has failed, has bought, spends so much on average), which may
change for as long as rows come. So what was counted is remembered, by customer; only the difference is added.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from exporter.evidence.exact.redraw import Words, splitmix64
from exporter.evidence.grid import Bools, Floats, Ints

_LOOSE = 4096
"""So many new pairs are kept apart before they are put in among all others, which costs a copy of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """What is known of pairs at one moment, one row each; arrays of one length.

    Attributes:
        unit: the customer, as a number.
        phase: number of the stretch of constant weight in which the pair entered.
        entered: when, seconds since the epoch.
        canary: on which side it really was.
        amount: what it counts as by now.
        segment: number of the segment in which it entered; 0 for all where a KPI has none.
    """

    unit: Words
    phase: Ints
    entered: Floats
    canary: Bools
    amount: Floats
    segment: Ints

    def __len__(self) -> int:
        return len(self.unit)

    def where(self, chosen: Bools | Ints) -> Pairs:
        """Some of the pairs."""
        return Pairs(
            self.unit[chosen], self.phase[chosen], self.entered[chosen],
            self.canary[chosen], self.amount[chosen], self.segment[chosen],
        )  # fmt: skip

    def in_order(self) -> Pairs:
        """By phase, and by entry within it; whoever entered in one instant stands in an order that no side decides."""
        return self.where(np.lexsort((self.unit, self.entered, self.phase)))

    @property
    def keys(self) -> Words:
        """One number for each pair."""
        return splitmix64(self.unit + splitmix64(self.phase.astype(np.uint64)))


@dataclass(slots=True, eq=False)
class Counted:
    """The pairs that have been counted; arrays by pair, in the order in which they came.

    Attributes:
        unit, canary: as in `Pairs`.
        key: of customer and phase.
        cohort: in which it was counted.
        amount: what it was last counted as.
    """

    key: Words = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    unit: Words = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    canary: Bools = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    cohort: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    amount: Floats = field(default_factory=lambda: np.zeros(0))
    _sorted: Words = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    _order: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.key)

    def find(self, keys: Words) -> Ints:
        """Position of each key, -1 where it has not been counted."""
        loose = self.key[len(self._sorted) :]
        order = np.argsort(loose, kind="stable")
        ordered, positions = loose[order], order + len(self._sorted)
        if len(loose) > _LOOSE:
            at = np.searchsorted(self._sorted, ordered)
            self._sorted, self._order = np.insert(self._sorted, at, ordered), np.insert(self._order, at, positions)
            return _find(self._sorted, self._order, keys)
        found, recent = _find(self._sorted, self._order, keys), _find(ordered, positions, keys)
        return np.where(found < 0, recent, found)

    def add(self, key: Words, pairs: Pairs, cohort: Ints) -> None:
        """Remember new pairs."""
        self.key = np.concatenate([self.key, key])
        self.unit = np.concatenate([self.unit, pairs.unit])
        self.canary = np.concatenate([self.canary, pairs.canary])
        self.cohort = np.concatenate([self.cohort, cohort])
        self.amount = np.concatenate([self.amount, pairs.amount])


def _find(ordered: Words, positions: Ints, wanted: Words) -> Ints:
    if not len(ordered):
        return np.full(len(wanted), -1, dtype=np.int64)
    at = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return np.where(ordered[at] == wanted, positions[at], -1)
