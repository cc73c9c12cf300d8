"""Means of elapsed time: how long customers took from one event to the next."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from canary.errors import PolicyError
from canary.policy.kpis import Kpi, Mean
from canary.policy.load import load_policy
from canary.rollout.kinds import Kind
from exporter.evidence.judge import Verdict
from tests.support.clock import FakeClock
from tests.support.databases.exporting import kpis, policy_for, refresher_on, settle
from tests.support.databases.shopdata import CARTS, ORDERS, VISITS, ShopData
from tests.support.receiving.entries import entry as entry_of
from tests.support.receiving.entries import rollout_of

CHECKOUT_TIME: dict[str, Kpi] = {
    "checkout_time": Mean(kind="mean", of="orders", since="checkouts", better="lower", action="rollback")
}


async def buy(data: ShopData, clock: FakeClock, version: str, ago: float, seconds: float, currency: str) -> None:
    """One customer who takes so many seconds from checkout to order."""
    began = clock.now() - timedelta(seconds=ago)
    visit = await data.insert(VISITS, version=version, created_at=began)
    cart = await data.insert(
        CARTS, version=version, visit_id=visit, created_at=began, checkout_started_at=began + timedelta(seconds=1)
    )
    await data.insert(
        ORDERS,
        version=version,
        visit_id=visit,
        cart_id=cart,
        total=10,
        currency=currency,
        created_at=began + timedelta(seconds=1 + seconds),
    )


async def test_checkout_time_is_averaged_whatever_the_currency(lite: ShopData, clock: FakeClock) -> None:
    """The gauge is the mean of seconds from checkout to order, over all currencies together."""
    await buy(lite, clock, "v1.0", 300, 30, "EUR")
    await buy(lite, clock, "v1.0", 200, 50, "PKR")
    async with refresher_on(replace(policy_for(lite.url), kpis=CHECKOUT_TIME), clock) as refresher:
        await settle(refresher, clock)

        assert kpis(refresher) == {("checkout_time", "v1.0"): pytest.approx(40, abs=0.01)}


async def test_a_canary_that_takes_longer_is_caught(lite: ShopData, clock: FakeClock) -> None:
    """A checkout that takes half as long again is proven harm; with `better: lower` longer is worse."""
    started = clock.now() - timedelta(minutes=30)
    for number in range(240):
        version, seconds = ("v2.0", 45) if number % 2 else ("v1.0", 30)
        await buy(lite, clock, version, 1750 - 7 * number, seconds + number % 7, "EUR")
    async with refresher_on(replace(policy_for(lite.url), kpis=CHECKOUT_TIME), clock) as refresher:
        data = {"stable": "v1.0", "canary": "v2.0", "traffic": [0.5, 1.0], "durations_seconds": [3600.0, 60.0]}
        refresher.rollout = rollout_of([entry_of("r-1", Kind.STARTED, started, "ann", "", data)])
        await settle(refresher, clock)

        evidence = refresher.snapshot.evidence

    assert evidence is not None
    kpi = evidence.kpis["checkout_time"]
    assert kpi.verdict is Verdict.FAIL
    assert kpi.lower < 0.45 < kpi.upper


def test_an_event_without_that_ancestor_is_refused(tmp_path: Path) -> None:
    """The policy must say how a row finds the event from which time is counted."""
    file = tmp_path / "canary.yaml"
    file.write_text("service: shop\nkpis:\n  time: {kind: mean, of: orders, since: feedback}\n")

    with pytest.raises(PolicyError, match=r"canary.yaml:3: kpis.time.since: 'orders' does not say which of 'feedback'"):
        load_policy(file)
