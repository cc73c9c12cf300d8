"""The running rollout's judgement, from rows in a database to evidence."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from canary import names
from canary.errors import DatabaseUnavailableError
from canary.policy.database.section import Exclude
from canary.policy.kpis import Success
from canary.policy.model import Policy
from canary.rollout.entries import Entry
from canary.rollout.folding import fold
from canary.rollout.kinds import Kind
from canary.rollout.state import Moment, Rollout
from exporter.publish.collector import ExporterCollector
from exporter.refresher import Refresher
from tests.support.clock import FakeClock
from tests.support.databases.exporting import kpis, policy_for, published, refresher_on, settle
from tests.support.databases.shopdata import CARTS, ORDERS, PAYMENTS, VISITS, ShopData
from tests.support.receiving.entries import entry as entry_of
from tests.support.receiving.entries import started
from tests.support.threads import SlowThreads


def _rollout(policy: Policy, at: datetime, *more: Entry) -> Rollout:
    phases = policy.phases
    first = started(
        "r1", at,
        traffic=tuple(phase.traffic for phase in phases), durations_seconds=tuple(phase.duration for phase in phases),
    )  # fmt: skip
    return fold([first, *more])["r1"]


async def _shop(data: ShopData, at: datetime, seconds: int, *, canary_pays: float, seed: int = 1) -> None:
    """Ten visits a second from *at* on, half of them the canary's, each ending in a payment and perhaps an order."""
    luck = random.Random(seed)
    rows: dict[Any, list[dict[str, Any]]] = {VISITS: [], CARTS: [], ORDERS: [], PAYMENTS: []}
    for number in range(seconds * 10):
        moment = at + timedelta(seconds=number / 10)
        version = "v2.0" if luck.random() < 0.5 else "v1.0"
        key = seed * 10**6 + number
        paid = luck.random() < (canary_pays if version == "v2.0" else 0.97)
        rows[VISITS].append({"id": key, "version": version, "created_at": moment})
        rows[CARTS].append(
            {"id": key, "version": version, "visit_id": key, "created_at": moment, "checkout_started_at": moment}
        )
        rows[PAYMENTS].append(
            {
                "id": key, "version": version, "status": "succeeded" if paid else "failed",
                "created_at": moment, "settled_at": moment,
            }
        )  # fmt: skip
        if paid:
            rows[ORDERS].append(
                {
                    "id": key, "version": version, "visit_id": key, "cart_id": key, "status": "paid",
                    "total": luck.randint(10, 50), "currency": "EUR", "created_at": moment,
                }
            )  # fmt: skip
    async with data.engine.begin() as connection:
        for table, values in rows.items():
            await connection.execute(table.insert(), values)


@asynccontextmanager
async def _judging(policy: Policy, clock: FakeClock, rollout: Rollout, seconds: float) -> AsyncIterator[Refresher]:
    """An exporter that is told of a rollout, and has settled *seconds* later."""
    async with refresher_on(policy, clock) as refresher:
        refresher.rollout = rollout
        clock.advance(seconds)
        await settle(refresher, clock)
        yield refresher


async def _look(refresher: Refresher, clock: FakeClock, seconds: int, step: int = 10) -> None:
    for _ in range(seconds // step):
        clock.advance(step)
        await refresher.refresh()


def _verdicts(refresher: Refresher) -> dict[str, str]:
    evidence = refresher.snapshot.evidence
    assert evidence is not None
    return {name: kpi.verdict.value for name, kpi in evidence.kpis.items()}


async def test_failing_payments_are_proven(data: ShopData, clock: FakeClock) -> None:
    """A canary whose payments fail is proven to harm, with every number; conversions are held against its weight."""
    policy = policy_for(data.url)
    start = clock.now()
    await _shop(data, start, 60, canary_pays=0.5)
    async with _judging(policy, clock, _rollout(policy, start), 1) as refresher:
        await _look(refresher, clock, 70)
        evidence = refresher.snapshot.evidence

        assert _verdicts(refresher)["payment_success_rate"] == "fail"
        assert evidence is not None
        # Half of the visits are the canary's under a weight of 5 %, so that its share of the orders is no loss.
        assert _verdicts(refresher)["conversion_rate"] == "hold"
        payments = evidence.kpis["payment_success_rate"]
        assert payments.log10_evidence >= payments.log10_threshold
        assert -0.7 < payments.estimate < -0.3
        assert payments.floor is not None
        assert payments.floor.log10_evidence > 2
        values = refresher.snapshot.role_values["payment_success_rate"]
        assert values["canary"] == pytest.approx(0.5, abs=0.15)
        assert values["stable"] == pytest.approx(0.97, abs=0.05)
        assert evidence.mismatch is not None


async def test_a_healthy_canary_is_not_accused(lite: ShopData, clock: FakeClock) -> None:
    """Two versions that do the same are never told apart."""
    policy = policy_for(lite.url)
    start = clock.now()
    await _shop(lite, start, 120, canary_pays=0.97)
    async with _judging(policy, clock, _rollout(policy, start), 1) as refresher:
        await _look(refresher, clock, 130)

        assert "fail" not in _verdicts(refresher).values()


async def test_a_column_parts_the_customers(lite: ShopData, clock: FakeClock) -> None:
    """What a KPI's `by` names is read of each row; the values that were frequent before the start have series."""
    paid = Success(kind="success", of="payments", by="status", action="rollback")
    policy = replace(policy_for(lite.url), kpis={"paid": paid})
    before, start = clock.now(), clock.now() + timedelta(seconds=40)
    await _shop(lite, before, 80, canary_pays=0.7)
    async with _judging(policy, clock, _rollout(policy, start), 41) as refresher:
        await _look(refresher, clock, 60)
        registry = CollectorRegistry()
        registry.register(ExporterCollector(lambda: refresher.snapshot, clock))

        def units(segment: str, role: str) -> float | None:
            labels = {"service": policy.service, "rollout": "r1", "kpi": "paid", "segment": segment, "role": role}
            return registry.get_sample_value(names.KPI_SEGMENT_UNITS, labels)

        assert units("succeeded", "stable") > units("failed", "stable")  # type: ignore[operator]  # both are there
        assert units("other", "canary") == 0


async def test_a_restart_and_late_rows_change_nothing(lite: ShopData, clock: FakeClock) -> None:
    """An exporter that looked all the time and one that was just started say the same."""
    policy = policy_for(lite.url)
    start = clock.now()
    async with _judging(policy, clock, _rollout(policy, start), 1) as watching:
        for minute in range(5):
            await _shop(lite, start + timedelta(seconds=minute * 60), 60, canary_pays=0.9, seed=minute + 1)
            await _look(watching, clock, 60, step=5)
        await lite.insert(PAYMENTS, version="v2.0", status="failed", created_at=clock.now() - timedelta(seconds=100),
                          settled_at=clock.now() - timedelta(seconds=90))  # fmt: skip
        await _look(watching, clock, 20)

        async with refresher_on(policy, clock) as started:
            started.rollout = watching.rollout
            await settle(started, clock)
            clock.advance(30)
            await started.refresh()
            await watching.refresh()
            first, second = watching.snapshot.evidence, started.snapshot.evidence

    assert first is not None
    assert second is not None
    assert second.as_of == first.as_of
    for name, kpi in first.kpis.items():
        assert second.kpis[name].log10_evidence == pytest.approx(kpi.log10_evidence, abs=1e-9)
        assert second.kpis[name].canary_units == kpi.canary_units


async def test_rows_of_a_long_rollout_are_forgotten_once_judged(lite: ShopData, clock: FakeClock) -> None:
    """A rollout of ten hours is judged from its beginning, and only its last hours stay in memory."""
    policy = policy_for(lite.url)
    start = clock.now() - timedelta(hours=10)
    await _shop(lite, start, 60, canary_pays=0.5)
    await _shop(lite, clock.now(), 10, canary_pays=0.5, seed=2)
    async with _judging(policy, clock, _rollout(policy, start), 15) as refresher:
        await _look(refresher, clock, 30)
        first = refresher.snapshot.evidence
        held = max(len(feed.rows()) for feed in refresher.feeds)
        await _look(refresher, clock, 60)
        second = refresher.snapshot.evidence

        assert first is not None
        assert second is not None
        assert held <= 100
        assert second.kpis["payment_success_rate"].canary_units > 250
        assert second.kpis["payment_success_rate"].log10_evidence == pytest.approx(
            first.kpis["payment_success_rate"].log10_evidence
        )


async def test_an_order_belongs_to_the_side_of_its_visit(lite: ShopData, clock: FakeClock) -> None:
    """A customer who came in on stable and ordered on the canary after the weight grew converted stable's visit."""
    policy = policy_for(lite.url)
    start = clock.now()
    visit = await lite.insert(VISITS, version="v1.0", created_at=start + timedelta(seconds=1))
    await lite.insert(VISITS, version="v2.0", created_at=start + timedelta(seconds=1))
    await lite.insert(
        ORDERS, version="v2.0", visit_id=visit, status="paid", total=1, currency="EUR",
        created_at=start + timedelta(seconds=5),
    )  # fmt: skip
    async with _judging(policy, clock, _rollout(policy, start), 30) as refresher:
        assert refresher.snapshot.role_values["conversion_rate"] == {"stable": 1.0, "canary": 0.0}


async def test_what_cannot_be_read_for_long_makes_the_judge_blind(lite: ShopData, clock: FakeClock) -> None:
    """When the database has been silent for longer than the limit, every verdict is blind and a reason is given."""
    policy = policy_for(lite.url)
    start = clock.now()
    await _shop(lite, start, 20, canary_pays=0.97)
    async with _judging(policy, clock, _rollout(policy, start), 25) as refresher:
        seeing = _verdicts(refresher)

        async def nothing(*_: object) -> Any:
            raise DatabaseUnavailableError("gone")

        refresher.sources.sessions[None].rows = nothing  # type: ignore[assignment]  # the database goes away
        clock.advance(60)
        with pytest.raises(DatabaseUnavailableError):
            await refresher.refresh()
        still = _verdicts(refresher)
        clock.advance(90)
        with pytest.raises(DatabaseUnavailableError):
            await refresher.refresh()

        assert "blind" not in seeing.values()
        assert "blind" not in still.values()
        assert set(_verdicts(refresher).values()) == {"blind"}
        assert "database" in refresher.snapshot.blind
        assert refresher.snapshot.kpis is None


async def test_blindness_does_not_wait_for_the_next_look(lite: ShopData, clock: FakeClock) -> None:
    """After a slow look none is due for a while; a verdict that nobody may rely on any more is blind all the same."""
    policy = policy_for(lite.url)
    start = clock.now()
    await _shop(lite, start, 20, canary_pays=0.97)
    async with _judging(policy, clock, _rollout(policy, start), 25) as refresher:
        seeing, values = _verdicts(refresher), refresher.judge.roles
        now = clock.now().timestamp()
        refresher.judge.threads = SlowThreads(clock, 10)
        await refresher.judge.look(now + 1, refresher.rollout, {}, 0)
        await refresher.judge.look(now + 2, refresher.rollout, dict.fromkeys(policy.kpis, "replica"), 0)
        evidence = refresher.judge.evidence

    assert "blind" not in seeing.values()
    assert evidence is not None
    assert {kpi.verdict.value for kpi in evidence.kpis.values()} == {"blind"}
    assert refresher.judge.roles == values


async def test_a_kpi_that_becomes_blind_between_looks_blinds_no_other(lite: ShopData, clock: FakeClock) -> None:
    """Until the next look is due nobody reads rows, and what was said of all others is still what is known of them."""
    policy = policy_for(lite.url)
    start = clock.now()
    await _shop(lite, start, 20, canary_pays=0.97)
    async with _judging(policy, clock, _rollout(policy, start), 25) as refresher:
        seen, now = refresher.judge.evidence, clock.now().timestamp()
        refresher.judge.threads = SlowThreads(clock, 10)
        await refresher.judge.look(now + 1, refresher.rollout, {}, 0)
        await refresher.judge.look(now + 2, refresher.rollout, {"customer_satisfaction": "database"}, 0)
        evidence = refresher.judge.evidence

    assert seen is not None
    assert evidence is not None
    assert evidence.kpis["customer_satisfaction"].blind_reason == "database"
    others = evidence.kpis.keys() - {"customer_satisfaction"}
    assert {name: evidence.kpis[name].verdict for name in others} == {name: seen.kpis[name].verdict for name in others}
    assert evidence.mismatch is not None


async def test_the_floor_stays_watched_after_promotion(lite: ShopData, clock: FakeClock) -> None:
    """After the canary has all traffic its floor is judged on, for as long as the policy says."""
    policy = policy_for(lite.url)
    start = clock.now()
    await _shop(lite, start, 60, canary_pays=0.5)
    async with refresher_on(policy, clock) as refresher:
        promoted = entry_of("r1", Kind.PROMOTED, start + timedelta(seconds=1), "test")
        refresher.rollout = _rollout(policy, start, promoted)
        clock.advance(61)
        await settle(refresher, clock)
        evidence = refresher.snapshot.evidence
        refresher.rollout = replace(refresher.rollout, promoted=Moment(start - timedelta(days=3)))
        clock.advance(1)
        await refresher.refresh()

        assert evidence is not None
        assert evidence.kpis["payment_success_rate"].frozen
        assert evidence.kpis["payment_success_rate"].verdict.value == "fail"
        assert refresher.snapshot.evidence is None


async def test_values_of_different_currencies_are_not_mixed(lite: ShopData, clock: FakeClock) -> None:
    """The mean of an event with several currencies is judged in the commonest one, and published for each."""
    policy = policy_for(lite.url)
    start = clock.now()
    for number in range(30):
        currency, total = ("JPY", 5000) if number % 10 == 0 else ("EUR", 10)
        await lite.insert(
            ORDERS, version="v1.0", status="paid", total=total, currency=currency,
            created_at=start + timedelta(seconds=number / 10),
        )  # fmt: skip
    async with _judging(policy, clock, _rollout(policy, start), 20) as refresher:
        published = {(kpi.kpi, kpi.currency): kpi.value for kpi in refresher.snapshot.kpis or ()}

        assert refresher.snapshot.role_values["average_order_value"] == {"stable": 10.0}
        assert published["average_order_value", "EUR"] == 10.0
        assert published["average_order_value", "JPY"] == 5000.0


async def test_a_shop_without_a_first_order_is_judged(lite: ShopData, clock: FakeClock) -> None:
    """Until rows tell the currency of a mean, the other KPIs are judged; one row without a currency tells none."""
    policy = policy_for(lite.url)
    start = clock.now()
    for version in ("v1.0", "v2.0"):
        await lite.insert(VISITS, version=version, created_at=start + timedelta(seconds=1))
    async with _judging(policy, clock, _rollout(policy, start), 20) as refresher:
        assert refresher.snapshot.role_values["conversion_rate"] == {"stable": 0.0, "canary": 0.0}

        await lite.insert(
            ORDERS, version="v2.0", status="paid", total=10, currency=None, created_at=start + timedelta(seconds=22)
        )
        clock.advance(20)
        await settle(refresher, clock)

        assert {"average_order_value", "conversion_rate"} <= _verdicts(refresher).keys()


async def test_a_shop_without_the_table_of_visits_is_judged(lite: ShopData, clock: FakeClock) -> None:
    """Where the event that customers would come in with has no table, each payment is judged on its own side."""
    policy = policy_for(lite.url)
    policy = replace(policy, kpis={"payment_success_rate": policy.kpis["payment_success_rate"]})
    start = clock.now()
    await _shop(lite, start, 30, canary_pays=0.5)
    await lite.run(sa.text("DROP TABLE visits"))
    async with _judging(policy, clock, _rollout(policy, start), 31) as refresher:
        evidence = refresher.snapshot.evidence

    assert evidence is not None
    payments = evidence.kpis["payment_success_rate"]
    assert (payments.blind_reason, payments.verdict) == (None, "hold")  # nobody's customers: harm only holds
    assert payments.canary_units > 100
    assert payments.log10_evidence >= payments.log10_threshold


async def test_the_shops_own_people_are_nobodys_customers(data: ShopData, clock: FakeClock) -> None:
    """An excluded customer's rows, and all that descends from them, are in no counter, no KPI and no judgement."""
    start, everybody = clock.now(), policy_for(data.url)
    policy = replace(everybody, database=replace(everybody.database, exclude=Exclude(units=("staff",))))
    every: dict[str, Any] = {"version": "v2.0", "created_at": start}
    rows: dict[Any, list[dict[str, Any]]] = {VISITS: [], ORDERS: [], PAYMENTS: []}
    for key in range(1, 401):
        staff = key <= 200
        paid, total = ("failed", 1000) if staff else ("succeeded", 10)
        rows[VISITS].append({"id": key, "visitor_id": "staff" if staff else f"c{key}", **every})
        rows[ORDERS].append({"id": key, "visit_id": key, "total": total, "currency": "EUR", "status": "paid", **every})
        rows[PAYMENTS].append({"id": key, "order_id": key, "status": paid, "settled_at": start, **every})
    async with data.engine.begin() as connection:
        for table, values in rows.items():
            await connection.execute(table.insert(), values)
    async with _judging(policy, clock, _rollout(policy, start), 10) as refresher:
        await _look(refresher, clock, 60)
        evidence, counters, roles = refresher.snapshot.evidence, published(refresher), refresher.snapshot.role_values
        shown = kpis(refresher)

    assert evidence is not None
    judged = ("conversion_rate", "average_order_value", "payment_success_rate")
    assert {evidence.kpis[name].canary_units for name in judged} == {200}
    assert [counters[name]["v2.0",] for name in ("shop_visits_total", "shop_orders_total")] == [200, 200]
    assert counters["shop_order_value_total"]["v2.0", "EUR"] == 2000
    assert counters["shop_payments_total"]["v2.0", "succeeded"] == 200
    assert not counters["shop_payments_total"].get(("v2.0", "failed"))
    assert [shown[name, "v2.0"] for name in judged] == [1, 10, 1]
    assert [roles[name]["canary"] for name in judged] == [1, 10, 1]
