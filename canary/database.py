"""The way to the shop's order database: its address from the policy, read only, every error translated."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from canary.errors import DatabaseError, DatabaseSchemaError, DatabaseTimeoutError, DatabaseUnavailableError
from canary.policy.model import Policy
from canary.secrets import read_secret

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "mysql": "mysql+asyncmy",
    "mariadb": "mysql+asyncmy",
}
_TIMEOUTS = ("timeout", "database is locked", "max_statement_time", "max_execution_time", "interrupted")
_EXAMPLE = "expected one such as sqlite:///shop.db or postgresql://canary@db.example/shop"


def order_url(policy: Policy, *, any_dialect: bool = False) -> URL | None:
    """The order database's address with an asynchronous driver and, for SQLite, read only; None when not named.

    Args:
        any_dialect: give also addresses of databases that we know no asynchronous driver for, as they are.

    Raises:
        SecretError: a named secret cannot be read.
        DatabaseError: it is no database URL, or of a kind that is not supported.
    """
    section = policy.database
    text = read_secret("database.url", file=section.url_file, env=section.url_env, base=policy.base) or section.url
    if text is None:
        return None
    try:
        url = make_url(text)
    except SQLAlchemyError:
        # The original would print the text, which may hold a password.
        raise DatabaseUnavailableError(f"database.url: not a database URL; {_EXAMPLE}") from None
    backend = url.get_backend_name()
    if backend not in _DRIVERS and not any_dialect:
        known = ", ".join(_DRIVERS)
        raise DatabaseUnavailableError(f"database.url: {backend} is not supported; supported are {known}")
    url = url.set(drivername=_DRIVERS.get(backend, url.drivername))
    password = read_secret("database.password", file=section.password_file, env=section.password_env, base=policy.base)
    if password is not None:
        url = url.set(password=password)
    if backend == "sqlite" and url.database not in (None, "", ":memory:"):
        path = Path(policy.base) / str(url.database)
        url = url.set(database=f"file:{path}", query={"mode": "ro", "uri": "true"})
    return url


def order_engine(url: URL) -> AsyncEngine:
    """An engine whose sessions only read."""
    options: dict[str, object] = {}
    if url.get_backend_name() == "postgresql":
        options = {"server_settings": {"default_transaction_read_only": "on", "application_name": "kpi-canary"}}
    if url.get_backend_name() == "mysql":
        options = {"init_command": "SET SESSION TRANSACTION READ ONLY"}
    return create_async_engine(url, connect_args=options, pool_pre_ping=True)


@asynccontextmanager
async def order_connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """One connection; the place where the order database's errors become ours.

    Raises:
        DatabaseUnavailableError: there is no connection.
        DatabaseSchemaError: a table or column that a statement names is not there.
        DatabaseTimeoutError: a statement took too long.
        DatabaseError: anything else that the database refused.
    """
    try:
        async with engine.connect() as connection:
            yield connection
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        raise translated(error, engine.url) from error


def shown(url: URL) -> str:
    """A URL for messages: without its password, without the options that we add."""
    if url.get_backend_name() == "sqlite":
        return f"sqlite {str(url.database).removeprefix('file:')}"
    return url.set(query={}).render_as_string(hide_password=True)


def translated(error: Exception, url: URL) -> DatabaseError:
    """A database driver's error as one of ours, without secrets and in one line."""
    cause = getattr(error, "orig", None) or error
    text = f"{shown(url)}: {type(cause).__name__}: {str(cause).splitlines()[0] if str(cause) else ''}".rstrip(": ")
    lowered = str(cause).lower()
    if isinstance(cause, TimeoutError) or any(sign in lowered for sign in _TIMEOUTS):
        return DatabaseTimeoutError(text)
    missing = ("no such table", "no such column", "does not exist", "doesn't exist", "unknown column")
    if isinstance(error, sa.exc.DBAPIError) and not error.connection_invalidated and any(m in lowered for m in missing):
        # PostgreSQL says the same of a missing database or role, but then there never was a connection.
        return DatabaseSchemaError(text) if error.statement else DatabaseUnavailableError(text)
    if isinstance(error, sa.exc.DBAPIError) and error.statement:
        return DatabaseError(text)
    return DatabaseUnavailableError(text)
