"""Read-only sessions with the order database: asynchronous where there is a driver, in a thread otherwise.

A session has one connection, asks one statement at a time, and is bounded in time: the server ends a statement at the
policy's limit, a lock is waited for shortly, and a server that does not keep to its limit is given up a little later.
So a refresh never hangs, and a shop's database never carries a statement of ours that nobody reads any more.

How that is done with each kind of driver is in `exporter/source/drivers/`. Here is the one way to open a session.
"""

import contextlib
from collections.abc import AsyncIterator

from sqlalchemy.exc import SQLAlchemyError

from canary.errors import DatabaseUnavailableError
from canary.policy.model import Policy
from canary.threads import OwnThread
from exporter.source.database import OrderDatabase, Patience, Session
from exporter.source.drivers.asynchronous import AsyncSession
from exporter.source.drivers.threaded import ThreadSession

_ASYNCHRONOUS = ("aiosqlite", "asyncpg", "asyncmy")
"""Drivers made for asyncio; whatever else SQLAlchemy has a dialect for is asked in a thread."""


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
