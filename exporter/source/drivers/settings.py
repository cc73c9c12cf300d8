"""What a session of ours sets, so that it only reads, ends in time, and reads times as the policy says.

There are three ways, as databases and drivers differ. *Options* are given to the driver, and are set when it connects,
and so again after a lost connection. *Greetings* are statements that begin a session where the driver has no options
for them. *Local settings* begin every transaction behind a connection pooler, where nothing may be set for a session
(`canary.database.postgres`): the next client of the pooler would get it.
"""

import logging
import math
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from canary.database.postgres import POOLED_OPTIONS
from canary.database.url import DriverAddress
from exporter.source.database import OrderDatabase

APPLICATION_NAME = "kpi-canary"
"""How the shop's database administrators know our connections."""
_LOCK_SECONDS = 1.0
"""How long a statement may wait for a table that somebody locked: while it waits, no other event is read."""
CONNECT_SECONDS = 4.0
"""A server that takes longer to greet us is called unreachable, unless the address says `connect_timeout`."""
GRACE_SECONDS = 2.0
"""How much longer than the database's own limit we wait before giving the connection up."""

# The driver logs each of the server's warnings: a line, with what is in it, for every odd row at each look.
logging.getLogger("asyncmy").setLevel(logging.ERROR)

LOCAL_SETTINGS = sa.text(
    "SELECT set_config('statement_timeout', :statement_timeout, true), set_config('lock_timeout', :lock_timeout, true),"
    " set_config('timezone', :timezone, true), set_config('jit', :jit, true)"
)
"""What a session of ours sets, for one transaction; its parameters are `postgres_settings`."""


def postgres_settings(database: OrderDatabase) -> Mapping[str, str]:
    """PostgreSQL's settings that bound a statement in time and read times as the policy says."""
    limit = database.statement_timeout_seconds
    return {
        "statement_timeout": str(int(limit * 1000)),
        "lock_timeout": str(int(min(limit, _LOCK_SECONDS) * 1000)),
        "timezone": database.timezone,
        "jit": "off",
    }


def driver_options(
    database: OrderDatabase, address: DriverAddress, timeout_seconds: float, *, pooled: bool
) -> dict[str, Any]:
    """Driver options that make the session read only, bounded in time, and known by name."""
    match database.url.get_driver_name():
        case "asyncpg":
            settings = {"application_name": APPLICATION_NAME}
            if not pooled:
                settings |= {"default_transaction_read_only": "on", **postgres_settings(database)}
            settings |= address.options.get("server_settings", {})
            suited = POOLED_OPTIONS if pooled else {}
            return {**address.options, **suited, "server_settings": settings, "timeout": timeout_seconds}
        case "asyncmy":
            return {**address.options, "connect_timeout": timeout_seconds}
        case "aiosqlite":
            return {"timeout": database.statement_timeout_seconds}
        case _:
            return {}


def clickhouse_options(database: OrderDatabase, *, limited: bool) -> dict[str, Any]:
    """Options of ClickHouse's own driver; each that it does not know by name is a setting of its statements.

    Args:
        limited: read only and bounded in time. A user whose profile is `readonly = 1` may set nothing, and needs not.
    """
    limit = database.statement_timeout_seconds
    # A server that hangs keeps the thread for so long, and nobody else can ask meanwhile.
    options: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS, "send_receive_timeout": limit + GRACE_SECONDS}
    options["client_name"] = APPLICATION_NAME
    if limited:
        options |= {"readonly": 2, "max_execution_time": max(1, math.ceil(limit))}
    return options


def greetings(database: OrderDatabase) -> list[str]:
    """Statements that begin a session where the driver has no options for them."""
    limit = database.statement_timeout_seconds
    match database.url.get_backend_name():
        case "mysql" | "mariadb":
            return [
                "SET SESSION TRANSACTION READ ONLY",
                "SET SESSION time_zone = '+00:00'",
                "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
                "SET SESSION max_error_count = 0",  # saves asking for them; MySQL lets only administrators
                f"SET SESSION lock_wait_timeout = {_LOCK_SECONDS:.0f}",  # it knows whole seconds
                f"SET SESSION max_statement_time = {limit:g}",
                f"SET SESSION max_execution_time = {int(limit * 1000)}",
            ]
        case "duckdb":
            return [f"SET TimeZone = '{database.timezone}'"]
        case _:
            return []
