"""A large shop judged by a sample of its customers."""

import hashlib
import operator
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from canary.policy.model import Evidence
from exporter.ledger.reader import HASHES
from exporter.source.columns.values import id_number
from exporter.source.dialects import Dialect
from exporter.source.hashes import KEY_HASH, hashed, key_hash, written
from tests.support.clock import FakeClock
from tests.support.databases.exporting import kpis, policy_for, published, refresher_on, settle
from tests.support.databases.shopdata import CARTS, ORDERS, PAYMENTS, VISITS, ShopData, fill


def _chosen(customer: Any, ratio: float) -> bool:
    return _sha256(str(customer).rstrip("0."))[:3] < f"{round(ratio * HASHES):03x}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def _rows(data: ShopData, *columns: sa.Column[Any]) -> list[Any]:
    async with data.engine.connect() as connection:
        return list((await connection.execute(sa.select(*columns))).all())


async def test_each_database_gives_the_rows_of_the_same_customers(data: ShopData, clock: FakeClock) -> None:
    """Whoever is in the sample is in it with all that descends from their visits; counters count everybody."""
    await fill(data, clock.now(), 300)
    await data.run(VISITS.update().values(visitor_id=sa.cast(VISITS.c.id % 60, sa.String(10))))
    await data.run(PAYMENTS.delete().where(PAYMENTS.c.order_id.is_(None)))
    expected = await data.counts()
    policy = replace(policy_for(data.url), evidence=Evidence(sample_above=20))
    async with refresher_on(policy, clock) as refresher:
        await settle(refresher, clock)
        everybody = kpis(refresher)
        clock.advance(16)
        await settle(refresher, clock)
        ratio, counted = refresher.snapshot.sample_ratio, published(refresher)
        held = {feed.stream.event: set(feed.rows().ids.tolist()) for feed in refresher.feeds if feed.stream.fresh}
        units = {kpi.kpi: kpi.units for kpi in refresher.snapshot.kpis or ()}

    assert ratio in (0.5, 0.25)
    assert counted == expected
    visits = {
        visit for visit, visitor in await _rows(data, VISITS.c.id, VISITS.c.visitor_id) if _chosen(visitor, ratio)
    }
    orders = {order for order, visit in await _rows(data, ORDERS.c.id, ORDERS.c.visit_id) if visit in visits}
    descended = {
        "visits": visits,
        "carts": {cart for cart, visit in await _rows(data, CARTS.c.id, CARTS.c.visit_id) if visit in visits},
        "orders": orders,
        "payments": {one for one, order in await _rows(data, PAYMENTS.c.id, PAYMENTS.c.order_id) if order in orders},
    }
    assert {event: held[event] for event in descended} == {
        event: {id_number(one) for one in ids} for event, ids in descended.items()
    }
    assert 0 < units["conversion_rate"] == len(visits) < 300
    assert ("conversion_rate", "v1.0") in everybody


async def test_guests_are_in_the_sample_with_their_visit_and_customers_in_any_spelling(
    data: ShopData, clock: FakeClock
) -> None:
    """An order that names no customer is its visit's; one that names it with spaces is in the sample with the visit."""
    await fill(data, clock.now(), 300)
    await data.run(VISITS.update().values(visitor_id=sa.cast(VISITS.c.id % 60, sa.String(10))))
    for order, visit in await _rows(data, ORDERS.c.id, ORDERS.c.visit_id):
        named = {0: f"{visit % 60:>3}", 1: f"{visit % 60:<3}", 2: None, 3: "", 4: "  "}[order % 5] if visit else None
        await data.run(ORDERS.update().where(ORDERS.c.id == order).values(currency=named))
    policy = replace(policy_for(data.url), evidence=Evidence(sample_above=20))
    events = {**policy.database.events}
    events["orders"] = replace(events["orders"], unit="currency", currency=None)
    policy = replace(policy, database=replace(policy.database, events=events))
    async with refresher_on(policy, clock) as refresher:
        await settle(refresher, clock)
        clock.advance(16)
        await settle(refresher, clock)
        ratio = refresher.snapshot.sample_ratio
        held = {feed.stream.event: set(feed.rows().ids.tolist()) for feed in refresher.feeds if feed.stream.fresh}

    visits = {
        visit for visit, visitor in await _rows(data, VISITS.c.id, VISITS.c.visitor_id) if _chosen(visitor, ratio)
    }
    orders = [(order, visit) for order, visit in await _rows(data, ORDERS.c.id, ORDERS.c.visit_id) if visit]
    assert ratio < 1.0
    assert held["orders"] >= {order for order, visit in orders if visit in visits}
    assert not held["orders"] & {order for order, visit in orders if visit not in visits}


PLAIN = "0A1b2c3d4e5f4a6b8c7d9e0f1a2b3cAA"
DASHED = "0A1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3cAA"
TEXTS = (
    ["'42'", "' 42 '", "42", "42.0"],
    [f"'{PLAIN}'", f"'{DASHED}'", f"'{DASHED.lower()}'", f"'{{{DASHED}}}'", f"'urn:uuid:{DASHED}'"],
    ["NULL", "''", "'   '"],
)
"""Spellings of a number, of a UUID and of nobody."""
MORE = {
    "postgresql": (
        ["42.00::numeric(12,2)", "42::float8", "'42'::char(9)"], [f"'{DASHED}'::uuid", f"decode('{PLAIN}', 'hex')"],
    ),
    "mysql": (["CAST(42 AS DECIMAL(12,2))", "42e0", "CAST('42' AS BINARY)"], [f"UNHEX('{PLAIN}')"]),
    "sqlite": (["CAST('42' AS BLOB)"], [f"x'{PLAIN}'"]),
}  # fmt: skip


async def test_all_spellings_of_a_customer_have_one_hash(data: ShopData) -> None:
    """Numbers and texts, padding, UUIDs with and without dashes or as bytes; and what names nobody has none."""
    name = data.engine.dialect.name
    more: list[list[str]] = [*MORE["mysql" if name == "mariadb" else name], []]
    dialect = Dialect(name)
    found = []
    async with data.engine.connect() as connection:
        if name == "sqlite":
            driver: Any = (await connection.get_raw_connection()).driver_connection
            await driver.create_function(KEY_HASH, 1, key_hash)
        for spellings in map(operator.add, TEXTS, more):
            asked = [hashed(dialect, written(dialect, sa.literal_column(spelling))) for spelling in spellings]
            named = [one.label(f"canary_{number}") for number, one in enumerate(asked)]
            found.append(set((await connection.execute(sa.select(*named))).one()))

    assert found == [{_sha256("42")[:3]}, {_sha256(PLAIN.lower())[:3]}, {None}]


async def test_a_key_of_any_letters_has_the_hash_that_memory_gives_it(data: ShopData) -> None:
    """Backslashes, quotes and letters beyond ASCII: SQLite computes it here, servers by themselves."""
    keys = ["a\\b", "a\\", "O'Brien%", "größe", "\N{KISS MARK}"]
    dialect = Dialect(data.engine.dialect.name)
    asked = [hashed(dialect, sa.literal(key)).label(f"canary_{number}") for number, key in enumerate(keys)]
    async with data.engine.connect() as connection:
        if dialect.name == "sqlite":
            driver: Any = (await connection.get_raw_connection()).driver_connection
            await driver.create_function(KEY_HASH, 1, key_hash)
        found = (await connection.execute(sa.select(*asked))).one()

    assert list(found) == [str(key_hash(key))[:3] for key in keys]
