"""The shop's customers."""

import asyncio
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from canary.timing.clock import SystemClock
from demo.customers import RETURNING_RATIO, Customers, Encounter, Memory, arrivals
from demo.shop.schema import carts, orders, payments, visits
from tests.demo.conftest import SPEED, Client, OpenShop
from tests.support.programs.processes import eventually

# What the customers do does not depend on the database; one test goes through both.
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def _customers(client: Client, session: aiohttp.ClientSession, *, seed: int = 1) -> Customers:
    return Customers(str(client.make_url("/")), session, SystemClock(), rate_per_second=60, speed=SPEED, seed=seed)


async def _run(customers: Customers, until: Callable[[Memory], bool], what: str) -> None:
    """Let customers in until something has happened to them."""
    task = asyncio.create_task(customers.run())
    try:
        await eventually(lambda: until(customers.memory), what, timeout_seconds=60)
    finally:
        task.cancel()
        await asyncio.wait([task])


def _settled(memory: Memory) -> bool:
    return sum(1 for e in memory.encounters if e.step == "settlement") >= 10


async def test_customers_come_through_the_whole_funnel(open_shop: OpenShop, engine: AsyncEngine) -> None:
    """Fewer customers reach each further step, some buy, and each visit belongs to a remembered customer."""
    async with open_shop("v1.0") as client, aiohttp.ClientSession() as session:
        customers = _customers(client, session)
        await _run(
            customers, lambda memory: _settled(memory) and any(memory.at("v1.0", "feedback")), "a customer is content"
        )

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


@given(st.integers(), st.floats(0.1, 1000))
def test_the_same_seed_brings_the_same_customers(seed: int, rate_per_second: float) -> None:
    """Who comes, and when, depends on seed and rate alone, and time goes forward."""
    first, second, other = (
        list(itertools.islice(arrivals(number, rate_per_second), 40)) for number in (seed, seed, seed + 1)
    )

    assert first == second
    assert first != other
    assert [seconds for seconds, _ in first] == sorted(seconds for seconds, _ in first)


def test_customers_come_at_the_rate_and_some_return() -> None:
    """The mean distance is one over the rate, and the share of known faces is the one that is set."""
    came = list(itertools.islice(arrivals(1, 50), 20_000))

    assert came[-1][0] == pytest.approx(20_000 / 50, rel=0.03)
    assert len({user for _, user in came}) == pytest.approx(20_000 * (1 - RETURNING_RATIO), rel=0.03)


@on_sqlite
async def test_failed_payments_harm_customers(open_shop: OpenShop) -> None:
    """Whoever pays at a version whose payments fail is remembered as harmed there."""
    async with open_shop("v2.0") as client, aiohttp.ClientSession() as session:
        async with client.put("/-/faults", json={"payment_failure_ratio": 1}):
            pass
        customers = _customers(client, session)
        started = SystemClock().now()
        await _run(customers, _settled, "payments have failed")

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
        await _run(customers, lambda memory: any(memory.at("v2.0", "till")), "somebody looks for the button")

    assert {e.status for e in customers.memory.encounters} <= {200, 201}
    assert not any(customers.memory.at("v2.0", "pay"))


async def test_a_closed_shop_is_counted_not_raised(unused_tcp_port: int) -> None:
    """Customers who find the door closed are counted as unanswered, and others still come."""
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{unused_tcp_port}"
        customers = Customers(url, session, SystemClock(), rate_per_second=60, speed=SPEED)
        await _run(customers, lambda memory: memory.unanswered() > 5, "customers find the door closed")

    assert not customers.memory.users()


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


def test_a_machine_that_is_too_slow_for_the_shop_is_named() -> None:
    """Where more than a handful of requests got no answer, the summary says what to try; a few are a rollback's own."""
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    served = Encounter(moment, "anna", "v1.0", "pay", 200, failed=False)
    refused = Encounter(moment, "dora", "", "pay", 0, failed=True)

    assert Memory([served] * 99 + [refused]).left_unanswered() == "1 request was left without an answer."
    assert "too busy for so many customers: try again with" in Memory([served] * 9 + [refused]).left_unanswered()


def test_memory_tells_who_got_through_a_step() -> None:
    """A step that failed does not count, one at any version does, and what an answer said is no request."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    later = moment + timedelta(seconds=1)
    express = Encounter(later, "ben", "v2.0", "express", 200, failed=False)
    memory = Memory(
        [
            Encounter(moment, "anna", "v1.0", "checkout", 200, failed=False),
            Encounter(later, "ben", "v2.0", "checkout", 200, failed=False),
            express,
            Encounter(later, "cleo", "v2.0", "checkout", 500, failed=True),
        ]
    )

    assert memory.took("checkout") == {"anna", "ben"}
    assert memory.took("checkout", later) == {"ben"}
    assert memory.took("express") == {"ben"}
    assert not express.request
