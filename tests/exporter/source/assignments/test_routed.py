"""Versions by the side that the router chose: computed by its own hash with the journal's salt and weights, or as its
tag names it in a header that the shop stores.
"""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from canary.policy.database.section import DEFAULT_EVENTS, Assignments
from canary.policy.model import Policy
from canary.policy.release import Upstreams
from canary.policy.routers.sections import HaproxyRouter, NginxRouter
from canary.policy.routers.slots import BOTH, Slots
from canary.rollout.folding import fold
from canary.rollout.kinds import Kind
from canary.rollout.state import Rollout
from canary.routers import routers_of
from canary.routers.base import Split
from canary.routers.tag import TAGS
from exporter.source.assignments.routed import RoutedVersions, Served
from exporter.source.assignments.timedkeys import split_key
from exporter.source.transitions import offset_at
from tests.support.clock import FakeClock
from tests.support.databases.exporting import policy_for, published, refresher_on, settle
from tests.support.databases.mariadb import MariaDb
from tests.support.databases.shopdata import ORDERS, PAYMENTS, VISITS, ShopData
from tests.support.receiving.entries import entry, started

_UPSTREAMS = {"stable": ("127.0.0.1:1",), "canary": ("127.0.0.1:2",)}
_BOTH = f"Mozilla/5.0 {TAGS['canary']} {TAGS['stable']}"


def _policy(url: str = "sqlite:///shop.db", kind: str = "haproxy") -> Policy:
    upstreams = Upstreams(**_UPSTREAMS)
    router = HaproxyRouter(kind="haproxy", upstreams=upstreams)
    chosen = router if kind == "haproxy" else NginxRouter(kind="nginx", upstreams=upstreams)
    events = {
        name: replace(event, version=None, unit="id" if name == "visits" else None)
        for name, event in DEFAULT_EVENTS.items()
    }
    given = policy_for(url, events=events, assignments=Assignments(from_="router"))
    return replace(given, router=(chosen,))


def _rollout(at: datetime) -> Rollout:
    """5 %, after ten minutes 25 %, rolled back after twenty."""
    entries = [
        started("r1", at),
        entry("r1", Kind.ADVANCED, at + timedelta(minutes=10), "canary", data={"phase": 1}, seq=2),
        entry("r1", Kind.ROLLBACK, at + timedelta(minutes=20), "ann", "bad", {"cause": "manual"}, 3),
    ]
    return fold(entries)["r1"]


@pytest.mark.parametrize("kind", ["haproxy", "nginx"])
def test_a_customer_has_the_version_that_the_router_chose(kind: str, clock: FakeClock) -> None:
    """Before, at each weight, and after: as the router's own rule says it of each of 500 customers."""
    router = routers_of(_policy(kind=kind))[0]
    routed, at = RoutedVersions(router), clock.now()
    unknown = routed.version("7", at.timestamp())
    routed.know([_rollout(at)])

    for minutes, ratio in ((-1, 0.0), (5, 0.05), (15, 0.25), (25, 0.0)):
        moment = (at + timedelta(minutes=minutes)).timestamp()
        for number in range(500):
            chosen = ratio > 0 and router.is_canary(str(number), Split("r1", ratio))
            assert routed.version(str(number), moment) == ("v2.0" if chosen else "v1.0")
        assert routed.version(None, moment) == (None if ratio else "v1.0")
        assert routed.same_for_all(moment, moment + 1) == (not ratio)
    assert unknown is None
    assert not routed.same_for_all(at.timestamp() - 60, at.timestamp() + 60)


def test_a_promoted_version_stays(clock: FakeClock) -> None:
    """After a promotion everybody has the new version, also once the servers have moved and the weight is 0 again."""
    at = clock.now()
    moments = [at + timedelta(hours=number) for number in range(4)]
    promoted = fold([started("r1", at, traffic=(0.5, 1.0), durations_seconds=(60, 60))])["r1"]
    weights = tuple(replace(promoted.weights[0], since=since, ratio=ratio) for since, ratio in zip(
        moments, (0.5, 1.0, 0.0), strict=False))  # fmt: skip
    routed = RoutedVersions(routers_of(_policy())[0])
    routed.know([replace(promoted, weights=weights)])

    assert routed.version(None, moments[3].timestamp()) == "v2.0"


@pytest.mark.parametrize("kind", [HaproxyRouter, NginxRouter])
def test_with_slot_b_stable_the_hash_is_that_of_the_router(kind: type, clock: FakeClock) -> None:
    """What a router has in force is slot b's share: where b is stable, its hash puts other customers on the canary."""
    section = kind(
        kind=kind.__name__.removesuffix("Router").lower(), slots=Slots(a=("127.0.0.1:1",), b=("127.0.0.1:2",))
    )
    router = routers_of(replace(_policy(), router=(section,)))[0]
    routed, moment = RoutedVersions(router), clock.now().timestamp() + 1
    routed.know([replace(_rollout(clock.now()), first_stable_slot="b")])
    split = Split("r1", 0.05, stable_slot="b")

    for number in range(500):
        chosen = router.is_canary(str(number), split)
        assert routed.version(str(number), moment) == ("v2.0" if chosen else "v1.0")


def test_a_slot_has_the_role_of_its_time(clock: FakeClock) -> None:
    """Slot b is the canary's in the first release, stable from the second one on, and has a version all the time."""
    at = clock.now()
    later = at + timedelta(days=1)
    first = [
        replace(started("r1", at, traffic=(0.5, 1.0), durations_seconds=(60, 60)), stable_slot="a", seq=1),
        entry("r1", Kind.ADVANCED, at + timedelta(minutes=1), "canary", data={"phase": 1}, seq=2),
        entry("r1", Kind.PROMOTED, at + timedelta(minutes=2), "canary", seq=3),
        entry("r1", Kind.FINISHED, at + timedelta(minutes=3), "canary", seq=4),
    ]
    second = replace(started("r2", later, stable="v2.0", canary="v3.0"), stable_slot="b", seq=5)
    routed = RoutedVersions(None)
    unknown = routed.served_by("b", at.timestamp())
    routed.know(fold([*first, second]).values())

    found = {
        minutes: [routed.served_by(slot, (at + timedelta(minutes=minutes)).timestamp()) for slot in BOTH]
        for minutes in (-1, 0.5, 1.5, 5, 24 * 60 + 5)
    }
    assert unknown == Served(True, None)
    assert found == {
        -1: [Served(False, "v1.0"), Served(True, "v1.0")],
        0.5: [Served(False, "v1.0"), Served(True, "v2.0")],
        1.5: [Served(False, "v1.0"), Served(True, "v2.0")],
        5: [Served(False, "v1.0"), Served(True, "v2.0")],
        24 * 60 + 5: [Served(True, "v3.0"), Served(False, "v2.0")],
    }


async def _trade(data: ShopData, began: datetime, now: datetime) -> dict[str, int]:
    """Rows of before a rollout, of it and of after it, which are paid *now*: how many are each version's."""
    router, expected = routers_of(_policy())[0], {"v1.0": 0, "v2.0": 0}
    visits, orders, payments = [], [], []
    for number in range(1, 601):
        at = began - timedelta(minutes=10) + timedelta(seconds=4 * number)
        ratio = 0.0 if at < began or at >= began + timedelta(minutes=20) else 0.25
        ratio = 0.05 if ratio and at < began + timedelta(minutes=10) else ratio
        chosen = ratio > 0 and router.is_canary(str(number), Split("r1", ratio))
        expected["v2.0" if chosen else "v1.0"] += 1
        visits.append({"id": number, "created_at": at})
        orders.append({"id": number, "visit_id": number, "created_at": at, "total": 2, "currency": "EUR"})
        payments.append({"order_id": number, "status": "failed", "created_at": at, "settled_at": now})
    await data.insert_many(VISITS, visits)
    await data.insert_many(ORDERS, orders)
    await data.insert_many(PAYMENTS, payments)
    assert expected["v2.0"] > 30
    return expected


async def _counted(policy: Policy, clock: FakeClock, began: datetime) -> dict[str, dict[tuple[str, ...], float]]:
    async with refresher_on(policy, clock) as refresher:
        assert refresher.routed is not None
        refresher.routed.know([_rollout(began)])
        await settle(refresher, clock, 40)
        return published(refresher)


async def test_counters_are_those_of_the_routers_choice(lite: ShopData, clock: FakeClock) -> None:
    """Rows of hours before, of the rollout and of now, with orders that name their customer through their visit.

    What is paid hours later, when everybody is on stable, counts for the version that took the order.
    """
    began = clock.now() - timedelta(hours=5)
    expected = await _trade(lite, began, clock.now())

    found = await _counted(_policy(lite.url), clock, began)

    assert found["shop_visits_total"] == {(version,): float(rows) for version, rows in expected.items()}
    assert found["shop_orders_total"] == found["shop_visits_total"]
    assert found["shop_payments_total"] == {(version, "failed"): float(rows) for version, rows in expected.items()}


async def test_a_visit_in_moments_tells_the_version_of_orders_in_the_shops_own_time(
    mariadb: MariaDb, clock: FakeClock
) -> None:
    """MariaDB's TIMESTAMP in visits, what a clock in New York shows in all else: the numbers are those of UTC."""
    data = ShopData(mariadb.new_database())
    await data.create()
    began = clock.now() - timedelta(hours=5)
    expected = await _trade(data, began, clock.now())
    hours = offset_at("America/New_York", int(clock.now().timestamp())) // 3600
    await data.store_in_local_time("America/New_York", hours)
    await data.close()
    mariadb.execute(
        f"USE {data.url.rpartition('/')[2]}; SET time_zone = '+00:00';"
        f" UPDATE visits SET created_at = created_at - INTERVAL {hours} HOUR;"
        " ALTER TABLE visits MODIFY created_at TIMESTAMP(6) NULL"
    )
    given = _policy(data.url)

    found = await _counted(replace(given, database=replace(given.database, timezone="America/New_York")), clock, began)

    assert found["shop_visits_total"] == {(version,): float(rows) for version, rows in expected.items()}
    assert found["shop_orders_total"] == found["shop_visits_total"]
    assert found["shop_payments_total"] == {(version, "failed"): float(rows) for version, rows in expected.items()}


@pytest.mark.parametrize("name", ["one\ntwo", "\n", "nan\nx", "1e999\nx"])
async def test_a_customer_with_two_lines_hides_nobody_else(lite: ShopData, clock: FakeClock, name: str) -> None:
    """A shop may unescape a cookie; whoever makes a line break of theirs is one row, and the others are read."""
    given = _policy(lite.url)
    visits = replace(given.database.events["visits"], unit="visitor_id")
    given = replace(given, database=replace(given.database, events={**given.database.events, "visits": visits}))
    began = clock.now() - timedelta(minutes=5)
    at = clock.now() - timedelta(minutes=2)
    rows = [{"id": number, "visitor_id": f"u{number}", "created_at": at} for number in range(1, 41)]
    await lite.insert_many(VISITS, [*rows, {"id": 41, "visitor_id": name, "created_at": at}])

    async with refresher_on(given, clock) as refresher:
        assert refresher.routed is not None
        refresher.routed.know([_rollout(began)])
        await settle(refresher, clock)
        found = published(refresher)

    assert sum(found["shop_visits_total"].values()) == 41.0


def test_a_key_is_whole_where_no_moment_precedes_it() -> None:
    """Only a number that a database writes is a moment."""
    assert split_key("1764300000.25\nuser\n2") == (1764300000.25, False, None, "user\n2")
    assert split_key("1764300000.25@accounts\n7") == (1764300000.25, False, "accounts", "7")
    assert split_key("1764300000i@accounts\n7") == (1764300000.0, True, "accounts", "7")
    assert split_key("user\n2") == (None, False, None, "user\n2")
    assert split_key("user@accounts\n2") == (None, False, None, "user@accounts\n2")
    assert split_key("user") == (None, False, None, "user")


def _tagged(url: str) -> Policy:
    """The default schema, in which the visitor's column holds the user agent."""
    events = {
        name: replace(event, version=None, unit=None, tag="visitor_id" if name == "visits" else None)
        for name, event in DEFAULT_EVENTS.items()
    }
    return policy_for(url, events=events)


async def test_a_row_has_the_version_that_ran_on_its_side(data: ShopData, clock: FakeClock) -> None:
    """Two rollouts, hours apart: what an order's payment comes to counts for the side that took the order.

    A row without a tag, or with both sides' (a client's own words), is unknown.
    """
    first, second = clock.now() - timedelta(hours=7), clock.now() - timedelta(hours=1)
    rollouts = fold([
        started("r1", first),
        entry("r1", Kind.ROLLBACK, first + timedelta(minutes=20), "ann", "bad", {"cause": "manual"}, 2),
    ]) | fold([started("r2", second, canary="v3.0")])  # fmt: skip
    tags = [f"x {TAGS['stable']}", f"x {TAGS['canary']}, 10.0.0.1", _BOTH, None]
    for at in (first - timedelta(hours=1), first + timedelta(minutes=5), second + timedelta(minutes=5)):
        for number, tag in enumerate(tags):
            when = at + timedelta(seconds=number)
            visit = await data.insert(VISITS, visitor_id=tag, created_at=when)
            order = await data.insert(ORDERS, visit_id=visit, created_at=when, total=2, currency="EUR", status="paid")
            paid = clock.now() - timedelta(minutes=1)  # by a call of the payment provider's, which names no customer
            await data.insert(PAYMENTS, order_id=order, status="succeeded", created_at=when, settled_at=paid)

    async with refresher_on(_tagged(data.url), clock) as refresher:
        assert refresher.routed is not None
        refresher.routed.know(rollouts.values())
        await settle(refresher, clock, 40)
        found = published(refresher)

    counts = {("v1.0",): 4.0, ("v2.0",): 1.0, ("v3.0",): 1.0, ("unknown",): 6.0}
    assert found["shop_visits_total"] == found["shop_orders_total"] == counts
    assert found["shop_payments_total"] == {(version, "succeeded"): rows for (version,), rows in counts.items()}


@pytest.mark.parametrize("ratio", [0.0, 0.5])
async def test_without_a_journal_nothing_is_known(lite: ShopData, clock: FakeClock, ratio: float) -> None:
    """A side is no version before a rollout says which one it runs."""
    await lite.insert(VISITS, visitor_id=TAGS["canary"], created_at=clock.now() - timedelta(hours=5 * ratio))
    async with refresher_on(_tagged(lite.url), clock) as refresher:
        await settle(refresher, clock, 40)
        assert published(refresher)["shop_visits_total"] == {("unknown",): 1.0}
