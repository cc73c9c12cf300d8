"""When each pair became known, and when it came to count as something else: what lets a moment be looked at later.

The judge's rows say what became of a customer and when. Cut at any moment they say what was known then, as far as rows
carry their own times; so a look that nobody made (a state file that was lost, a past rollout) can be made up for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exporter.evidence.exact.pairs import Pairs
from exporter.evidence.exact.redraw import Words
from exporter.evidence.grid import Bools, Floats, Ints
from exporter.evidence.rows import ConversionRows, MeanRows, OutcomeRows, Rows


@dataclass(frozen=True, slots=True, eq=False)
class Customers:
    """Whose rows they are; arrays by row.

    Attributes:
        unit: the customer, as a number.
        segment: in which the customer entered.
        drawn: the router has put the customer on a side.
    """

    unit: Words
    segment: Ints
    drawn: Bools


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """Pairs as they stood from a moment on, in order of time; a pair has one step or several.

    Attributes:
        pairs: with what they counted as from then on.
        time: when, seconds since the epoch.
    """

    pairs: Pairs
    time: Floats

    @classmethod
    def of(cls, rows: Rows, customers: Customers, phase: int) -> Steps:
        """The steps of the customers of one phase, who are those of the rows."""
        if isinstance(rows, MeanRows):
            return cls._made(rows, customers, phase, [(rows.observed, rows.value)])
        none, one = np.zeros(len(customers.unit)), np.ones(len(customers.unit))
        if isinstance(rows, OutcomeRows):
            return cls._made(rows, customers, phase, [(rows.entered, none), (_where(rows), one)])
        return cls._made(rows, customers, phase, [(rows.entered, none), (rows.converted, one)])

    @classmethod
    def _made(
        cls,
        rows: ConversionRows | OutcomeRows | MeanRows,
        customers: Customers,
        phase: int,
        steps: list[tuple[Floats, Floats]],
    ) -> Steps:
        numbers = np.tile(np.arange(len(customers.unit)), len(steps))
        time = np.concatenate([moment for moment, _ in steps])
        amount = np.concatenate([value for _, value in steps])
        known = np.isfinite(time) & np.tile(customers.drawn, len(steps))
        numbers, time, amount = numbers[known], np.maximum(time[known], rows.entered[numbers[known]]), amount[known]
        order = np.lexsort((np.arange(len(time)), time))
        numbers, time, amount = numbers[order], time[order], amount[order]
        who, phases, segment = customers.unit[numbers], np.full(len(numbers), phase), customers.segment[numbers]
        return cls(Pairs(who, phases, rows.entered[numbers], rows.canary[numbers], amount, segment), time)

    @classmethod
    def all_of(cls, every: Sequence[Steps]) -> Steps:
        """The steps of several phases, in order of time; none before there is a phase that compares (0 %, or 100 %)."""
        if not every:
            none = np.zeros(0)
            whole = none.astype(np.int64)
            nobody = none.astype(np.uint64), whole, none, none.astype(np.bool_), none, whole
            return cls(Pairs(*nobody), none)
        time = np.concatenate([one.time for one in every])
        order = np.argsort(time, kind="stable")
        names = ("unit", "phase", "entered", "canary", "amount", "segment")
        columns = [np.concatenate([getattr(one.pairs, name) for one in every])[order] for name in names]
        return cls(Pairs(*columns), time[order])

    def between(self, low: float, high: float) -> Pairs:
        """The pairs of whom anything became known after *low* and up to *high*, as they stood then."""
        first, last = np.searchsorted(self.time, [low, high], side="right")
        pairs = self.pairs.where(np.arange(first, last))
        newest = _newest(pairs.keys)
        return pairs.where(newest)


def _where(rows: OutcomeRows) -> Floats:
    """When a failure was known; nan for what has not failed."""
    failed: Floats = np.where(rows.failed, rows.resolved, np.nan)
    return failed


def _newest(keys: Words) -> Ints:
    """The last position of each key, in ascending order of position."""
    _, last = np.unique(keys[::-1], return_index=True)
    return np.sort(len(keys) - 1 - last)
