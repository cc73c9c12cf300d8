"""The small real shop."""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from demo.shop.schema import orders, payments, visits
from demo.shop.server import VERSION_HEADER
from tests.demo.conftest import Client, OpenShop
from tests.support.programs.ports import free_port
from tests.support.programs.processes import eventually


async def _json(client: Client, method: str, path: str, **body: int) -> dict[str, Any]:
    async with client.request(method, path, json=body or None) as response:
        assert response.status < 300, await response.text()
        answer: dict[str, Any] = await response.json()
        return answer


async def _pay(client: Client) -> dict[str, Any]:
    visit = await _json(client, "GET", "/")
    cart = await _json(client, "POST", "/carts", visit_id=visit["visit_id"])
    await _json(client, "POST", "/checkout", cart_id=cart["cart_id"])
    started = await _json(client, "POST", "/payments", cart_id=cart["cart_id"], amount_cents=1990)
    for _ in range(200):
        payment = await _json(client, "GET", f"/payments/{started['payment_id']}")
        if payment["status"] != "pending":
            return payment
        await asyncio.sleep(0.02)
    raise AssertionError("the payment never settled")


async def _metric(client: Client, line: str) -> float:
    async with client.get("/metrics") as response:
        found = [text for text in (await response.text()).splitlines() if text.startswith(line + " ")]
    return float(found[0].rpartition(" ")[2]) if found else 0.0


async def _set_faults(client: Client, **faults: float) -> None:
    async with client.put("/-/faults", json=faults) as response:
        assert response.status == 200, await response.text()


async def test_a_customer_can_buy_something(open_shop: OpenShop, engine: AsyncEngine) -> None:
    """Browse, cart, checkout, pay and feedback leave their rows, and the metrics count the requests."""
    async with open_shop("v1.0") as client:
        payment = await _pay(client)
        await _json(client, "POST", "/feedback", order_id=payment["order_id"], score=5)

        assert payment["status"] == "succeeded"
        labels = '{endpoint="pay",status="202",version="v1.0"}'
        assert await _metric(client, f"http_requests_total{labels}") == 1
        assert await _metric(client, 'http_request_duration_seconds_count{endpoint="browse",version="v1.0"}') == 1
        assert await _metric(client, "process_resident_memory_bytes") > 0
    async with engine.connect() as connection:
        assert len((await connection.execute(select(orders))).all()) == 1


async def test_two_versions_share_one_database(open_shop: OpenShop, engine: AsyncEngine) -> None:
    """Each version stamps its own rows, and a cart from one version can be paid at the other."""
    async with open_shop("v1.0") as stable, open_shop("v2.0") as canary:
        visit = await _json(stable, "GET", "/")
        cart = await _json(stable, "POST", "/carts", visit_id=visit["visit_id"])
        await _json(canary, "POST", "/payments", cart_id=cart["cart_id"], amount_cents=500)

    async with engine.connect() as connection:
        assert (await connection.execute(select(visits.c.version))).scalars().all() == ["v1.0"]
        assert (await connection.execute(select(payments.c.version))).scalars().all() == ["v2.0"]


async def test_a_new_visitor_gets_a_cookie_and_a_known_one_keeps_it(open_shop: OpenShop) -> None:
    """The shop names a visitor once."""
    async with open_shop("v1.0") as client:
        async with client.get("/") as first:
            given = first.cookies["user_id"].value
        async with client.get("/") as second:
            again = "user_id" in second.cookies
            version = second.headers[VERSION_HEADER]

    assert given
    assert not again
    assert version == "v1.0"


async def test_failing_payments_fail_quietly(open_shop: OpenShop) -> None:
    """With the payment fault every page still answers, and the payment ends as failed."""
    async with open_shop("v2.0") as client:
        await _set_faults(client, payment_failure_ratio=1)

        payment = await _pay(client)

    assert payment == {"status": "failed", "order_id": None}


async def test_a_till_without_a_button_answers_200(open_shop: OpenShop) -> None:
    """The dropped checkout is a fault that no status code shows."""
    async with open_shop("v2.0") as client:
        await _set_faults(client, dropped_checkout_ratio=1)
        visit = await _json(client, "GET", "/")
        cart = await _json(client, "POST", "/carts", visit_id=visit["visit_id"])

        assert await _json(client, "POST", "/checkout", cart_id=cart["cart_id"]) == {
            "payable": False,
            "checkout": "standard",
        }


async def test_errors_and_latency_show_in_the_metrics(open_shop: OpenShop) -> None:
    """An error fault answers 500, a latency fault answers late, and both are measured."""
    async with open_shop("v2.0") as client:
        await _set_faults(client, error_ratio=1, latency_seconds=0.03)
        async with client.get("/products/1") as response:
            status = response.status
        errors = await _metric(client, 'http_requests_total{endpoint="product",status="500",version="v2.0"}')
        quick = await _metric(
            client, 'http_request_duration_seconds_bucket{endpoint="product",le="0.025",version="v2.0"}'
        )

    assert status == 500
    assert errors == 1
    assert quick == 0


async def test_a_database_out_of_reach_is_503_and_counted(open_shop: OpenShop, engine: AsyncEngine) -> None:
    """Without its tables the shop answers 503, counts a connection error, and goes on serving."""
    async with open_shop("v1.0") as client:
        async with engine.begin() as connection:
            for table in ("feedback", "payments", "orders", "carts", "visits"):
                await connection.execute(text(f"DROP TABLE {table}"))
        async with client.get("/") as response:
            status = response.status
        counted = await _metric(client, 'database_connection_errors_total{version="v1.0"}')
        async with client.get("/-/healthy") as response:
            healthy = response.status

    assert (status, counted, healthy) == (503, 1, 200)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/carts", {"visit_id": 999}, 404),
        ("/carts", {"visit_id": "x"}, 400),
        ("/carts", [], 400),
        ("/checkout", {"cart_id": 999}, 404),
        ("/payments", {"cart_id": 999, "amount_cents": 1}, 404),
        ("/payments", {"cart_id": 1, "amount_cents": -5}, 400),
        ("/feedback", {"order_id": 1, "score": 6}, 400),
    ],
)
async def test_nonsense_is_refused(open_shop: OpenShop, path: str, body: object, status: int) -> None:
    """A request that cannot be meant is 400 or 404, never a crash."""
    async with open_shop("v1.0") as client, client.post(path, json=body) as response:
        assert response.status == status


async def test_faults_are_read_back_and_nonsense_among_them_refused(open_shop: OpenShop) -> None:
    """The control endpoint shows what is set, and refuses a fault that does not exist."""
    async with open_shop("v2.0") as client:
        await _set_faults(client, error_ratio=0.25)
        async with client.put("/-/faults", json={"nonsense": 1}) as refused:
            status = refused.status

        assert (await _json(client, "GET", "/-/faults"))["error_ratio"] == 0.25
    assert status == 400


async def test_a_shop_that_closes_settles_what_is_under_way(open_shop: OpenShop, engine: AsyncEngine) -> None:
    """No payment stays pending because its version was stopped."""
    async with open_shop("v1.0") as client:
        visit = await _json(client, "GET", "/")
        cart = await _json(client, "POST", "/carts", visit_id=visit["visit_id"])
        await _json(client, "POST", "/payments", cart_id=cart["cart_id"], amount_cents=100)

    async with engine.connect() as connection:
        assert await connection.scalar(select(payments.c.status)) in ("succeeded", "failed")


async def test_a_shop_ends_with_the_demo_that_it_belongs_to(tmp_path: Path) -> None:
    """Even where the demo is killed, and can end nothing any more."""
    port = free_port()
    demo = await asyncio.create_subprocess_exec("sleep", "600")
    program = [sys.executable, "-m", "demo.shop.server", "--version", "v1.0", "--port", str(port)]
    program += ["--database", f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}", "--demo", str(demo.pid)]
    shop = await asyncio.create_subprocess_exec(*program)

    async def answers() -> bool:
        with suppress(aiohttp.ClientError):
            async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/-/healthy"):
                return True
        return False

    try:
        await eventually(answers, "the shop answers")
    finally:
        demo.kill()
    assert await shop.wait() == 0
