"""Read-only sessions with the order database: asynchronous where there is a driver, in a thread otherwise.

A session has one connection, asks one statement at a time, and is bounded in time three times over: the server ends a
statement at the policy's limit, a lock is waited for shortly, and a server that does not keep to its limit is given up
a little later. So a refresh never hangs, and a shop's database never carries a statement of ours that nobody reads any
more. What a session sets (read only, time zone, limits) is set when it connects, and so again after a lost connection.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from canary.errors import DatabaseError, DatabaseUnavailableError
from canary.policy.model import Policy
from canary.threads import OwnThread, Threads
from exporter.source.database import OrderDatabase, Patience, Row, Session, shown, translated

T = TypeVar("T")

APPLICATION_NAME = "kpi-canary"
"""How the shop's database administrators know our connections."""
_CONNECT_SECONDS = 5
"""A server that takes longer to greet us is called unreachable; a refresh waits no longer than that for it."""
_LOCK_SECONDS = 1.0
"""How long a statement may wait for a table that somebody locked: while it waits, no other event is read."""
_GRACE_SECONDS = 2.0
"""How much longer than the database's own limit we wait before giving the connection up."""

_ASYNCHRONOUS = ("aiosqlite", "asyncpg", "asyncmy")


@contextlib.asynccontextmanager
async def order_session(policy: Policy, patience: Patience) -> AsyncIterator[Session]:
    """A session with the policy's order database, for as long as the block runs.

    Raises:
        SecretError: a named secret cannot be read.
        DatabaseUnavailableError: the policy names no database, or its driver is not installed.
    """
    session = open_session(OrderDatabase.of(policy, patience))
    try:
        yield session
    finally:
        await session.close()


def open_session(database: OrderDatabase) -> Session:
    """A session that connects at its first question.

    Raises:
        DatabaseUnavailableError: the driver that the URL names is not installed.
    """
    try:
        if database.url.get_driver_name() in _ASYNCHRONOUS:
            return AsyncSession(database)
        return ThreadSession(database, OwnThread("database"))
    except (ImportError, SQLAlchemyError) as error:
        raise DatabaseUnavailableError(
            f"no driver for {database.url.drivername}",
            place="database.url",
            remedy="install its SQLAlchemy dialect alongside kpi-canary",
        ) from error


class AsyncSession:
    """A session on an asynchronous driver."""

    def __init__(self, database: OrderDatabase) -> None:
        self._url = database.url
        self._limit = database.statement_timeout_seconds
        self._deadline = float("inf")
        self._greetings = _greetings(database)
        self._engine = create_async_engine(
            database.url, connect_args=_options(database), isolation_level="AUTOCOMMIT", poolclass=NullPool
        )
        self.dialect_name = self._engine.dialect.name
        self._connection: AsyncConnection | None = None
        if self.dialect_name == "sqlite":
            sa.event.listen(self._engine.sync_engine, "connect", self._guard_sqlite)

    async def rows(self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Row]:
        """All rows of a statement."""

        async def ask(connection: AsyncConnection) -> Sequence[Row]:
            return (await connection.execute(statement, parameters or {})).all()

        return await self._guarded(ask)

    async def columns(self, statement: sa.Executable) -> tuple[str, ...]:
        """Names of the columns that a statement gives."""
        return await self.run(lambda connection: tuple(connection.execute(statement).keys()))

    async def run(self, look: Callable[[sa.Connection], T]) -> T:
        """What a function finds through a synchronous connection."""

        async def ask(connection: AsyncConnection) -> T:
            return await connection.run_sync(look)

        return await self._guarded(ask)

    async def close(self) -> None:
        """Give the connection back."""
        await self._drop()
        await self._engine.dispose()

    async def _guarded(self, ask: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS if self._connection is None else None):
                connection = await self._connected()
            self._deadline = time.monotonic() + self._limit
            async with asyncio.timeout(self._limit + _GRACE_SECONDS):
                return await ask(connection)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            ours = translated(error, self._url)
            kept = isinstance(error, sa.exc.DBAPIError) and not error.connection_invalidated
            if not kept or isinstance(ours, DatabaseUnavailableError):
                await self._drop()
            if isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated:
                raise DatabaseUnavailableError(ours.what, place=ours.place) from error
            raise ours from error
        except asyncio.CancelledError:
            await self._drop()
            raise

    async def _connected(self) -> AsyncConnection:
        if self._connection is None:
            connection = await self._engine.connect()
            for statement in self._greetings:
                with contextlib.suppress(sa.exc.OperationalError):  # MySQL and MariaDB each know only one of them
                    await connection.execute(sa.text(statement))
            self._connection = connection
        return self._connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(SQLAlchemyError, OSError, TimeoutError):
                async with asyncio.timeout(_GRACE_SECONDS):
                    await connection.invalidate()
                    await connection.close()

    def _guard_sqlite(self, connection: Any, _record: object) -> None:
        """SQLite has no statement timeout; it asks us now and then whether to go on."""

        def overdue() -> int:
            return int(time.monotonic() > self._deadline)

        connection.run_async(lambda driver: driver.set_progress_handler(overdue, 20_000))
        cursor = connection.cursor()
        cursor.execute("PRAGMA query_only=ON")
        cursor.execute(f"PRAGMA busy_timeout={int(self._limit * 1000)}")
        cursor.close()


class ThreadSession:
    """A session on a synchronous driver, in one thread of its own."""

    def __init__(self, database: OrderDatabase, thread: Threads) -> None:
        """*thread* must be one and the same for all work: connections of many drivers must not change threads."""
        self._url = database.url
        self._limit = database.statement_timeout_seconds
        self._greetings = _greetings(database)
        self._engine = sa.create_engine(database.url, poolclass=NullPool)
        self.dialect_name = self._engine.dialect.name
        self._thread = thread
        self._connection: sa.Connection | None = None

    async def rows(self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Row]:
        """All rows of a statement."""
        return await self._guarded(lambda connection: connection.execute(statement, parameters or {}).all())

    async def columns(self, statement: sa.Executable) -> tuple[str, ...]:
        """Names of the columns that a statement gives."""
        return await self.run(lambda connection: tuple(connection.execute(statement).keys()))

    async def run(self, look: Callable[[sa.Connection], T]) -> T:
        """What a function finds through the connection."""
        return await self._guarded(look)

    async def close(self) -> None:
        """Give the connection back."""
        with contextlib.suppress(SQLAlchemyError):
            await self._thread.run(self._drop)
        self._thread.close()

    async def _guarded(self, ask: Callable[[sa.Connection], T]) -> T:
        def work() -> T:
            connection = self._connected()
            try:
                return ask(connection)
            except sa.exc.DBAPIError as error:
                if error.connection_invalidated:
                    self._drop()
                raise
            finally:
                if self._connection is not None:
                    connection.rollback()  # no transaction stays open between two questions

        try:
            async with asyncio.timeout(self._limit + _GRACE_SECONDS):
                return await self._thread.run(work)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise translated(error, self._url) from error
        except RuntimeError as error:  # some drivers raise plain errors
            raise DatabaseError(str(error), place=shown(self._url)) from error

    def _connected(self) -> sa.Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
            for statement in self._greetings:
                with contextlib.suppress(sa.exc.OperationalError):
                    self._connection.execute(sa.text(statement))
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()


def _options(database: OrderDatabase) -> dict[str, Any]:
    """Driver options that make the session read only, bounded in time, and known by name."""
    limit = database.statement_timeout_seconds
    match database.url.get_driver_name():
        case "asyncpg":
            settings = {
                "application_name": APPLICATION_NAME,
                "default_transaction_read_only": "on",
                "statement_timeout": str(int(limit * 1000)),
                "lock_timeout": str(int(min(limit, _LOCK_SECONDS) * 1000)),
                "timezone": database.timezone,
                "jit": "off",
            }
            return {"server_settings": settings, "timeout": _CONNECT_SECONDS}
        case "asyncmy":
            return {"connect_timeout": _CONNECT_SECONDS}
        case "aiosqlite":
            return {"timeout": limit}
        case _:
            return {}


def _greetings(database: OrderDatabase) -> list[str]:
    """Statements that begin a session where the driver has no options for them."""
    limit = database.statement_timeout_seconds
    match database.url.get_backend_name():
        case "mysql" | "mariadb":
            return [
                "SET SESSION TRANSACTION READ ONLY",
                "SET SESSION time_zone = '+00:00'",
                "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
                f"SET SESSION lock_wait_timeout = {max(1, int(limit))}",
                f"SET SESSION max_statement_time = {limit:g}",
                f"SET SESSION max_execution_time = {int(limit * 1000)}",
            ]
        case "duckdb":
            return [f"SET TimeZone = '{database.timezone}'"]
        case _:
            return []
