"""The way to the shop's order database: one description of it for everybody who reads it.

`OrderDatabase.of(policy, patience)` takes from the policy all that decides how rows are understood: address, secrets,
time zone, time limit. No caller can leave one of them out. When each command opened the database by itself, some forgot
the time zone, and the same rows stored five hours off gave a backtest that found nothing, without an error.

Whatever comes of it only reads: SQLite is opened read only, servers are told so at the beginning of every session
(`exporter/source/session.py`). Every error of a driver becomes one of ours, in one line and without secrets.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from canary.errors import DatabaseError, DatabaseSchemaError, DatabaseTimeoutError, DatabaseUnavailableError
from canary.policy.model import Policy
from canary.secrets import read_secret

T = TypeVar("T")
Row = Sequence[Any]

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "mysql": "mysql+asyncmy",
    "mariadb": "mysql+asyncmy",
}
"""The asynchronous driver of each database that has one; others are read through their own driver, in a thread."""
_TIMEOUTS = ("timeout", "database is locked", "max_statement_time", "max_execution_time", "interrupted")
"""Words by which each driver says that a statement took too long or waited for a lock; none has a class for it."""
_MISSING = ("no such table", "no such column", "does not exist", "doesn't exist", "unknown column")
"""Words by which each driver says that a table or column is not there."""
_EXAMPLE = "give one such as sqlite:///shop.db or postgresql://canary@db.example/shop"


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
        return cls(_url(policy), policy.database.timezone, limit)

    @property
    def shown(self) -> str:
        """The address for messages: without its password, without the options that we add."""
        return shown(self.url)

    @property
    def file(self) -> Path | None:
        """The file of an SQLite database; None for servers."""
        if self.url.get_backend_name() != "sqlite":
            return None
        return Path(str(self.url.database).removeprefix("file:"))


def names_database(policy: Policy) -> bool:
    """Whether the policy says where the order database is."""
    section = policy.database
    return any(named is not None for named in (section.url, section.url_file, section.url_env))


def _url(policy: Policy) -> URL:
    section = policy.database
    text = read_secret("database.url", file=section.url_file, env=section.url_env, base=policy.base) or section.url
    if text is None:
        raise DatabaseUnavailableError(
            "the policy names no order database", place="database", remedy="give database.url, url_file or url_env"
        )
    try:
        url = make_url(text)
    except SQLAlchemyError:
        # The original would print the text, which may hold a password.
        raise DatabaseUnavailableError("not a database URL", place="database.url", remedy=_EXAMPLE) from None
    backend = url.get_backend_name()
    url = url.set(drivername=_DRIVERS.get(backend, url.drivername))
    password = read_secret("database.password", file=section.password_file, env=section.password_env, base=policy.base)
    if password is not None:
        url = url.set(password=password)
    if backend == "sqlite" and url.database not in (None, "", ":memory:"):
        path = Path(policy.base) / str(url.database)
        url = url.set(database=f"file:{path}", query={"mode": "ro", "uri": "true"})
    return url


def shown(url: URL) -> str:
    """A URL for messages: without its password, without the options that we add."""
    if url.get_backend_name() == "sqlite":
        return f"sqlite {str(url.database).removeprefix('file:')}"
    return url.set(query={}).render_as_string(hide_password=True)


def translated(error: Exception, url: URL) -> DatabaseError:
    """A database driver's error as one of ours, without secrets and in one line; its place is the database."""
    cause = getattr(error, "orig", None) or error
    what = f"{type(cause).__name__}: {str(cause).splitlines()[0] if str(cause) else ''}".rstrip(": ")
    return _kind_of(error, cause)(what, place=shown(url))


def _kind_of(error: Exception, cause: Exception) -> type[DatabaseError]:
    lowered = str(cause).lower()
    if isinstance(cause, TimeoutError) or any(sign in lowered for sign in _TIMEOUTS):
        return DatabaseTimeoutError
    if not isinstance(error, sa.exc.DBAPIError):
        return DatabaseUnavailableError
    if not error.connection_invalidated and any(sign in lowered for sign in _MISSING):
        # PostgreSQL says the same of a missing database or role, but then there never was a connection.
        return DatabaseSchemaError if error.statement else DatabaseUnavailableError
    return DatabaseError if error.statement else DatabaseUnavailableError
