"""What the database is asked about one event: the SELECTs of its streams.

The plain statements let the database add up whatever the columns hold. Where the columns' kinds are known, values are
turned into numbers by the database's own means first. A *careful* statement looks at every value before it is added,
which costs the database a comparison for each row and is not paid before a statement has stumbled over one.

Which rows a stream consists of is not decided here (`exporter.source.streams`): conditions come in, and each statement
has its bounds as parameters, so that it is built once.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from canary.policy.kpis import segment_column
from canary.policy.model import Policy
from exporter.source.assignments.versions import Versions
from exporter.source.columns.kinds import Kind, Kinds
from exporter.source.columns.numbers import addable, bounded
from exporter.source.dialects import Dialect
from exporter.source.hashes import hashed
from exporter.source.mapping import columns_of, literal_sql, parents_of

SUCCEEDED, FAILED, PENDING = "succeeded", "failed", "pending"
OUTCOMES = (SUCCEEDED, FAILED)

_NEWEST_TEXTS = 50
"""So many newest texts show in which forms the shop writes times now; it may write from more than one place."""

Column = sa.ColumnElement[Any]


class Statements:
    """The statements of one event, for columns of some kinds.

    Args:
        name: the event's, in the policy.
        kinds: what the columns hold, as far as that is known.
        careful: look at every value before it is added up.

    Attributes:
        parents: name and column of each parent event, in the order in which `rows` selects them.
        versions: how the version of each row is found.
    """

    def __init__(self, policy: Policy, dialect: Dialect, name: str, kinds: Kinds, *, careful: bool) -> None:
        self._database = dialect.name
        self._name = name
        self._event = policy.database.events[name]
        self._segment = segment_column(policy.kpis.values(), name)
        self._clock = dialect.at_clock(policy.database.timezone)
        self.parents = parents_of(policy.database.events, name)
        self.versions = Versions(policy, dialect, kinds)
        self._kinds = kinds
        self._careful = careful
        self._source = self._selectable()

    def dialect(self, time: Column) -> Dialect:
        """How the times of one of the event's columns are written."""
        return self._clock.of_texts(self._kinds.get(time.key or "") is Kind.TEXT).numbered(self._event.time_unit)

    def column(self, name: str) -> Column:
        """A column of the event's rows, to make a stream's conditions of."""
        return self._source.c[name]

    def columns(self) -> sa.Select[Any]:
        """The columns whose kinds decide about the statements, without a row."""
        wanted = {self._event.time, self._event.settled, self._event.value} - {None}
        return sa.select(*(self.column(name) for name in sorted(filter(None, wanted)))).where(sa.false())

    def sample(self, time: Column, conditions: Sequence[Column]) -> sa.Select[Any]:
        """The newest `count` rows by their id: id, moment, value, parents."""
        event = self._event
        columns = [
            self._key(event.id),
            self._moment(time),
            self._single(event.value) if event.value is not None else sa.null(),
            *(self._key(column) for _, column in self.parents),
        ]
        return (
            sa.select(*(column.label(f"canary_{number}") for number, column in enumerate(columns)))
            .select_from(self._source)
            .where(time.is_not(None), *self._wanted(conditions))
            .order_by(self.column(event.id).desc())
            .limit(sa.bindparam("count", type_=sa.Integer))
        )

    def look(self, *, by_time: bool) -> sa.Select[Any]:
        """The newest `count` rows: id, moment, value, outcome, settled moment, version, customer, parents.

        Args:
            by_time: the newest within bounds by their time; by their id otherwise, which need not grow.
        """
        event = self._event
        time = self.column(event.time)
        columns: list[Column] = [
            self._key(event.id),
            self._moment(time),
            self._single(event.value) if event.value is not None else sa.null(),
            self._text(event.outcome),
            self._moment(self.column(event.settled)) if event.settled is not None else sa.null(),
            self._version(),
            self._unit(),
            *(self._key(column) for _, column in self.parents),
        ]
        return (
            sa.select(*(column.label(f"canary_{number}") for number, column in enumerate(columns)))
            .select_from(self._source)
            .where(self.dialect(time).within(time) if by_time else time.is_not(None), *self._wanted(()))
            .order_by((time if by_time else self.column(event.id)).desc())
            .limit(sa.bindparam("count", type_=sa.Integer))
        )

    def oldest(self, time: Column) -> sa.Select[Any]:
        """The smallest time, and whether there is none.

        Within bounds, as the smallest of all may be a year 0 or minus infinity.
        """
        smallest = (
            sa.select(self._clock.smallest(time).label("moment"))
            .select_from(self._source)
            .where(self.dialect(time).roughly_within(time))
            .subquery("smallest")
        )
        none: Column = smallest.c.moment.is_(None)
        return sa.select(self.dialect(time).epoch(smallest.c.moment), none)

    def aggregate(
        self, time: Column, width_seconds: int | None, conditions: Sequence[Column], *, versions: bool = True
    ) -> sa.Select[Any]:
        """Counts and sums per bucket, version, currency and outcome; all in one bucket where it has no width.

        Args:
            versions: look for each row's version; NULL otherwise.
        """
        event = self._event
        groups = [
            *(
                [self.dialect(time).bucket(time, width_seconds).label("canary_bucket")]
                if width_seconds is not None
                else []
            ),
            (self._version() if versions else sa.null()).label("canary_version"),
            self._text(event.currency).label("canary_currency"),
            self._outcome_or_null().label("canary_outcome"),
        ]
        value = sa.func.sum(self._addable(event.value)) if event.value is not None else sa.null()
        # By position: Trino knows no names here, and an expression with parameters is another one each time.
        keys = [number for number, group in enumerate(groups, 1) if not isinstance(group.element, sa.sql.elements.Null)]
        return (
            sa.select(*groups, sa.func.count().label("canary_count"), value.label("canary_sum"))
            .select_from(self._source)
            .where(self.dialect(time).within(time), *self._wanted(conditions))
            .group_by(*(sa.literal_column(f"{key}") for key in keys))
        )

    def rows(self, time: Column, width_seconds: int, conditions: Sequence[Column]) -> sa.Select[Any]:
        """Single rows: bucket, id, moment, own moment, version, currency, outcome, value, variant, segment, unit, and
        then the parents.
        """
        event = self._event
        columns: list[Column] = [
            self.dialect(time).bucket(time, width_seconds),
            self._key(event.id),
            self._moment(time),
            self._moment(self.column(event.time)),
            self._version(),
            self._text(event.currency),
            self._outcome_or_null(),
            self._single(event.value) if event.value is not None else sa.null(),
            self._text(event.variant),
            self._text(self._segment),
            self._unit(),
            *(self._key(column) for _, column in self.parents),
        ]
        named = [column.label(f"canary_{number}") for number, column in enumerate(columns)]
        return (
            sa.select(*named)
            .select_from(self._source)
            .where(self.dialect(time).within(time), *self._wanted(conditions))
        )

    def sampled(self, time: Column, width_seconds: int, conditions: Sequence[Column]) -> sa.Select[Any] | None:
        """The same of customers whose hash is before `sample`, and of rows that name none; None where no row does."""
        customer = self.versions.customer(self._name, self._source)
        if customer is None:
            return None
        chosen = sa.func.coalesce(hashed(self._clock, customer), *_literal(""), type_=sa.String())
        return self.rows(time, width_seconds, [*conditions, chosen < sa.bindparam("sample", type_=sa.String)])

    def newest_times(self, time: Column) -> sa.Select[Any]:
        """Of the newest texts the endings (with an offset from UTC the text's order is not time's), and what they are.

        Whether one is legible is asked for each, because what is no time to the database is in no range of times.
        """
        newest = (
            sa.select(time.label("moment"))
            .select_from(self._source)
            .where(time.is_not(None))
            .order_by(self.column(self._event.id).desc())
            .limit(_NEWEST_TEXTS)
            .subquery("newest")
        )
        moment = newest.c.moment
        if self._database != "sqlite":
            return sa.select(*_literal("", "text"), self.dialect(time).epoch(moment).is_not(None)).distinct()
        kind: Column = sa.func.typeof(moment)
        numbers, texts = kind.in_(_literal("integer", "real")), kind.in_(_literal("text"))
        # SQLite makes a moment of bytes too, but compares them as later than every text: they are in no bucket.
        legible: Column = numbers if self._event.time_unit else sa.and_(texts, sa.func.julianday(moment).is_not(None))
        ending: Column = sa.cast(sa.func.substr(sa.func.rtrim(moment), -6), sa.LargeBinary)
        return sa.select(ending, kind, legible).distinct()

    def _selectable(self) -> sa.FromClause:
        event = self._event
        columns = sorted(columns_of(event, self._segment))
        if event.sql is not None:
            return literal_sql(event.sql).columns(*(sa.column(name) for name in columns)).subquery("event")
        schema, _, table = (event.table or self._name).rpartition(".")
        return sa.table(table, *(sa.column(name) for name in columns), schema=schema or None)

    def _outcome(self, name: str) -> Column:
        """`succeeded`, `failed`, `pending` where the policy calls it so, or NULL while nobody knows."""
        raw, event = self._clock.text(self.column(name)), self._event
        named = ((event.succeeded, SUCCEEDED), (event.failed, FAILED), (event.pending, PENDING))
        return sa.case(*((raw.in_(texts), sa.literal_column(f"'{outcome}'")) for texts, outcome in named if texts))

    def _wanted(self, conditions: Sequence[Column]) -> list[Column]:
        return [*conditions, *self._exclusions()]

    def _exclusions(self) -> Iterator[Column]:
        for name, values in self._event.exclude.items():
            column = self._clock.text(self.column(name))
            yield sa.or_(column.is_(None), column.not_in(values))
        excluded = self.versions.excluded(self._name, self._source)
        if excluded is not None:
            yield sa.not_(excluded)

    def _version(self) -> Column:
        if self.versions.looked_up(self._name):
            return self.versions.of(self._name, self._source)
        return self._text(self._event.version)

    def _text(self, name: str | None) -> Column:
        if name is None:
            return sa.null()
        return self._bytes(self.column(name)) if self._by_bytes else self._clock.text(self.column(name))

    def _moment(self, time: Column) -> Column:
        return self.dialect(time).epoch(time)

    def _key(self, name: str) -> Column:
        return self._bytes(self.column(name)) if self._by_bytes else self.column(name)

    def _unit(self) -> Column:
        unit = self.versions.units.named(self._name, self._event, self._source)
        if unit is None:
            return sa.null()
        return self._bytes(unit) if self._by_bytes else unit

    @property
    def _by_bytes(self) -> bool:
        """SQLite keeps any bytes as a text, and its driver stumbles over them; as bytes it hands them over."""
        return self._careful and self._database == "sqlite"

    def _bytes(self, column: Column) -> Column:
        return sa.cast(column, sa.LargeBinary)

    def _addable(self, name: str) -> Column:
        value = addable(self.column(name), self._kinds.get(name), self._database)
        return bounded(value, self._database) if self._careful else value

    def _single(self, name: str) -> Column:
        """One row's value, as it is but for what only the database can turn into a number."""
        column = self.column(name)
        if self._database == "sqlite":
            # Without a type of its own, as the same column gives numbers too.
            texts = sa.type_coerce(sa.cast(column, sa.LargeBinary), sa.types.NullType()) if self._careful else column
            kind: Column = sa.func.typeof(column)
            return sa.case((kind.in_(_literal("integer", "real")), column), (kind.in_(_literal("text")), texts))
        return addable(column, Kind.MONEY, self._database) if self._kinds.get(name) is Kind.MONEY else column

    def _outcome_or_null(self) -> Column:
        return sa.null() if self._event.outcome is None else self._outcome(self._event.outcome)


def _literal(*words: str) -> list[Column]:
    """Our own words in a statement, where a parameter would make the expression another one each time."""
    return [sa.literal_column(f"'{word}'", type_=sa.String) for word in words]
