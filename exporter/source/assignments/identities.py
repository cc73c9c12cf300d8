"""Which customer of the router's a row is of, where the shop knows the same one by another name.

The router chooses by a cookie; an order knows an account, or a guest's token. Somewhere the shop has written both down
together, at a login or a checkout, and these pairs (`database.identities`) lead from one to the other. One account has
several cookies, a phone's and a desk's, which the router may have put on different sides. So where pairs have times, a
row takes the last one before it: the device that its customer signed in with last. Without times, and with more than
one cookie, nobody can know it, and the row is unknown rather than guessed.

Pairs in another database than the event's rows are looked up in memory (`exporter.ledger.lookups`).
"""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from canary.policy.database.section import Event, Identities
from canary.policy.model import Policy
from exporter.source.columns.kinds import Kinds
from exporter.source.dialects import Dialect
from exporter.source.keys import kinds_key, kinds_of_keys, same
from exporter.source.mapping import selectable
from exporter.source.moments import Moment, comparable, moment_of

Column = sa.ColumnElement[Any]


class Units:
    """Finds the customer of each row, as the router knows them."""

    def __init__(self, policy: Policy, dialect: Dialect, kinds: Kinds) -> None:
        self._kinds, self._of_keys = kinds, kinds_of_keys(dialect, kinds)
        self._identities = policy.database.identities
        self._assignments = policy.database.assignments
        self._lateness_seconds = policy.database.lateness
        self._dialect = dialect

    def of(self, name: str, event: Event, row: sa.FromClause) -> Column | None:
        """The customer that each row of an event names itself; None where the event's rows name none.

        Args:
            name, event, row: the event, and what its rows are selected from.
        """
        if event.unit is None or self.elsewhere(event) is not None:
            return None
        if event.identity is None:
            return row.c[event.unit]
        pairs = self._identities[event.identity]
        source = pair_rows(pairs)
        of_key, of_named = kinds_key(pairs_key(event.identity), pairs.known_as), kinds_key(name, event.unit)
        mine = same(source.c[pairs.known_as], row.c[event.unit], self._of_keys, of_key, of_named)
        unit = source.c[pairs.unit]
        if pairs.time is None:
            only = sa.case((sa.func.min(unit) == sa.func.max(unit), sa.func.min(unit)))
            return sa.select(only).select_from(source).where(mine).correlate(row).scalar_subquery()
        kind = self._kinds.get(kinds_key(pairs_key(event.identity), pairs.time))
        at = moment_of(self._dialect, source.c[pairs.time], pairs.time_unit, kind)
        return sa.func.coalesce(*self.nearest(name, event, row, unit, source, mine, at))

    def named(self, name: str, event: Event, row: sa.FromClause) -> Column | None:
        """The same, and where the pairs are elsewhere what the row itself calls its customer."""
        if event.unit is not None and self.elsewhere(event) is not None:
            return row.c[event.unit]
        return self.of(name, event, row)

    def elsewhere(self, event: Event) -> str | None:
        """The identity in which an event's customers are looked for, where its pairs are in another database."""
        pairs = self._identities.get(event.identity or "")
        return event.identity if pairs is not None and pairs.source != event.source else None

    def versions_elsewhere(self, event: Event) -> bool:
        """Whether an event's rows name a customer whose version is looked up in another database."""
        given = self._assignments
        far = given is not None and given.from_ is None and given.source != event.source
        return event.unit is not None and (far or self.elsewhere(event) is not None)

    def kinds_key(self, name: str, event: Event) -> str:
        """By which name the kind of what `of` gives is among an event's kinds."""
        if event.identity is None:
            return kinds_key(name, event.unit or "")
        return kinds_key(pairs_key(event.identity), self._identities[event.identity].unit)

    def entered(self, name: str, event: Event, row: sa.FromClause) -> Moment:
        """The own time of each row of an event."""
        kind = self._kinds.get(kinds_key(name, event.time))
        return moment_of(self._dialect, row.c[event.time], event.time_unit, kind)

    def nearest(
        self,
        name: str,
        event: Event,
        row: sa.FromClause,
        value: Column,
        source: sa.FromClause,
        mine: Column,
        at: Moment,
    ) -> Iterator[Column]:
        """The last value up to each row's time, then the first one that may have come late.

        Args:
            name, event, row: whose rows, and what they are selected from.
            value, source: what is wanted, and what it is selected from.
            mine: which rows of the source are about a row.
            at: the source's times.
        """
        given, entered = comparable(self._dialect, at, self.entered(name, event, row))
        lateness = sa.literal_column(f"{self._lateness_seconds:.3f}", type_=sa.Double)
        found = sa.select(value).select_from(source).where(mine).correlate(row)
        yield found.where(given <= entered).order_by(given.desc(), value).limit(1).scalar_subquery()
        later = found.where(given > entered, given <= entered + lateness)
        yield later.order_by(given, value).limit(1).scalar_subquery()


def pairs_key(identity: str) -> str:
    """By which name the kinds of an identity's columns are among an event's kinds; no event is called so."""
    return f"identities.{identity}"


def pair_rows(pairs: Identities, name: str = "canary_identities") -> sa.FromClause:
    """The pairs as something to select from."""
    columns = {pairs.unit, pairs.known_as, *filter(None, (pairs.time,))}
    return selectable(columns, table=pairs.table, sql=pairs.sql, name=name)
