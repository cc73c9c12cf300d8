"""The word that HAProxy and nginx put behind a header: the side that serves, whatever a client sends."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from canary.errors import RouterError
from canary.policy.model import Policy
from canary.policy.routers.sections import CommandRouter, HaproxyRouter
from canary.policy.routers.slots import Slots
from canary.routers import Split
from canary.routers.tag import TAGS, with_tag
from tests.support.web.traffic import Customer, Upstream

Make = Callable[..., Any]


@pytest.fixture(params=["haproxy", "nginx"])
def make(request: pytest.FixtureRequest, make_haproxy: Make, make_nginx: Make) -> Make:
    """Makes the router that the test is about."""
    return make_haproxy if request.param == "haproxy" else make_nginx


async def arrived(front: Any, sides: dict[str, Upstream], header: str, sent: str | None) -> dict[str, set[str]]:
    """What is behind the header by the side that it arrived at, of some customers who send a text in it."""
    found: dict[str, set[str]] = {side: set() for side in sides}
    for number in range(24):
        customer = Customer(front.port, f"customer-{number}", {} if sent is None else {header: sent})
        await customer.ask()
        customer.close()
    for side, upstream in sides.items():
        found[side] = {arrival.headers.get(header.lower(), "") for arrival in upstream.arrivals}
        upstream.arrivals.clear()
    return found


async def test_the_header_says_which_side_served(make: Make, stable: Upstream, canary: Upstream) -> None:
    """Behind what the client sent, or alone where it sent none; what it says of another side stays there."""
    front = make(tag_header="User-Agent")
    await front.start()
    await front.router.set_weight(Split("r1", 0.5))
    sides = {"stable": stable, "canary": canary}

    for sent in ("Mozilla/5.0 (X11; a, b)", None, TAGS["canary"]):
        behind = await arrived(front, sides, "User-Agent", sent)
        assert behind == {side: {" ".join(filter(None, (sent, tag)))} for side, tag in TAGS.items()}


async def test_the_chain_of_addresses_keeps_its_addresses(make: Make, stable: Upstream, canary: Upstream) -> None:
    """The tag stands behind the customer's own address, and no address is there twice."""
    front = make(tag_header="x-forwarded-for")
    await front.start()
    await front.router.set_weight(Split("r1", 0.5))
    headers = await arrived(front, {"stable": stable, "canary": canary}, "X-Forwarded-For", None)

    assert headers == {side: {f"127.0.0.1, {tag}"} for side, tag in TAGS.items()}


async def test_of_slots_the_tag_says_the_role(make: Make, stable: Upstream, canary: Upstream) -> None:
    """When slot b is the stable one, what slot a serves is the canary's."""
    front = make(slots=Slots(a=(stable.address,), b=(canary.address,)), tag_header="user-agent")
    await front.start()
    for split in (Split("r1", 0.25, stable_slot="a"), Split("r1", 0.75, stable_slot="b")):
        await front.router.set_weight(split)
        a, b = ("stable", "canary") if split.stable_slot == "a" else ("canary", "stable")
        sides = {a: stable, b: canary}
        behind = await arrived(front, sides, "User-Agent", "x")
        assert behind == {side: {f"x {tag}"} for side, tag in TAGS.items()}


@pytest.mark.parametrize(
    "header",
    [
        *("Host", "cookie", "X-Forwarded-Proto", "x-canary-user", "User Agent", ""),
        *(
            "Origin",
            "Accept",
            "Accept-Language",
            "Proxy-Authorization",
            "X-Auth-Token",
            "CF-Connecting-IP",
            "X-Shop-User",
        ),
    ],
)
def test_headers_that_steer_a_request_are_refused(header: str) -> None:
    """One more word in them would change what is asked, or who asks: the header by which the router knows customers."""
    policy = Policy(service="shop", router=(HaproxyRouter(kind="haproxy", sticky="header", key="x-shop-user"),))

    with pytest.raises(RouterError, match="--tag-header"):
        with_tag(policy, header)


def test_a_router_that_cannot_write_it_is_told_what_to_write() -> None:
    """Whoever has a router of their own appends the same words by its means."""
    policy = Policy(service="shop", router=(CommandRouter(kind="command", set=("a",), read=("b",)),))

    with pytest.raises(RouterError, match="append kpi-canary/stable or kpi-canary/canary"):
        with_tag(policy, "user-agent")
    both = with_tag(replace(policy, router=(*policy.router, HaproxyRouter(kind="haproxy"))), "user-agent")
    assert isinstance(both.router[1], HaproxyRouter)
    assert both.router[1].tag_header == "user-agent"
