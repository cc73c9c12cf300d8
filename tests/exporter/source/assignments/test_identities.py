"""Customers whom the shop knows by another name than the router: found by pairs, or unknown."""

from dataclasses import replace
from datetime import timedelta

import sqlalchemy as sa

from canary.policy.database.section import DEFAULT_EVENTS, Assignments, Identities
from canary.policy.model import Policy
from tests.support.clock import FakeClock
from tests.support.databases.exporting import policy_for, published, refresher_on, settle
from tests.support.databases.shopdata import ORDERS, PAYMENTS, VISITS, ShopData

_TABLES = sa.MetaData()
_SERVED = sa.Table(
    "served",
    _TABLES,
    sa.Column("unit", sa.String(64)),
    sa.Column("time", VISITS.c.created_at.type),
    sa.Column("version", sa.String(20)),
)
_LOGINS = sa.Table(
    "logins",
    _TABLES,
    sa.Column("cookie", sa.String(64)),
    sa.Column("account", sa.String(20)),  # a number in the orders, as in a platform's table of anything
    sa.Column("at", VISITS.c.created_at.type),
)


def _policy(url: str, *, timed: bool) -> Policy:
    """Visits have the cookie; orders have the account, in the column `cart_id`, and name no visit."""
    events = {name: replace(event, version=None, unit=None) for name, event in DEFAULT_EVENTS.items()}
    events["visits"] = replace(events["visits"], unit="visitor_id")
    events["orders"] = replace(events["orders"], parent=None, unit="cart_id", identity="accounts")
    pairs = Identities(table="logins", unit="cookie", known_as="account", time="at" if timed else None)
    given = policy_for(url, events=events, assignments=Assignments(table="served"))
    return replace(given, database=replace(given.database, identities={"accounts": pairs}))


async def test_an_account_has_the_version_of_the_device_it_signed_in_with(data: ShopData, clock: FakeClock) -> None:
    """By the last login before the order, or one just after it; without times, only where there is one device."""
    now = clock.now() - timedelta(seconds=200)
    async with data.engine.begin() as connection:
        await connection.run_sync(_TABLES.drop_all)
        await connection.run_sync(_TABLES.create_all)
    served = [("phone", "v1.0"), ("desk", "v2.0"), ("tablet", "v2.0"), ("late", "v2.0")]
    await data.run(
        _SERVED.insert().values([{"unit": unit, "time": now, "version": version} for unit, version in served])
    )
    logins = [("phone", 1, 0), ("desk", 1, 60), ("tablet", 2, 0), ("late", 3, 100)]
    for _ in range(2):  # who signs in twice is still one customer
        rows = [
            {"cookie": one, "account": str(account), "at": now + timedelta(seconds=at)} for one, account, at in logins
        ]
        await data.run(_LOGINS.insert().values(rows))
    for account, at in ((1, 30), (1, 90), (2, 30), (3, 90), (4, 30), (None, 30)):
        when = now + timedelta(seconds=at)
        order = await data.insert(ORDERS, cart_id=account, created_at=when, total=1, currency="EUR", status="paid")
        await data.insert(PAYMENTS, order_id=order, status="succeeded", created_at=when, settled_at=when)

    found = []
    for timed in (True, False):
        async with refresher_on(_policy(data.url, timed=timed), clock) as refresher:
            await settle(refresher, clock)
            found.append(published(refresher))

    assert found[0]["shop_orders_total"] == {("v1.0",): 1.0, ("v2.0",): 3.0, ("unknown",): 2.0}
    assert found[1]["shop_orders_total"] == {("v2.0",): 2.0, ("unknown",): 4.0}
    for counts in found:
        paid = {(version, "succeeded"): rows for (version,), rows in counts["shop_orders_total"].items()}
        assert counts["shop_payments_total"] == paid
