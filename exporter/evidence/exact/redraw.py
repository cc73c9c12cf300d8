"""Places drawn again: on which side each customer would have been, had the router's salt been another.

A redraw is never stored. Draw k puts a customer on the canary when 16 bits of a hash of (rollout, customer, k) are
below the weight; whoever needs the sides again computes them again, so that a shop of a million customers costs no more
memory than one of ten. Growing weights only add customers, as at the router: the phases of one rollout are redrawn
together.

nginx does not draw customers: its salt chooses the order in which a hundred fixed buckets are opened. Which bucket a
customer is in is itself a hash. So a customer's place, the rank of the bucket, is uniform and independent of all other
customers' places whatever the order is, and the redraw by customer has the very law of nginx's draw; what it takes for
random is the hash of customers, as at HAProxy and Envoy. Given who shares a bucket, as it stays for all rollouts, only
the average over shops is kept (docs/evidence-statistics.md).
"""

from __future__ import annotations

import hashlib
from typing import Protocol

import numpy as np
import numpy.typing as npt

from exporter.evidence.grid import Floats

Words = npt.NDArray[np.uint64]
Sides = npt.NDArray[np.uint8]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_LANES = 4
"""Sixteen-bit numbers in one word: a share is hit to 1/65,536, which is finer than any router's own steps."""
_AT_ONCE = 64
"""Customers whose sides are computed together: a megabyte of words, which the processor's cache holds. At most 255, so
that a sum of sides fits a byte."""
_WEIGHED_AT_ONCE = 16
"""Customers whose sides are multiplied with amounts together: a megabyte of floats. With all sixty-four the sides no
longer fit the processor's cache, and each new customer costs thirty times as much."""


def splitmix64(words: Words) -> Words:
    """The generator's output function (Steele, Lea, Flood 2014): every input bit moves half of the output's."""
    mixed = words + _GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    return mixed ^ (mixed >> np.uint64(31))


class Redraw(Protocol):
    """All draws of one rollout. Column 0 belongs to the real assignment: what it has there means nothing."""

    @property
    def draws(self) -> int:
        """How many columns there are, the real one among them."""

    def sums(self, units: Words, weight: float, amounts: Floats) -> tuple[Floats, Floats]:
        """Under each draw: how many of *units* are on the canary at *weight*, and the sum of their *amounts*."""


class HashedPlaces:
    """Every customer by itself, as HAProxy and Envoy draw."""

    def __init__(self, rollout: str, draws: int) -> None:
        """Draws of *rollout* (its id); *draws* is a multiple of four, the real one among them."""
        if draws % _LANES:
            raise ValueError(f"draws: a multiple of {_LANES} expected, found {draws}")
        self._keys = _keys(rollout)
        self._counters = np.arange(draws // _LANES, dtype=np.uint64) * _GOLDEN
        self._scratch = np.empty((2, _AT_ONCE, draws // _LANES), dtype=np.uint64)
        self._weighed = np.empty((_WEIGHED_AT_ONCE, draws))

    @property
    def draws(self) -> int:
        """How many columns there are."""
        return self._counters.size * _LANES

    def sums(self, units: Words, weight: float, amounts: Floats) -> tuple[Floats, Floats]:
        """Under each draw: how many of *units* are on the canary at *weight*, and the sum of their *amounts*."""
        counts, sums = np.zeros(self.draws), np.zeros(self.draws)
        hashed = _keyed(units, self._keys)
        for start in range(0, len(units), _AT_ONCE):
            chosen = slice(start, start + _AT_ONCE)
            sides = self._sides(hashed[chosen], weight)
            counts += np.add.reduce(sides, axis=0, dtype=np.uint8)
            self._weigh(sides, amounts[chosen], sums)
        return counts, sums

    def sides(self, units: Words, weights: Floats) -> Sides:
        """1 where a customer is on the canary at its weight; a row a customer, a column a draw."""
        hashed, found = _keyed(units, self._keys), np.empty((len(units), self.draws), dtype=np.uint8)
        begins = np.flatnonzero(np.append(True, weights[1:] != weights[:-1]))
        for low, high in zip(begins, [*begins[1:], len(units)], strict=True):
            for start in range(low, high, _AT_ONCE):
                chosen = slice(start, min(start + _AT_ONCE, high))
                found[chosen] = self._sides(hashed[chosen], float(weights[low]))
        return found

    def _weigh(self, sides: Sides, amounts: Floats, sums: Floats) -> None:
        """Add to *sums* what the canary's customers amount to under each draw."""
        some = np.flatnonzero(amounts)
        if not len(some):
            return
        amounts, sides = amounts[some], sides[some]
        if (amounts == amounts[0]).all():  # failures, purchases: counted, and not multiplied
            sums += amounts[0] * np.add.reduce(sides, axis=0, dtype=np.uint8)
            return
        for start in range(0, len(amounts), _WEIGHED_AT_ONCE):
            part = amounts[start : start + _WEIGHED_AT_ONCE]
            weighed = self._weighed[: len(part)]
            np.copyto(weighed, sides[start : start + len(part)])
            sums += part @ weighed

    def _sides(self, hashed: Words, weight: float) -> Sides:
        """1 where a customer is on the canary; a row a customer, a column a draw. In place: nothing is called more."""
        words, shifted = self._scratch[:, : len(hashed)]
        np.bitwise_xor(hashed[:, None], self._counters, out=words)
        words += _GOLDEN
        for shift, factor in ((30, _FIRST), (27, _SECOND)):
            np.right_shift(words, np.uint64(shift), out=shifted)
            words ^= shifted
            words *= factor
        np.right_shift(words, np.uint64(31), out=shifted)
        words ^= shifted
        limit = round(weight * 65536)
        if limit > 0xFFFF:
            return np.ones((len(hashed), self.draws), dtype=np.uint8)
        sides: Sides = (words.astype("<u8", copy=False).view("<u2") < np.uint16(limit)).view(np.uint8)
        return sides


def _keys(rollout: str) -> Words:
    digest = hashlib.sha256(f"{rollout}redraw".encode()).digest()
    return np.frombuffer(digest[:16], dtype="<u8").astype(np.uint64)


def _keyed(units: Words, keys: Words) -> Words:
    """A hash of each customer that knows the rollout: another rollout's draws must not be this one's."""
    return splitmix64(splitmix64(units ^ keys[0]) ^ keys[1])
