"""The rollout's journal: append-only, durable before anything is done, read by receiver, exporter and command line."""

import json
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from canary.errors import JournalConflictError, JournalError
from canary.policy.model import Policy
from canary.rollout.entries import ROLLOUTS, Chain, Entry, Kind, read
from canary.rollout.state import Rollout, fold, newest
from canary.secrets import read_secret
from canary.times import to_text

_CONFLICT = "somebody else wrote meanwhile"

# A rollback waits no longer than this for a database that does not answer.
_TIMEOUT_SECONDS = 2.0

_METADATA = sa.MetaData()

_JOURNAL = sa.Table(
    "canary_journal",
    _METADATA,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("service", sa.String(80), nullable=False),
    sa.Column("previous", sa.Integer, nullable=False),
    sa.Column("rollout", sa.String(64), nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("at", sa.String(32), nullable=False),
    sa.Column("actor", sa.String(256), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
    # Two writers that decide from the same past: the second one's entry is refused by the database.
    sa.UniqueConstraint("service", "previous", name="canary_journal_chain"),
)


def journal_url(policy: Policy) -> URL:
    """The journal's database, with an asynchronous driver and SQLite paths made absolute.

    Raises:
        SecretError: a named secret cannot be read.
        JournalError: the URL is not one.
    """
    state = policy.state
    text = read_secret("state.url", file=state.url_file, env=state.url_env, base=policy.base) or state.url
    try:
        url = make_url(text or "")
    except SQLAlchemyError as error:
        raise JournalError(
            "not a database URL", place="state.url", remedy="write one such as sqlite:///state.db"
        ) from error
    backend = url.get_backend_name()
    drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
    if backend not in drivers:
        raise JournalError(f"expected sqlite or postgresql, found {backend}", place="state.url")
    url = url.set(drivername=drivers[backend])
    if backend == "sqlite" and url.database not in (None, "", ":memory:"):
        url = url.set(database=str(Path(policy.base) / str(url.database)))
    return url


class Journal:
    """Appends and reads entries of one chain of a service."""

    def __init__(self, engine: AsyncEngine, service: str, chain: Chain = ROLLOUTS) -> None:
        self._engine = engine
        self._service = f"{service}/{chain.name}" if chain.name else service
        self._kinds = chain.kinds

    @classmethod
    @asynccontextmanager
    async def open(cls, policy: Policy, chain: Chain = ROLLOUTS) -> AsyncIterator["Journal"]:
        """The policy's journal, its table created when missing, closed at the end.

        Args:
            chain: entries of other things than rollouts are chained apart.

        Raises:
            JournalError: the database cannot be reached or written.
        """
        url = journal_url(policy)
        if url.get_backend_name() == "sqlite":
            engine = create_async_engine(url)
            sa.event.listen(engine.sync_engine, "connect", _durable)
        else:
            limits = {"timeout": _TIMEOUT_SECONDS, "command_timeout": _TIMEOUT_SECONDS}
            engine = create_async_engine(url, pool_pre_ping=True, connect_args=limits)
        journal = cls(engine, policy.service, chain)
        try:
            try:
                await journal._create()
            except JournalError:
                # Another receiver may have made the table at the same moment; then it is there now.
                await journal._create()
            yield journal
        finally:
            await engine.dispose()

    async def _create(self) -> None:
        async with self._connection() as connection:
            await connection.run_sync(_METADATA.create_all)

    async def append(self, entry: Entry, *, after: int | None = None) -> Entry:
        """Write one entry durably and give it back with its position.

        Args:
            after: when given, refuse unless the service's newest entry still has this position, so that two
                writers never decide from the same past.

        Raises:
            JournalConflictError: somebody else wrote meanwhile; nothing was written.
            JournalError: nothing was written; the message says why.
        """
        async with self._connection() as connection:
            newest = await self._newest(connection)
            if after is not None and newest != after:
                raise JournalConflictError(_CONFLICT, place="journal", remedy="look again and decide anew")
            result = await connection.execute(
                _JOURNAL.insert().values(
                    service=self._service,
                    previous=newest,
                    rollout=entry.rollout,
                    kind=entry.label,
                    at=to_text(entry.at),
                    actor=entry.actor[:256],
                    reason=entry.reason,
                    data=json.dumps(entry.data(), sort_keys=True),
                )
            )
            key = result.inserted_primary_key
        assert key is not None
        return replace(entry, seq=int(key[0]))

    async def entries(self, rollout: str | None = None, *, after: int = 0) -> Sequence[Entry]:
        """All entries of the service, or of one rollout, that come after a position, oldest first.

        Raises:
            JournalError: the database cannot be read.
        """
        query = sa.select(_JOURNAL).where(_JOURNAL.c.service == self._service, _JOURNAL.c.seq > after)
        query = query.order_by(_JOURNAL.c.seq)
        if rollout is not None:
            query = query.where(_JOURNAL.c.rollout == rollout)
        async with self._connection() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [self._entry(row) for row in rows]

    async def current(self) -> Rollout | None:
        """The newest rollout; None before the first.

        Raises:
            JournalError: the database cannot be read.
        """
        started = (
            sa.select(sa.func.max(_JOURNAL.c.seq))
            .where(_JOURNAL.c.service == self._service, _JOURNAL.c.kind == Kind.STARTED.value)
            .scalar_subquery()
        )
        query = (
            sa.select(_JOURNAL)
            .where(_JOURNAL.c.service == self._service, _JOURNAL.c.seq >= started)
            .order_by(_JOURNAL.c.seq)
        )
        async with self._connection() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return newest(fold(self._entry(row) for row in rows))

    async def probe(self) -> None:
        """Write an entry and take it back before it counts: what `append` would meet.

        Raises:
            JournalError: the database cannot be written.
        """
        async with self._connection() as connection:
            point = await connection.begin_nested()
            blank = dict.fromkeys(("rollout", "kind", "at", "actor", "reason", "data"), "")
            # No entry follows another at a negative position, so that nobody's own entry is in the way.
            nowhere = -1 - secrets.randbelow(2**31 - 1)
            await connection.execute(_JOURNAL.insert().values(service=self._service, previous=nowhere, **blank))
            await point.rollback()

    async def position(self) -> int:
        """Position of the service's newest entry, 0 when there is none.

        Raises:
            JournalError: the database cannot be read.
        """
        async with self._connection() as connection:
            return await self._newest(connection)

    def _entry(self, row: sa.RowMapping) -> Entry:
        try:
            data = json.loads(row["data"])
        except (TypeError, ValueError, RecursionError):
            data = None
        return read(dict(row), data, self._kinds)

    async def _newest(self, connection: AsyncConnection) -> int:
        query = sa.select(sa.func.max(_JOURNAL.c.seq)).where(_JOURNAL.c.service == self._service)
        return int((await connection.execute(query)).scalar() or 0)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        """One transaction; the only place where database errors become ours."""
        try:
            async with self._engine.begin() as connection:
                yield connection
        except IntegrityError as error:
            raise JournalConflictError(_CONFLICT, place="journal", remedy="look again and decide anew") from error
        except (SQLAlchemyError, OSError) as error:
            where = self._engine.url.render_as_string(hide_password=True)
            cause = getattr(error, "orig", None) or error
            raise JournalError(
                f"{type(cause).__name__}: {cause}",
                place=f"journal {where}",
                remedy="check that the database is there and writable",
            ) from error


def _durable(connection: sa.engine.interfaces.DBAPIConnection, _record: object) -> None:
    """An entry must be on disk before anything is done because of it; and a damaged text hides no other row."""
    # SQLite keeps whatever bytes a text has; by default one that is not UTF-8 makes the whole journal unreadable.
    connection.driver_connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA busy_timeout=5000")
    cursor.close()
