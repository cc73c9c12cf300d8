"""PostgreSQL through a connection pooler such as PgBouncer, told from PostgreSQL itself.

In transaction mode a pooler gives each transaction whichever server connection is free. What a session sets, prepares
or locks then belongs to somebody else a moment later: a `SET default_transaction_read_only` of ours would make the
shop unable to write. So nothing is set for a session before it is known that there is one, and a pooler is recognised
by a fact that it cannot hide: the process that answers is not the one that greeted. PgBouncer's refusal of startup
parameters would be an easier sign, but `ignore_startup_parameters` silences it, and the settings are lost silently.

Behind a pooler, in whatever mode, prepared statements have no name and no cache, and all that is asked is asked within
a transaction. That costs a round trip or two a statement, which the direct way does not pay.
"""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

import asyncpg

from canary.database.url import DriverAddress, shown_url
from canary.errors import DatabaseUnavailableError, reason

POOLED_OPTIONS: Mapping[str, Any] = {
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
    "prepared_statement_name_func": str,  # an empty name: the server forgets it with the next statement
}
"""Arguments of SQLAlchemy's asyncpg `connect()` under which nothing outlives a transaction."""

_MARK = "kpi_canary.pool_probe"
"""A setting that means nothing to anybody; one that is left behind in a shared server connection does no harm."""
_ROOM = """
SELECT min(most)::int AS most, min(most - taken)::int AS free FROM (VALUES
  (current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
     - coalesce(current_setting('reserved_connections', true), '0')::int,
   (SELECT count(datid) FROM pg_stat_activity)),
  ((SELECT datconnlimit FROM pg_database WHERE datname = current_database()),
   (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database())),
  ((SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user),
   (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user))
) AS limits (most, taken) WHERE most >= 0
"""
"""The server's limit, without what it keeps for administrators, the database's and the role's (-1: it has none)."""
_POOL_REMEDY = "name a pool of this database with pool_mode = transaction or session"
_LOOKS = 3
"""A pooler hands out first the server connection that came back last; another client may be quicker, but not always."""


class Pooling(Enum):
    """What is between us and the server."""

    NONE = "none"
    SESSION = "session"
    """A server connection for as long as the client stays: locks and settings hold."""
    TRANSACTION = "transaction"
    """A server connection for each transaction: what a session holds is somebody else's a moment later."""


async def pooled(address: DriverAddress, timeout_seconds: float) -> bool:
    """Whether a pooler answers at the address.

    Raises:
        DatabaseUnavailableError: nobody answers, or the connection is refused.
    """
    async with _connected(address, timeout_seconds) as connection:
        return not await _direct(connection)


async def pooling(address: DriverAddress, timeout_seconds: float) -> Pooling:
    """What kind of pooler answers at the address: whether what one session holds is met by another one.

    Raises:
        DatabaseUnavailableError: nobody answers, or the connection is refused.
    """
    async with _connected(address, timeout_seconds) as first:
        if await _direct(first):
            return Pooling.NONE
        async with _connected(address, timeout_seconds) as second:
            for _ in range(_LOOKS):
                if await _shared(first, second):
                    return Pooling.TRANSACTION
    return Pooling.SESSION


@dataclass(frozen=True, slots=True)
class Room:
    """A server's connections.

    Attributes:
        most: how many there may be, for this user in this database.
        free: how many more there may be now.
    """

    most: int
    free: int


async def room(address: DriverAddress, timeout_seconds: float) -> Room:
    """How many connections the server has for us, whoever took some of them.

    Raises:
        DatabaseUnavailableError: nobody answers, or the connection is refused.
    """
    async with _connected(address, timeout_seconds) as connection:
        row = await connection.fetchrow(_ROOM)
    return Room(row["most"], row["free"])


async def _direct(connection: Any) -> bool:
    async with connection.transaction():
        answers = await connection.fetchval("SELECT pg_backend_pid()")
    return bool(answers == connection.get_server_pid())


async def _shared(first: Any, second: Any) -> bool:
    mark = secrets.token_hex(8)
    async with first.transaction():
        await first.fetchval("SELECT set_config($1, $2, false)", _MARK, mark)
    async with second.transaction():
        return bool(await second.fetchval("SELECT current_setting($1, true)", _MARK) == mark)


@asynccontextmanager
async def _connected(address: DriverAddress, timeout_seconds: float) -> AsyncIterator[Any]:
    """A plain connection, which ends with the block."""
    _, arguments = address.url.get_dialect()().create_connect_args(address.url)
    limits = {"timeout": timeout_seconds, "command_timeout": timeout_seconds, "statement_cache_size": 0}
    try:
        connection = await asyncpg.connect(**{**arguments, **address.options, **limits})
        try:
            yield connection
        finally:
            connection.terminate()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, ValueError) as error:
        remedy = _POOL_REMEDY if "statement pooling mode" in str(error) else ""
        raise DatabaseUnavailableError(reason(error), place=shown_url(address.url), remedy=remedy) from error
