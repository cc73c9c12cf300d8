"""The refresher on real databases: exact, fresh, and honest about what it does not know."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from canary.policy.database.section import DEFAULT_EVENTS
from exporter.ledger.rows import FAILED_CODE, PENDING_CODE, SUCCEEDED_CODE
from tests.support.clock import FakeClock
from tests.support.databases.exporting import kpis, policy_for, published, refresher_on, settle
from tests.support.databases.shopdata import CARTS, ORDERS, PAYMENTS, VISITS, ShopData, fill


async def test_counters_agree_with_plain_counting(data: ShopData, clock: FakeClock) -> None:
    """After the past is counted, every counter says what SELECT … GROUP BY says."""
    await fill(data, clock.now(), 300, version="v1.0", seed=1)
    await fill(data, clock.now() - timedelta(days=3), 300, version="v0.9", seed=2)

    async with refresher_on(policy_for(data.url), clock) as refresher:
        await settle(refresher, clock)

        assert published(refresher) == await data.counts()


async def test_full_hours_are_counted_one_by_one(data: ShopData, clock: FakeClock) -> None:
    """Hours with many rows are counted without time buckets, and the counters still say what SELECT … GROUP BY says."""
    for days, seed in ((0, 1), (1, 2), (1.1, 3)):
        await fill(data, clock.now() - timedelta(days=days), 100, version="v1.0", seed=seed)

    async with refresher_on(policy_for(data.url), clock) as refresher:
        for feed in refresher.feeds:
            feed.many_rows = 0
        await settle(refresher, clock, times=20)

        assert published(refresher) == await data.counts()


async def test_kpis_are_each_versions_units_of_the_window(data: ShopData, clock: FakeClock) -> None:
    """Rows before the window do not touch the KPIs; within it they are plain shares and means."""
    await fill(data, clock.now() - timedelta(hours=2), 100, version="v1.0", seed=3)
    visits = [await data.insert(VISITS, version="v1.0", created_at=clock.now()) for _ in range(4)]
    cart = await data.insert(CARTS, version="v1.0", visit_id=visits[0], created_at=clock.now())
    for total in (10, 20):  # two orders of one visit are one conversion
        await data.insert(
            ORDERS, version="v1.0", visit_id=visits[0], cart_id=cart, status="paid", total=total, currency="EUR",
            created_at=clock.now(),
        )  # fmt: skip
    for status in ("succeeded", "failed", "succeeded", "pending"):
        settled = None if status == "pending" else clock.now()
        await data.insert(PAYMENTS, version="v1.0", status=status, created_at=clock.now(), settled_at=settled)

    async with refresher_on(policy_for(data.url), clock) as refresher:
        await settle(refresher, clock)
        found = kpis(refresher)

    assert found["conversion_rate", "v1.0"] == pytest.approx(1 / 4)
    assert found["cart_abandonment_rate", "v1.0"] == pytest.approx(0)
    assert found["average_order_value", "v1.0"] == pytest.approx(15)
    assert found["payment_success_rate", "v1.0"] == pytest.approx(2 / 3)
    assert ("customer_satisfaction", "v1.0") not in found


async def test_a_new_row_is_there_at_the_next_refresh(data: ShopData, clock: FakeClock) -> None:
    """What was committed before a refresh is published by it, in counters and KPIs alike."""
    await fill(data, clock.now(), 60, seed=4)
    async with refresher_on(policy_for(data.url), clock) as refresher:
        await settle(refresher, clock)
        before = published(refresher)["shop_visits_total"]["v1.0",]
        clock.advance(1)
        visit = await data.insert(VISITS, version="v1.0", created_at=clock.now())
        await data.insert(
            ORDERS, version="v1.0", visit_id=visit, status="paid", total=5, currency="EUR", created_at=clock.now()
        )
        await refresher.refresh()

        assert published(refresher)["shop_visits_total"]["v1.0",] == before + 1
        assert published(refresher) == await data.counts()


async def test_a_row_that_commits_late_is_counted(data: ShopData, clock: FakeClock) -> None:
    """A transaction that was open for a minute counts when it commits, without waiting for the reconciliation."""
    await fill(data, clock.now(), 60, seed=5)
    async with refresher_on(policy_for(data.url), clock) as refresher:
        await settle(refresher, clock)
        opened = clock.now()
        for _ in range(60):
            clock.advance(1)
            await refresher.refresh()
        await data.insert(VISITS, version="v1.0", created_at=opened)
        for _ in range(11):
            clock.advance(1)
            await refresher.refresh()

        assert published(refresher) == await data.counts()


async def test_a_pending_payment_counts_only_when_it_is_settled(data: ShopData, clock: FakeClock) -> None:
    """Only settled facts are counted, so that a counter never has to take anything back."""
    payment = await data.insert(PAYMENTS, version="v1.0", status="pending", created_at=clock.now())
    async with refresher_on(policy_for(data.url), clock) as refresher:
        await settle(refresher, clock)
        pending = published(refresher).get("shop_payments_total", {})
        clock.advance(400)
        await data.run(
            PAYMENTS.update().where(PAYMENTS.c.id == payment).values(status="failed", settled_at=clock.now())
        )
        await refresher.refresh()

        assert pending == {}
        assert published(refresher)["shop_payments_total"] == {("v1.0", "failed"): 1.0}


async def test_a_payment_without_settling_time_is_found_when_it_changes(lite: ShopData, clock: FakeClock) -> None:
    """A shop that only writes the status is counted too, for as long as a payment may be pending."""
    payment = await lite.insert(PAYMENTS, version="v1.0", status="pending", created_at=clock.now())
    async with refresher_on(policy_for(lite.url), clock) as refresher:
        await settle(refresher, clock)
        clock.advance(600)
        await refresher.refresh()
        await lite.run(PAYMENTS.update().where(PAYMENTS.c.id == payment).values(status="succeeded"))
        clock.advance(90)
        await refresher.refresh()

        assert published(refresher)["shop_payments_total"] == {("v1.0", "succeeded"): 1.0}


@pytest.mark.parametrize("stamped", [True, False], ids=["with a new time", "with the old time"])
async def test_a_payment_that_turns_in_place_is_what_it_became(lite: ShopData, clock: FakeClock, stamped: bool) -> None:
    """A second try on the same row, minutes after the first was final, is seen as long as a payment may be pending."""
    at = clock.now()
    payment = await lite.insert(PAYMENTS, version="v1.0", status="failed", created_at=at, settled_at=at)
    seen = []
    async with refresher_on(policy_for(lite.url), clock) as refresher:
        await settle(refresher, clock)
        for status in ("succeeded", "failed"):
            clock.advance(280)
            await refresher.refresh()
            changed = {"status": status, "settled_at": clock.now() if stamped else at}
            await lite.run(PAYMENTS.update().where(PAYMENTS.c.id == payment).values(**changed))
            for _ in range(3):
                clock.advance(40)
                await refresher.refresh()
            seen += [feed.rows().outcome.tolist() for feed in refresher.feeds if feed.stream.kind == "settled"]

    assert seen == [[SUCCEEDED_CODE], [FAILED_CODE]]


async def test_a_payment_that_is_fine_without_money_never_fails(lite: ShopData, clock: FakeClock) -> None:
    """A bank transfer that is awaited is told from an outcome that nobody named, and is what it becomes after hours."""
    payments = replace(DEFAULT_EVENTS["payments"], pending=("awaiting_wire",))
    policy = policy_for(lite.url, events=DEFAULT_EVENTS | {"payments": payments})
    for status in ("awaiting_wire", "lost"):
        await lite.insert(PAYMENTS, version="v1.0", status=status, created_at=clock.now() - timedelta(minutes=40))
    async with refresher_on(policy, clock) as refresher:
        await settle(refresher, clock)
        pending = next(feed for feed in refresher.feeds if feed.stream.kind == "pending")
        before = pending.rows().outcome.tolist()
        clock.advance(3600)
        refused = {"status": "failed", "settled_at": clock.now()}
        await lite.run(PAYMENTS.update().where(PAYMENTS.c.status == "awaiting_wire").values(**refused))
        for _ in range(3):
            clock.advance(40)
            await refresher.refresh()
        settled = next(feed for feed in refresher.feeds if feed.stream.kind == "settled")
        after = settled.rows().outcome.tolist()

    assert sorted(before) == [0, PENDING_CODE]
    assert after == [FAILED_CODE]


async def test_counters_wait_when_rows_vanish_and_kpis_do_not(data: ShopData, clock: FakeClock) -> None:
    """Deleted and cancelled rows lower the KPIs once seen; the counter stands still until it is caught up with."""
    await fill(data, clock.now(), 100, seed=6)
    policy = policy_for(data.url, reconcile=60)
    async with refresher_on(policy, clock) as refresher:
        await settle(refresher, clock)
        before = published(refresher)
        rate = kpis(refresher)["conversion_rate", "v1.0"]
        clock.advance(600)
        await refresher.refresh()
        await data.run(ORDERS.update().values(status="cancelled"))
        for _ in range(14):
            clock.advance(10)
            await refresher.refresh()
        during = published(refresher)
        lower = kpis(refresher)["conversion_rate", "v1.0"]
        corrections = refresher.snapshot.corrections
        await data.insert(ORDERS, version="v1.0", status="paid", total=1, currency="EUR", created_at=clock.now())
        await refresher.refresh()

        assert during == before
        assert published(refresher)["shop_orders_total"] == before["shop_orders_total"]
        assert rate > 0
        assert lower == 0
        assert corrections["orders"] >= 1
        assert refresher.snapshot.reconciled["orders"] == before["shop_orders_total"]["v1.0",]


async def test_reconciliation_finds_rows_of_long_ago(data: ShopData, clock: FakeClock) -> None:
    """A row that appears days after its time is counted by the reconciliation, and reported."""
    await fill(data, clock.now() - timedelta(days=2), 100, seed=7)
    async with refresher_on(policy_for(data.url, reconcile=60), clock) as refresher:
        await settle(refresher, clock)
        await data.insert(VISITS, version="v1.0", created_at=clock.now() - timedelta(days=2, hours=5))
        for _ in range(26 * 2):
            clock.advance(30)
            await refresher.refresh()

        assert published(refresher) == await data.counts()
        assert refresher.snapshot.reconciled["visits"] == 1


async def test_a_database_without_our_tables_is_not_up(tmp_path: Path, clock: FakeClock) -> None:
    """Where nothing can be read the database is not up, whatever it answers, and each kind of error is counted."""
    (tmp_path / "empty.db").touch()
    async with refresher_on(policy_for(f"sqlite:///{tmp_path}/empty.db"), clock) as refresher:
        await refresher.refresh()

        assert refresher.snapshot.database_up is False
        assert refresher.snapshot.kpis is None
        assert refresher.snapshot.schema_compatible is False
        assert refresher.snapshot.errors["schema"] >= len(refresher.policy.database.events)


async def test_one_event_that_cannot_be_read_leaves_the_others(lite: ShopData, clock: FakeClock) -> None:
    """When one table goes, its KPIs go with it; the other KPIs stay and stay fresh."""
    await fill(lite, clock.now(), 50)
    async with refresher_on(policy_for(lite.url), clock) as refresher:
        await settle(refresher, clock)
        whole = kpis(refresher)
        async with lite.engine.begin() as connection:
            await connection.exec_driver_sql("DROP TABLE feedback")
        clock.advance(1)
        await lite.insert(VISITS, version="v1.0", created_at=clock.now())
        await refresher.refresh()
        rest = kpis(refresher)

        assert ("customer_satisfaction", "v1.0") in whole
        assert set(rest) == set(whole) - {("customer_satisfaction", "v1.0")}
        assert published(refresher)["shop_visits_total"] == {("v1.0",): 51}
        assert refresher.snapshot.database_up is True


async def test_a_clock_set_back_prolongs_no_pause(lite: ShopData, clock: FakeClock) -> None:
    """A table that could not be read is read again some seconds later, though the clock was set back by an hour."""
    await fill(lite, clock.now(), 50)
    async with refresher_on(policy_for(lite.url), clock) as refresher:
        await settle(refresher, clock)
        whole = kpis(refresher)
        await lite.run(sa.text("ALTER TABLE feedback RENAME TO elsewhere"))
        clock.advance(1)
        await refresher.refresh()
        gone = kpis(refresher)
        await lite.run(sa.text("ALTER TABLE elsewhere RENAME TO feedback"))
        clock.set_wall(-3600)
        clock.advance(60)
        await refresher.refresh()

        assert set(gone) < set(whole)
        assert all(feed.fault is None for feed in refresher.feeds)
        assert refresher.snapshot.schema_compatible is True
