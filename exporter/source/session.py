"""Read-only sessions with the order database: asynchronous where there is a driver, in a thread otherwise.

A session has one connection, asks one statement at a time, and is bounded in time: the server ends a statement at the
policy's limit, a lock is waited for shortly, and a server that does not keep to its limit is given up a little later.
So a refresh never hangs, and a shop's database never carries a statement of ours that nobody reads any more.

A server that hangs keeps its connections and answers nothing, which a slow statement looks like. So while an answer is
waited for, a second connection is tried now and then; when the server does not greet that one either, the first is cut,
long before the statement's limit. (Shorter limits would call every slow statement a database that is down.)

What a session sets (read only, time zone, limits) is set when it connects, and so again after a lost connection.
Behind a connection pooler nothing is set for a session (`canary.database.postgres`): every question is a transaction
of its own that begins with the settings. Directly they are set once and a question is one round trip.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from canary.database.postgres import POOLED_OPTIONS, pooled
from canary.database.url import DriverAddress, driver_address, shown_url
from canary.errors import DatabaseError, DatabaseUnavailableError
from canary.policy.model import Policy
from canary.threads import OwnThread, Threads
from exporter.source.database import OrderDatabase, Patience, Row, Session, translated

T = TypeVar("T")

APPLICATION_NAME = "kpi-canary"
"""How the shop's database administrators know our connections."""
_CONNECT_SECONDS = 4.0
"""A server that takes longer to greet us is called unreachable, unless the address says `connect_timeout`."""
_SILENCE_SECONDS = 1.5
"""After so long without an answer a second connection is tried; most statements take milliseconds."""
_GREETING_SECONDS = 2.0
"""For so long the second connection waits. Both, and the second between two refreshes, are less than 5 s together,
after which `canary_exporter_database_up` must be 0."""
_LOCK_SECONDS = 1.0
"""How long a statement may wait for a table that somebody locked: while it waits, no other event is read."""
_GRACE_SECONDS = 2.0
"""How much longer than the database's own limit we wait before giving the connection up."""

_ASYNCHRONOUS = ("aiosqlite", "asyncpg", "asyncmy")

_LOCAL_SETTINGS = sa.text(
    "SELECT set_config('statement_timeout', :statement_timeout, true), set_config('lock_timeout', :lock_timeout, true),"
    " set_config('timezone', :timezone, true), set_config('jit', :jit, true)"
)
"""What a session of ours sets, for one transaction."""


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
        self._database = database
        self._limit = database.statement_timeout_seconds
        self._deadline = float("inf")
        dialect = database.url.get_dialect()
        dialect.import_dbapi()  # whether the driver is installed
        self.dialect_name = dialect.name
        self._engine: AsyncEngine | None = None
        self._connection: AsyncConnection | None = None
        self._pooled = False
        self._silent = False

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

    async def _guarded(self, ask: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        try:
            connection = await self._connected()
            self._deadline = time.monotonic() + self._limit
            async with asyncio.timeout(self._limit + _GRACE_SECONDS), self._watched(connection):
                return await self._asked(connection, ask)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            ours = translated(error, self._url)
            kept = isinstance(error, sa.exc.DBAPIError) and not error.connection_invalidated
            if not kept or self._silent or isinstance(ours, DatabaseUnavailableError):
                await self._drop()
            if self._silent:
                raise self._unanswered() from error
            if isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated:
                raise DatabaseUnavailableError(ours.what, place=ours.place) from error
            raise ours from error
        except asyncio.CancelledError:
            await self._drop()
            raise

    async def _asked(self, connection: AsyncConnection, ask: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        if not self._pooled:
            return await ask(connection)
        async with connection.begin():
            await connection.execute(_LOCAL_SETTINGS, _settings(self._database))
            return await ask(connection)

    async def _connected(self) -> AsyncConnection:
        if self._connection is None:
            self._silent = False
            address = driver_address(self._url)  # certificates are read anew for each connection
            try:
                async with asyncio.timeout(address.connect_timeout_seconds or _CONNECT_SECONDS):
                    self._connection = await self._connect(address)
            except TimeoutError as error:
                raise self._unanswered() from error
            except (TypeError, ValueError) as error:  # a driver's words for arguments that it does not take
                what = f"the driver does not take the address ({type(error).__name__})"
                raise DatabaseUnavailableError(what, place=shown_url(self._url)) from error
        return self._connection

    async def _connect(self, address: DriverAddress) -> AsyncConnection:
        timeout = address.connect_timeout_seconds or _CONNECT_SECONDS
        self._pooled = self.dialect_name == "postgresql" and await pooled(address, timeout)
        self._engine = self._engine_for(address, timeout)
        connection = await self._engine.connect()
        for statement in _greetings(self._database):
            with contextlib.suppress(sa.exc.OperationalError):  # MySQL and MariaDB each know only one of them
                await connection.execute(sa.text(statement))
        return connection

    def _engine_for(self, address: DriverAddress, timeout_seconds: float) -> AsyncEngine:
        options = _options(self._database, address, timeout_seconds, pooled=self._pooled)
        if self._pooled:
            read_only = {"postgresql_readonly": True}
            return create_async_engine(
                address.url, connect_args=options, execution_options=read_only, poolclass=NullPool
            )
        engine = create_async_engine(
            address.url, connect_args=options, isolation_level="AUTOCOMMIT", poolclass=NullPool
        )
        if self.dialect_name == "sqlite":
            sa.event.listen(engine.sync_engine, "connect", self._guard_sqlite)
        return engine

    def _unanswered(self) -> DatabaseUnavailableError:
        return DatabaseUnavailableError("the server does not answer", place=shown_url(self._url))

    @contextlib.asynccontextmanager
    async def _watched(self, connection: AsyncConnection) -> AsyncIterator[None]:
        """While an answer is waited for, see now and then whether the server answers anybody."""
        if self.dialect_name == "sqlite":
            yield
            return
        watchers: list[asyncio.Task[None]] = []

        def begin() -> None:
            watchers.append(asyncio.create_task(self._watch(connection)))

        timer = asyncio.get_running_loop().call_later(_SILENCE_SECONDS, begin)
        try:
            yield
        finally:
            timer.cancel()
            for watcher in watchers:
                watcher.cancel()

    async def _watch(self, connection: AsyncConnection) -> None:
        for _ in itertools.count():
            if not await self._greets():
                self._silent = True
                await _cut(connection)
                return
            await asyncio.sleep(_SILENCE_SECONDS)

    async def _greets(self) -> bool:
        """Whether the server greets another connection; a refusal is an answer too."""
        try:
            async with asyncio.timeout(_GREETING_SECONDS):
                assert self._engine is not None  # a statement waits, so there is a connection
                async with self._engine.connect():
                    pass
        except (TimeoutError, OSError):
            return False
        except SQLAlchemyError:
            return True
        return True

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


async def _cut(connection: AsyncConnection) -> None:
    """End a connection without a word to the server: who waits for its answer gets an error at once."""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    if hasattr(driver, "terminate"):  # asyncpg's `close` says goodbye and waits for an answer
        driver.terminate()
    else:
        driver.close()


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
            raise DatabaseError(str(error), place=shown_url(self._url)) from error

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


def _settings(database: OrderDatabase) -> Mapping[str, str]:
    """PostgreSQL's settings that bound a statement in time and read times as the policy says."""
    limit = database.statement_timeout_seconds
    return {
        "statement_timeout": str(int(limit * 1000)),
        "lock_timeout": str(int(min(limit, _LOCK_SECONDS) * 1000)),
        "timezone": database.timezone,
        "jit": "off",
    }


def _options(
    database: OrderDatabase, address: DriverAddress, timeout_seconds: float, *, pooled: bool
) -> dict[str, Any]:
    """Driver options that make the session read only, bounded in time, and known by name."""
    match database.url.get_driver_name():
        case "asyncpg":
            settings = {"application_name": APPLICATION_NAME}
            if not pooled:
                settings |= {"default_transaction_read_only": "on", **_settings(database)}
            settings |= address.options.get("server_settings", {})
            suited = POOLED_OPTIONS if pooled else {}
            return {**address.options, **suited, "server_settings": settings, "timeout": timeout_seconds}
        case "asyncmy":
            return {**address.options, "connect_timeout": timeout_seconds}
        case "aiosqlite":
            return {"timeout": database.statement_timeout_seconds}
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
