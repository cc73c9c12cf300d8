"""A session on a synchronous driver, in one thread of its own.

Many drivers forbid that a connection changes threads, so all of a session's work is done by the same one. A statement
that the database does not end in time cannot be stopped from outside: its caller is let go with an error, and the next
question waits until the thread is free.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from canary.database.url import driver_address, shown_url
from canary.errors import DatabaseError
from canary.threads import Threads
from exporter.source.database import OrderDatabase, Row, translated
from exporter.source.drivers.settings import GRACE_SECONDS, clickhouse_options, greetings

T = TypeVar("T")


def _engines(database: OrderDatabase) -> Iterator[sa.Engine]:
    """Ways to open the session, the strictest first; where the user may set nothing, the next one is right."""
    if (database.url.get_backend_name(), database.url.get_driver_name()) != ("clickhousedb", "connect"):
        yield sa.create_engine(database.url, poolclass=NullPool)
        return
    for limited in (True, False):
        options = clickhouse_options(database, limited=limited)
        yield sa.create_engine(database.url, poolclass=NullPool, connect_args=options)


class ThreadSession:
    """A session on a synchronous driver, in one thread of its own."""

    def __init__(self, database: OrderDatabase, thread: Threads) -> None:
        """*thread* must be one and the same for all work: connections of many drivers must not change threads."""
        self._database = database
        self._url = database.url
        self._limit = database.statement_timeout_seconds
        self._greetings = greetings(database)
        self._engines = list(_engines(database))
        name = self._engines[0].dialect.name
        self.dialect_name = "clickhouse" if name.startswith("clickhouse") else name  # its two dialects' names differ
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
            async with asyncio.timeout(self._limit + GRACE_SECONDS):
                return await self._thread.run(work)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise translated(error, self._database) from error
        except RuntimeError as error:  # some drivers raise plain errors
            raise DatabaseError(str(error), place=shown_url(self._url)) from error

    def _connected(self) -> sa.Connection:
        if self._connection is None:
            driver_address(self._url)  # certificates are looked at: some drivers say of none which file is missing
            self._connection = self._first_connection()
            for statement in self._greetings:
                with contextlib.suppress(sa.exc.OperationalError):
                    self._connection.execute(sa.text(statement))
        return self._connection

    def _first_connection(self) -> sa.Connection:
        while len(self._engines) > 1:
            with contextlib.suppress(sa.exc.ProgrammingError):
                return self._engines[0].connect()
            del self._engines[0]
        return self._engines[0].connect()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()
