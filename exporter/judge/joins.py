"""The shop's rows joined in memory: what descends from which visit, and which units have converted.

The database is never asked to join: a refresh reads only new rows, by their time, and finds their parents here. A join
over the whole window at every refresh is what makes a monitoring query the slowest one of a shop.

Where a row does not say which visit it comes from, as where visits come from the router's log, it is of its customer's
last one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import xxhash

from canary.policy.database.section import Event
from canary.policy.kpis import Mean
from exporter.ledger.rows import Bools, EventRows, Finder, Floats, Ints
from exporter.source.columns.values import NO_ID
from exporter.source.mapping import parents_of

_MANY_ROWS = 100_000
"""An hour of a shop with some 1,200 visits a minute."""
SKEW_SECONDS = 5.0
"""By so much the clocks of two sources may differ: an order is not of the visit before because the shop's clock is
behind the router's."""


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """Where each row of an event comes from.

    Attributes:
        assigned: time of the visit it descends from; the row's own where it names none; minus infinity where that
            visit is older than what is held.
        version: that visit's version, or the row's own.
        unit: the customer, as ids are numbered: the row's own where it names one, else that of the nearest row it comes
            from; where none of them names one, a number for the row that is farthest above; `NO_ID` where that is not
            held.
        named: a column says who that is, the row's own or one of what it comes from; otherwise rows of one customer are
            several units.
        alone: the row comes from nothing and names no customer.
    """

    assigned: Floats
    version: Ints
    unit: Ints
    named: Bools
    alone: Bools

    def where(self, rows: Ints | Bools) -> Origin:
        """That of some of the rows."""
        return Origin(self.assigned[rows], self.version[rows], self.unit[rows], self.named[rows], self.alone[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Newest:
    """An event's rows from a moment on, in their order, and where they come from."""

    since: float
    rows: Ints
    origin: Origin


@dataclass(slots=True, eq=False)
class JoinedRows:
    """One moment's rows of all events, with the joins that were needed so far.

    Attributes:
        events: the policy's.
        rows: by event.
        known: pairs of units and what comes of them that were found to belong together, by these rows or earlier ones.
    """

    events: Mapping[str, Event]
    rows: Mapping[str, EventRows]
    known: set[tuple[str, str]] = field(default_factory=set)
    _finders: dict[str, Finder] = field(default_factory=dict)
    _origins: dict[str, Origin] = field(default_factory=dict)
    _newest: dict[str, Newest] = field(default_factory=dict)
    _conversions: dict[tuple[str, str], Floats] = field(default_factory=dict)

    @property
    def many(self) -> bool:
        """Whether there are so many rows that not everything can be reckoned from them at each look."""
        return sum(len(held) for held in self.rows.values()) > _MANY_ROWS

    def origin(self, event: str) -> Origin:
        """The visits that an event's rows descend from."""
        if event not in self._origins:
            self._origins[event] = self._traced(event, slice(None), frozenset())
        return self._origins[event]

    def origin_of(self, event: str, rows: Ints) -> Origin:
        """The visits that some of an event's rows descend from: of an hour's rows a look needs the newest minutes."""
        return self._above(event, rows, frozenset())

    def newest(self, event: str, since: float) -> Newest:
        """An event's rows that entered from *since* on; several KPIs, and both halves, ask for nearly the same ones."""
        known = self._newest.get(event)
        if known is None or known.since > since:
            rows = np.flatnonzero(self.rows[event].entered >= since)
            known = self._newest[event] = Newest(since, rows, self.origin_of(event, rows))
        if known.since == since:
            return known
        chosen = np.flatnonzero(self.rows[event].entered[known.rows] >= since)
        return Newest(since, known.rows[chosen], known.origin.where(chosen))

    def converted(self, units: str, by: str) -> Floats:
        """When each row of *units* first got a row of *by*; nan where it has none."""
        if (units, by) not in self._conversions:
            self._conversions[units, by] = self._first(units, by)
        return self._conversions[units, by]

    def unjoined(self, units: str, by: str) -> bool:
        """Whether rows of *by* name units of which none was ever found: then nothing is known of their conversion.

        Most often the two columns write one key in two ways that nothing here takes for one. A rate of 0.0 would
        look like a shop in which nobody buys, in both versions, and so like two equal versions.
        """
        if (units, by) in self.known or units not in self.rows or by not in self.rows:
            return False
        if not np.isnan(self.converted(units, by)).all():
            self.known.add((units, by))
            return False
        named = self._named(units, by)
        if not named:
            return bool((self.rows[by].unit != NO_ID).any())
        parents = self.rows[by].parents
        return any(bool((parents[number] != NO_ID).any()) for number in named)

    def _named(self, units: str, by: str) -> list[int]:
        """Which parents of *by* are rows of *units*; a single column that names no event means what is asked for."""
        return [number for number, (parent, _) in enumerate(parents_of(self.events, by)) if parent in (units, "")]

    def _first(self, units: str, by: str) -> Floats:
        first = np.full(len(self.rows[units]), np.inf)
        conversions = self.rows[by]
        named = self._named(units, by)
        found = [self._finder(units).find(conversions.parents[number]) for number in named]
        for position in found or [self._last_before(units, by)]:
            np.minimum.at(first, position[position >= 0], conversions.time[position >= 0])
        return np.where(np.isinf(first), np.nan, first)

    def _last_before(self, units: str, by: str) -> Ints:
        """By row of *by* that says no parent, the customer's last row of *units* up to its time; -1 for none."""
        entries, rows = self.rows[units], self.rows[by]
        customer = np.concatenate([self.origin(units).unit, self.origin(by).unit])
        time = np.concatenate([entries.entered, rows.entered + SKEW_SECONDS])
        count = len(entries)
        order = np.lexsort((time, customer))
        last = np.maximum.accumulate(np.where(order < count, np.arange(len(order)), -1))
        before = np.where(last >= 0, order[last], -1)
        same = (before >= 0) & (customer[before] == customer[order]) & (customer[order] != NO_ID)
        found = np.full(len(order), -1, dtype=np.int64)
        found[order] = np.where(same, before, -1)
        return found[count:]

    def values(self, kpi: Mean) -> Floats:
        """What a mean is the mean of, for each row of its event; nan where it is not known."""
        table = self.rows[kpi.of]
        if kpi.since is None:
            return table.value
        began = np.full(len(table), np.nan)
        if kpi.since in self.rows:
            for number, (parent, _) in enumerate(parents_of(self.events, kpi.of)):
                if parent in (kpi.since, ""):
                    position = self._finder(kpi.since).find(table.parents[number])
                    found = position >= 0
                    began[found] = self.rows[kpi.since].entered[position[found]]
        elapsed: Floats = table.time - began
        return elapsed

    def _traced(self, event: str, rows: Ints | slice, path: frozenset[str]) -> Origin:
        """The visits that some of an event's rows descend from; *path* are the events that ask."""
        table = self.rows[event]
        parents = [
            (number, parent)
            for number, (parent, _) in enumerate(parents_of(self.events, event))
            if parent in self.rows and parent not in path
        ]
        given = table.unit[rows]
        own = given != NO_ID
        unit = np.where(own, given, NO_ID) if own.all() else np.where(own, given, _own_numbers(event, table.ids[rows]))
        if not parents:
            return Origin(table.entered[rows], table.version[rows], unit, own, ~own)
        assigned, version = np.array(table.entered[rows]), np.array(table.version[rows])
        alone, named_above = ~own, np.zeros(len(own), dtype=np.bool_)
        # The parent that has no parent itself is the visit; it is asked first, the way over others last.
        parents.sort(key=lambda one: bool(parents_of(self.events, one[1])))
        unknown = np.ones(len(own), dtype=np.bool_)
        for number, parent in parents:
            key = table.parents[number][rows]
            named = key != NO_ID
            position = self._finder(parent).find(key)
            known = np.flatnonzero(unknown & named & (position >= 0))
            if len(known):
                above = self._above(parent, position[known], path | {event})
                assigned[known], version[known] = above.assigned, above.version
                unit[known] = np.where(own[known], unit[known], above.unit)
                named_above[known] = above.named
            lost = unknown & named & (position < 0)
            assigned[lost] = -np.inf
            unit[lost & ~own] = NO_ID
            alone &= ~named
            unknown[known] = False
        return Origin(assigned, version, unit, own | named_above, alone)

    def _above(self, event: str, rows: Ints, path: frozenset[str]) -> Origin:
        known = self._origins.get(event)
        return self._traced(event, rows, path) if known is None else known.where(rows)

    def positions(self, event: str, ids: Ints) -> Ints:
        """Where an event's rows with these ids are; -1 where they are not held."""
        return self._finder(event).find(ids)

    def _finder(self, event: str) -> Finder:
        if event not in self._finders:
            self._finders[event] = Finder(self.rows[event].ids)
        return self._finders[event]


def _own_numbers(event: str, ids: Ints) -> Ints:
    """A number for each row by itself; rows of another event have others, and customers' keys hardly ever the same."""
    numbers: Ints = ids ^ np.int64(xxhash.xxh64_intdigest(event.encode()) >> 1)
    return numbers


def merged(settled: EventRows, unsettled: EventRows, pending: EventRows) -> EventRows:
    """One table of an event with outcomes; a row that is in several streams counts where it is most settled."""
    if not len(unsettled) and not len(pending):
        return settled
    every = settled.then((unsettled, pending))
    _, first = np.unique(every.ids, return_index=True)
    return every.where(first)
