"""A session on an asynchronous driver, which notices a server that has gone silent.

A server that hangs keeps its connections and answers nothing, which a slow statement looks like. So while an answer is
waited for, a second connection is tried now and then; when the server does not greet that one either, the first is cut,
long before the statement's limit. (Shorter limits would call every slow statement a database that is down.)

Behind a connection pooler every question is a transaction of its own that begins with the settings. Directly they are
set once, when the session connects, and a question is one round trip.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from canary.database.postgres import pooled
from canary.database.url import DriverAddress, driver_address, shown_url, sqlite_file
from canary.errors import DatabaseUnavailableError, reason
from exporter.source.database import OrderDatabase, Row, translated
from exporter.source.dialects import CLOCK_OFFSET
from exporter.source.drivers.settings import (
    CONNECT_SECONDS,
    GRACE_SECONDS,
    LOCAL_SETTINGS,
    driver_options,
    greetings,
    postgres_settings,
)
from exporter.source.hashes import KEY_HASH, key_hash
from exporter.source.transitions import offset_at

T = TypeVar("T")

_SILENCE_SECONDS = 1.5
"""After so long without an answer a second connection is tried; most statements take milliseconds."""
_GREETING_SECONDS = 2.0
"""For so long the second connection waits. Both, and the second between two refreshes, are less than 5 s together,
after which `canary_exporter_database_up` must be 0."""


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
        self._file: tuple[int, int] | None = None

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
            async with asyncio.timeout(self._limit + GRACE_SECONDS), self._watched(connection):
                return await self._asked(connection, ask)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            ours = translated(error, self._database)
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
            await connection.execute(LOCAL_SETTINGS, postgres_settings(self._database))
            return await ask(connection)

    async def _connected(self) -> AsyncConnection:
        file = self._file_now()
        if file != self._file:
            await self._drop()
        if self._connection is None:
            self._silent, self._file = False, file
            address = driver_address(self._url)  # certificates are read anew for each connection
            try:
                async with asyncio.timeout(address.connect_timeout_seconds or CONNECT_SECONDS):
                    self._connection = await self._connect(address)
            except TimeoutError as error:
                raise self._unanswered() from error
            except (TypeError, ValueError) as error:  # a driver's words for arguments that it does not take
                what = f"the driver does not take the address ({reason(error)})"
                raise DatabaseUnavailableError(what, place=shown_url(self._url)) from error
        return self._connection

    def _file_now(self) -> tuple[int, int] | None:
        """Which file SQLite's is now: of one that was replaced, an open connection goes on reading the one before."""
        path = sqlite_file(self._url)
        try:
            found = path.stat() if path is not None else None
        except OSError:  # connecting will say it
            return None
        return None if found is None else (found.st_dev, found.st_ino)

    async def _connect(self, address: DriverAddress) -> AsyncConnection:
        timeout = address.connect_timeout_seconds or CONNECT_SECONDS
        self._pooled = self.dialect_name == "postgresql" and await pooled(address, timeout)
        self._engine = self._engine_for(address, timeout)
        connection = await self._engine.connect()
        for statement in greetings(self._database):
            with contextlib.suppress(sa.exc.OperationalError):  # MySQL and MariaDB each know only one of them
                await connection.execute(sa.text(statement))
        return connection

    def _engine_for(self, address: DriverAddress, timeout_seconds: float) -> AsyncEngine:
        options = driver_options(self._database, address, timeout_seconds, pooled=self._pooled)
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
        return DatabaseUnavailableError("does not answer", place=shown_url(self._url))

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
                async with asyncio.timeout(GRACE_SECONDS):
                    await connection.invalidate()
                    await connection.close()

    def _guard_sqlite(self, connection: Any, _record: object) -> None:
        """SQLite has no statement timeout, no hash and no zones; it asks us now and then whether to go on."""

        def overdue() -> int:
            return int(time.monotonic() > self._deadline)

        connection.run_async(lambda driver: driver.set_progress_handler(overdue, 20_000))
        connection.create_function(KEY_HASH, 1, key_hash, deterministic=True)
        connection.create_function(CLOCK_OFFSET, 1, partial(_clock_offset, self._database.timezone), deterministic=True)
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


def _clock_offset(zone: str, moment: float | None) -> int | None:
    return None if moment is None else offset_at(zone, int(moment))
