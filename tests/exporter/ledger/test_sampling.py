"""A large shop judged by a sample of its customers."""

import hashlib
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from canary.policy.model import Evidence
from exporter.ledger.reader import HASHES
from exporter.source.columns.values import id_number
from tests.support.clock import FakeClock
from tests.support.databases.exporting import kpis, policy_for, published, refresher_on, settle
from tests.support.databases.shopdata import CARTS, ORDERS, PAYMENTS, VISITS, ShopData, fill


def _chosen(customer: Any, ratio: float) -> bool:
    return hashlib.md5(str(customer).encode()).hexdigest()[:3] < f"{round(ratio * HASHES):03x}"


async def _rows(data: ShopData, *columns: sa.Column[Any]) -> list[Any]:
    async with data.engine.connect() as connection:
        return list((await connection.execute(sa.select(*columns))).all())


async def test_each_database_gives_the_rows_of_the_same_customers(data: ShopData, clock: FakeClock) -> None:
    """Whoever is in the sample is in it with all that descends from their visits; counters count everybody."""
    await fill(data, clock.now(), 300)
    await data.run(VISITS.update().values(visitor_id=sa.cast(VISITS.c.id % 60, sa.String(10))))
    await data.run(PAYMENTS.delete().where(PAYMENTS.c.order_id.is_(None)))
    expected = await data.counts()
    policy = replace(policy_for(data.url), evidence=Evidence(sample_above=20))
    async with refresher_on(policy, clock) as refresher:
        await settle(refresher, clock)
        everybody = kpis(refresher)
        clock.advance(16)
        await settle(refresher, clock)
        ratio, counted = refresher.snapshot.sample_ratio, published(refresher)
        held = {feed.stream.event: set(feed.rows().ids.tolist()) for feed in refresher.feeds if feed.stream.fresh}
        units = {kpi.kpi: kpi.units for kpi in refresher.snapshot.kpis or ()}

    assert ratio in (0.5, 0.25)
    assert counted == expected
    visits = {
        visit for visit, visitor in await _rows(data, VISITS.c.id, VISITS.c.visitor_id) if _chosen(visitor, ratio)
    }
    orders = {order for order, visit in await _rows(data, ORDERS.c.id, ORDERS.c.visit_id) if visit in visits}
    descended = {
        "visits": visits,
        "carts": {cart for cart, visit in await _rows(data, CARTS.c.id, CARTS.c.visit_id) if visit in visits},
        "orders": orders,
        "payments": {one for one, order in await _rows(data, PAYMENTS.c.id, PAYMENTS.c.order_id) if order in orders},
    }
    assert {event: held[event] for event in descended} == {
        event: {id_number(one) for one in ids} for event, ids in descended.items()
    }
    assert 0 < units["conversion_rate"] == len(visits) < 300
    assert ("conversion_rate", "v1.0") in everybody
