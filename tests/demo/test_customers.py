"""The shop's customers."""

import asyncio
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from canary.clock import SystemClock
from demo.customers import Customers, Encounter, Memory
from demo.schema import carts, orders, payments, visits
from tests.demo.conftest import SPEED, Client, OpenShop

# What the customers do does not depend on the database; one test goes through both.
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def _customers(client: Client, session: aiohttp.ClientSession, *, seed: int = 1) -> Customers:
    return Customers(str(client.make_url("/")), session, SystemClock(), rate_per_second=60, speed=SPEED, seed=seed)


async def _run(customers: Customers, seconds: float) -> None:
    task = asyncio.create_task(customers.run())
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.wait([task])


async def test_customers_come_through_the_whole_funnel(open_shop: OpenShop, engine: AsyncEngine) -> None:
    """Fewer customers reach each further step, some buy, and each visit belongs to a remembered customer."""
    async with open_shop("v1.0") as client, aiohttp.ClientSession() as session:
        customers = _customers(client, session)
        await _run(customers, 3)

    async with engine.connect() as connection:
        rows = [
            await connection.scalar(select(func.count()).select_from(table)) or 0
            for table in (visits, carts, payments, orders)
        ]
        visitors = set((await connection.execute(select(visits.c.visitor_id))).scalars())
    assert rows == sorted(rows, reverse=True)
    assert rows[-1]
    assert visitors >= customers.memory.users("v1.0")
    assert customers.memory.unanswered() <= 1


@on_sqlite
async def test_the_same_seed_gives_the_same_customers(open_shop: OpenShop) -> None:
    """Who comes, and in which order, depends on the seed alone."""
    arrived: list[list[str]] = []
    for seed in (1, 1, 2):
        async with open_shop("v1.0") as client, aiohttp.ClientSession() as session:
            customers = _customers(client, session, seed=seed)
            await _run(customers, 0.5)
            arrived.append([e.user for e in customers.memory.at("v1.0", "browse")][:10])

    assert sorted(arrived[0]) == sorted(arrived[1])
    assert arrived[0] != arrived[2]


@on_sqlite
async def test_failed_payments_harm_customers(open_shop: OpenShop) -> None:
    """Whoever pays at a version whose payments fail is remembered as harmed there."""
    async with open_shop("v2.0") as client, aiohttp.ClientSession() as session:
        async with client.put("/-/faults", json={"payment_failure_ratio": 1}):
            pass
        customers = _customers(client, session)
        started = SystemClock().now()
        await _run(customers, 2)

    settled = list(customers.memory.at("v2.0", "settlement"))
    assert settled
    assert all(e.failed for e in settled)
    assert {e.user for e in settled} == customers.memory.harmed("v2.0", started)


@on_sqlite
async def test_a_missing_button_harms_customers(open_shop: OpenShop) -> None:
    """A till without a button ends the visit, and is remembered though every answer was 200."""
    async with open_shop("v2.0") as client, aiohttp.ClientSession() as session:
        async with client.put("/-/faults", json={"dropped_checkout_ratio": 1}):
            pass
        customers = _customers(client, session)
        await _run(customers, 1.5)

    assert any(customers.memory.at("v2.0", "till"))
    assert not any(customers.memory.at("v2.0", "pay"))


async def test_a_closed_shop_is_counted_not_raised(unused_tcp_port: int) -> None:
    """Customers who find the door closed are counted as unanswered, and others still come."""
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{unused_tcp_port}"
        customers = Customers(url, session, SystemClock(), rate_per_second=60, speed=SPEED)
        await _run(customers, 0.5)

    assert customers.memory.unanswered() > 5


def test_memory_tells_versions_and_times_apart() -> None:
    """Harm counts distinct customers of one version from one moment on."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    later = moment + timedelta(seconds=1)
    memory = Memory(
        [
            Encounter(moment, "anna", "v2.0", "pay", 500, failed=True),
            Encounter(later, "ben", "v2.0", "pay", 500, failed=True),
            Encounter(later, "ben", "v2.0", "settlement", 200, failed=True),
            Encounter(later, "cleo", "v1.0", "pay", 500, failed=True),
            Encounter(later, "dora", "", "pay", 0, failed=True),
        ]
    )

    assert memory.harmed("v2.0", moment) == {"anna", "ben"}
    assert memory.harmed("v2.0", later) == {"ben"}
    assert memory.users("v1.0") == {"cleo"}
    assert memory.unanswered() == 1
