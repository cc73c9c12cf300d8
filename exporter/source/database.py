"""The way to the shop's order database: one description of it for everybody who reads it.

`OrderDatabase.of(policy, patience)` takes from the policy all that decides how rows are understood: address, secrets,
time zone, time limit. No caller can leave one of them out. When each command opened the database by itself, some forgot
the time zone, and the same rows stored five hours off gave a backtest that found nothing, without an error.

Whatever comes of it only reads: SQLite is opened read only, servers are told so at the beginning of every session
(`exporter/source/drivers/`). Every error of a driver becomes one of ours, in one line and without secrets.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL

from canary.database.url import read_database_url, shown_url, sqlite_file
from canary.errors import DatabaseError, DatabaseSchemaError, DatabaseTimeoutError, DatabaseUnavailableError, reason
from canary.policy.database.section import Database, Primary
from canary.policy.model import Policy
from canary.secrets import read_secret
from canary.units import format_duration

T = TypeVar("T")
Row = Sequence[Any]

_TIMEOUTS = ("timeout", "database is locked", "max_statement_time", "max_execution_time", "interrupted")
"""Words by which each driver says that a statement took too long or waited for a lock; none has a class for it."""
_MISSING = (
    "no such table", "no such column", "does not exist", "doesn't exist", "unknown column", "unknown table expression",
    "unknown expression identifier",
)  # fmt: skip
"""Words by which each driver says that a table or column is not there."""
_UNWRITABLE = ("attempt to write a readonly database", "unable to open database file")
"""SQLite's words when a reader finds no `-shm` file and may not make one."""
_WAL_REMEDY = (
    "the file is in write-ahead mode, in which a reader makes and writes the -shm file: have the shop keep one"
    " connection open, or run as the shop's own user with {folder} writable (ReadWritePaths= in a unit), or leave that"
    " mode (PRAGMA journal_mode=DELETE)"
)
"""Another user who may write there is not offered: the file would be that user's, and the shop could not write it."""
_HEADER_BYTES = 20
"""The last two say how the file is written and read: 1 with a rollback journal, 2 with a write-ahead log."""


class Patience(Enum):
    """For how long a statement may run, at least, in seconds; the policy's `statement_timeout` may allow more."""

    LIVE = 0.0
    """A service that asks again and again: the policy's limit alone."""
    STUDY = 60.0
    """A command that somebody waits for once. Days of rows take longer than what the exporter asks at each refresh."""


class Session(Protocol):
    """One read-only conversation with a database: one statement at a time."""

    @property
    def dialect_name(self) -> str:
        """SQLAlchemy's name of the database's dialect, such as `postgresql`."""
        ...

    async def rows(self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Row]:
        """All rows of a statement.

        Raises:
            DatabaseError: one of its kinds; after `DatabaseUnavailableError` the next call connects anew.
        """
        ...

    async def columns(self, statement: sa.Executable) -> tuple[str, ...]:
        """Names of the columns that a statement gives.

        Raises:
            DatabaseError: as `rows`.
        """
        ...

    async def run(self, look: Callable[[sa.Connection], T]) -> T:
        """What a function finds through a synchronous connection, such as an inspection.

        Raises:
            DatabaseError: as `rows`.
        """
        ...

    async def close(self) -> None:
        """Give the connection back."""
        ...


@dataclass(frozen=True)
class OrderDatabase:
    """Where the order database is and how it is to be read.

    Attributes:
        url: its address with the driver to use; for SQLite read only.
        timezone: zone of times that are stored without one.
        statement_timeout_seconds: the database itself ends a statement that takes longer.
    """

    url: URL
    timezone: str
    statement_timeout_seconds: float

    @classmethod
    def of(cls, policy: Policy, patience: Patience) -> Self:
        """The policy's order database.

        Raises:
            SecretError: a named secret cannot be read.
            DatabaseUnavailableError: the policy names no database, or what it names is no database URL.
        """
        limit = max(patience.value, policy.database.statement_timeout)
        return cls(_url(policy.database, "database", policy.base), policy.database.timezone, limit)

    @classmethod
    def shards_of(cls, policy: Policy, source: str, patience: Patience) -> tuple[Self, ...]:
        """The databases of one of the policy's further sources.

        Raises:
            SecretError, DatabaseUnavailableError: as `of`.
        """
        given, at = policy.database.sources[source], f"database.sources.{source}"
        written = read_secret(f"{at}.url", file=given.url_file, env=given.url_env, base=policy.base)
        named = (given.url,) if given.url is not None else given.urls or ()
        password = read_secret(f"{at}.password", file=given.password_file, env=given.password_env, base=policy.base)
        zone = given.timezone or policy.database.timezone
        limit = max(patience.value, policy.database.statement_timeout)
        shards = []
        if written is not None:  # the path of an SQLite file may have blanks in it
            named = tuple(filter(str.strip, written.splitlines() if given.url_env is None else written.split()))
        for text in named:
            url = read_database_url(text.strip(), place=f"{at}.url", base=policy.base, read_only=True)
            shards.append(cls(url if password is None else url.set(password=password), zone, limit))
        return tuple(shards)

    @classmethod
    def primary_of(cls, policy: Policy, patience: Patience) -> Self | None:
        """The primary of the policy's order database; None where that is no replica, or its primary is not named.

        Raises:
            SecretError, DatabaseUnavailableError: as `of`.
        """
        given = policy.database.primary
        if given is None:
            return None
        limit = max(patience.value, policy.database.statement_timeout)
        url = _url(given, "database.primary", policy.base)
        if _server(url) == _server(_url(policy.database, "database", policy.base)):
            what, remedy = "is the address of the replica itself", "name the server that the shop writes to"
            raise DatabaseUnavailableError(what, place="database.primary", remedy=remedy)
        return cls(url, policy.database.timezone, limit)

    @property
    def shown(self) -> str:
        """The address for messages: without its password, without the options that we add."""
        return shown_url(self.url)

    @property
    def file(self) -> Path | None:
        """The file of an SQLite database; None for servers."""
        return sqlite_file(self.url)


def names_database(policy: Policy) -> bool:
    """Whether the policy says where the order database is."""
    section = policy.database
    return any(named is not None for named in (section.url, section.url_file, section.url_env))


def _url(given: Database | Primary, at: str, base: str) -> URL:
    text = read_secret(f"{at}.url", file=given.url_file, env=given.url_env, base=base) or given.url
    if text is None:
        raise DatabaseUnavailableError(
            "the policy names no order database", place=at, remedy=f"give {at}.url, url_file or url_env"
        )
    url = read_database_url(text, place=f"{at}.url", base=base, read_only=True)
    password = read_secret(f"{at}.password", file=given.password_file, env=given.password_env, base=base)
    return url if password is None else url.set(password=password)


def _server(url: URL) -> tuple[object, ...]:
    """What tells one database from another, whoever asks it."""
    return url.get_backend_name(), url.host, url.port, url.database


def write_ahead_folder(file: Path) -> Path | None:
    """The folder that a reader must be able to write to, as this SQLite file is in write-ahead mode; None otherwise.

    A reader keeps its place in the `-shm` file. Where that file is not there, because nobody has the database open, the
    reader makes it. Opening the file as immutable would do without, and give wrong answers while the shop writes.
    """
    try:
        with file.open("rb") as opened:
            header = opened.read(_HEADER_BYTES)
    except OSError:
        return None
    return file.parent if header[-2:] == b"\x02\x02" and header.startswith(b"SQLite format 3") else None


def write_ahead_remedy(folder: Path) -> str:
    """What to do so that this user can read an SQLite file in write-ahead mode."""
    return _WAL_REMEDY.format(folder=folder)


def translated(error: Exception, database: OrderDatabase) -> DatabaseError:
    """A database driver's error as one of ours, without secrets and in one line; its place is the database."""
    cause, url = getattr(error, "orig", None) or error, database.url
    said = f"{type(cause).__name__}: {cause}".partition("\n")[0]  # what follows may be the statement, or advice
    kind, what = _kind_of(error, cause, said.lower()), reason(error)
    if kind is DatabaseTimeoutError:  # of the driver's words, some (SQLite's "interrupted") say nothing of a time
        what = f"a statement took longer than {format_duration(database.statement_timeout_seconds)}, its limit ({what})"
    return kind(what, place=shown_url(url), remedy=_remedy(str(cause), url))


def _remedy(words: str, url: URL) -> str:
    file = sqlite_file(url)
    if file is None or not any(sign in words for sign in _UNWRITABLE):
        return ""
    folder = write_ahead_folder(file)
    return "" if folder is None else write_ahead_remedy(folder)


def _kind_of(error: Exception, cause: Exception, lowered: str) -> type[DatabaseError]:
    if isinstance(cause, TimeoutError) or any(sign in lowered for sign in _TIMEOUTS):
        return DatabaseTimeoutError
    if not isinstance(error, sa.exc.DBAPIError):
        return DatabaseUnavailableError
    if not error.connection_invalidated and any(sign in lowered for sign in _MISSING):
        # PostgreSQL says the same of a missing database or role, but then there never was a connection.
        return DatabaseSchemaError if error.statement else DatabaseUnavailableError
    return DatabaseError if error.statement else DatabaseUnavailableError
