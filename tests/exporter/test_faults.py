"""One odd value does not end the exporter, and does not hide: it is counted, logged once, and left behind when gone."""

import logging

import pytest
import sqlalchemy as sa

from canary.errors import DatabaseTimeoutError, DatabaseUnavailableError
from canary.logs import Log
from exporter.faults import UNEXPECTED, Faults
from tests.support.clock import FakeClock
from tests.support.databases.exporting import kpis, policy_for, published, refresher_on, settle
from tests.support.databases.shopdata import FEEDBACK, VISITS, ShopData, fill


def test_whatever_goes_wrong_is_counted_by_kind_and_survived() -> None:
    """Our own errors have a kind; everything else is `unexpected`, so that the label stays bounded."""
    faults = Faults(Log("test"))

    for error in (DatabaseTimeoutError("slow"), ZeroDivisionError(), OverflowError("year 0")):
        with faults.survived("an event cannot be read", event="orders") as attempt:
            raise error
        assert attempt.error is error

    assert faults.counts == {"timeout": 1, UNEXPECTED: 2}


def test_a_database_that_is_gone_is_passed_on() -> None:
    """Without a connection no other event can be read either: whoever asked must stop asking."""
    faults = Faults(Log("test"))

    with pytest.raises(DatabaseUnavailableError), faults.survived("an event cannot be read"):
        raise DatabaseUnavailableError("gone")


def test_the_first_example_is_logged_and_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """A fault that repeats every second is one line, that it is over another; another event's fault has its own."""
    faults = Faults(Log("test"))
    caplog.set_level(logging.INFO)

    for event, works in [("a", False), ("a", False), ("b", False), ("a", True), ("a", True), ("a", False)]:
        with faults.survived("cannot be read", event=event):
            if not works:
                raise ValueError(event)

    assert [record.getMessage() for record in caplog.records] == [
        "cannot be read", "cannot be read", "no longer: cannot be read", "cannot be read"
    ]  # fmt: skip


async def test_a_value_that_is_none_costs_itself(
    lite: ShopData, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A text where a score should be is left out, counted once and logged without what it says; all else counts on."""
    await fill(lite, clock.now(), 50)
    async with refresher_on(policy_for(lite.url), clock) as refresher:
        await settle(refresher, clock)
        whole = kpis(refresher)
        number = await lite.insert(FEEDBACK, version="v1.0", created_at=clock.now())
        await lite.run(sa.text(f"UPDATE feedback SET score = 'great' WHERE id = {number}"))
        for _ in range(3):
            clock.advance(1)
            await lite.insert(VISITS, version="v1.0", created_at=clock.now())
            await refresher.refresh()

        satisfaction = "customer_satisfaction", "v1.0"
        assert kpis(refresher)[satisfaction] == whole[satisfaction]
        assert published(refresher)["shop_visits_total"] == {("v1.0",): 53}
        assert refresher.snapshot.errors == {"odd_number": 1}
        assert "great" not in caplog.text
        assert "aaaaa" in str(caplog.records[-1].__dict__)


async def test_an_odd_value_in_the_past_leaves_the_past_complete(lite: ShopData, clock: FakeClock) -> None:
    """The order of yesterday counts, its total is left out, and the sum is that of the others."""
    await fill(lite, clock.now(), 50)
    await lite.run(sa.text("UPDATE orders SET total = '12,50' WHERE id = (SELECT min(id) FROM orders)"))
    expected = await lite.run(sa.text("SELECT count(*), sum(total) FILTER (WHERE total <> '12,50') FROM orders"))
    async with refresher_on(policy_for(lite.url), clock) as refresher:
        await settle(refresher, clock)

        found = published(refresher)
        assert found["shop_orders_total"] == {("v1.0",): expected[0][0]}
        assert found["shop_order_value_total"] == {("v1.0", "EUR"): pytest.approx(expected[0][1])}
        assert refresher.snapshot.blind == frozenset()


async def test_what_cannot_be_judged_is_unknown(
    lite: ShopData, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the joins break, no old KPI stays published, the reason is said, and counting goes on."""
    await fill(lite, clock.now(), 50)
    async with refresher_on(policy_for(lite.url), clock) as refresher:
        await settle(refresher, clock)
        with monkeypatch.context() as patch:
            patch.setattr(refresher.judge, "_count_window", lambda *_: 1 / 0)
            clock.advance(1)
            await lite.insert(VISITS, version="v1.0", created_at=clock.now())
            await refresher.refresh()
            broken = refresher.snapshot
        clock.advance(1)
        await refresher.refresh()

        assert broken.kpis is None
        assert "judge" in broken.blind
        assert published(refresher)["shop_visits_total"] == {("v1.0",): 51}
        assert kpis(refresher)
        assert "judge" not in refresher.snapshot.blind
