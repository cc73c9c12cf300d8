"""Keys that the shop writes in one type here and in another there, also on a database that compares no two types."""

from datetime import timedelta

import asyncpg
import sqlalchemy as sa

from canary.policy.database.section import Assignments, Event
from tests.support.clock import FakeClock
from tests.support.databases.exporting import policy_for, published, refresher_on, settle, with_events
from tests.support.databases.mariadb import MariaDb
from tests.support.databases.shopdata import ShopData

_SHOP = """
CREATE TABLE visits (id uuid PRIMARY KEY, version text, customer bigint, at timestamptz);
CREATE TABLE orders (id bigint PRIMARY KEY, visit text, at timestamptz);
CREATE TABLE payments (id text PRIMARY KEY, order_no text, at timestamptz);
CREATE TABLE notes (id bigint PRIMARY KEY, payment bigint, at timestamptz);
CREATE TABLE served (who text, since timestamptz, version text);
INSERT INTO visits SELECT ('00000000-0000-0000-0000-00000000000' || i)::uuid, 'v' || i, i, $at
  FROM generate_series(1, 2) i;
INSERT INTO orders VALUES (11, '00000000-0000-0000-0000-000000000001', $at),
  (12, '00000000000000000000000000000002', $at),
  (13, 'none of them', $at), (14, NULL, $at);
INSERT INTO payments VALUES ('901', '11', $at), ('902', '12', $at), ('903', '12a', $at), ('904', repeat('9', 40), $at);
INSERT INTO notes VALUES (1, 901, $at), (2, 902, $at), (3, 77, $at);
INSERT INTO served VALUES ('1', $at, 'one'), ('2', $at, 'two'), ('robot', $at, 'two');
"""


async def _shop(url: str, clock: FakeClock) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute(_SHOP.replace("$at", f"'{clock.now() - timedelta(minutes=5)}'::timestamptz"))
    finally:
        await connection.close()


async def test_a_text_may_name_a_number_or_a_uuid(postgres_url: str, clock: FakeClock) -> None:
    """Versions are looked up through keys of other types; a text that is no key costs its own row's version."""
    await _shop(postgres_url, clock)
    policy = with_events(
        policy_for(postgres_url),
        events={
            "visits": Event(table="visits", time="at", version="version"),
            "orders": Event(table="orders", time="at", version=None, parent={"visits": "visit"}),
            "payments": Event(table="payments", time="at", version=None, parent={"orders": "order_no"}),
            "notes": Event(table="notes", time="at", version=None, parent={"payments": "payment"}),
        },
    )

    async with refresher_on(policy, clock) as refresher:
        await settle(refresher, clock)

        assert published(refresher) == {
            "shop_visits_total": {("v1",): 1, ("v2",): 1},
            "shop_orders_total": {("v1",): 1, ("v2",): 1, ("unknown",): 2},
            "shop_payments_total": {("v1",): 1, ("v2",): 1, ("unknown",): 2},
            "shop_notes_total": {("v1",): 1, ("v2",): 1, ("unknown",): 1},
        }


async def test_an_assignment_may_write_the_customer_as_a_text(postgres_url: str, clock: FakeClock) -> None:
    """A customer's number is found among texts."""
    await _shop(postgres_url, clock)
    policy = with_events(
        policy_for(postgres_url),
        events={"visits": Event(table="visits", time="at", version=None, unit="customer")},
        assignments=Assignments(table="served", unit="who", time="since"),
    )

    async with refresher_on(policy, clock) as refresher:
        await settle(refresher, clock)

        assert published(refresher)["shop_visits_total"] == {("one",): 1, ("two",): 1}


async def test_mariadb_compares_keys_of_any_two_types_by_itself(mariadb: MariaDb, clock: FakeClock) -> None:
    """A text that names a number finds it, of a parent and of an assignment, without a word of ours."""
    data = ShopData(mariadb.new_database())
    at = f"'{clock.now() - timedelta(minutes=5):%Y-%m-%d %H:%M:%S}'"
    for statement in (
        "CREATE TABLE visits (id INT PRIMARY KEY, customer INT, at DATETIME)",
        "CREATE TABLE orders (id INT PRIMARY KEY, visit VARCHAR(20), at DATETIME)",
        "CREATE TABLE served (who VARCHAR(20), since DATETIME, version VARCHAR(9))",
        f"INSERT INTO visits VALUES (1, 1, {at}), (2, 2, {at})",
        f"INSERT INTO orders VALUES (11, '1', {at}), (12, '2', {at}), (13, NULL, {at})",
        f"INSERT INTO served VALUES ('1', {at}, 'one'), ('2', {at}, 'two')",
    ):
        await data.run(sa.text(statement.replace(":", r"\:")))
    await data.close()
    policy = with_events(
        policy_for(data.url),
        events={
            "visits": Event(table="visits", time="at", version=None, unit="customer"),
            "orders": Event(table="orders", time="at", version=None, parent={"visits": "visit"}),
        },
        assignments=Assignments(table="served", unit="who", time="since"),
    )

    async with refresher_on(policy, clock) as refresher:
        await settle(refresher, clock)

        assert published(refresher) == {
            "shop_visits_total": {("one",): 1, ("two",): 1},
            "shop_orders_total": {("one",): 1, ("two",): 1, ("unknown",): 1},
        }
