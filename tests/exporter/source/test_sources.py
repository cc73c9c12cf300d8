"""Events in several databases, and in shards: read side by side, added, and joined where they belong together."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from canary.errors import DatabaseUnavailableError
from canary.policy.database.section import DEFAULT_EVENTS
from canary.policy.database.sources import Source
from canary.policy.model import Policy
from exporter.publish.snapshot import Snapshot
from exporter.source.database import Patience
from exporter.source.sources import databases_at
from tests.support.clock import FakeClock
from tests.support.databases.exporting import kpis, policy_for, published, refresher_on, settle
from tests.support.databases.shopdata import ORDERS, PAYMENTS, VISITS, ShopData


@pytest.fixture
async def shards(tmp_path: Path) -> AsyncIterator[list[ShopData]]:
    """Two shards, with the same ids in both."""
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for number in range(2):
            data = ShopData(f"sqlite+aiosqlite:///{tmp_path}/shard{number}.db")
            await data.create()
            stack.push_async_callback(data.close)
            found.append(data)
        yield found


def _policy(lite: ShopData, shards: list[ShopData]) -> Policy:
    """Visits in the shop's database; orders and payments in the shards."""
    events = dict(DEFAULT_EVENTS)
    events["orders"] = replace(events["orders"], source="tills", parent=None)
    events["payments"] = replace(events["payments"], source="tills", version=None)
    urls = tuple(data.url.replace("+aiosqlite", "") for data in shards)
    given = policy_for(lite.url, events=events)
    return replace(given, database=replace(given.database, sources={"tills": Source(urls=urls)}))


async def _order(data: ShopData, clock: FakeClock, version: str, status: str) -> None:
    at = clock.now() - timedelta(seconds=60)
    paid = {"order_id": 7, "status": status, "created_at": at, "settled_at": at}
    await data.run(ORDERS.insert().values(id=7, version=version, total=5, currency="EUR", created_at=at))
    await data.run(PAYMENTS.insert().values(id=7, **paid))


async def test_shards_are_added_and_their_ids_are_apart(
    lite: ShopData, shards: list[ShopData], clock: FakeClock
) -> None:
    """An order and its payment of one shard belong together, whatever has the same number in the other."""
    await lite.insert(VISITS, version="v1.0", created_at=clock.now() - timedelta(seconds=60))
    await _order(shards[0], clock, "v1.0", "succeeded")
    await _order(shards[1], clock, "v2.0", "failed")

    async with refresher_on(_policy(lite, shards), clock) as refresher:
        await settle(refresher, clock)
        found, rates = published(refresher), kpis(refresher)

    assert found["shop_visits_total"] == {("v1.0",): 1.0}
    assert found["shop_orders_total"] == {("v1.0",): 1.0, ("v2.0",): 1.0}
    assert found["shop_order_value_total"] == {("v1.0", "EUR"): 5.0, ("v2.0", "EUR"): 5.0}
    assert found["shop_payments_total"] == {("v1.0", "succeeded"): 1.0, ("v2.0", "failed"): 1.0}
    assert (rates["payment_success_rate", "v1.0"], rates["payment_success_rate", "v2.0"]) == (1.0, 0.0)


async def test_a_migration_of_any_shard_is_named(lite: ShopData, shards: list[ShopData], clock: FakeClock) -> None:
    """Not only the first one's schema is watched; what was there is missed until it is back."""
    async with refresher_on(_policy(lite, shards), clock) as refresher:
        await refresher.schema.look()
        whole = refresher.schema.compatible
        await shards[1].run(sa.text("ALTER TABLE orders RENAME COLUMN total TO amount"))
        await refresher.schema.look()
        broken = refresher.schema.problems
        await shards[1].run(sa.text("ALTER TABLE orders RENAME COLUMN amount TO total"))
        await refresher.schema.look()

        assert whole is refresher.schema.compatible is True
    assert broken == ("shard 2: column orders.total is not there",)


async def test_a_source_that_is_away_costs_its_events_only(
    lite: ShopData, shards: list[ShopData], clock: FakeClock, tmp_path: Path
) -> None:
    """Its KPIs are unknown, those of the other source go on, and all is there again when it is back."""
    for number in range(20):
        await lite.insert(VISITS, version="v1.0", created_at=clock.now() - timedelta(seconds=60 + number))
    await _order(shards[0], clock, "v1.0", "succeeded")
    away = tmp_path / "away.db"
    (tmp_path / "shard1.db").rename(away)

    async with refresher_on(_policy(lite, shards), clock) as refresher:
        for _ in range(3):
            await refresher.refresh()
            clock.advance(1)
        without: Snapshot = refresher.snapshot
        counted = published(refresher)
        away.rename(tmp_path / "shard1.db")
        clock.advance(10)
        await settle(refresher, clock)

        assert without.database_up
        assert without.errors["source"] > 0
        assert counted["shop_visits_total"] == {("v1.0",): 20.0}
        assert "shop_payments_total" not in counted
        assert published(refresher)["shop_payments_total"] == {("v1.0", "succeeded"): 1.0}


def _with_source(source: Source, base: Path) -> Policy:
    given = policy_for("sqlite:///shop.db")
    return replace(given, base=str(base), database=replace(given.database, sources={"tills": source}))


def test_each_line_of_a_file_is_a_shard(tmp_path: Path) -> None:
    """Also one with a blank in its path, whatever the file ends with."""
    (tmp_path / "urls").write_text("sqlite:///first till.db\n\n  sqlite:///second.db  \n")
    found = databases_at(_with_source(Source(url_file="urls"), tmp_path), "tills", Patience.LIVE)
    assert [shard.file for shard in found] == [tmp_path / "first till.db", tmp_path / "second.db"]


def test_shards_of_two_kinds_are_refused_before_anything_is_asked(tmp_path: Path) -> None:
    """Whoever looks where a source is learns of it, `canary check` as well as the exporter."""
    policy = _with_source(Source(urls=("sqlite:///till.db", "postgresql://db.example/till")), tmp_path)
    with pytest.raises(DatabaseUnavailableError, match="shards of one kind, found postgresql and sqlite") as caught:
        databases_at(policy, "tills", Patience.LIVE)
    assert caught.value.place == "database.sources.tills"
