"""Which version of the shop a row counts for, where the row itself does not say it.

No shop platform writes such a column. But the router's decision is known somewhere: a visit's row says it and an order
names the visit, or a table says which customer was served by which version. So an event without a version column takes
the version of the nearest row it descends from, else that of its unit from the assignments.

The database looks it up, by the parent's key and by the unit, in the same statement that counts the rows. A join would
be the plain way, and count a row twice as soon as a unit is assigned twice; so each row asks for one value. Because
whole buckets are counted again for as long as rows may be late, a row whose assignment comes later moves to its version
by itself. Rows for which nothing is found have no version, and are counted as `unknown`.
"""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from canary.policy.model import Policy
from canary.policy.orders import Assignments, Event
from exporter.source.dialects import Dialect
from exporter.source.mapping import columns_of, parents_of, selectable, spare_tables

Column = sa.ColumnElement[Any]


class Versions:
    """Finds the version of each row of the policy's events."""

    def __init__(self, policy: Policy, dialect: Dialect) -> None:
        self._events = policy.database.events
        self._assignments = policy.database.assignments
        self._spare = spare_tables(policy)
        self._lateness_seconds = policy.database.lateness
        self._dialect = dialect

    def looked_up(self, name: str) -> bool:
        """Whether an event's version is found somewhere else than in its own rows."""
        return self._events[name].version is None

    def of(self, name: str, row: sa.FromClause) -> Column:
        """The version of each row of an event, as a text; NULL where none is known.

        Args:
            row: what the event's rows are selected from.
        """
        found = self._of(name, row, frozenset())
        return sa.null() if found is None else found

    def columns(self, name: str) -> set[str]:
        """The columns of an event by which versions are found, of the event or of what descends from it."""
        event = self._events[name]
        parents = [column for _, column in parents_of(self._events, name)]
        return {event.id, event.time, *filter(None, (event.version, event.unit)), *parents}

    def _of(self, name: str, row: sa.FromClause, below: frozenset[str]) -> Column | None:
        event = self._events[name]
        if event.version is not None:
            return sa.cast(row.c[event.version], sa.String())
        found = [*self._inherited(name, row, below | {name}), *self._assigned(event, row)]
        return sa.func.coalesce(*found, type_=sa.String()) if len(found) > 1 else next(iter(found), None)

    def _inherited(self, name: str, row: sa.FromClause, below: frozenset[str]) -> Iterator[Column]:
        """The version of each row that a row names as its parent, where the router decided first."""
        parents = [one for one in parents_of(self._events, name) if one[0] in self._events and one[0] not in below]
        parents.sort(key=lambda one: bool(parents_of(self._events, one[0])))
        for parent, column in parents:
            event = self._events[parent]
            if event.table in self._spare:  # it may not be there, and nobody needs it
                continue
            alias = f"canary_{len(below)}_{parent}"
            source = selectable(self.columns(parent), table=event.table or parent, sql=event.sql, name=alias)
            version = self._of(parent, source, below)
            if version is not None:
                found = sa.select(sa.func.min(version)).select_from(source).where(source.c[event.id] == row.c[column])
                yield found.correlate(row).scalar_subquery()

    def _assigned(self, event: Event, row: sa.FromClause) -> Iterator[Column]:
        """The unit's last assignment up to the row's time, then the first one after it."""
        if self._assignments is None or event.unit is None:
            return
        given = self._assignments
        source = assignment_rows(given)
        version = sa.cast(source.c[given.version], sa.String())
        at = self._dialect.numbered(given.time_unit).epoch(source.c[given.time])
        entered = self._dialect.numbered(event.time_unit).epoch(row.c[event.time])
        lateness = sa.literal_column(f"{self._lateness_seconds:.3f}", type_=sa.Double)
        mine = sa.select(version).select_from(source).where(source.c[given.unit] == row.c[event.unit]).correlate(row)
        before = mine.where(at <= entered).order_by(at.desc(), version)
        after = mine.where(at > entered, at <= entered + lateness).order_by(at, version)
        yield before.limit(1).scalar_subquery()
        yield after.limit(1).scalar_subquery()


def says_version(policy: Policy, name: str) -> bool:
    """Whether anything could tell the version of an event's rows."""
    row = sa.table(name, *(sa.column(column) for column in columns_of(policy.database.events[name])))
    return not isinstance(Versions(policy, Dialect("sqlite")).of(name, row), sa.sql.elements.Null)


def assignment_rows(given: Assignments, name: str = "canary_assignments") -> sa.FromClause:
    """The assignments as something to select from."""
    return selectable({given.unit, given.time, given.version}, table=given.table, sql=given.sql, name=name)
