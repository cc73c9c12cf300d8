"""Versions by what the follower of the router's log keeps, in a database of its own."""

import contextlib
import hashlib
import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from canary.policy.database.requestlog import RequestLog
from canary.policy.database.section import DEFAULT_EVENTS, Assignments, Event
from canary.policy.kpis import Conversion
from canary.policy.model import Policy
from exporter.follow.store import Store
from exporter.follow.tally import Assignment, Changes, Visit
from exporter.source.assignments.logged import LoggedVersions, store_url
from exporter.source.assignments.routed import LEFT_OUT
from tests.support.clock import FakeClock
from tests.support.databases.exporting import kpis, policy_for, published, refresher_on, settle
from tests.support.databases.shopdata import ORDERS, VISITS, ShopData


def _policy(url: str, folder: Path) -> Policy:
    events = {
        name: replace(event, version=None, unit="id" if name == "visits" else None)
        for name, event in DEFAULT_EVENTS.items()
    }
    log = RequestLog(file="access.log", url=f"sqlite:///{folder}/requests.db")
    return policy_for(url, events=events, assignments=Assignments(from_="log"), log=log)


async def _write(store: Store, *rows: tuple[int, str, str | None, float], left_out: bool = False) -> None:
    found = {number: Assignment(number, unit, version, False, at, at, left_out) for number, unit, version, at in rows}
    await store.write(Changes(assignments=found), "test", None)


async def test_counts_are_those_of_a_version_column(lite: ShopData, clock: FakeClock, tmp_path: Path) -> None:
    """Visits and the orders that come from them count for the version that the log names; the rest are unknown. What
    is of testers and machines, and what descends from it, is in no counter and in no KPI of the window.
    """
    began, policy = clock.now() - timedelta(minutes=30), _policy(lite.url, tmp_path)
    store = Store.of(store_url(policy))
    await store.open()
    given, visits, orders = [], [], []
    for number in range(1, 201):
        at = began + timedelta(seconds=4 * number)
        if number % 10:  # every tenth nobody knows
            given.append(
                (number, str(number), "v2" if number % 4 == 0 else "v1", at.timestamp() - 1 + 4 * (number % 2))
            )
        visits.append({"id": number, "created_at": at})
        orders.append({"id": number, "visit_id": number, "created_at": at, "total": 2, "currency": "EUR"})
    await _write(store, *given)
    await _write(store, (1000, "1000", "v2", began.timestamp()), left_out=True)
    visits.append({"id": 1000, "created_at": began + timedelta(seconds=5)})
    orders += [{**orders[-1], "id": number, "visit_id": 1000, "total": 9999} for number in range(1000, 1100)]
    await lite.insert_many(VISITS, visits)
    await lite.insert_many(ORDERS, orders)

    async with refresher_on(policy, clock) as refresher:
        await settle(refresher, clock, 40)
        found, shown = published(refresher), kpis(refresher)
    await store.close()

    expected = {("v1",): 140.0, ("v2",): 40.0, ("unknown",): 20.0}
    assert found["shop_visits_total"] == expected
    assert found["shop_orders_total"] == expected
    assert shown["average_order_value", "v2"] == 2.0


async def test_a_store_of_before_the_mark_is_read_and_gets_it(tmp_path: Path) -> None:
    """An exporter that is upgraded first reads it as it is; the follower then adds the column: all were customers."""
    policy = _policy("sqlite:///shop.db", tmp_path)
    store = Store.of(store_url(policy))
    await store.open()
    await _write(store, (1, "a", "v1", 1000.0))
    with contextlib.closing(sqlite3.connect(tmp_path / "requests.db")) as before:
        before.execute("ALTER TABLE canary_assignments DROP COLUMN left_out")
    versions = LoggedVersions.of(policy)
    await versions.look()
    assert versions.version("a", 2000.0) == "v1"

    again = Store.of(store_url(policy))
    await again.open()
    customer = (await again.customers(["a"]))["a"].assignment
    await _write(again, (2, "a", "v2", 3000.0), left_out=True)
    later = LoggedVersions.of(policy)
    await later.look()
    for one in (versions, later, store, again):
        await one.close()

    assert customer is not None
    assert not customer.left_out
    assert [later.version("a", moment) for moment in (2000.0, 3000.0)] == ["v1", LEFT_OUT]


@pytest.mark.parametrize("hashed", [False, True])
async def test_a_customer_has_the_last_version_before(hashed: bool, tmp_path: Path) -> None:
    """The last assignment up to a row's moment, else the first within the lateness after it; hashed customers too."""
    policy = _policy("sqlite:///shop.db", tmp_path)
    store = Store.of(store_url(policy))
    await store.open()
    versions = LoggedVersions.of(policy)
    versions._hashed = hashed
    unit = hashlib.sha256(b"a").hexdigest() if hashed else "a"
    await _write(store, (1, unit, "v1", 1000.0), (2, unit, "v2", 2000.0))
    await versions.look()
    await _write(store, (3, unit, "v1", 3000.0))
    await versions.look()

    asked = [(moment, versions.version("a", moment)) for moment in (800, 900, 1000, 1999, 2000, 9000)]
    assert asked == [(800, None), (900, "v1"), (1000, "v1"), (1999, "v1"), (2000, "v2"), (9000, "v1")]
    assert versions.version("b", 2000) is None
    assert versions.version(None, 2000) is None
    assert versions.same_for_all(0, 500)
    await versions.close()
    await store.close()


async def test_a_first_rollout_names_what_was_before(tmp_path: Path) -> None:
    """Rows without a version are read again when the first rollout has named it."""
    policy = _policy("sqlite:///shop.db", tmp_path)
    store = Store.of(store_url(policy))
    await store.open()
    versions = LoggedVersions.of(policy)
    await _write(store, (1, "a", None, 1000.0))
    await versions.look()
    assert versions.version("a", 1000) is None
    await store.heal("v1")
    await _write(store, (2, "b", "v1", 1010.0))
    await versions.look()
    assert versions.version("a", 1000) == "v1"
    await versions.close()
    await store.close()


_ORDERS = (
    "SELECT o.id, o.created_at, o.total, o.currency, v.visitor_id AS cookie"
    " FROM orders o JOIN visits v ON v.id = o.visit_id"
)


def _by_customer(url: str, folder: Path, *, hashed: bool) -> Policy:
    """Visits in the follower's database, orders with the customer in the shop's."""
    visits = Event(
        source="log", table="canary_visits", time="repeated_at", time_unit="seconds", version=None, unit="unit"
    )
    orders = Event(sql=_ORDERS, version=None, unit="cookie", value="total", currency="currency")
    base, rate = _policy(url, folder), Conversion(kind="conversion", from_="visits", to="orders")
    log = RequestLog(file="access.log", url=f"sqlite:///{folder}/requests.db", hashed=hashed)
    database = replace(base.database, events={"visits": visits, "orders": orders}, log=log)
    return replace(base, database=database, kpis={"conversion_rate": rate})


@pytest.mark.parametrize("hashed", [False, True])
async def test_visits_of_the_log_are_the_denominator(
    lite: ShopData, clock: FakeClock, tmp_path: Path, hashed: bool
) -> None:
    """The follower's visits, in its own database, and the shop's orders meet by their customer: each order is of the
    customer's last visit before it, and rates and versions are known of both.
    """
    policy = _by_customer(lite.url, tmp_path, hashed=hashed)
    store = Store.of(store_url(policy))
    await store.open()
    began = clock.now() - timedelta(seconds=3000)
    changes = Changes()
    for number in range(40):
        cookie = f"cookie-{number}"
        unit = hashlib.sha256(cookie.encode()).hexdigest() if hashed else cookie
        version = "v2" if number % 4 == 0 else "v1"
        at = began.timestamp() + number
        changes.assignments[number + 1] = Assignment(number + 1, unit, version, False, at, at)
        for again in range(2):
            visit, when = 2 * number + again + 1, at + 2000 * again
            changes.visits[visit] = Visit(visit, unit, version, False, when, when + 1, when + 1, 2, 0)
        if number % 8 == 0 or number % 4 == 1:  # half of those on v2, a third on v1, on their second visit
            shown = await lite.insert(VISITS, visitor_id=cookie, created_at=began)
            bought = began + timedelta(seconds=number + 2010)
            await lite.insert(ORDERS, visit_id=shown, created_at=bought, total=2, currency="EUR")
    await store.write(changes, "test", None)
    await store.close()

    async with refresher_on(policy, clock) as refresher:
        await settle(refresher, clock, 40)
        found, rates = published(refresher), kpis(refresher)

    assert found["shop_visits_total"] == {("v1",): 60.0, ("v2",): 20.0}
    assert found["shop_orders_total"] == {("v1",): 10.0, ("v2",): 5.0}
    assert rates["conversion_rate", "v2"] == pytest.approx(5 / 20)
    assert rates["conversion_rate", "v1"] == pytest.approx(10 / 60)
