"""Rows as real tables hold them: whatever is in one of them, the other rows and events are read on.

On real servers, because each stumbles elsewhere: a driver decodes, a sum overflows, a cast fails.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from canary.errors import DatabaseSchemaError
from canary.policy.database.section import DEFAULT_EVENTS, Event
from canary.policy.kpis import DEFAULT_KPIS
from exporter.refresher import Refresher
from tests.support.clock import FakeClock
from tests.support.databases.exporting import kpis, policy_for, published, refresher_on, settle
from tests.support.databases.shopdata import ORDERS, VISITS, ShopData, fill

_BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
async def shop(postgres_url: str) -> AsyncIterator[ShopData]:
    """The default schema in PostgreSQL."""
    data = ShopData(postgres_url)
    await data.create()
    yield data
    await data.close()


@pytest.fixture
async def maria(mariadb_url: str) -> AsyncIterator[ShopData]:
    """The default schema in MariaDB."""
    data = ShopData(mariadb_url)
    await data.create()
    yield data
    await data.close()


async def _go_on(data: ShopData, refresher: Refresher, clock: FakeClock, seconds: int = 12) -> None:
    """A visit a second, until every stream was read whole again; each is counted at once and nothing is blind."""
    before = published(refresher)["shop_visits_total"]["v1.0",]
    for number in range(1, seconds + 1):
        clock.advance(1)
        await data.insert(VISITS, version="v1.0", created_at=clock.now())
        await refresher.refresh()
        assert published(refresher)["shop_visits_total"]["v1.0",] == before + number
    assert [(feed.stream.name, feed.fault, feed.fill_fault) for feed in refresher.feeds if feed.fault] == []
    assert refresher.snapshot.blind == frozenset()


@pytest.mark.parametrize("moment", ["before", "while it runs"])
@pytest.mark.parametrize(
    ("change", "odd"),
    [
        ("ALTER TABLE orders ALTER total TYPE money USING total::money", 0),
        ("ALTER TABLE orders ALTER total TYPE text USING total::text; UPDATE orders SET total = '12,50'{}", 1),
        ("UPDATE orders SET total = 'NaN'{}", 1),
        ("ALTER TABLE orders ALTER total TYPE float; UPDATE orders SET total = 'Infinity'{}", 1),
        ("ALTER TABLE orders ALTER total TYPE numeric; UPDATE orders SET total = 1e25{}", 1),
        ("ALTER TABLE orders ALTER total TYPE jsonb USING to_jsonb(total)", 0),
    ],
)
async def test_totals_of_any_type_in_postgresql(
    shop: ShopData, clock: FakeClock, change: str, odd: int, moment: str
) -> None:
    """Money, texts, JSON, NaN, infinity, numbers beyond 64 bits: sums are those of all totals that are numbers."""
    await fill(shop, clock.now(), 40)
    number = await shop.insert(ORDERS, version="v1.0", total=5, currency="EUR", created_at=clock.now())
    total = (await shop.run(sa.text("SELECT sum(total) FROM orders")))[0][0]

    async def alter() -> None:
        for statement in change.format(f" WHERE id = {number}").split("; "):
            await shop.run(sa.text(statement))

    if moment == "before":
        await alter()
    async with refresher_on(policy_for(shop.url), clock) as refresher:
        await settle(refresher, clock)
        if moment == "while it runs":
            await alter()
        await _go_on(shop, refresher, clock)

        value = published(refresher)["shop_order_value_total"]
        # A counter never falls: what was counted before a value became odd stays counted.
        assert value == {("v1.0", "EUR"): pytest.approx(float(total) - (5 if odd and moment == "before" else 0))}
        assert refresher.snapshot.errors.get("odd_number", 0) == odd


@pytest.mark.parametrize(
    ("kind", "value", "odd"),
    [
        ("VARCHAR(20)", "'12,50'", 1),
        ("VARBINARY(20)", "x'ff'", 1),
        ("DOUBLE", "1e300", 1),
        ("DECIMAL(65, 2)", "1e40", 1),
        ("BIGINT UNSIGNED", "7", 0),
    ],
)
async def test_totals_of_any_type_in_mariadb(
    maria: ShopData, clock: FakeClock, kind: str, value: str, odd: int
) -> None:
    """A text that begins with a number is none, and no sum is spoiled by one row."""
    for number in range(5):
        await maria.insert(ORDERS, version="v1.0", total=number, currency="EUR", created_at=clock.now())
    await maria.run(sa.text(f"ALTER TABLE orders MODIFY total {kind}"))
    await maria.run(sa.text(f"UPDATE orders SET total = {value} WHERE total = 4"))
    await maria.insert(VISITS, version="v1.0", created_at=clock.now())
    async with refresher_on(policy_for(maria.url), clock) as refresher:
        await settle(refresher, clock)
        await _go_on(maria, refresher, clock)

        assert published(refresher)["shop_order_value_total"] == {("v1.0", "EUR"): 6 if odd else 13}
        assert published(refresher)["shop_orders_total"] == {("v1.0",): 5}
        assert refresher.snapshot.errors.get("odd_number", 0) == odd


@pytest.mark.parametrize("column", ["version", "currency", "status", "total", "visit_id"])
async def test_texts_in_no_encoding(lite: ShopData, clock: FakeClock, column: str) -> None:
    """SQLite keeps any bytes as a text; the row that holds them counts, and hides no other."""
    await fill(lite, clock.now(), 40)
    async with refresher_on(policy_for(lite.url), clock) as refresher:
        await settle(refresher, clock)
        before = sum(published(refresher)["shop_orders_total"].values())
        number = await lite.insert(ORDERS, version="v1.0", total=5, currency="EUR", created_at=clock.now())
        await lite.run(sa.text(f"UPDATE orders SET {column} = CAST(x'ff41fe' AS TEXT) WHERE id = {number}"))
        await _go_on(lite, refresher, clock)

        assert sum(published(refresher)["shop_orders_total"].values()) == before + 1
        assert kpis(refresher)["average_order_value", "v1.0"] > 0


@pytest.mark.parametrize(
    "moment", ["infinity", "-infinity", "294000-01-01", "4000-01-01 BC", "0001-01-01", "9999-12-31", "tomorrow"]
)
async def test_any_time_in_postgresql(shop: ShopData, clock: FakeClock, moment: str) -> None:
    """Infinite, mythical and future times are no event that has happened: they cost nothing and hide no silence."""
    await fill(shop, clock.now(), 20)
    at = f"{clock.now() + timedelta(days=1)}" if moment == "tomorrow" else moment
    for table in ("visits", "orders"):
        await shop.run(sa.text(f"INSERT INTO {table} (id, version, created_at) VALUES (0, 'v1.0', '{at}')"))
    await shop.run(sa.text(f"UPDATE payments SET created_at = '{at}' WHERE id = (SELECT min(id) FROM payments)"))
    async with refresher_on(policy_for(shop.url), clock) as refresher:
        await settle(refresher, clock)
        assert published(refresher)["shop_visits_total"] == {("v1.0",): 20}
        await _go_on(shop, refresher, clock)
        clock.advance(100)
        await refresher.refresh()

        lag = refresher.snapshot.data_lag_seconds
        assert lag is not None
        assert 90 < lag <= 105


async def test_a_future_row_counts_when_its_time_has_come(data: ShopData, clock: FakeClock) -> None:
    """On every database: not before, and then it does."""
    await fill(data, clock.now(), 20)
    await data.insert(VISITS, version="v1.0", created_at=clock.now() + timedelta(hours=2))
    async with refresher_on(policy_for(data.url), clock) as refresher:
        await settle(refresher, clock)
        before = published(refresher)["shop_visits_total"]["v1.0",]
        for _ in range(30):
            clock.advance(300)
            await refresher.refresh()

        assert (before, published(refresher)["shop_visits_total"]["v1.0",]) == (20, 21)


async def test_zero_dates_in_mariadb(maria: ShopData, clock: FakeClock) -> None:
    """MariaDB's year 0 is no time, and does not hide the oldest one."""
    await fill(maria, clock.now() - timedelta(hours=30), 20)
    await fill(maria, clock.now(), 20)
    zero = "INSERT INTO visits (id, version, created_at) VALUES (0, 'v1.0', '0000-00-00')"
    await maria.run(sa.text(f"SET STATEMENT sql_mode='' FOR {zero}"))
    async with refresher_on(policy_for(maria.url), clock) as refresher:
        await settle(refresher, clock)
        await _go_on(maria, refresher, clock)

        assert published(refresher)["shop_visits_total"] == {("v1.0",): 52}


async def test_an_instant_is_no_wall_clock_time(maria: ShopData, clock: FakeClock) -> None:
    """MariaDB's TIMESTAMP is right whatever `database.timezone` says; its DATETIME next to it is the shop's clock's."""
    await maria.run(sa.text("ALTER TABLE visits MODIFY created_at TIMESTAMP(6) NULL"))
    await maria.run(sa.text("ALTER TABLE payments MODIFY settled_at TIMESTAMP(6) NULL"))
    wall = clock.now().astimezone(_BERLIN).replace(tzinfo=None)
    start = "SET STATEMENT time_zone = '+00:00' FOR INSERT INTO"
    utc = f"{clock.now():%Y-%m-%d %H:%M:%S}"
    await maria.run(
        sa.text(f"{start} visits (id, version, created_at) VALUES (1, 'v1.0', '{utc}')".replace(":", r"\:"))
    )
    await maria.insert(ORDERS, version="v1.0", visit_id=1, total=5, currency="EUR", created_at=wall)
    values = f"(1, 'v1.0', 'succeeded', '{wall:%Y-%m-%d %H:%M:%S}', '{utc}')"
    into = "payments (id, version, status, created_at, settled_at)"
    await maria.run(sa.text(f"{start} {into} VALUES {values}".replace(":", r"\:")))
    async with refresher_on(policy_for(maria.url, timezone="Europe/Berlin"), clock) as refresher:
        await settle(refresher, clock)

        assert kpis(refresher)["conversion_rate", "v1.0"] == 1.0
        assert kpis(refresher)["payment_success_rate", "v1.0"] == 1.0
        assert refresher.snapshot.data_lag_seconds == pytest.approx(0, abs=5)
        settled = next(feed for feed in refresher.feeds if feed.stream.kind == "settled").rows()
        assert settled.time.tolist() == settled.entered.tolist()


@pytest.mark.parametrize(("unit", "factor"), [("seconds", 1), ("milliseconds", 1_000), ("microseconds", 1_000_000)])
async def test_times_as_numbers(data: ShopData, clock: FakeClock, unit: str, factor: int) -> None:
    """Numbers since 1970 are times once the policy says their unit, on every database and in every time zone."""
    await data.run(sa.text("CREATE TABLE hits (id BIGINT PRIMARY KEY, version VARCHAR(9), created_at BIGINT)"))
    hits = {"visits": Event(table="hits", time_unit=unit)}  # type: ignore[arg-type]  # the parameters are of the type
    policy = policy_for(data.url, timezone="Europe/Berlin", events=dict(DEFAULT_EVENTS) | hits)

    async def hit(number: int) -> None:
        at = int(clock.now().timestamp() * factor)
        await data.run(sa.text(f"INSERT INTO hits VALUES ({number}, 'v1.0', {at})"))

    await hit(1)
    clock.advance(3 * 3600)
    await hit(2)
    async with refresher_on(policy, clock) as refresher:
        await settle(refresher, clock)
        for number in range(3, 20):
            clock.advance(1)
            await hit(number)
            await refresher.refresh()

            assert published(refresher)["shop_visits_total"] == {("v1.0",): number}
        visits = next(feed for feed in refresher.feeds if feed.stream.event == "visits")
        assert visits.rows().time.max() == pytest.approx(clock.now().timestamp(), abs=1)
        assert refresher.snapshot.data_lag_seconds == pytest.approx(0, abs=5)


async def test_numbers_without_a_unit_are_refused(data: ShopData, clock: FakeClock) -> None:
    """They are no times, and the event says so with what to write instead; it is never taken for an empty one."""
    await data.run(sa.text("CREATE TABLE hits (id BIGINT PRIMARY KEY, version VARCHAR(9), created_at BIGINT)"))
    await data.run(sa.text(f"INSERT INTO hits VALUES (1, 'v1.0', {int(clock.now().timestamp() * 1000)})"))
    policy = policy_for(data.url, events=dict(DEFAULT_EVENTS) | {"visits": Event(table="hits")})
    async with refresher_on(policy, clock) as refresher:
        await refresher.refresh()
        fault = next(feed.fault for feed in refresher.feeds if feed.stream.event == "visits")

        assert isinstance(fault, DatabaseSchemaError)
        assert "holds numbers" in fault.what
        assert "time_unit" in fault.remedy
        assert ("conversion_rate", "v1.0") not in kpis(refresher)


async def test_times_kept_as_bytes_are_told(lite: ShopData, clock: FakeClock) -> None:
    """SQLite finds them in no range of texts: one costs its row and is counted, and of many the event says so."""
    await fill(lite, clock.now(), 20)
    blob = "UPDATE visits SET created_at = CAST(created_at AS BLOB)"
    await lite.run(sa.text(f"{blob} WHERE id = (SELECT max(id) FROM visits)"))
    async with refresher_on(policy_for(lite.url), clock) as refresher:
        await settle(refresher, clock)
        assert refresher.snapshot.errors == {"odd_time": 1}

    await lite.run(sa.text(blob))
    async with refresher_on(policy_for(lite.url), clock) as refresher:
        await refresher.refresh()
        fault = next(feed.fault for feed in refresher.feeds if feed.stream.event == "visits")

        assert isinstance(fault, DatabaseSchemaError)
        assert "holds bytes" in fault.what
        assert "AS TEXT" in fault.remedy


@pytest.mark.parametrize("text", ["24.12.2026 10:00", "12/24/2026", "yesterday", ""])
async def test_texts_that_are_no_times_are_refused(lite: ShopData, clock: FakeClock, text: str) -> None:
    """SQLite and MariaDB read them as nothing at all; the event says what to write instead."""
    await fill(lite, clock.now(), 5)
    await lite.run(sa.text("UPDATE visits SET created_at = :text"), {"text": text})
    async with refresher_on(policy_for(lite.url), clock) as refresher:
        await refresher.refresh()
        fault = next(feed.fault for feed in refresher.feeds if feed.stream.event == "visits")

        assert isinstance(fault, DatabaseSchemaError)
        assert "sql:" in fault.remedy


async def test_one_text_that_is_no_time_costs_its_row(lite: ShopData, clock: FakeClock) -> None:
    """It is counted once, and the others are read."""
    await fill(lite, clock.now(), 20)
    await lite.run(sa.text("UPDATE visits SET created_at = '24.12.2026' WHERE id = (SELECT min(id) FROM visits)"))
    async with refresher_on(policy_for(lite.url), clock) as refresher:
        await settle(refresher, clock)
        await _go_on(lite, refresher, clock)

        assert refresher.snapshot.errors == {"odd_time": 1}


async def test_a_text_names_a_number(data: ShopData, clock: FakeClock) -> None:
    """Orders whose visit is a text of digits find the visit with that number."""
    await fill(data, clock.now(), 20)
    text = {"sqlite": "TEXT", "postgresql": "TEXT"}.get(data.engine.dialect.name, "CHAR(20)")
    sql = f"SELECT id, version, created_at, total, currency, CAST(visit_id AS {text}) AS visit_id FROM orders"
    orders = Event(sql=sql, parent={"visits": "visit_id"}, value="total", currency="currency")
    policy = policy_for(data.url, events=dict(DEFAULT_EVENTS) | {"orders": orders})
    async with refresher_on(policy, clock) as refresher:
        await settle(refresher, clock)

        assert kpis(refresher)["conversion_rate", "v1.0"] > 0.3


_OWN = """SELECT * FROM orders WHERE NOT '{"test":true}' = '%:x%'
  AND created_at > '2000-01-01 00:00:00' /* all of them; */; -- only real ones: "all"
"""


async def test_an_own_select_is_taken_literally(data: ShopData, clock: FakeClock) -> None:
    """Colons of JSON and times, percent signs, semicolons and trailing comments are what they are in SQL."""
    await fill(data, clock.now(), 20)
    events = dict(DEFAULT_EVENTS)
    events["orders"] = Event(sql=_OWN, parent={"visits": "visit_id"}, value="total", currency="currency")
    async with refresher_on(policy_for(data.url, events=events), clock) as refresher:
        await settle(refresher, clock)

        expected = await data.run(sa.text("SELECT count(*) FROM orders"))
        assert published(refresher)["shop_orders_total"] == {("v1.0",): expected[0][0]}


async def test_json_operators_in_an_own_select(shop: ShopData, clock: FakeClock) -> None:
    """PostgreSQL's JSON containment and casts, as in psql."""
    await fill(shop, clock.now(), 20)
    await shop.run(sa.text("ALTER TABLE orders ADD meta jsonb DEFAULT '{}'"))
    sql = """SELECT * FROM orders WHERE NOT meta @> '{"test":true}'::jsonb -- only real ones"""
    orders = Event(sql=sql, parent={"visits": "visit_id"}, value="total", currency="currency")
    async with refresher_on(policy_for(shop.url, events=dict(DEFAULT_EVENTS) | {"orders": orders}), clock) as refresher:
        await settle(refresher, clock)

        assert kpis(refresher)["conversion_rate", "v1.0"] > 0.3


async def test_a_default_table_that_nobody_needs_may_be_missing(data: ShopData, clock: FakeClock) -> None:
    """A shop without feedback and carts, whose only KPI is about payments, misses nothing."""
    await fill(data, clock.now(), 20)
    await data.run(sa.text("DROP TABLE feedback"))
    await data.run(sa.text("DROP TABLE carts"))
    payments = {"payment_success_rate": DEFAULT_KPIS["payment_success_rate"]}
    async with refresher_on(replace(policy_for(data.url), kpis=payments), clock) as refresher:
        await settle(refresher, clock)
        await _go_on(data, refresher, clock)

        assert refresher.snapshot.schema_compatible is True
        assert refresher.snapshot.errors == {}
        assert set(kpis(refresher)) == {("payment_success_rate", "v1.0")}
        assert published(refresher)["shop_orders_total"]


async def test_a_default_table_that_a_kpi_needs_may_not(lite: ShopData, clock: FakeClock) -> None:
    """Without feedback there is no satisfaction, and the schema watch says why."""
    await lite.run(sa.text("DROP TABLE feedback"))
    async with refresher_on(policy_for(lite.url), clock) as refresher:
        await settle(refresher, clock)

        assert refresher.schema.problems == ("table feedback is not there",)
