"""A database that only has a synchronous driver: DuckDB, a columnar engine, by its URL alone."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
from sqlalchemy.engine import make_url

from canary.errors import DatabaseSchemaError, DatabaseUnavailableError
from canary.policy.database.section import Assignments, Event
from exporter.source.database import OrderDatabase
from exporter.source.session import open_session
from tests.support.clock import FakeClock
from tests.support.databases.exporting import kpis, policy_for, published, refresher_on, settle, with_events


def _warehouse(path: Path, clock: FakeClock) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE facts (key UUID, kind TEXT, visit UUID, release TEXT, happened TIMESTAMP)")
        for number in range(20):
            at = clock.now().replace(tzinfo=None) - timedelta(minutes=number)
            visit = f"00000000-0000-0000-0000-{number:012}"
            connection.execute("INSERT INTO facts VALUES (?, 'visit', NULL, 'v1', ?)", [visit, at])
            if number % 4 == 0:
                connection.execute("INSERT INTO facts VALUES (gen_random_uuid(), 'order', ?, 'v1', ?)", [visit, at])


def _event(kind: str, parent: str | None = None) -> Event:
    return Event(
        sql=f"SELECT key, visit, release, happened FROM facts WHERE kind = '{kind}'",
        id="key",
        time="happened",
        version="release",
        parent=parent,
    )


async def test_a_columnar_engine_by_url(tmp_path: Path, clock: FakeClock) -> None:
    """DuckDB, through SQLAlchemy's dialect in a thread, with events given as SQL and UUIDs as ids."""
    _warehouse(tmp_path / "shop.duckdb", clock)
    policy = with_events(
        policy_for(f"duckdb:///{tmp_path}/shop.duckdb"),
        events={"visits": _event("visit"), "orders": _event("order", "visit")},
    )

    async with refresher_on(policy, clock) as refresher:
        await settle(refresher, clock)

        assert published(refresher) == {"shop_visits_total": {("v1",): 20}, "shop_orders_total": {("v1",): 5}}
        assert kpis(refresher)["conversion_rate", "v1"] == pytest.approx(0.25)


async def test_a_columnar_engine_looks_versions_up(tmp_path: Path, clock: FakeClock) -> None:
    """An order without a version has that of its visit in DuckDB too, and a visit the one that it was assigned."""
    _warehouse(tmp_path / "shop.duckdb", clock)
    policy = with_events(
        policy_for(f"duckdb:///{tmp_path}/shop.duckdb"),
        events={
            "visits": replace(_event("visit"), version=None, unit="key"),
            "orders": replace(_event("order", "visit"), parent={"visits": "visit"}, version=None),
        },
        assignments=Assignments(
            sql="SELECT key AS unit, happened AS time, release AS version FROM facts WHERE kind = 'visit'"
        ),
    )

    async with refresher_on(policy, clock) as refresher:
        await settle(refresher, clock)

        assert published(refresher) == {"shop_visits_total": {("v1",): 20}, "shop_orders_total": {("v1",): 5}}


async def test_errors_of_a_threaded_driver_are_ours(tmp_path: Path, clock: FakeClock) -> None:
    """A missing table is a schema error, whatever the driver calls it."""
    duckdb.connect(str(tmp_path / "empty.duckdb")).close()
    policy = policy_for(f"duckdb:///{tmp_path}/empty.duckdb")
    async with refresher_on(policy, clock) as refresher:
        with pytest.raises(DatabaseSchemaError):
            await refresher.sources.sessions[None].rows(refresher.feeds[0].stream.columns)


def test_a_dialect_that_is_not_installed_is_named() -> None:
    """The message says which driver is missing."""
    with pytest.raises(DatabaseUnavailableError, match="nosuchthing"):
        open_session(OrderDatabase(make_url("nosuchthing://host/db"), "UTC", 5.0))
