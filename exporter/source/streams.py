"""What is read of each event: one stream for each time under which its rows become settled facts.

Most events have one stream, by their own time. An event with an outcome has up to three:

* `settled`: rows with a final outcome, by the time at which it became final;
* `unsettled`: rows with a final outcome but without that time, by their own time; they may change for as long as a
  row may be pending;
* `pending`: rows without a final outcome, by their own time. Nothing counts them; the judge needs to know them,
  because a payment that never settles is a failure.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from canary.policy.model import Policy
from canary.policy.orders import Event
from exporter.source.dialects import Dialect
from exporter.source.mapping import columns_of, ordered, parents_of

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
        latest: the same as `fine` from `low` on.
        rows: single rows within `low` and `high`.
        newest: single rows from `low` on.
        oldest: the smallest time, in seconds since the epoch.
        offsets: SQLite: endings of the newest texts.
    """

    event: str
    kind: str
    horizon_seconds: float
    every_seconds: float
    fresh: bool
    counted: bool
    parents: tuple[str, ...]
    latest: sa.Select[Any]
    fine: sa.Select[Any]
    coarse: sa.Select[Any]
    whole: sa.Select[Any]
    rows: sa.Select[Any]
    newest: sa.Select[Any]
    oldest: sa.Select[Any]
    offsets: sa.Select[Any] | None = field(default=None)

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
        streams += _Builder(policy, dialect, name, events[name]).streams()
    return streams


class _Builder:
    def __init__(self, policy: Policy, dialect: Dialect, name: str, event: Event) -> None:
        self._policy = policy
        self._dialect = dialect
        self._name = name
        self._event = event
        self._parents = parents_of(policy.database.events, name)
        self._source = self._selectable()

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
            statement = sa.text(event.sql.rstrip().rstrip(";"))
            return statement.columns(*(sa.column(name) for name in columns)).subquery("event")
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
            latest=self._aggregate(column, FINE_SECONDS, wanted, ended=False),
            fine=self._aggregate(column, FINE_SECONDS, wanted, ended=True),
            coarse=self._aggregate(column, COARSE_SECONDS, wanted, ended=True),
            whole=self._aggregate(column, None, wanted, ended=True),
            rows=self._rows(column, wanted, ended=True),
            newest=self._rows(column, wanted, ended=False),
            oldest=sa.select(self._dialect.epoch(sa.func.min(column))).select_from(self._source),
            offsets=self._offsets(column) if self._dialect.name == "sqlite" else None,
        )

    def _exclusions(self) -> Iterator[Column]:
        for name, values in self._event.exclude.items():
            column = sa.cast(self._column(name), sa.String)
            yield sa.or_(column.is_(None), column.not_in(values))

    def _aggregate(self, time: Column, width: int | None, wanted: list[Column], *, ended: bool) -> sa.Select[Any]:
        event = self._event
        groups = [
            *([self._dialect.bucket(time, width).label("canary_bucket")] if width is not None else []),
            self._version().label("canary_version"),
            self._text(event.currency).label("canary_currency"),
            self._outcome_or_null().label("canary_outcome"),
        ]
        value = sa.func.sum(self._column(event.value)) if event.value is not None else sa.null()
        # By position: Trino knows no names here, and an expression with parameters is another one each time.
        keys = [number for number, group in enumerate(groups, 1) if not isinstance(group.element, sa.sql.elements.Null)]
        return (
            sa.select(*groups, sa.func.count().label("canary_count"), value.label("canary_sum"))
            .select_from(self._source)
            .where(self._dialect.within(time, ended=ended), *wanted)
            .group_by(*(sa.literal_column(f"{key}") for key in keys))
        )

    def _rows(self, time: Column, wanted: list[Column], *, ended: bool) -> sa.Select[Any]:
        event = self._event
        columns: list[Column] = [
            self._dialect.bucket(time, FINE_SECONDS),
            self._column(event.id),
            self._dialect.epoch(time),
            self._dialect.epoch(self._column(event.time)),
            self._version(),
            self._text(event.currency),
            self._outcome_or_null(),
            self._column(event.value) if event.value is not None else sa.null(),
            sa.cast(self._column(event.variant), sa.String) if event.variant is not None else sa.null(),
            *(self._column(column) for _, column in self._parents),
        ]
        named = [column.label(f"canary_{number}") for number, column in enumerate(columns)]
        return sa.select(*named).select_from(self._source).where(self._dialect.within(time, ended=ended), *wanted)

    def _version(self) -> Column:
        return sa.cast(self._column(self._event.version), sa.String)

    def _text(self, name: str | None) -> Column:
        return sa.null() if name is None else sa.cast(self._column(name), sa.String)

    def _outcome_or_null(self) -> Column:
        return sa.null() if self._event.outcome is None else self._outcome(self._event.outcome)

    def _offsets(self, time: Column) -> sa.Select[Any]:
        """The endings of the newest texts: where they carry an offset from UTC, the text's order is not time's."""
        newest = (
            sa.select(time.label("moment"))
            .select_from(self._source)
            .order_by(self._column(self._event.id).desc())
            .limit(_NEWEST_TEXTS)
            .subquery("newest")
        )
        return sa.select(sa.func.substr(newest.c.moment, -6)).distinct()
