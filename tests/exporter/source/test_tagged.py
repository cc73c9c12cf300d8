"""Versions by the side that the router's tag names, in a header that the shop stores with its rows."""

from dataclasses import replace
from datetime import timedelta

import pytest

from canary.policy.model import Policy
from canary.policy.orders import DEFAULT_EVENTS
from canary.rollout.folding import fold
from canary.rollout.kinds import Kind
from canary.routers.tag import TAGS
from tests.support.clock import FakeClock
from tests.support.databases.exporting import policy_for, published, refresher_on, settle
from tests.support.databases.shopdata import ORDERS, PAYMENTS, VISITS, ShopData
from tests.support.receiving.entries import entry, started

_BOTH = f"Mozilla/5.0 {TAGS['canary']} {TAGS['stable']}"


def _policy(url: str) -> Policy:
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

    async with refresher_on(_policy(data.url), clock) as refresher:
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
    async with refresher_on(_policy(lite.url), clock) as refresher:
        await settle(refresher, clock, 40)
        assert published(refresher)["shop_visits_total"] == {("unknown",): 1.0}
