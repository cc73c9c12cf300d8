"""The shop's feature flag, asked of a real receiver by OpenFeature's own SDK."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from demo.shop.flags import EXPRESS, POLICY, STANDARD, CheckoutFlag, groups
from tests.demo.conftest import Client, OpenShop
from tests.support.programs.ports import free_port
from tests.support.receiving.receiver import Setting, order, receiving

TOKEN = "flags-token"
BETA_USER, USER = "0b5", "9a7"
USERS = [f"{number:02x}" for number in range(64)]
_LONG_SECONDS = 60.0
"""A customer's patience on a machine that has much else to do."""

# Which checkout somebody gets does not depend on the database.
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
async def receiver(tmp_path: Path) -> AsyncIterator[Setting]:
    """A receiver that knows the shop's flag, listening."""
    (tmp_path / "flags-token").write_text(f"{TOKEN}\n")
    changes = {"flags": POLICY, "receiver": {"flags_token_file": "../flags-token"}}
    setting = Setting(tmp_path / "receiver", changes=changes)
    async with receiving(setting):
        yield setting


async def _checkout(client: Client, user: str) -> str:
    """Which checkout a customer is told to have."""
    headers = {"Cookie": f"user_id={user}"}
    async with client.get("/", headers=headers) as visit:
        visit_id = (await visit.json())["visit_id"]
    async with client.post("/carts", json={"visit_id": visit_id}, headers=headers) as cart:
        cart_id = (await cart.json())["cart_id"]
    async with client.post("/checkout", json={"cart_id": cart_id}, headers=headers) as checkout:
        return str((await checkout.json())["checkout"])


async def test_the_flag_follows_the_rollout_and_a_rollback_switches_it_off(receiver: Setting) -> None:
    """Beta users have the express checkout while a rollout runs, and nobody has it with the first question after."""
    flag = CheckoutFlag(receiver.url, TOKEN, _LONG_SECONDS)

    before = await flag.variant(BETA_USER)
    await order(receiver, "start", canary="v2.0", stable="v1.0", actor="ann", force=True)
    during = await flag.variant(BETA_USER)
    await order(receiver, "rollback", actor="ann", reason="complaints")
    after = await flag.variant(BETA_USER)

    assert (before, during, after) == (STANDARD, EXPRESS, STANDARD)


@on_sqlite
async def test_both_versions_give_a_customer_the_same_checkout_and_count_it(
    receiver: Setting, open_shop: OpenShop
) -> None:
    """Whichever version serves them, half of the customers have it with half of the traffic, and always the same."""
    flag = CheckoutFlag(receiver.url, TOKEN, _LONG_SECONDS)
    await order(receiver, "start", canary="v2.0", stable="v1.0", actor="ann", force=True)
    await order(receiver, "advance", actor="ann", force=True)

    async with open_shop("v1.0", flag) as stable, open_shop("v2.0", flag) as canary:
        at_stable = [await _checkout(stable, user) for user in USERS]
        at_canary = [await _checkout(canary, user) for user in USERS]
        async with canary.get("/metrics") as response:
            metrics = await response.text()

    others = [variant for user, variant in zip(USERS, at_stable, strict=True) if not groups(user)]
    assert at_stable == at_canary
    assert {STANDARD, EXPRESS} == set(others)
    assert f'checkouts_total{{variant="express",version="v2.0"}} {at_canary.count(EXPRESS)}.0' in metrics


async def test_without_a_usable_answer_the_checkout_is_the_standard_one(receiver: Setting) -> None:
    """A receiver that is not there, does not know the token or never answers costs nobody the checkout."""
    await order(receiver, "start", canary="v2.0", stable="v1.0", actor="ann", force=True)

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        silence.append(writer)

    silence: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        for url, token in (
            (f"http://127.0.0.1:{free_port()}", TOKEN),
            (receiver.url, "another token"),
            (f"http://127.0.0.1:{port}", TOKEN),
        ):
            flag = CheckoutFlag(url, token)
            # More at once than there are threads to wait in.
            assert set(await asyncio.gather(*(flag.variant(BETA_USER) for _ in range(50)))) == {STANDARD}
        for writer in silence:
            writer.close()


def test_some_customers_are_beta_users() -> None:
    """Who is a beta user is fixed, and few are."""
    assert groups(BETA_USER)
    assert not groups(USER)
