"""A KPI's units: what each customer's first visit, cart or attempt came to, as the judge's arrays.

One class per kind of KPI. Each keeps which customers have counted already and forgets their rows; what is still open of
them (an order that may yet come, a payment that is pending) is looked up again at every look. A look changes nothing
but what `fold` then keeps of it, so that a row that came late, or is not what it was, is seen anew.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from canary.policy.kpis import Conversion, Kpi, Mean, Success
from exporter.evidence.judge import ConversionRows, MeanRows, OutcomeRows
from exporter.evidence.rows import Rows
from exporter.judge.units import APART_SECONDS, Candidates, Look, UnitTable
from exporter.ledger.rows import FAILED_CODE, PENDING_CODE, SUCCEEDED_CODE, EventRows, Floats, Ints


class KpiUnits(Protocol):
    """The units of one KPI.

    Attributes:
        folded_until: units before this moment are decided, but for what is open of them.
        keys: the customers of the last look's rows.
        segments: the segment of each of these rows; of none where the KPI has no segments.
    """

    folded_until: float
    keys: Ints
    segments: Ints

    def look(self, look: Look) -> Rows:
        """All units that came or changed since `folded_until`, and those that are open where time alone decides."""

    def fold(self, until: float) -> None:
        """What was seen before *until* at the last look does not change any more."""


def units_of(kpi: Kpi, currency: int = -1, cap: float = np.inf, *, timeout_seconds: float = np.inf) -> KpiUnits:
    """The units of a KPI.

    Args:
        currency: the one whose values count, -1 for all.
        cap: the most that one value counts.
        timeout_seconds: how long an outcome may be open before it is a failure.
    """
    if isinstance(kpi, Conversion):
        return ConversionUnits(kpi)
    return OutcomeUnits(kpi, timeout_seconds) if isinstance(kpi, Success) else MeanUnits(kpi, currency, cap)


class ConversionUnits:
    """Customers who may convert: from their first row of one event to their first of another after it."""

    def __init__(self, kpi: Conversion) -> None:
        self._kpi = kpi
        self.folded_until = -np.inf
        self.keys: Ints = np.zeros(0, dtype=np.int64)
        self.segments: Ints = self.keys
        self._folded = UnitTable.empty(assigned=float, entered=float, canary=bool, converted=float, segment=np.int64)
        self._seen = (self._folded, self._folded)

    def look(self, look: Look) -> ConversionRows:
        """The rows since the last fold."""
        found = look.candidates(self._kpi.from_, self.folded_until)
        recent = _new_units(found, self._folded, look.joined.rows[self._kpi.from_])
        keys, times = look.arrivals(self._kpi.to, self.folded_until)
        recent = recent.with_(converted=first_after(recent, np.full(len(recent), np.nan), keys, times))
        folded = self._folded.with_(converted=first_after(self._folded, self._folded["converted"], keys, times))
        self._seen = folded, recent
        open_ = np.isnan(self._folded["converted"])
        if self._kpi.floor is None:  # a floor needs those who never convert: for it they fail in time
            open_ &= ~np.isnan(folded["converted"])
        told = folded.where(open_)
        self.keys = np.concatenate([told.keys, recent.keys])
        self.segments = _both(told, recent, "segment")
        return ConversionRows(*(_both(told, recent, name) for name in ("assigned", "entered", "canary", "converted")))

    def fold(self, until: float) -> None:
        """Keep who entered and who converted before *until*."""
        if until <= self.folded_until:
            return
        folded, recent = self._seen
        recent = recent.where(recent["entered"] < until)
        every = folded.merged(recent.where(folded.find(recent.keys) < 0).only(folded))
        self._folded = every.with_(converted=np.where(every["converted"] < until, every["converted"], np.nan))
        self._seen = self._folded, recent.where(np.zeros(len(recent), dtype=np.bool_))
        self.folded_until = until


class OutcomeUnits:
    """Customers whose first attempt succeeds or fails, or, as the policy says, their last one, or every attempt."""

    def __init__(self, kpi: Success, timeout_seconds: float) -> None:
        self._kpi = kpi
        self._timeout_seconds = timeout_seconds
        self.folded_until = -np.inf
        self.keys: Ints = np.zeros(0, dtype=np.int64)
        self.segments: Ints = self.keys
        self._counted = UnitTable.empty()
        columns: dict[str, type] = {"assigned": float, "entered": float, "canary": bool, "ids": np.int64}
        # That an outcome was pending and fine is no more to be seen when it has become something else.
        self._open = UnitTable.empty(**columns, segment=np.int64, waited=bool)
        self._seen = self._open.with_(resolved=np.zeros(0), failed=np.zeros(0, dtype=np.bool_))

    def look(self, look: Look) -> OutcomeRows:
        """The rows since the last fold, and all that are pending."""
        table = look.joined.rows[self._kpi.of]
        found = look.candidates(self._kpi.of, self.folded_until, each=self._kpi.attempts == "each")
        recent = _new_units(found, self._counted, table)
        ids = table.ids[found.rows[_new(found, self._counted)]]
        recent = recent.with_(ids=ids, waited=np.zeros(len(recent), dtype=np.bool_))
        units = self._open.merged(recent.only(self._open))
        if self._kpi.attempts == "last":
            resolved, failed = self._best(look, table, units)
        else:
            resolved, failed = _outcome(look, self._kpi.of, units)
            if self._kpi.attempts == "first":
                resolved, failed = self._instead(look, table, units, resolved, failed)
        waited = units["waited"] | np.isposinf(resolved)
        # Between two streams a row is in neither for a while: what waits goes on waiting until it is seen to end.
        resolved = np.where(waited & np.isnan(resolved), np.inf, resolved)
        # What is final only now was not known when its time was folded: it counts from now on. But what has failed for
        # want of an outcome has been counted.
        old = units["entered"] < self.folded_until
        resolved = np.where(old & (resolved < self.folded_until), self.folded_until, resolved)
        over = ~waited & (units["entered"] + self._timeout_seconds < self.folded_until)
        resolved, failed = np.where(over, np.nan, resolved), failed & ~over
        self._seen = units.with_(resolved=resolved, failed=failed, waited=waited)
        self.keys, self.segments = units.keys, units["segment"]
        return OutcomeRows(units["assigned"], units["entered"], units["canary"], resolved, failed)

    def _instead(
        self, look: Look, table: EventRows, units: UnitTable, resolved: Floats, failed: NDArray[np.bool_]
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Where an attempt need not come to anything (void: another way to pay was chosen), the customer's next one."""
        at = np.flatnonzero(np.isposinf(resolved))
        if not len(at):
            return resolved, failed
        none, found = np.full(len(at), np.nan), []
        for outcome in (FAILED_CODE, SUCCEEDED_CODE):
            since = max(look.started_at - APART_SECONDS, self.folded_until)
            rows = np.flatnonzero((table.outcome == outcome) & (table.time >= since))
            found.append(first_after(units.where(at), none, *look.keys_after(self._kpi.of, rows)))
        following = np.fmin(*found)
        resolved, failed = np.array(resolved), np.array(failed)
        resolved[at], failed[at] = np.where(np.isnan(following), np.inf, following), found[0] <= following
        return resolved, failed

    def fold(self, until: float) -> None:
        """Keep who tried before *until*, and of whom the outcome is open."""
        if until <= self.folded_until:
            return
        old = self._seen.where(self._seen["entered"] < until)
        new = old.where(self._counted.find(old.keys) < 0)
        self._counted = self._counted.merged(new.only(self._counted))
        self._open = old.where(~(old["resolved"] < until)).only(self._open)
        self.folded_until = until

    def _best(self, look: Look, table: EventRows, units: UnitTable) -> tuple[Floats, NDArray[np.bool_]]:
        """When a customer's first success came; who has none by the time-out has failed, but for one that may come.

        Of whom that one was refused later, the failure is known when it was.
        """
        none = np.full(len(units), np.nan)
        first = {}
        for outcome in (SUCCEEDED_CODE, PENDING_CODE, FAILED_CODE):
            rows = np.flatnonzero((table.outcome == outcome) & (table.entered >= look.started_at - APART_SECONDS))
            first[outcome] = first_after(units, none, *look.keys_after(self._kpi.of, rows))
        unknown = np.isnan(first[SUCCEEDED_CODE])
        waits = unknown & ~np.isnan(first[PENDING_CODE])
        refused = unknown & ~waits & units["waited"] & ~np.isnan(first[FAILED_CODE])
        refused_at = np.maximum(first[FAILED_CODE], units["entered"] + self._timeout_seconds)
        return np.where(waits, np.inf, np.where(refused, refused_at, first[SUCCEEDED_CODE])), refused


class MeanUnits:
    """Customers' means: each value moves its customer's mean, which counts where the customer came first."""

    def __init__(self, kpi: Mean, currency: int, cap: float) -> None:
        self._kpi = kpi
        self._currency = currency
        self._cap = cap
        self.folded_until = -np.inf
        self.keys: Ints = np.zeros(0, dtype=np.int64)
        self.segments: Ints = self.keys
        self._folded = UnitTable.empty(entered=float, values=np.int64, total=float)
        self._seen = self._folded.with_(observed=np.zeros(0))

    def look(self, look: Look) -> MeanRows:
        """The values since the last fold."""
        table = look.joined.rows[self._kpi.of]
        found = look.candidates(self._kpi.of, self.folded_until)
        value = look.joined.values(self._kpi)[found.rows]
        known = np.isfinite(value)
        if self._currency >= 0:
            known &= table.currency[found.rows] == self._currency
        found, value = found.where(known), np.minimum(value[known], self._cap)
        at = self._folded.find(found.keys)
        first = np.ones(len(value), dtype=np.bool_)
        first[1:] = found.keys[1:] != found.keys[:-1]
        starts = np.flatnonzero(first)
        group = np.cumsum(first) - 1
        old = at >= 0
        count_before = np.where(old, _at(self._folded["values"], at), 0)
        total_before = np.where(old, _at(self._folded["total"], at), 0.0)
        running = np.cumsum(value)
        within = running - (running[starts] - value[starts])[group] if len(value) else running
        count = count_before + np.arange(len(value)) - (starts[group] if len(value) else 0) + 1
        total = total_before + within
        entered = np.where(old, _at(self._folded["entered"], at), found.entered[starts][group] if len(value) else 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            previous = np.where(count > 1, (total - value) / (count - 1), np.nan)
        self._seen = UnitTable(
            found.keys, {"entered": entered, "values": count, "total": total, "observed": found.entered}
        )
        self.keys = found.keys
        return MeanRows(found.assigned, found.entered, found.canary, total / count, entered, previous)

    def fold(self, until: float) -> None:
        """Keep each customer's values before *until*."""
        if until <= self.folded_until:
            return
        seen = self._seen.where(self._seen["observed"] < until)
        last = np.ones(len(seen), dtype=np.bool_)
        last[:-1] = seen.keys[1:] != seen.keys[:-1]
        newest = seen.where(last).only(self._folded)
        kept = self._folded.where(newest.find(self._folded.keys) < 0)
        self._folded = kept.merged(newest)
        self.folded_until = until


def _new(found: Candidates, counted: UnitTable) -> NDArray[np.bool_]:
    """Which candidates are the first rows of customers that have not counted yet."""
    new: NDArray[np.bool_] = found.first & (counted.find(found.keys) < 0)
    return new


def _new_units(found: Candidates, counted: UnitTable, table: EventRows) -> UnitTable:
    found = found.where(_new(found, counted))
    columns = {"assigned": found.assigned, "entered": found.entered, "canary": found.canary}
    return UnitTable(found.keys, {**columns, "segment": table.segment[found.rows]})


def first_after(units: UnitTable, known: Floats, keys: Ints, times: Floats) -> Floats:
    """Each unit's first of *times* that is not before its entry, or what is known of it already; nan without any."""
    at = units.find(keys)
    counts = at >= 0
    counts[counts] = (times[counts] >= units["entered"][at[counts]]) & np.isnan(known[at[counts]])
    at, times, first = at[counts], times[counts], np.array(known)
    latest_first = np.argsort(-times, kind="stable")
    first[at[latest_first]] = times[latest_first]  # of several for one unit the last that is written stays: the first
    return first


def _outcome(look: Look, event: str, units: UnitTable) -> tuple[Floats, NDArray[np.bool_]]:
    """When the outcome of each unit's row was known, nan while it is not (infinite where it need not be), and whether
    it is a failure."""
    table = look.joined.rows[event]
    at = look.joined.positions(event, units["ids"])
    outcome = np.where(at >= 0, _at(table.outcome, at), 0)
    settled = (outcome == SUCCEEDED_CODE) | (outcome == FAILED_CODE)
    unknown = np.where(outcome == PENDING_CODE, np.inf, np.nan)
    return np.where(settled, _at(table.time, at), unknown), outcome == FAILED_CODE


def _at(column: NDArray[Any], at: Ints) -> NDArray[Any]:
    """The values at some positions; anything where there is none."""
    return column[at] if len(column) else np.zeros(len(at), dtype=column.dtype)


def _both(first: UnitTable, second: UnitTable, column: str) -> NDArray[Any]:
    return np.concatenate([first[column], second[column]])
