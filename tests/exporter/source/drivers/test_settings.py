"""What every session sets: it only reads, it ends in time, and it reads times as the policy says."""

from typing import Any

import pytest
from sqlalchemy.engine import make_url

from canary.database.url import driver_address
from exporter.source.database import OrderDatabase
from exporter.source.drivers.settings import APPLICATION_NAME, driver_options, greetings, postgres_settings

_URLS = {
    "postgresql": "postgresql+asyncpg://shop@db/shop",
    "mysql": "mysql+asyncmy://shop@db/shop",
    "sqlite": "sqlite+aiosqlite:////shop.db",
}


def _database(url: str, limit: float = 7.0) -> OrderDatabase:
    return OrderDatabase(make_url(url), "Europe/Berlin", limit)


def _options(url: str, *, pooled: bool) -> dict[str, Any]:
    database = _database(url)
    return driver_options(database, driver_address(database.url), 3.0, pooled=pooled)


def test_a_lock_is_waited_for_shorter_than_a_statement() -> None:
    """And never longer than the statement's own limit."""
    assert postgres_settings(_database(_URLS["postgresql"]))["statement_timeout"] == "7000"
    assert postgres_settings(_database(_URLS["postgresql"]))["lock_timeout"] == "1000"
    assert postgres_settings(_database(_URLS["postgresql"], 0.2))["lock_timeout"] == "200"


def test_postgresql_is_told_at_the_connection_what_a_pooler_must_not_keep() -> None:
    """Behind a pooler the settings begin each transaction instead: the next client would get them."""
    direct = _options(_URLS["postgresql"], pooled=False)["server_settings"]
    pooled = _options(_URLS["postgresql"], pooled=True)["server_settings"]

    assert direct["default_transaction_read_only"] == "on"
    assert direct["timezone"] == "Europe/Berlin"
    assert direct["application_name"] == pooled["application_name"] == APPLICATION_NAME
    assert not pooled.keys() & postgres_settings(_database(_URLS["postgresql"])).keys()


def test_mariadb_is_greeted_with_what_its_driver_has_no_options_for() -> None:
    """Read only, in UTC, with both servers' names for the limit; whole seconds of waiting, at least one."""
    said = greetings(_database("mysql+asyncmy://shop@db/shop", 0.5))

    assert "SET SESSION TRANSACTION READ ONLY" in said
    assert "SET SESSION max_statement_time = 0.5" in said
    assert "SET SESSION max_execution_time = 500" in said
    assert "SET SESSION lock_wait_timeout = 1" in said
    assert "SET SESSION max_error_count = 0" in said


@pytest.mark.parametrize("url", _URLS.values())
def test_a_connection_is_bounded_in_time(url: str) -> None:
    """Whatever the driver calls it."""
    options = _options(url, pooled=False)

    assert options.keys() & {"timeout", "connect_timeout"}
