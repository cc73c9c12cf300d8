"""Which version of the shop a row counts for, where the row itself does not say it.

No shop platform writes such a column. But the router's decision is known somewhere: a visit's row says it and an order
names the visit, or a table says which customer was served by which version. So an event without a version column takes
the version of the nearest row it descends from, else that of its unit from the assignments.

The database looks it up, by the parent's key and by the unit, in the same statement that counts the rows. A join would
be the plain way, and count a row twice as soon as a unit is assigned twice; so each row asks for one value. Because
whole buckets are counted again for as long as rows may be late, a row whose assignment comes later moves to its version
by itself. Rows for which nothing is found have no version, and are counted as `unknown`.

Some versions no database can tell: those of the router's hash, of its log and of its tag, and of assignments or pairs
in another database. Then each row's key comes in place of the version (its customer, or the side in its tag), and
`routed`, `logged` and `exporter.ledger.lookups` give the answer (`timedkeys`).

The same look-up, by the parent's key, tells whether a row comes from a customer who counts nowhere: whom
`database.exclude.units` names, or whose assignment says that no chance has decided it (`tester`). Such parents are
counted, as EXISTS becomes a join of the database's choice: PostgreSQL hashed all visits for each hour of orders.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import sqlalchemy as sa

from canary.policy.database.section import Assignments
from canary.policy.model import Policy
from canary.routers.tag import TAGS
from exporter.source.assignments.identities import Units, pair_rows, pairs_key
from exporter.source.assignments.timedkeys import timed
from exporter.source.columns.kinds import Kinds
from exporter.source.dialects import Dialect
from exporter.source.hashes import written
from exporter.source.keys import kinds_key, kinds_of_keys, same
from exporter.source.mapping import columns_of, parents_of, selectable, spare_tables, with_ancestors
from exporter.source.moments import moment_of

Column = sa.ColumnElement[Any]
Key = Literal["unit", "tag"]
_ASSIGNMENTS = "database.assignments"
_OF_KINDS = ("postgresql", "mysql", "mariadb", "clickhouse")
"""Databases whose columns of one name may hold several kinds of thing, which a driver tells."""
_NO_DESCENT = "clickhouse"
"""ClickHouse refuses a look-up within the aggregate of another, and does not end with EXISTS within EXISTS: 100 visits
ran into the time limit. There only rows that themselves name an excluded customer are left out."""
TRUE = ("1", "t", "true", "y", "yes")
"""How databases and shops write what is true, in small letters."""
_Of = Callable[[str, sa.FromClause, frozenset[str]], Column | None]


class Versions:
    """Finds the version of each row of the policy's events.

    Attributes:
        units: finds the customer of each row.
    """

    def __init__(self, policy: Policy, dialect: Dialect, kinds: Kinds | None = None) -> None:
        self._kinds = kinds or {}
        self._of_keys = kinds_of_keys(dialect, self._kinds)
        self._events = policy.database.events
        self._identities = policy.database.identities
        self._assignments = policy.database.assignments
        self._nobody = policy.database.exclude.units
        given = policy.database.assignments
        self._testers = given.tester if given is not None and given.from_ is None else None
        self._spare = spare_tables(policy)
        self._dialect = dialect.at_clock(policy.database.timezone)
        self.units = Units(policy, self._dialect, self._kinds)
        self._elsewhere = {name for name, event in self._events.items() if self.units.versions_elsewhere(event)}

    def looked_up(self, name: str) -> bool:
        """Whether an event's version is found somewhere else than in its own rows."""
        return self._events[name].version is None

    def keyed(self, name: str) -> Key | None:
        """By what an event's version is told elsewhere: its customer, or its tag; None where the database tells it."""
        if self._any(name, "version"):
            return None
        if self._any(name, "tag"):
            return "tag"
        given = self._assignments
        if given is None or (given.from_ is None and not with_ancestors(self._events, [name]) & self._elsewhere):
            return None
        return "unit"

    def inherits(self, name: str) -> bool:
        """Whether an event's rows have their version, or what tells it, from what they descend from."""
        return bool(parents_of(self._events, name))

    def of(self, name: str, row: sa.FromClause) -> Column:
        """The version of each row of an event, as a text, or what tells it where that is `keyed`; NULL for none.

        Args:
            row: what the event's rows are selected from.
        """
        key = self.keyed(name)
        found = (self._of if key is None else partial(self._key, key))(name, row, frozenset())
        return sa.null() if found is None else found

    def excluded(self, name: str, row: sa.FromClause) -> sa.ColumnElement[bool] | None:
        """Whether a row is an excluded customer's or descends from one's; None where that can be true of none.

        Args:
            row: what the event's rows are selected from.
        """
        return self._excluded(name, row, frozenset()) if self._nobody or self._testers else None

    def customer(self, name: str, row: sa.FromClause) -> Column | None:
        """What the judge takes for each row's customer, as a text; None where it cannot be looked up here.

        It is the row's own where it names one, else that of the nearest row it comes from, and where none of them names
        one, the row that is farthest above. NULL where the row names none, and what it comes from cannot be looked up.
        """
        return self._customer(name, row, frozenset())

    def keys(self, name: str, *, sampled: bool = False) -> dict[str, sa.Select[Any]]:
        """The columns by which rows are looked up for an event, by where they are, without a row.

        Only where their kinds matter: PostgreSQL compares no two types (`exporter.source.keys`), and a time of MariaDB,
        MySQL or ClickHouse may be an instant or not (`exporter.source.moments`).

        Args:
            sampled: their customers are looked up too.
        """
        looked_up = self.looked_up(name) or self._events[name].identity or self._nobody or self._testers
        needed = looked_up or sampled
        if self._dialect.name not in _OF_KINDS or not needed:
            return {}
        above = with_ancestors(self._events, [name])
        events = {one: self._events[one] for one in above if self._events[one].table not in self._spare}
        found = {
            one: selectable(self._named(one), table=event.table or one, sql=event.sql, name="canary_keys")
            for one, event in events.items()
        }
        near = [event for event in events.values() if event.identity and self.units.elsewhere(event) is None]
        found |= {pairs_key(event.identity or ""): pair_rows(self._identities[event.identity or ""]) for event in near}
        given = self._assignments
        if given is not None and given.from_ is None and given.source == self._events[name].source:
            found[_ASSIGNMENTS] = assignment_rows(given)
        return {one: sa.select(*source.c).where(sa.false()) for one, source in found.items()}

    def _named(self, name: str) -> set[str]:
        event = self._events[name]
        columns = {event.id, event.time, *filter(None, (event.unit,))}
        return columns | {column for _, column in parents_of(self._events, name)}

    def columns(self, name: str) -> set[str]:
        """The columns of an event by which versions are found, of the event or of what descends from it."""
        event = self._events[name]
        parents = [column for _, column in parents_of(self._events, name)]
        return {event.id, event.time, *filter(None, (event.version, event.unit, event.tag)), *parents}

    def _of(self, name: str, row: sa.FromClause, below: frozenset[str]) -> Column | None:
        event = self._events[name]
        if event.version is not None:
            return self._dialect.text(row.c[event.version])
        found = [*self._inherited(name, row, below | {name}, self._of), *self._assigned(name, row)]
        return _first(found)

    def _key(self, key: Key, name: str, row: sa.FromClause, below: frozenset[str]) -> Column | None:
        event = self._events[name]
        unit, found = self.units.named(name, event, row), []
        own: Column | None = None
        if key == "unit" and unit is not None:
            own = self._dialect.text(unit)
        elif key == "tag" and event.tag is not None:
            own = _side(self._dialect.text(row.c[event.tag]))
        if own is not None:
            # A stream may have another time than its rows, that of their outcome; and what is looked up elsewhere is
            # as exact as in the database, to the moment and not to a bucket.
            apart = below or event.settled is not None or (key == "unit" and name in self._elsewhere)
            found.append(self._timed(own, name, row) if apart else own)
        return _first([*found, *self._inherited(name, row, below | {name}, partial(self._key, key))])

    def _excluded(self, name: str, row: sa.FromClause, below: frozenset[str]) -> sa.ColumnElement[bool] | None:
        unit = self.units.named(name, self._events[name], row)
        found: list[sa.ColumnElement[bool]] = []
        if unit is not None:
            if self._nobody:
                found.append(sa.and_(unit.is_not(None), self._dialect.text(unit).in_(self._nobody)))
            if self._testers and name not in self._elsewhere:
                given = self._given(name, row, self._testers, otherwise="no")
                marked = sa.func.coalesce(*given, sa.literal_column("'no'"), type_=sa.String())
                found.append(sa.func.lower(marked).in_(TRUE))
        above = () if self._dialect.name == _NO_DESCENT else self._parents(name, row, below | {name})
        for parent, source, mine in above:
            theirs = self._excluded(parent, source, below | {name})
            if theirs is not None:
                asked = sa.select(sa.func.count()).select_from(source).where(mine, theirs).correlate(row)
                found.append(asked.scalar_subquery() > sa.literal_column("0"))
        return sa.or_(*found) if found else None

    def _customer(self, name: str, row: sa.FromClause, below: frozenset[str]) -> Column | None:
        event = self._events[name]
        if self.units.elsewhere(event) is not None:
            return None
        unit = self.units.of(name, event, row)
        found = [written(self._dialect, unit)] if unit is not None else []
        named = parents_of(self._events, name)
        if named:  # also where rows name their customer: a guest's do not
            above = list(self._parents(name, row, below | {name})) if self._dialect.name != _NO_DESCENT else []
            theirs = [(self._customer(one, source, below | {name}), source, mine) for one, source, mine in above]
            if len(above) < len(named) or any(column is None for column, _, _ in theirs):
                return next(iter(found), None)
            for column, source, mine in theirs:
                asked = sa.select(sa.func.min(column)).select_from(source).where(mine)
                found.append(asked.correlate(row).scalar_subquery())
        return _first([*found, written(self._dialect, row.c[event.id])])

    def _timed(self, own: Column, name: str, row: sa.FromClause) -> Column:
        event = self._events[name]
        at = self.units.entered(name, event, row)
        return timed(own, self._dialect.text(at.seconds), at, self.units.elsewhere(event))

    def _any(self, name: str, key: Literal["version", "tag"], below: frozenset[str] = frozenset()) -> bool:
        """Whether a row of the event, or one that it descends from, has a column of its own for this."""
        parents = {parent for parent, _ in parents_of(self._events, name)} - below - {name}
        above = (parent for parent in parents if parent in self._events)
        own = getattr(self._events[name], key) is not None
        return own or any(self._any(parent, key, below | {name}) for parent in above)

    def _inherited(self, name: str, row: sa.FromClause, below: frozenset[str], of: _Of) -> Iterator[Column]:
        """What each row that a row names as its parent has, where the router decided first."""
        for parent, source, mine in self._parents(name, row, below):
            value = of(parent, source, below)
            if value is not None:
                found = sa.select(sa.func.min(value)).select_from(source).where(mine)
                yield found.correlate(row).scalar_subquery()

    def _parents(
        self, name: str, row: sa.FromClause, below: frozenset[str]
    ) -> Iterator[tuple[str, sa.FromClause, sa.ColumnElement[bool]]]:
        """Each event that a row names as its parent, its rows, and which of them are the row's; visits first."""
        parents = [one for one in parents_of(self._events, name) if one[0] in self._events and one[0] not in below]
        parents.sort(key=lambda one: bool(parents_of(self._events, one[0])))
        for parent, column in parents:
            event = self._events[parent]
            if event.table in self._spare:  # it may not be there, and nobody needs it
                continue
            alias = f"canary_{len(below)}_{parent}"
            source = selectable(self.columns(parent), table=event.table or parent, sql=event.sql, name=alias)
            of_key, of_named = kinds_key(parent, event.id), kinds_key(name, column)
            yield parent, source, same(source.c[event.id], row.c[column], self._of_keys, of_key, of_named)

    def _assigned(self, name: str, row: sa.FromClause) -> Iterator[Column]:
        """The version of the unit's last assignment up to the row's time, then that of the first one after it."""
        given = self._assignments
        yield from self._given(name, row, given.version) if given is not None and given.from_ is None else ()

    def _given(self, name: str, row: sa.FromClause, column: str, *, otherwise: str | None = None) -> Iterator[Column]:
        """A column of the same assignments as a text, and *otherwise* where it says nothing."""
        event = self._events[name]
        unit = self.units.of(name, event, row)
        given = self._assignments
        if given is None or unit is None or given.source != event.source:
            return
        source = assignment_rows(given)
        value: Column = self._dialect.text(source.c[column])
        if otherwise is not None:
            value = sa.func.coalesce(value, sa.literal_column(f"'{otherwise}'"), type_=sa.String())
        kind = self._kinds.get(kinds_key(_ASSIGNMENTS, given.time))
        at = moment_of(self._dialect, source.c[given.time], given.time_unit, kind)
        of_key, of_named = kinds_key(_ASSIGNMENTS, given.unit), self.units.kinds_key(name, event)
        mine = same(source.c[given.unit], unit, self._of_keys, of_key, of_named)
        yield from self.units.nearest(name, event, row, value, source, mine, at)


def _side(text: Column) -> Column:
    """The side that a stored header's tag names, as a text; NULL where it names none, or both."""
    named = {side: text.like(sa.literal_column(f"'%{tag}%'", type_=sa.String())) for side, tag in TAGS.items()}
    sides = ((side, other) for side in TAGS for other in TAGS if other != side)
    return sa.case(
        *((sa.and_(named[side], ~named[other]), sa.literal_column(f"'{side}'", sa.String())) for side, other in sides)
    )


def _first(found: list[Column]) -> Column | None:
    """The first of several values that is one."""
    return sa.func.coalesce(*found, type_=sa.String()) if len(found) > 1 else next(iter(found), None)


def says_version(policy: Policy, name: str) -> bool:
    """Whether anything could tell the version of an event's rows."""
    row = sa.table(name, *(sa.column(column) for column in columns_of(policy.database.events[name])))
    return not isinstance(Versions(policy, Dialect("sqlite")).of(name, row), sa.sql.elements.Null)


def assignment_rows(given: Assignments, name: str = "canary_assignments") -> sa.FromClause:
    """The assignments as something to select from."""
    columns = {given.unit, given.time, given.version, *filter(None, (given.tester,))}
    return selectable(columns, table=given.table, sql=given.sql, name=name)
