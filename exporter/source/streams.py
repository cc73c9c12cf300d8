"""What is read of each event: one stream for each time under which its rows become settled facts.

Most events have one stream, by their own time. An event with an outcome has up to three:

* `settled`: rows with a final outcome, by the time at which it became final;
* `unsettled`: rows with a final outcome but without that time, by their own time; they may change for as long as a
  row may be pending;
* `pending`: rows without a final outcome, by their own time. Nothing counts them; the judge needs to know them,
  because a payment that never settles is a failure. Those with an outcome that the policy calls `pending` are told
  apart: a bank transfer is no failure on its second day, and its customer is known when it becomes one.

A stream's statements (`exporter.source.statements`) are fitted to the kinds of the columns once these are known
(`fitted`), and read *carefully* after one of them stumbled over a value.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import sqlalchemy as sa

from canary.errors import DatabaseSchemaError
from canary.policy.database.section import LOG_SOURCE
from canary.policy.model import Policy
from exporter.source.assignments.versions import Key
from exporter.source.columns.kinds import Kind, Kinds, kinds_selected
from exporter.source.database import Session
from exporter.source.dialects import Dialect
from exporter.source.keys import kinds_key
from exporter.source.mapping import ordered
from exporter.source.statements import Column, Statements

FINE_SECONDS = 5
"""Width of the ledger's open buckets; rows are read again by whole buckets. Narrower ones make more numbers to keep,
wider ones more rows to read again for one that is late."""
FRESH_SECONDS = 10
"""How far back every refresh looks; what commits later than this is seen when the whole horizon is read."""
COARSE_SECONDS = 3600
"""Width of the ledger's closed buckets: a year of them is 8,760, which fits in memory for every event."""

_LOG_SECONDS = 86400.0
"""What `canary assignments` keeps is never changed, only deleted. So long after its time a row may still come, after a
day in which the follower was down."""
WHOLE_READS = 12
"""How often the whole horizon is read while a row can be late: a late row is seen after at most a twelfth of it."""
_ONLY_TIMES = ("postgresql", "clickhouse")
"""These databases compare a text with no time; the others read it as one."""
_BYTES = "bytes"  # what SQLite keeps as a BLOB
_NO_TIMES = (Kind.NUMBER, Kind.BOOLEAN, Kind.MONEY, Kind.UUID, Kind.OTHER)
"""What no database takes for a moment: other things are times of day, ranges, lists, JSON."""


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
        sampled: the same of the customers whose hash is before `sample`; None where rows do not tell theirs here.
        oldest: the smallest time within them in seconds since the epoch, and whether there is none.
        newest_times: where times may be texts: the ending, the type and the legibility of the newest ones.
        columns: the columns whose kinds decide about the statements, without a row.
        keys: of other events and of assignments, those by which versions are looked up, without a row.
        sampled_keys: the same, with those by which customers are looked up for a sample of them.
        sample: the newest `count` rows by their id: id, moment, value, parents; for a look, not for counting.
        dialect: how the times are written.
        instants: whether the time is an instant and not what the shop's clock showed.
        entered_instants: the same of the row's own time.
        near_parents: by parent, whether it is read from the same source.
        kept_seconds: after this long rows are deleted that have happened all the same; None where none is.
        hashed: whether customers are to be hashed, as the router's log has them.
        source: the policy's name of where it is read from; None for `database.url`.
        key: what the statements give in place of each row's version, where that is told elsewhere.
        inherits: whether that may be of a row which this one descends from.
        identity: the one in whose pairs the customers of `rows` are still to be looked for, in another database.
        anyone: as `whole`, whatever the versions are.
        changing_seconds: where longer than the horizon, so long a final outcome may be tried again; read less often.
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
    anyone: sa.Select[Any]
    rows: sa.Select[Any]
    oldest: sa.Select[Any]
    columns: sa.Select[Any]
    keys: Mapping[str, sa.Select[Any]]
    sampled_keys: Mapping[str, sa.Select[Any]]
    dialect: Dialect
    instants: bool
    entered_instants: bool
    fit: "Callable[[Kinds, bool], Stream]"
    sample: sa.Select[Any]
    newest_times: sa.Select[Any] | None = field(default=None)
    near_parents: tuple[bool, ...] = ()
    source: str | None = None
    kept_seconds: float | None = None
    hashed: bool = False
    key: Key | None = None
    inherits: bool = False
    identity: str | None = None
    sampled: sa.Select[Any] | None = None
    changing_seconds: float = 0.0

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


async def fitted(stream: Stream, session: Session, *, careful: bool = False, sampled: bool = False) -> Stream:
    """The stream with statements that suit what its columns hold.

    Args:
        careful: look at every value before it is added up.
        sampled: customers' rows are asked for by a sample of them.

    Raises:
        DatabaseSchemaError: a column for the time holds no times.
        DatabaseError: the columns cannot be looked up.
    """
    return stream.fit(await kinds_read(stream, session, sampled=sampled), careful)


async def kinds_read(stream: Stream, session: Session, *, sampled: bool = False) -> Kinds:
    """The kinds of all columns that decide about a stream's statements.

    Raises:
        DatabaseError: the columns cannot be looked up.
    """
    kinds = dict(await kinds_selected(session, stream.columns))
    for source, columns in (stream.sampled_keys if sampled else stream.keys).items():
        of_keys = await kinds_selected(session, columns)
        kinds |= {kinds_key(source, column): kind for column, kind in of_keys.items()}
    return kinds


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
        self._event = policy.database.events[name]
        self._kinds = kinds or {}
        self._statements = Statements(policy, dialect, name, self._kinds, careful=careful)

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
            if numbered or kind in _NO_TIMES or (kind is Kind.TEXT and self._database.name in _ONLY_TIMES):
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
        raw = self._database.text(self._statements.column(event.outcome))
        every = (*event.succeeded, *event.failed)
        final = raw.in_(every)
        changing = patience + lateness if event.pending else patience  # as `pending` below: or it is in neither
        if event.settled is not None:
            settled = self._statements.column(event.settled)
            yield replace(self._stream("settled", event.settled, lateness, final), changing_seconds=patience)
            yield self._stream("unsettled", event.time, changing, final, settled.is_(None), fresh=False)
        else:
            yield self._stream("unsettled", event.time, changing, final)
        pending = sa.or_(raw.is_(None), raw.not_in(every))
        yield self._stream("pending", event.time, patience + lateness, pending, fresh=False, counted=False)

    def _stream(
        self, kind: str, time: str, horizon: float, *conditions: Column, fresh: bool = True, counted: bool = True
    ) -> Stream:
        ask, log = self._statements, self._policy.database.log
        column = ask.column(time)
        hashed = log is not None and log.hashed and self._event.source != LOG_SOURCE
        return Stream(
            event=self._name,
            kind=kind,
            horizon_seconds=horizon,
            every_seconds=horizon / WHOLE_READS,
            fresh=fresh,
            counted=counted,
            parents=tuple(name for name, _ in ask.parents),
            fine=ask.aggregate(column, FINE_SECONDS, conditions),
            coarse=ask.aggregate(column, COARSE_SECONDS, conditions),
            whole=ask.aggregate(column, None, conditions),
            anyone=ask.aggregate(column, None, conditions, versions=False),
            rows=ask.rows(column, FINE_SECONDS, conditions),
            oldest=ask.oldest(column),
            columns=ask.columns(),
            keys=ask.versions.keys(self._name),
            sampled_keys=ask.versions.keys(self._name, sampled=True),
            sample=ask.sample(column, conditions),
            dialect=ask.dialect(column),
            instants=self._instants(time),
            entered_instants=self._instants(self._event.time),
            fit=partial(_fit, self._policy, self._database, self._name, kind),
            newest_times=ask.newest_times(column) if self._texts(time) else None,
            near_parents=tuple(not name or name in self._policy.database.events for name, _ in ask.parents),
            source=self._event.source,
            kept_seconds=self._kept_seconds(),
            hashed=hashed,
            key=ask.versions.keyed(self._name),
            inherits=ask.versions.inherits(self._name),
            identity=ask.versions.units.elsewhere(self._event),
            sampled=None if hashed else ask.sampled(column, FINE_SECONDS, conditions),
        )

    def _kept_seconds(self) -> float | None:
        log = self._policy.database.log
        return min(log.keep, _LOG_SECONDS) if log is not None and self._event.source == LOG_SOURCE else None

    def _instants(self, time: str) -> bool:
        return self._event.time_unit is not None or self._kinds.get(time) is Kind.INSTANT

    def _texts(self, time: str) -> bool:
        return self._database.name == "sqlite" or self._kinds.get(time) is Kind.TEXT


def held_by(storage: str) -> str:
    """What a column holds, in words, by SQLite's class of a value in it."""
    if storage in ("integer", "real"):
        return Kind.NUMBER.value
    return _BYTES if storage == "blob" else Kind.TEXT.value


def no_times(place: str, column: str | None, kind: str, *, numbered: bool) -> DatabaseSchemaError:
    """What is wrong with a column that is mapped as a time and holds none, and what to write instead.

    Args:
        place: the policy key.
        column: the column's name.
        kind: what it holds, in words.
        numbered: whether the policy says that it holds numbers.
    """
    what = "times"
    if numbered:
        what, remedy = "numbers (time_unit)", "remove time_unit, or name the column with the numbers"
    elif kind == Kind.NUMBER.value:
        remedy = "say in which unit they count: `time_unit: seconds`, or milliseconds, microseconds"
    elif kind == _BYTES:
        remedy = "give `sql:` with a SELECT that reads them as texts: `CAST(created_at AS TEXT) AS created_at`"
    else:
        remedy = "give `sql:` with a SELECT that turns them into times (a text such as 24.12.2026 into 2026-12-24)"
    return DatabaseSchemaError(f"expected {what}, {column} holds {kind}", place=place, remedy=remedy)
