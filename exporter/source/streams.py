"""What is read of each event: one stream for each time under which its rows become settled facts.

Most events have one stream, by their own time. An event with an outcome has up to three:

* `settled`: rows with a final outcome, by the time at which it became final;
* `unsettled`: rows with a final outcome but without that time, by their own time; they may change for as long as a
  row may be pending;
* `pending`: rows without a final outcome, by their own time. Nothing counts them; the judge needs to know them,
  because a payment that never settles is a failure.

The plain statements let the database add up whatever the columns hold. They are fitted to the kinds of the columns once
these are known (`fitted`), and read *carefully* after one of them stumbled over a value: then every value is looked at
before it is added, which costs the database a comparison for each row and is not paid before it is needed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import sqlalchemy as sa

from canary.errors import DatabaseSchemaError
from canary.policy.model import Policy
from exporter.source.database import Session
from exporter.source.dialects import Dialect
from exporter.source.kinds import Kind, Kinds, kinds_selected
from exporter.source.mapping import columns_of, literal_sql, ordered, parents_of
from exporter.source.numbers import addable, bounded
from exporter.source.versions import Versions

FINE_SECONDS = 5
"""Width of the ledger's open buckets; rows are read again by whole buckets. Narrower ones make more numbers to keep,
wider ones more rows to read again for one that is late."""
FRESH_SECONDS = 10
"""How far back every refresh looks; what commits later than this is seen when the whole horizon is read."""
COARSE_SECONDS = 3600
"""Width of the ledger's closed buckets: a year of them is 8,760, which fits in memory for every event."""

_NEWEST_TEXTS = 50
"""So many newest texts show in which forms the shop writes times now; it may write from more than one place."""
_WHOLE_READS = 12
"""How often the whole horizon is read while a row can be late: a late row is seen after at most a twelfth of it."""

SUCCEEDED, FAILED, PENDING = "succeeded", "failed", "pending"
OUTCOMES = (SUCCEEDED, FAILED)

_NO_TIMES = (Kind.NUMBER, Kind.BOOLEAN, Kind.MONEY)
"""What no database takes for a time."""

Column = sa.ColumnElement[Any]


@dataclass(frozen=True, eq=False)
class Stream:
    """One stream and its statements, built once and executed with bounds.

    Attributes:
        event: name in the policy.
        kind: `rows`, `settled`, `unsettled` or `pending`.
        horizon_seconds: how long after its time a row may appear or change.
        every_seconds: how often the whole horizon is read.
        fresh: whether the newest rows are read at every refresh besides.
        counted: whether the counters count it.
        parents: name of each parent event in the order in which `rows` selects them.
        fine, coarse: counts and sums per bucket, version, currency and outcome within `low` and `high`.
        whole: the same without buckets. Databases guess far too many of these, and sort where they could add up.
        rows: single rows within `low` and `high`.
        oldest: the smallest time within them in seconds since the epoch, and whether there is none.
        newest_times: where times may be texts: the ending, the type and the legibility of the newest ones.
        columns: the columns whose kinds decide about the statements, without a row.
        sample: the newest `count` rows by their id: id, moment, value, parents; for a look, not for counting.
        dialect: how the times are written.
        instants: whether the time is an instant and not what the shop's clock showed.
        entered_instants: the same of the row's own time.
        fit: the same stream for columns of these kinds, read carefully or not.
    """

    event: str
    kind: str
    horizon_seconds: float
    every_seconds: float
    fresh: bool
    counted: bool
    parents: tuple[str, ...]
    fine: sa.Select[Any]
    coarse: sa.Select[Any]
    whole: sa.Select[Any]
    rows: sa.Select[Any]
    oldest: sa.Select[Any]
    columns: sa.Select[Any]
    dialect: Dialect
    instants: bool
    entered_instants: bool
    fit: "Callable[[Kinds, bool], Stream]"
    sample: sa.Select[Any]
    newest_times: sa.Select[Any] | None = field(default=None)

    @property
    def name(self) -> str:
        """A short name for logs."""
        return self.event if self.kind == "rows" else f"{self.event} ({self.kind})"


def streams_of(policy: Policy, dialect: Dialect) -> list[Stream]:
    """All streams of the policy's events, in the policy's order.

    Events are ordered so that parents come before what descends from them, and a refresh never sees an order
    before its visit.
    """
    events = policy.database.events
    streams: list[Stream] = []
    for name in ordered(events):
        streams += _Builder(policy, dialect, name).streams()
    return streams


async def fitted(stream: Stream, session: Session, *, careful: bool = False) -> Stream:
    """The stream with statements that suit what its columns hold.

    Args:
        careful: look at every value before it is added up.

    Raises:
        DatabaseSchemaError: a column for the time holds no times.
        DatabaseError: the columns cannot be asked for.
    """
    return stream.fit(await kinds_selected(session, stream.columns), careful)


def _fit(
    policy: Policy, dialect: Dialect, event: str, kind: str, kinds: Kinds, careful: bool
) -> Stream:  # positional for `partial`
    builder = _Builder(policy, dialect, event, kinds, careful=careful)
    builder.refuse_what_is_no_time()
    return next(stream for stream in builder.streams() if stream.kind == kind)


class _Builder:
    def __init__(
        self, policy: Policy, dialect: Dialect, name: str, kinds: Kinds | None = None, *, careful: bool = False
    ) -> None:
        self._policy = policy
        self._database = dialect
        self._name = name
        self._event = event = policy.database.events[name]
        self._dialect = dialect.numbered(event.time_unit)
        self._kinds = kinds or {}
        self._careful = careful
        self._parents = parents_of(policy.database.events, name)
        self._versions = Versions(policy, dialect)
        self._source = self._selectable()

    def refuse_what_is_no_time(self) -> None:
        """Say what to write instead where a column for a time holds none.

        Raises:
            DatabaseSchemaError: it holds numbers without a unit, or texts where the database compares times only.
        """
        for key in ("time", "settled"):
            column = getattr(self._event, key)
            kind = self._kinds.get(column)
            numbered = self._event.time_unit is not None
            if kind is None or (kind is Kind.NUMBER and numbered):
                continue
            if numbered or kind in _NO_TIMES or (kind is Kind.TEXT and self._database.name == "postgresql"):
                place = f"database.events.{self._name}.{key}"
                raise no_times(place, column, kind.value, numbered=numbered)

    def streams(self) -> Iterator[Stream]:
        """The event's streams."""
        lateness = self._policy.database.lateness
        patience = max(lateness, self._policy.evidence.pending_timeout)
        event = self._event
        if event.outcome is None:
            yield self._stream("rows", event.time, lateness)
            return
        raw = sa.cast(self._column(event.outcome), sa.String)
        every = (*event.succeeded, *event.failed)
        final = raw.in_(every)
        if event.settled is not None:
            settled = self._column(event.settled)
            yield self._stream("settled", event.settled, lateness, final)
            yield self._stream("unsettled", event.time, patience, final, settled.is_(None), fresh=False)
        else:
            yield self._stream("unsettled", event.time, patience, final)
        pending = sa.or_(raw.is_(None), raw.not_in(every))
        yield self._stream("pending", event.time, patience + lateness, pending, fresh=False, counted=False)

    def _selectable(self) -> sa.FromClause:
        event = self._event
        columns = sorted(columns_of(event))
        if event.sql is not None:
            return literal_sql(event.sql).columns(*(sa.column(name) for name in columns)).subquery("event")
        schema, _, table = (event.table or self._name).rpartition(".")
        return sa.table(table, *(sa.column(name) for name in columns), schema=schema or None)

    def _column(self, name: str) -> Column:
        return self._source.c[name]

    def _outcome(self, name: str) -> Column:
        """`succeeded`, `failed`, or NULL while it is pending."""
        raw = sa.cast(self._column(name), sa.String)
        return sa.case(
            (raw.in_(self._event.succeeded), sa.literal_column(f"'{SUCCEEDED}'")),
            (raw.in_(self._event.failed), sa.literal_column(f"'{FAILED}'")),
        )

    def _stream(
        self, kind: str, time: str, horizon: float, *conditions: Column, fresh: bool = True, counted: bool = True
    ) -> Stream:
        column = self._column(time)
        wanted = [*conditions, *self._exclusions()]
        return Stream(
            event=self._name,
            kind=kind,
            horizon_seconds=horizon,
            every_seconds=horizon / _WHOLE_READS,
            fresh=fresh,
            counted=counted,
            parents=tuple(name for name, _ in self._parents),
            fine=self._aggregate(column, FINE_SECONDS, wanted),
            coarse=self._aggregate(column, COARSE_SECONDS, wanted),
            whole=self._aggregate(column, None, wanted),
            rows=self._rows(column, wanted),
            oldest=self._oldest(column),
            columns=self._columns(),
            sample=self._sample(column, wanted),
            dialect=self._dialect,
            instants=self._instants(time),
            entered_instants=self._instants(self._event.time),
            fit=partial(_fit, self._policy, self._database, self._name, kind),
            newest_times=self._newest_times(column) if self._texts(time) else None,
        )

    def _instants(self, time: str) -> bool:
        return self._event.time_unit is not None or self._kinds.get(time) is Kind.INSTANT

    def _texts(self, time: str) -> bool:
        return self._database.name == "sqlite" or self._kinds.get(time) is Kind.TEXT

    def _columns(self) -> sa.Select[Any]:
        wanted = {self._event.time, self._event.settled, self._event.value} - {None}
        return sa.select(*(self._column(name) for name in sorted(filter(None, wanted)))).where(sa.false())

    def _sample(self, time: Column, wanted: list[Column]) -> sa.Select[Any]:
        event = self._event
        columns = [
            self._key(event.id),
            self._dialect.epoch(time),
            self._single(event.value) if event.value is not None else sa.null(),
            *(self._key(column) for _, column in self._parents),
        ]
        return (
            sa.select(*(column.label(f"canary_{number}") for number, column in enumerate(columns)))
            .select_from(self._source)
            .where(time.is_not(None), *wanted)
            .order_by(self._column(event.id).desc())
            .limit(sa.bindparam("count", type_=sa.Integer))
        )

    def _oldest(self, time: Column) -> sa.Select[Any]:
        """Within bounds, as the smallest time of all may be a year 0 or minus infinity."""
        smallest = (
            sa.select(sa.func.min(time).label("moment"))
            .select_from(self._source)
            .where(self._dialect.roughly_within(time))
            .subquery("smallest")
        )
        none: Column = smallest.c.moment.is_(None)
        return sa.select(self._dialect.epoch(smallest.c.moment), none)

    def _exclusions(self) -> Iterator[Column]:
        for name, values in self._event.exclude.items():
            column = sa.cast(self._column(name), sa.String)
            yield sa.or_(column.is_(None), column.not_in(values))

    def _aggregate(self, time: Column, width: int | None, wanted: list[Column]) -> sa.Select[Any]:
        event = self._event
        groups = [
            *([self._dialect.bucket(time, width).label("canary_bucket")] if width is not None else []),
            self._version().label("canary_version"),
            self._text(event.currency).label("canary_currency"),
            self._outcome_or_null().label("canary_outcome"),
        ]
        value = sa.func.sum(self._addable(event.value)) if event.value is not None else sa.null()
        # By position: Trino knows no names here, and an expression with parameters is another one each time.
        keys = [number for number, group in enumerate(groups, 1) if not isinstance(group.element, sa.sql.elements.Null)]
        return (
            sa.select(*groups, sa.func.count().label("canary_count"), value.label("canary_sum"))
            .select_from(self._source)
            .where(self._dialect.within(time), *wanted)
            .group_by(*(sa.literal_column(f"{key}") for key in keys))
        )

    def _rows(self, time: Column, wanted: list[Column]) -> sa.Select[Any]:
        event = self._event
        columns: list[Column] = [
            self._dialect.bucket(time, FINE_SECONDS),
            self._key(event.id),
            self._dialect.epoch(time),
            self._dialect.epoch(self._column(event.time)),
            self._version(),
            self._text(event.currency),
            self._outcome_or_null(),
            self._single(event.value) if event.value is not None else sa.null(),
            self._text(event.variant),
            *(self._key(column) for _, column in self._parents),
        ]
        named = [column.label(f"canary_{number}") for number, column in enumerate(columns)]
        return sa.select(*named).select_from(self._source).where(self._dialect.within(time), *wanted)

    def _version(self) -> Column:
        if self._versions.looked_up(self._name):
            return self._versions.of(self._name, self._source)
        return self._text(self._event.version)

    def _text(self, name: str | None) -> Column:
        return sa.null() if name is None else self._bytes_or(self._column(name), sa.String())

    def _key(self, name: str) -> Column:
        column = self._column(name)
        return self._bytes_or(column, None)

    def _bytes_or(self, column: Column, otherwise: sa.String | None) -> Column:
        """SQLite keeps any bytes as a text, and its driver stumbles over them; as bytes it hands them over."""
        if self._careful and self._database.name == "sqlite":
            return sa.cast(column, sa.LargeBinary)
        return column if otherwise is None else sa.cast(column, otherwise)

    def _addable(self, name: str) -> Column:
        value = addable(self._column(name), self._kinds.get(name), self._database.name)
        return bounded(value, self._database.name) if self._careful else value

    def _single(self, name: str) -> Column:
        """One row's value, as it is but for what only the database can turn into a number."""
        column = self._column(name)
        if self._database.name == "sqlite":
            # Without a type of its own, as the same column gives numbers too.
            texts = sa.type_coerce(sa.cast(column, sa.LargeBinary), sa.types.NullType()) if self._careful else column
            kind: Column = sa.func.typeof(column)
            return sa.case((kind.in_(_literal("integer", "real")), column), (kind.in_(_literal("text")), texts))
        return addable(column, Kind.MONEY, self._database.name) if self._kinds.get(name) is Kind.MONEY else column

    def _outcome_or_null(self) -> Column:
        return sa.null() if self._event.outcome is None else self._outcome(self._event.outcome)

    def _newest_times(self, time: Column) -> sa.Select[Any]:
        """Of the newest texts the endings (with an offset from UTC the text's order is not time's), and what they are.

        Whether one is legible is asked for each, because what is no time to the database is in no range of times.
        """
        newest = (
            sa.select(time.label("moment"))
            .select_from(self._source)
            .where(time.is_not(None))
            .order_by(self._column(self._event.id).desc())
            .limit(_NEWEST_TEXTS)
            .subquery("newest")
        )
        moment = newest.c.moment
        if self._database.name != "sqlite":
            return sa.select(*_literal("", "text"), self._dialect.epoch(moment).is_not(None)).distinct()
        kind: Column = sa.func.typeof(moment)
        numbers = kind.in_(_literal("integer", "real"))
        legible: Column = (
            numbers if self._event.time_unit else sa.and_(~numbers, sa.func.julianday(moment).is_not(None))
        )
        ending: Column = sa.cast(sa.func.substr(moment, -6), sa.LargeBinary)
        return sa.select(ending, kind, legible).distinct()


def _literal(*words: str) -> list[Column]:
    """Our own words in a statement, where a parameter would make the expression another one each time."""
    return [sa.literal_column(f"'{word}'", type_=sa.String) for word in words]


def no_times(place: str, column: str | None, kind: str, *, numbered: bool) -> DatabaseSchemaError:
    """What is wrong with a column that is mapped as a time and holds none, and what to write instead.

    Args:
        place: the policy key.
        column: the column's name.
        kind: what it holds, in words.
        numbered: whether the policy says that it holds numbers.
    """
    if numbered:
        what, remedy = "numbers (time_unit)", "remove time_unit, or name the column with the numbers"
    elif kind == Kind.NUMBER.value:
        what, remedy = "times", "say in which unit they count: `time_unit: seconds`, or milliseconds, microseconds"
    else:
        what = "times"
        remedy = "give `sql:` with a SELECT that turns them into times (a text such as 24.12.2026 into 2026-12-24)"
    return DatabaseSchemaError(f"expected {what}, {column} holds {kind}", place=place, remedy=remedy)
