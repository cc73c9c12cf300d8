"""What `canary check --data` tells of customers: on which side the newest divided rollout's rows have them."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from canary.finding import Finding, Status
from canary.policy.model import Policy, State
from canary.policy.release import Upstreams
from canary.policy.routers.sections import HaproxyRouter
from canary.rollout.journal.journal import Journal
from canary.routers import routers_of
from canary.routers.base import Split
from canaryctl.check.shop.customers import check_sides
from canaryctl.check.shop.data import places
from exporter.source.database import Patience
from exporter.source.session import order_session
from tests.support.clock import FakeClock
from tests.support.databases.exporting import policy_for
from tests.support.databases.shopdata import VISITS, ShopData, shop_data
from tests.support.receiving.entries import started

_WEIGHT = 0.25


def _policy(url: str, folder: Path) -> Policy:
    router = HaproxyRouter(kind="haproxy", upstreams=Upstreams(stable=("127.0.0.1:1",), canary=("127.0.0.1:2",)))
    return replace(policy_for(url), router=(router,), state=State(url=f"sqlite:///{folder}/state.db"))


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[ShopData]:
    """The default schema in SQLite."""
    async with shop_data(f"sqlite+aiosqlite:///{tmp_path}/shop.db") as data:
        yield data


async def _found(
    shop: ShopData, clock: FakeClock, folder: Path, record: Callable[[int, bool], bool], *, begun: bool = True
) -> list[Finding]:
    """What is told of 2,000 customers of a rollout, whose rows record what *record* makes of number and place."""
    policy = _policy(shop.url, folder)
    if begun:
        async with Journal.open(policy) as journal:
            at = clock.now() - timedelta(hours=1)
            await journal.append(started("r1", at, traffic=(_WEIGHT, 1.0), durations_seconds=(3600, 3600)))
    router, split = routers_of(policy)[0], Split("r1", _WEIGHT)
    visits = []
    for number in range(2000):
        version = "v2.0" if record(number, router.is_canary(f"c{number}", split)) else "v1.0"
        at = clock.now() - timedelta(seconds=number)
        visits.append({"visitor_id": f"c{number}", "version": version, "created_at": at})
    await shop.insert_many(VISITS, visits)
    async with order_session(policy, Patience.STUDY) as session:
        return await check_sides(policy, session, clock, places(None), "visits")


@pytest.mark.parametrize(
    ("record", "status", "said"),
    [
        (
            lambda _, canary: canary,
            Status.OK,
            "rows and the router's hash agree on who was on the canary",
        ),
        (lambda number, canary: canary and number % 5 > 0, Status.WARNING, "expected at most 5%"),
        (lambda number, canary: canary or number % 20 == 0, Status.WARNING, "on another side by their rows"),
    ],
    ids=["as the router chose", "a fifth written by stable", "testers on the canary"],
)
async def test_rows_are_held_against_the_routers_hash(
    record: Callable[[int, bool], bool], status: Status, said: str, shop: ShopData, clock: FakeClock, tmp_path: Path
) -> None:
    """Who is on the canary by the rows is who the hash put there, or it is said before the next rollout needs it."""
    (finding,) = await _found(shop, clock, tmp_path, record)

    assert (finding.status, finding.place) == (status, "database.events.visits.unit")
    assert said in finding.what


async def test_a_column_that_the_router_does_not_hash_is_no_fault(
    shop: ShopData, clock: FakeClock, tmp_path: Path
) -> None:
    """Sides that have nothing to do with the column's hash are those of another key, such as the cookie."""
    assert await _found(shop, clock, tmp_path, lambda number, _: number % 4 == 0) == []


async def test_before_the_first_rollout_nothing_is_said_and_no_journal_made(
    shop: ShopData, clock: FakeClock, tmp_path: Path
) -> None:
    """There is nothing to compare, and a journal that this user makes is one that the receiver cannot write."""
    assert await _found(shop, clock, tmp_path, lambda _, canary: canary, begun=False) == []
    assert not (tmp_path / "state.db").exists()
