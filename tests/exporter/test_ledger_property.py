"""Random histories of a shop, on every kind of database, against plain SELECT … GROUP BY."""

import asyncio
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from exporter.refresher import Refresher
from tests.support.clock import FakeClock
from tests.support.databases.exporting import policy_for, published, refresher_on, settle
from tests.support.databases.shopdata import CARTS, FEEDBACK, ORDERS, PAYMENTS, VISITS, ShopData

_VERSIONS = ("v1.0", "v2.0", None)
_TABLES = (VISITS, CARTS, ORDERS, PAYMENTS, FEEDBACK)
_LATENESS_SECONDS = 120

_STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["visit", "cart", "order", "pay", "score", "pay", "settle", "settle", "cancel", "delete", "late", "wait"]
        ),
        st.integers(0, 10**6),
    ),
    min_size=5,
    max_size=40,
)


@dataclass
class _Shop:
    """Does what a step says, with luck of its own for the details."""

    data: ShopData
    clock: FakeClock
    refresher: Refresher
    ids: dict[str, list[int]] = field(default_factory=dict)

    async def step(self, kind: str, seed: int) -> None:
        """One thing that happens to the database, then a second passes and the exporter looks."""
        luck = random.Random(seed)
        if kind == "wait":
            self.clock.advance(luck.choice([5, 30, 200, 4000]))
        elif kind in ("settle", "cancel", "delete"):
            await self._alter(kind, luck)
        else:
            await self._write(kind, luck)
        self.clock.advance(1)
        await self.refresher.refresh()

    async def _write(self, kind: str, luck: random.Random) -> None:
        at = self.clock.now() - timedelta(seconds=luck.random())
        version = luck.choice(_VERSIONS)
        match kind:
            case "visit":
                await self._add(VISITS, version, at)
            case "late":
                await self._add(VISITS, version, at - timedelta(seconds=luck.uniform(0, _LATENESS_SECONDS - 30)))
            case "cart":
                started = at if luck.random() < 0.7 else None
                await self._add(CARTS, version, at, visit_id=self._pick("visits", luck), checkout_started_at=started)
            case "order":
                await self._add(
                    ORDERS, version, at, visit_id=self._pick("visits", luck), cart_id=self._pick("carts", luck),
                    status=luck.choice(["paid", "paid", None]), total=luck.randint(1, 99_999) / 100,
                    currency=luck.choice(["EUR", "USD"]),
                )  # fmt: skip
            case "pay":
                await self._add(PAYMENTS, version, at, status="pending", order_id=self._pick("orders", luck))
            case "score":
                await self._add(FEEDBACK, version, at, score=luck.randint(1, 5))

    async def _alter(self, kind: str, luck: random.Random) -> None:
        if kind == "settle":
            settled = self.clock.now() if luck.random() < 0.7 else None
            status = luck.choice(["succeeded", "failed", "refused"])
            await self._change(PAYMENTS, luck, status=status, settled_at=settled)
        elif kind == "cancel":
            await self._change(ORDERS, luck, status="cancelled")
        else:
            table = luck.choice(_TABLES)
            await self.data.run(table.delete().where(table.c.id == self._pick(table.name, luck)))

    def _pick(self, table: str, luck: random.Random) -> int | None:
        known = self.ids.get(table)
        return luck.choice(known) if known else None

    async def _add(self, table: sa.Table, version: str | None, at: datetime, **values: object) -> None:
        number = await self.data.insert(table, version=version, created_at=at, **values)
        self.ids.setdefault(table.name, []).append(number)

    async def _change(self, table: sa.Table, luck: random.Random, **values: object) -> None:
        number = self._pick(table.name, luck)
        await self.data.run(table.update().where(table.c.id == number).values(**values))


async def _history(url: str, steps: list[tuple[str, int]]) -> None:
    data, clock = ShopData(url), FakeClock()
    await data.create()
    try:
        async with refresher_on(policy_for(url, reconcile=60, since=86_400.0), clock) as refresher:
            await settle(refresher, clock)
            shop = _Shop(data, clock, refresher)
            highest: dict[tuple[str, tuple[str, ...]], float] = {}
            for kind, seed in steps:
                await shop.step(kind, seed)
                for metric, series in published(refresher).items():
                    for labels, value in series.items():
                        assert value >= highest.get((metric, labels), 0), f"{metric}{labels} fell after {kind}"
                        highest[metric, labels] = value
            for _ in range(7):  # two rounds of reconciliation
                clock.advance(40)
                await refresher.refresh()

            _agree(_totals(refresher), await data.counts())
    finally:
        await data.close()


def _totals(refresher: Refresher) -> dict[str, dict[tuple[str, ...], float]]:
    """What the ledger holds; the published counters may be above it while they wait."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for feed in refresher.feeds:
        if not feed.stream.counted:
            continue
        for key, tally in feed.ledger.totals.items():
            counted = found.setdefault(f"shop_{feed.stream.event}_total", {})
            labels = (key.version, key.outcome) if key.outcome else (key.version,)
            counted[labels] = counted.get(labels, 0) + tally.rows
            if feed.stream.event == "orders":
                values = found.setdefault("shop_order_value_total", {})
                values[key.version, key.currency] = (
                    values.get((key.version, key.currency), 0) + tally.millionths / 10**6
                )
    return found


def _agree(found: dict[str, dict[tuple[str, ...], float]], wanted: dict[str, dict[tuple[str, ...], float]]) -> None:
    assert {metric: series for metric, series in found.items() if series} == {
        metric: pytest.approx(series) for metric, series in wanted.items() if series
    }


# Shrinking on a database takes minutes; the steps of a failing history are short enough as they are.
_SETTINGS = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
_HOURS_GO_BY = [("visit", 0), ("wait", 0), ("wait", 0), ("visit", 0), ("wait", 0)]
_ALL_OF_A_VERSION_CANCELLED = [
    ("order", 261667), ("order", 510511), ("cancel", 452810), ("cancel", 195), ("order", 261667)
]  # fmt: skip
_LATE_IN_THE_HOUR_BEFORE = [("late", 73739), ("late", 2221), ("wait", 0), ("delete", 2)]


@given(steps=_STEPS)
@example(steps=_HOURS_GO_BY)
@example(steps=_LATE_IN_THE_HOUR_BEFORE)
@example(steps=_ALL_OF_A_VERSION_CANCELLED)
@settings(_SETTINGS, max_examples=15)
def test_the_ledger_is_exact_on_sqlite(tmp_path: Path, steps: list[tuple[str, int]]) -> None:
    """Whatever happens to the rows, the ledger ends up with what is there, and no counter ever falls."""
    asyncio.run(_history(f"sqlite+aiosqlite:///{tmp_path}/shop.db", steps))


@given(steps=_STEPS)
@settings(_SETTINGS, max_examples=5)
def test_the_ledger_is_exact_on_postgresql(postgres_url: str, steps: list[tuple[str, int]]) -> None:
    """As on SQLite."""
    asyncio.run(_history(postgres_url, steps))


@given(steps=_STEPS)
@settings(_SETTINGS, max_examples=4)
def test_the_ledger_is_exact_on_mariadb(mariadb_url: str, steps: list[tuple[str, int]]) -> None:
    """As on SQLite."""
    asyncio.run(_history(mariadb_url, steps))
