"""The databases in which the policy's events are: `database.url`, and those of `database.sources`.

Each is read by itself, as if the policy had the events in it and no others (`policy_at`): no statement can reach into
another database. What belongs together across them, an order here and its payment there, is joined in memory, where all
joins are made anyway.

Shards are one source. Every question goes to all of them at the same time, and their answers are added, because counts
are sums; when one of them cannot answer, nothing is known of the source, rather than a part of it. Their ids are apart:
order 5 of one shard is not order 5 of another.

Assignments and pairs may be in a source of their own. What no statement can reach is looked up in memory
(`exporter.ledger.lookups`).

Of several sources, one that is away costs its events and no others. That is why no connection to it is an error of its
own kind, which does not say that nothing can be read.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self, TypeVar

import sqlalchemy as sa

from canary.errors import DatabaseError, DatabaseSourceError, DatabaseUnavailableError
from canary.policy.database.section import LOG_SOURCE, Event
from canary.policy.model import Policy
from exporter.source.assignments.logged import hashed_unit, store_url
from exporter.source.columns.values import id_number
from exporter.source.columns.zones import Zone
from exporter.source.database import OrderDatabase, Patience, Row, Session
from exporter.source.dialects import Dialect
from exporter.source.mapping import parents_of
from exporter.source.session import open_session
from exporter.source.streams import Stream, streams_of

T = TypeVar("T")

ROWS_ID, ROWS_UNIT, ROWS_PARENTS = 1, 10, 11
"""Columns of a stream's `rows`: the id, the customer, and the first parent."""


class Sources:
    """A session with each source, by name; None is that of `database.url`."""

    def __init__(self, sessions: Mapping[str | None, Session]) -> None:
        self.sessions = dict(sessions)

    @classmethod
    def of(cls, policy: Policy, patience: Patience) -> Self:
        """Those that the policy's events are in; each connects at its first question.

        Raises:
            SecretError: a named secret cannot be read.
            DatabaseUnavailableError: the policy names no database, or a driver is not installed.
        """
        names = sources_in(policy)
        databases = {name: databases_at(policy, name, patience) for name in names}
        sessions: dict[str | None, Session] = {}
        for name, shards in databases.items():
            opened = [open_session(database) for database in shards]
            if len(names) == len(opened) == 1:
                sessions[name] = opened[0]
                continue
            apart = name not in policy.database.sources or not policy.database.sources[name].unique_ids
            sessions[name] = SourceSession(opened, alone=len(names) == 1, ids_apart=apart)
        return cls(sessions)

    @property
    def dialects(self) -> str:
        """The kinds of databases, for the log."""
        return ", ".join(sorted({session.dialect_name for session in self.sessions.values()}))

    def streams(self, policy: Policy) -> list[tuple[Stream, Session]]:
        """The streams of all events, each with the session that it is read by; of one source, parents first."""
        return [
            (stream, session)
            for name, session in self.sessions.items()
            for stream in streams_of(policy_at(policy, name), Dialect(session.dialect_name))
        ]

    def zones(self, policy: Policy) -> dict[str | None, Zone]:
        """By source, the zone of times that are stored without one."""
        return {
            name: Zone(policy_at(policy, name).database.timezone, Dialect(session.dialect_name))
            for name, session in self.sessions.items()
        }

    async def close(self) -> None:
        """Give all connections back."""
        for session in self.sessions.values():
            await session.close()


@contextlib.asynccontextmanager
async def order_sources(policy: Policy, patience: Patience) -> AsyncIterator[Sources]:
    """Sessions with all of the policy's sources, for as long as the block runs.

    Raises:
        SecretError, DatabaseUnavailableError: as `Sources.of`.
    """
    sources = Sources.of(policy, patience)
    try:
        yield sources
    finally:
        await sources.close()


def sources_in(policy: Policy) -> list[str | None]:
    """The sources that the policy's events, assignments and pairs are in; `database.url` first."""
    database = policy.database
    found = dict.fromkeys(event.source for event in database.events.values())
    if database.assignments is not None and database.assignments.from_ is None:
        found[database.assignments.source] = None
    used = {event.identity for event in database.events.values()}
    found |= {pairs.source: None for name, pairs in database.identities.items() if name in used}
    return sorted(found, key=lambda name: name or "") or [None]


def policy_at(policy: Policy, source: str | None) -> Policy:
    """The policy as one source has it: its events, its time zone, and what can be looked up in it.

    Of assignments and pairs of other sources only their names are left, neither table nor SQL.
    """
    database = policy.database
    if sources_in(policy) == [None]:
        return policy
    events = {
        name: replace(event, parent=_parent(database.events, name))
        for name, event in database.events.items()
        if event.source == source
    }
    given = database.assignments
    if given is not None and given.from_ is None and given.source != source:
        given = replace(given, table=None, sql=None)
    zone = database.sources[source].timezone if source in database.sources else None
    changed = replace(
        database,
        events=events,
        assignments=given,
        identities={
            name: pairs if pairs.source == source else replace(pairs, table=None, sql=None)
            for name, pairs in database.identities.items()
        },
        required=() if source is not None else database.required,
        timezone=zone or database.timezone,
    )
    return replace(policy, database=changed)


def databases_at(policy: Policy, source: str | None, patience: Patience) -> tuple[OrderDatabase, ...]:
    """Where a source is: one database, or one for each shard.

    Raises:
        SecretError: a named secret cannot be read.
        DatabaseUnavailableError: the policy does not say where, or what it says is no database URL, or names shards of
            several kinds.
    """
    if source is None:
        return (OrderDatabase.of(policy, patience),)
    limit = max(patience.value, policy.database.statement_timeout)
    if source == LOG_SOURCE and source not in policy.database.sources:
        return (OrderDatabase(store_url(policy, read_only=True), "UTC", limit),)
    shards = OrderDatabase.shards_of(policy, source, patience)
    kinds = {shard.url.get_backend_name() for shard in shards}
    if len(kinds) > 1:
        what = f"expected shards of one kind, found {' and '.join(sorted(kinds))}"
        raise DatabaseUnavailableError(what, place=f"database.sources.{source}", remedy="make them two sources")
    return shards


def _parent(events: Mapping[str, Event], name: str) -> str | dict[str, str] | None:
    """An event's parents by their names, so that they are known where some of them are not."""
    named = parents_of(events, name)
    return dict(named) if all(parent for parent, _ in named) and named else events[name].parent


class SourceSession:
    """The databases of one source asked as one: questions go to all at once, rows come from all.

    Args:
        shards: sessions with databases of one kind.
        alone: whether there is no other source, so that without it nothing can be read.

    Attributes:
        ids_apart: whether each shard's ids are its own.
    """

    def __init__(self, shards: Sequence[Session], *, alone: bool, ids_apart: bool) -> None:
        self._shards = tuple(shards)
        self._alone = alone
        self.ids_apart = ids_apart and len(shards) > 1

    @property
    def dialect_name(self) -> str:
        """As that of a single one."""
        return self._shards[0].dialect_name

    async def rows(self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Row]:
        """All rows of all shards."""
        return [row for rows in await self.rows_of_each(statement, parameters) for row in rows]

    async def rows_of_each(
        self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Sequence[Row]]:
        """The rows of each shard.

        Raises:
            DatabaseError: one of them did not answer.
        """
        return await self._of_each(shard.rows(statement, parameters) for shard in self._shards)

    async def columns(self, statement: sa.Executable) -> tuple[str, ...]:
        """Names of the columns, which all shards have alike."""
        try:
            return await self._shards[0].columns(statement)
        except DatabaseError as error:
            raise self._ours(error) from error

    async def run(self, look: Callable[[sa.Connection], T]) -> T:
        """What a function finds in the first shard."""
        try:
            return await self._shards[0].run(look)
        except DatabaseError as error:
            raise self._ours(error) from error

    async def run_in_each(self, look: Callable[[sa.Connection], T]) -> list[T]:
        """What a function finds in each shard.

        Raises:
            DatabaseError: one of them did not answer.
        """
        return await self._of_each(shard.run(look) for shard in self._shards)

    async def close(self) -> None:
        """Give all connections back."""
        for shard in self._shards:
            await shard.close()

    async def _of_each(self, asked: Iterable[Awaitable[T]]) -> list[T]:
        # All are waited for, as a session has one question at a time.
        answers = await asyncio.gather(*asked, return_exceptions=True)
        found: list[T] = []
        for answer in answers:
            if isinstance(answer, BaseException):
                raise self._ours(answer)
            found.append(answer)
        return found

    def _ours(self, error: BaseException) -> BaseException:
        if self._alone or not isinstance(error, DatabaseUnavailableError):
            return error
        return DatabaseSourceError(error.what, place=error.place, remedy=error.remedy)


async def run_in_each(session: Session, look: Callable[[sa.Connection], T]) -> list[T]:
    """What a function finds in each database of a source."""
    return await session.run_in_each(look) if isinstance(session, SourceSession) else [await session.run(look)]


async def single_rows(
    stream: Stream, session: Session, parameters: Mapping[str, Any], sample: str | None = None
) -> Sequence[Sequence[Any]]:
    """A stream's single rows, with ids that no two shards have in common, and customers as the log has them.

    Args:
        sample: of customers whose hash is before this, where the stream's rows tell theirs; None for all.
    """
    statement = stream.rows
    if sample is not None and stream.sampled is not None:
        statement, parameters = stream.sampled, {**parameters, "sample": sample}
    keys = [ROWS_ID, *(ROWS_PARENTS + number for number, near in enumerate(stream.near_parents) if near)]
    found = await rows_apart(session, statement, parameters, keys)
    if stream.hashed:
        found = [_with(row, {ROWS_UNIT: hashed_unit(row[ROWS_UNIT])}) for row in found]
    return found


async def rows_apart(
    session: Session, statement: sa.Executable, parameters: Mapping[str, Any], keys: Sequence[int]
) -> Sequence[Sequence[Any]]:
    """All rows, with ids in the columns *keys* that no two shards have in common."""
    if not isinstance(session, SourceSession) or not session.ids_apart:
        return await session.rows(statement, parameters)
    return [
        _with(row, {key: _of_shard(shard, row[key]) for key in keys})
        for shard, rows in enumerate(await session.rows_of_each(statement, parameters))
        for row in rows
    ]


def _with(row: Sequence[Any], cells: Mapping[int, Any]) -> Sequence[Any]:
    return [cells.get(number, cell) for number, cell in enumerate(row)]


def _of_shard(shard: int, key: Any) -> str | None:
    """A key as text, with its shard; of all spellings of one key the same."""
    return None if key is None else f"{shard}/{id_number(key)}"
