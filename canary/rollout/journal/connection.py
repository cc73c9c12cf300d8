"""The way to the journal's database: SQLite beside the receiver, or PostgreSQL, directly or through a pooler."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from canary.database.postgres import POOLED_OPTIONS, pooled
from canary.database.url import driver_address
from canary.errors import DatabaseUnavailableError, JournalError


async def journal_engine(url: URL, timeout_seconds: float) -> AsyncEngine:
    """An engine whose connections and statements are given up after the time.

    Raises:
        JournalError: the server does not greet, or the address is not understood.
    """
    try:
        address = driver_address(url, place="state.url")
        if url.get_backend_name() == "sqlite":
            return create_async_engine(address.url)
        # Every access to the journal is a transaction, so a pooler in transaction mode needs no more than this.
        suited = POOLED_OPTIONS if await pooled(address, timeout_seconds) else {}
    except DatabaseUnavailableError as error:
        raise JournalError(
            error.what,
            place=error.place if error.place == "state.url" else f"journal {error.place}",
            remedy=error.remedy or "check that the database is there and writable",
        ) from error
    limits: Mapping[str, Any] = {"timeout": timeout_seconds, "command_timeout": timeout_seconds}
    return create_async_engine(address.url, pool_pre_ping=True, connect_args={**address.options, **suited, **limits})
