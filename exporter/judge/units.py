"""Customers: what the router assigns to a side, and so the unit of every test.

Rows of one customer hang together (retries, a company with fifty orders, a tester of stolen cards, a crawler), and a
test that takes each of them for a fresh draw accuses healthy canaries. So a customer counts once per rollout and KPI:

* `Entries` knows each customer's first entry since the start, and with it side and time of assignment, for good: who is
  moved to the canary later stays where the rollout met them first.
* `Look` is one moment's joined rows seen through these entries: of each event the rows that came after their
  customer's entry, and of each customer the first of them.

What is older than the lateness horizon is folded into sorted tables, so that a look costs what is new and not what was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporter.evidence.progress.timeline import Timeline
from exporter.judge.joins import JoinedRows, Origin
from exporter.ledger.rows import Bools, Floats, Ints
from exporter.source.columns.values import NO_ID

Columns = Mapping[str, NDArray[Any]]

APART_SECONDS = 120.0
"""So far the clocks of two tables may be apart. An order from before its own visit came with it: left out, customers
who are quick would be missing, and a canary that makes them quicker would lose them."""
_WATCH_SECONDS = 3600
"""Where stable has no traffic any more, a customer counts once an hour: once for good would make the watch of two days
blind to whoever came on the first."""


@dataclass(frozen=True, slots=True, eq=False)
class UnitTable:
    """Units sorted by key, with what is kept of each; immutable."""

    keys: Ints
    columns: Columns

    @classmethod
    def empty(cls, **kinds: type) -> UnitTable:
        """No unit; *kinds* are the columns' types."""
        columns: Columns = {name: np.zeros(0, dtype=kind) for name, kind in kinds.items()}
        return cls(np.zeros(0, dtype=np.int64), columns)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, column: str) -> NDArray[Any]:
        return self.columns[column]

    def find(self, keys: Ints) -> Ints:
        """Position of each key, -1 where there is none."""
        if not len(self.keys):
            return np.full(len(keys), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        positions: Ints = np.where(self.keys[at] == keys, at, -1)
        return positions

    def where(self, chosen: Bools | Ints) -> UnitTable:
        """Some of the units, in the same order."""
        return UnitTable(self.keys[chosen], {name: column[chosen] for name, column in self.columns.items()})

    def with_(self, **columns: NDArray[Any]) -> UnitTable:
        """The same units with more or other columns."""
        return UnitTable(self.keys, {**self.columns, **columns})

    def only(self, like: UnitTable) -> UnitTable:
        """The same units with the columns of another table."""
        return UnitTable(self.keys, {name: self.columns[name] for name in like.columns})

    def merged(self, other: UnitTable) -> UnitTable:
        """These units and others, none of which is here already."""
        if not len(other):
            return self
        at = np.searchsorted(self.keys, other.keys)
        columns = {name: np.insert(column, at, other.columns[name]) for name, column in self.columns.items()}
        return UnitTable(np.insert(self.keys, at, other.keys), columns)


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Rows of one event that may count, sorted by customer and, of one customer, by time.

    Attributes:
        keys: the customers.
        rows: position of each row in its event's table.
        entered: the row's own time.
        assigned: time of the customer's first entry.
        canary: side of it.
        first: whether it is the customer's first row among these.
    """

    keys: Ints
    rows: Ints
    entered: Floats
    assigned: Floats
    canary: Bools
    first: Bools

    def where(self, chosen: Bools) -> Candidates:
        """Some of the rows; which is the first is as it was."""
        return Candidates(
            self.keys[chosen],
            self.rows[chosen],
            self.entered[chosen],
            self.assigned[chosen],
            self.canary[chosen],
            self.first[chosen],
        )


class Entries:
    """Each customer's first entry since the start, while both sides had traffic."""

    def __init__(self) -> None:
        self._folded = UnitTable.empty(time=float, canary=bool)
        self._recent = self._folded
        self.folded_until = -np.inf
        """Entries before this moment are decided."""

    def look(self, joined: JoinedRows, entry: str, sides: tuple[int, int], timeline: Timeline) -> None:
        """See the rows of *entry*, the event with which customers come in."""
        table = joined.rows[entry]
        since = max(timeline.origin, self.folded_until)
        newest = joined.newest(entry, since)
        version, unit = table.version[newest.rows], newest.origin.unit
        wanted = ((version == sides[0]) | (version == sides[1])) & (unit != NO_ID)
        rows, unit = newest.rows[wanted], unit[wanted]
        comparable = np.asarray([segment.comparable for segment in timeline.segments], dtype=np.bool_)
        compared = comparable[timeline.segment_of(table.entered[rows])]
        rows, unit = rows[compared], unit[compared]
        order = np.lexsort((table.ids[rows], table.entered[rows]))
        rows = rows[order]
        keys, first = np.unique(unit[order], return_index=True)
        rows = rows[first]
        found = UnitTable(keys, {"time": table.entered[rows], "canary": table.version[rows] == sides[1]})
        self._recent = found.where(self._folded.find(keys) < 0)

    def fold(self, until: float) -> None:
        """What came before *until* does not change any more."""
        if until > self.folded_until:
            self._folded = self._folded.merged(self._recent.where(self._recent["time"] < until))
            self._recent = self._recent.where(self._recent["time"] >= until)
            self.folded_until = until

    def of(self, keys: Ints) -> tuple[Floats, Bools]:
        """Time and side of each customer's entry; infinity where there is none."""
        times, canary = np.full(len(keys), np.inf), np.zeros(len(keys), dtype=np.bool_)
        for table in (self._folded, self._recent):
            at = table.find(keys)
            known = at >= 0
            times[known], canary[known] = table["time"][at[known]], table["canary"][at[known]]
        return times, canary

    @property
    def recent(self) -> UnitTable:
        """Entries that are not folded yet, with `time` and `canary`."""
        return self._recent


@dataclass
class Look:
    """One moment's rows, seen through the customers' entries.

    Attributes:
        entry: the event with which customers come in; None where no event has that part.
        sides: the versions of stable and canary.
        timeline: the rollout's weights.
    """

    joined: JoinedRows
    entries: Entries
    entry: str | None
    sides: tuple[int, int]
    timeline: Timeline
    _candidates: dict[tuple[str, float, bool], Candidates] = field(default_factory=dict)
    _arrivals: dict[tuple[str, float], tuple[Ints, Floats]] = field(default_factory=dict)

    def candidates(self, event: str, since: float, *, each: bool = False) -> Candidates:
        """The event's rows from *since* on that came after their customer's entry.

        Args:
            each: every row is a unit by itself; its side is its customer's all the same.
        """
        key = (event, since, each)
        if key not in self._candidates:
            self._candidates[key] = self._of(event, since, each=each)
        return self._candidates[key]

    @property
    def started_at(self) -> float:
        """When the rollout began, seconds since the epoch."""
        return self.timeline.origin

    def arrivals(self, event: str, since: float) -> tuple[Ints, Floats]:
        """`keys_after` of the event's rows that became facts from *since* on: several KPIs end in one event."""
        key = (event, max(since, self.started_at))
        if key not in self._arrivals:
            rows = np.flatnonzero(self.joined.rows[event].time >= key[1] - APART_SECONDS)
            keys, times = self.keys_after(event, rows)
            self._arrivals[key] = keys[times >= key[1]], times[times >= key[1]]
        return self._arrivals[key]

    def keys_after(self, event: str, rows: Ints) -> tuple[Ints, Floats]:
        """The keys under which the customers of some of an event's rows may have entered, and the rows' times."""
        origin = self.joined.origin_of(event, rows)
        unit, time = origin.unit, with_their_visit(self.joined.rows[event].time[rows], origin.assigned)
        watched = time >= self.timeline.judged_until
        hour = self._hour(time[watched])
        keys = (unit, _in_hour(unit[watched], hour), _in_hour(unit[watched], hour - 1))
        return np.concatenate(keys), np.concatenate([time, time[watched], time[watched]])

    def _of(self, event: str, since: float, *, each: bool) -> Candidates:
        table = self.joined.rows[event]
        since = max(since, self.started_at)
        newest = self.joined.newest(event, since - (APART_SECONDS if event != self.entry else 0.0))
        rows, origin = newest.rows, newest.origin
        assigned, canary = self._assigned(event, rows, origin)
        entered = with_their_visit(table.entered[rows], origin.assigned)
        counts = (entered >= since) & (assigned <= entered) & (origin.unit != NO_ID)
        rows, entered, assigned, canary = rows[counts], entered[counts], assigned[counts], canary[counts]
        keys = table.ids[rows] if each else origin.unit[counts]
        watched = entered >= self.timeline.judged_until
        if watched.any() and not each:
            keys[watched] = _in_hour(keys[watched], self._hour(entered[watched]))
        order = np.lexsort((table.ids[rows], entered, keys))
        keys, rows = keys[order], rows[order]
        first = np.ones(len(keys), dtype=np.bool_)
        first[1:] = keys[1:] != keys[:-1]
        return Candidates(keys, rows, entered[order], assigned[order], canary[order], first)

    def _assigned(self, event: str, rows: Ints, origin: Origin) -> tuple[Floats, Bools]:
        """When each row's customer came in, and on which side; infinity where that was not in this rollout."""
        table = self.joined.rows[event]
        own_side = (origin.version == self.sides[0]) | (origin.version == self.sides[1])
        own_time = np.where(own_side & (origin.assigned >= self.started_at), origin.assigned, np.inf)
        own_canary = origin.version == self.sides[1]
        if self.entry is None:
            return own_time, own_canary
        times, canary = self.entries.of(origin.unit)
        # A failed payment may name neither order nor customer; left out, failures would be missed.
        alone = origin.alone & (event != self.entry)
        times[alone], canary[alone] = table.entered[rows][alone], own_canary[alone]
        times[alone & ~own_side] = np.inf
        # Without stable there is nothing to compare: what the canary serves now is what is watched.
        watched = with_their_visit(table.entered[rows], origin.assigned) >= self.timeline.judged_until
        times[watched] = np.where(own_side, table.entered[rows], np.inf)[watched]
        canary[watched] = own_canary[watched]
        return times, canary

    def _hour(self, times: Floats) -> Ints:
        hour: Ints = np.floor((times - self.timeline.judged_until) / _WATCH_SECONDS).astype(np.int64)
        return hour


def with_their_visit(times: Floats, assigned: Floats) -> Floats:
    """The rows' times, but that of the visit they descend from where a clock that is behind says they came before it.

    Args:
        assigned: the visits' times; minus infinity where they are not known.
    """
    behind = (times < assigned) & (assigned - times <= APART_SECONDS)
    found: Floats = np.where(behind, assigned, times)
    return found


def _in_hour(keys: Ints, hour: Ints) -> Ints:
    """Another key for the same customer in each hour of the watch."""
    mixed = keys.view(np.uint64) ^ ((hour + 1).view(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    return mixed.view(np.int64)
