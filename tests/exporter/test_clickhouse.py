"""ClickHouse: its engine behind its own driver, by an address as people write it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
import sqlalchemy as sa

from canary.errors import DatabaseError, DatabaseSchemaError, DatabaseTimeoutError
from canary.policy.database.section import DEFAULT_EVENTS, Event
from exporter.source.database import OrderDatabase, Patience
from exporter.source.session import open_session
from exporter.source.watch.catalog import index_statement, look_up, table_names
from tests.support.clock import FakeClock
from tests.support.databases.clickhouse import ClickHouse
from tests.support.databases.exporting import kpis, policy_for, published, refresher_on, settle, with_events

_ENGINE = "ENGINE = MergeTree ORDER BY created_at"
_VERSION = "if(number % 10 = 9, NULL, if(number % 2 = 0, 'v1', 'v2'))"
_TABLES = {
    "visits": """id UInt64, visitor_id String, version LowCardinality(Nullable(String)),
        created_at DateTime64(3, 'Asia/Tokyo')""",
    "carts": """id UInt64, visit_id UInt64, version String, created_at DateTime,
        checkout_started_at Nullable(DateTime)""",
    "orders": """id UInt64, visit_id UInt64, cart_id Nullable(UInt64), version Nullable(String),
        status Enum8('paid' = 1, 'cancelled' = 2), total Decimal(12, 2), currency FixedString(3),
        created_at DateTime""",
    "payments": """id UUID, order_id UInt64, version Nullable(String), status Nullable(String),
        amount Nullable(Float64), created_at DateTime, settled_at Nullable(DateTime64(6))""",
    "feedback": "id UInt64, order_id UInt64, version String, score Int8, created_at DateTime",
}
_ROWS = {
    "visits": "number, toString(number), {version}, {at} FROM numbers(100)",
    "orders": """number, number, NULL, {version}, if(number % 5 = 4, 'cancelled', 'paid'), 10.01, 'EUR', {at}
        FROM numbers(50)""",
    "payments": """generateUUIDv4(), number, {version},
        multiIf(number % 5 = 3, 'failed', number % 5 = 2, NULL, 'succeeded'), 10.01, {at},
        if(number % 2 = 0, NULL, {at} + 3) FROM numbers(50)""",
}


@pytest.fixture(scope="module")
def server() -> Iterator[ClickHouse]:
    """One engine for all tests here."""
    with ClickHouse() as running:
        yield running


def _shop(server: ClickHouse, clock: FakeClock) -> str:
    """The default schema in the types of such a warehouse: 100 visits, 50 orders, 50 payments, no feedback at all."""
    url = server.new_database()
    at = f"toDateTime('{clock.now() - timedelta(minutes=30):%Y-%m-%d %H:%M:%S}', 'UTC') + number"
    for table, columns in _TABLES.items():
        server.execute(f"CREATE TABLE {table} ({columns}) {_ENGINE}", url)
    for table, rows in _ROWS.items():
        server.execute(f"INSERT INTO {table} SELECT {rows.format(version=_VERSION, at=at)}", url)
    return url


async def test_a_warehouse_is_read_by_its_own_driver(server: ClickHouse, clock: FakeClock) -> None:
    """Counts, amounts and KPIs are those of plain SQL, whatever type a column has and with NULL in any of them; a time
    is an instant, whatever zone it is shown in and the policy names; a table without a row has none.
    """
    policy = policy_for(_shop(server, clock), timezone="Europe/Berlin", since=7200)

    async with refresher_on(policy, clock) as refresher:
        await settle(refresher, clock)
        await refresher.refresh()  # by now it is known that the columns hold instants

        assert not [feed.fault for feed in refresher.feeds if feed.fault]
        assert published(refresher) == {
            "shop_visits_total": {("v1",): 50, ("v2",): 40, ("unknown",): 10},
            "shop_orders_total": {("v1",): 20, ("v2",): 20},
            "shop_order_value_total": {("v1", "EUR"): pytest.approx(200.2), ("v2", "EUR"): pytest.approx(200.2)},
            "shop_payments_total": {
                ("v1", "succeeded"): 15, ("v1", "failed"): 5, ("v2", "succeeded"): 10, ("v2", "failed"): 5,
                ("unknown", "succeeded"): 5,
            },
        }  # fmt: skip
        assert kpis(refresher)["conversion_rate", "v1"] == pytest.approx(20 / 50)
        assert kpis(refresher)["conversion_rate", "v2"] == pytest.approx(20 / 40)


async def test_one_odd_number_costs_itself(server: ClickHouse, clock: FakeClock) -> None:
    """Of totals that are texts only whole numbers are added, and NaN in a column of numbers is in no sum."""
    url = server.new_database()
    at = f"toDateTime('{clock.now() - timedelta(minutes=1):%Y-%m-%d %H:%M:%S}', 'UTC')"
    for name, kind in (("texts", "Nullable(String)"), ("reals", "Float64")):
        columns = f"id UInt64, version String, total {kind}, currency LowCardinality(String), created_at DateTime"
        server.execute(f"CREATE TABLE {name} ({columns}) {_ENGINE}", url)
    values = "(1, 'v1', '12.50'), (2, 'v1', '12,50'), (3, 'v1', NULL), (4, 'v1', 'inf'), (5, 'v1', '7')"
    server.execute(f"INSERT INTO texts SELECT c1, c2, c3, 'EUR', {at} FROM VALUES({values})", url)
    values = "(1, 'v1', 12.5), (2, 'v1', nan), (3, 'v1', inf), (4, 'v1', 7)"
    server.execute(f"INSERT INTO reals SELECT c1, c2, c3, 'EUR', {at} FROM VALUES({values})", url)
    policy = with_events(
        policy_for(url),
        events={
            name: Event(table=name, version="version", value="total", currency="currency")
            for name in ("texts", "reals")
        },
    )

    async with refresher_on(replace(policy, kpis={}), clock) as refresher:
        await settle(refresher, clock)

        found = published(refresher)
        assert found["shop_texts_total"] == {("v1",): 5}
        assert found["shop_reals_total"] == {("v1",): 4}
        assert {metric: values for metric, values in found.items() if "value" in metric} == {
            "shop_text_value_total": {("v1", "EUR"): 19.5}, "shop_real_value_total": {("v1", "EUR"): 19.5},
        }  # fmt: skip


@pytest.mark.parametrize("kind", ["UInt32", "String"])
async def test_what_is_no_time_is_refused(server: ClickHouse, clock: FakeClock, kind: str) -> None:
    """A column of numbers or texts that is mapped as a time is named, with what to write instead."""
    url = server.new_database()
    server.execute(f"CREATE TABLE visits (id UInt64, version String, created_at {kind}) ENGINE = Memory", url)
    policy = with_events(policy_for(url), events={"visits": DEFAULT_EVENTS["visits"]})

    async with refresher_on(replace(policy, kpis={}), clock) as refresher:
        await refresher.refresh()

        assert "database.events.visits.time" in str(refresher.feeds[0].fault)


async def test_the_engine_keeps_to_reading_and_to_the_time_limit(server: ClickHouse) -> None:
    """Nothing can be written, a slow statement is ended by the engine, and what is missing is a schema error."""
    session = open_session(OrderDatabase.of(policy_for(server.new_database(), statement_timeout=1.0), Patience.LIVE))
    try:
        with pytest.raises(DatabaseError, match="readonly"):
            await session.rows(sa.text("CREATE TABLE written (id UInt8) ENGINE = Memory"))
        with pytest.raises(DatabaseTimeoutError, match="Timeout exceeded"):
            await session.rows(sa.text("SELECT sum(number) FROM numbers(1000000000000)"))
        for missing in ("SELECT * FROM nowhere", "SELECT nothing FROM system.one"):
            with pytest.raises(DatabaseSchemaError):
                await session.rows(sa.text(missing))
    finally:
        await session.close()


async def test_what_a_table_is_sorted_by_is_its_index(server: ClickHouse, clock: FakeClock) -> None:
    """The catalogue tells columns, what a sorting key begins with, and an index that was added as `check` prints it."""
    url = _shop(server, clock)
    session = open_session(OrderDatabase.of(policy_for(url), Patience.LIVE))
    try:
        payments = partial(look_up, table="payments")
        before = await session.run(payments)
        for statement in (await session.run(_index_on_settled)).rstrip(";").split("; "):
            server.execute(statement, url)
        after = await session.run(payments)

        assert await session.run(table_names) == sorted(_TABLES)
        assert before is not None
        assert after is not None
        assert before.indexed == {"created_at"}
        assert before.kinds["settled_at"] == "moments"
        assert after.indexed == {"created_at", "settled_at"}
        assert await session.run(partial(look_up, table="nowhere")) is None
    finally:
        await session.close()


def _index_on_settled(connection: sa.Connection) -> str:
    return index_statement(connection, "payments", "settled_at")
