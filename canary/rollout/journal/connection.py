"""The way to the journal's database: SQLite next to the receiver, or PostgreSQL, directly or through a pooler."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL, Connection
from sqlalchemy.event import listen
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from canary.database.postgres import POOLED_OPTIONS, pooled
from canary.database.url import DriverAddress, driver_address
from canary.errors import DatabaseUnavailableError, JournalError

# A receiver that is frozen (a paused machine, SIGSTOP) between its entry and the commit keeps every other one from
# writing. The server ends its transaction after this; a receiver that runs is never so long between two statements.
_IDLE_SECONDS = 5


async def journal_engine(url: URL, timeout_seconds: float, *, patient: bool = False) -> AsyncEngine:
    """An engine whose connections and statements are given up after the time.

    Args:
        patient: a server that is away is met when the engine is used, and not now.

    Raises:
        JournalError: the address is not understood; or, unless *patient*, the server does not greet.
    """
    try:
        address = driver_address(url, place="state.url")
        if url.get_backend_name() == "sqlite":
            return create_async_engine(address.url)
        suited = POOLED_OPTIONS if await _perhaps_pooled(address, timeout_seconds, patient=patient) else {}
    except DatabaseUnavailableError as error:
        raise JournalError(
            error.what,
            place=error.place if error.place == "state.url" else f"journal {error.place}",
            remedy=error.remedy or "check that the database is there and writable",
        ) from error
    limits: Mapping[str, Any] = {"timeout": timeout_seconds, "command_timeout": timeout_seconds}
    engine = create_async_engine(address.url, pool_pre_ping=True, connect_args={**address.options, **suited, **limits})
    listen(engine.sync_engine, "begin", _bounded)
    return engine


def _bounded(connection: Connection) -> None:
    """Say it in each transaction: a pooler in transaction mode gives the next one to another session."""
    connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = '{_IDLE_SECONDS}s'")


async def _perhaps_pooled(address: DriverAddress, timeout_seconds: float, *, patient: bool) -> bool:
    """Whether a pooler may be between us and the server: then statements are prepared anew each time.

    Every access to the journal is a transaction, so a pooler in transaction mode needs no more than that. It does no
    harm without a pooler, so it is taken for a server that is not reachable yet.
    """
    try:
        return await pooled(address, timeout_seconds)
    except DatabaseUnavailableError:
        if patient:
            return True
        raise


class DatabaseFile:
    """SQLite's file, watched: a connection goes on with a file that was renamed, and the next one makes a new file.

    So a journal that is moved away or replaced while a receiver runs would be written where nobody reads it again, or
    restart without a word; and what SQLite keeps in `NAME-wal` next to the old one it would take for the new one's.
    Before each use it is looked whether the file is still the one that was used before. While it is not, nothing is
    read or written; brought back, it goes on.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        url = engine.url
        kept = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
        self._path = Path(str(url.database)) if kept else None
        self._known: tuple[int, int] | None = None

    def remember(self) -> None:
        """The file that is there is in use from now on."""
        if self._known is None:
            self._known = self._found()

    def require(self) -> None:
        """Refuse another file than the one in use.

        Raises:
            JournalError: it was moved, deleted or replaced.
        """
        if self._known is None:
            return
        found = self._found()
        if found == self._known:
            return
        raise JournalError(
            f"its file was {'moved or deleted' if found is None else 'replaced'} while it was in use",
            place=f"journal {self._path}",
            remedy="bring it back; or stop the receiver, put the new file in place, remove the -wal and -shm of the "
            "old one, and start it again",
        )

    def _found(self) -> tuple[int, int] | None:
        if self._path is None:
            return None
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino
