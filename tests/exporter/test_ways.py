"""Shops that write no version, behind real routers: each way to know it gives what a version column gives."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from canary.policy.database.requestlog import RequestLog
from canary.policy.database.section import Assignments, Event
from canary.policy.kpis import Kpi, Mean, Success
from canary.policy.model import Policy
from canary.rollout.entries import Started
from canary.rollout.folding import fold
from canary.rollout.journal.journal import Journal
from canary.rollout.state import Rollout
from canary.routers import Split
from canary.web.options import WebOptions
from exporter.follow.service import Follower
from tests.support.clock import FakeClock
from tests.support.databases.exporting import kpis, policy_for, published, refresher_on, settle
from tests.support.databases.postgres import Postgres
from tests.support.programs.haproxy import HAProxy
from tests.support.programs.nginx import Nginx
from tests.support.programs.processes import eventually
from tests.support.receiving.entries import started
from tests.support.web.traffic import Arrival, Customer, Upstream

CUSTOMERS = 80
KPIS: dict[str, Kpi] = {
    "average_order_value": Mean(kind="mean", of="orders"),
    "payment_success_rate": Success(kind="success", of="payments"),
}
Served = tuple[str, Arrival, datetime]
"""The version, what arrived at its server, and when."""


class Judged(NamedTuple):
    """Counters, KPIs, the verdict, and each KPI's verdict and units."""

    counters: dict[str, dict[tuple[str, ...], float]]
    kpis: dict[tuple[str, str], float]
    verdict: str
    units: dict[str, tuple[str, int, int]]


@dataclass(frozen=True)
class Platform:
    """How a platform names its tables and columns, and which header it stores with each order."""

    orders: str
    id: str
    time: str
    total: str
    currency: str
    header: str
    stored: str
    payments: str

    def ddl(self) -> list[str]:
        """Our own tables of that form, with a column for the truth, and a stamp."""
        orders = f"{self.id} BIGINT PRIMARY KEY, {self.time} TIMESTAMP, {self.total} NUMERIC, {self.currency} TEXT"
        seen = f"{self.stored} TEXT, cookie TEXT, truth TEXT, stamp TEXT DEFAULT current_setting('application_name')"
        payments = "id BIGINT PRIMARY KEY, parent_id BIGINT, status TEXT, made_at TIMESTAMP, settled_at TIMESTAMP"
        return [
            f"CREATE TABLE {self.orders} ({orders}, {seen})",
            f"CREATE TABLE {self.payments} ({payments})",
            "CREATE TABLE served (cookie TEXT, at TIMESTAMP, version TEXT)",
        ]

    def events(self, **found: Any) -> dict[str, Event]:
        """Orders, whose version is found somehow, and payments, which inherit it."""
        orders = Event(
            table=self.orders, id=self.id, time=self.time, value=self.total, currency=self.currency,
            **{"version": None, "unit": "cookie", **found},
        )  # fmt: skip
        payments = Event(
            table=self.payments, time="made_at", settled="settled_at", outcome="status", version=None,
            parent={"orders": "parent_id"},
        )  # fmt: skip
        return {"orders": orders, "payments": payments}


WOOCOMMERCE = Platform(
    "wp_wc_orders", "id", "date_created_gmt", "total_amount", "currency", "user-agent", "user_agent", "wp_payments"
)
MAGENTO = Platform(
    "sales_order", "entity_id", "created_at", "grand_total", "order_currency_code", "x-forwarded-for",
    "x_forwarded_for", "sales_payment",
)  # fmt: skip


async def _write(url: str, platform: Platform, arrivals: Sequence[Served]) -> None:
    """What the shop writes for each request, connected under the name of the version that serves it.

    Each payment is settled by a call of the provider's, which stable answers.
    """
    for version in ("v1.0", "v2.0"):
        engine = create_async_engine(url, connect_args={"server_settings": {"application_name": version}})
        async with engine.begin() as connection:
            for number, (served_by, arrival, at) in enumerate(arrivals, 1):
                cookie = arrival.headers["cookie"].rpartition("user_id=")[2]
                if served_by == version:
                    order = {platform.id: number, platform.time: at, platform.total: 10 + number % 7}
                    order |= {platform.currency: "EUR", platform.stored: arrival.headers[platform.header]}
                    await connection.execute(_row(platform.orders, **order, cookie=cookie, truth=version))
                    await connection.execute(_row("served", cookie=cookie, at=at, version=version))
                if version == "v1.0":
                    status = "failed" if number % (2 if served_by == "v2.0" else 9) == 0 else "succeeded"
                    paid = {"id": number, "parent_id": number, "status": status, "made_at": at, "settled_at": at}
                    await connection.execute(_row(platform.payments, **paid))
        await engine.dispose()


def _row(table: str, **cells: Any) -> sa.Insert:
    return sa.table(table, *map(sa.column, cells)).insert().values(**cells)


@asynccontextmanager
async def _shop(kind: str, folder: Path, platform: Platform) -> AsyncIterator[tuple[Any, dict[str, Upstream]]]:
    """A router that tags and logs, in front of both versions."""
    sides = {"v1.0": Upstream("v1.0"), "v2.0": Upstream("v2.0")}
    for side in sides.values():
        await side.start()
    front = (HAProxy if kind == "haproxy" else Nginx)(
        folder / "front",
        *(side.address for side in sides.values()),
        log=str(folder / ("log.sock" if kind == "haproxy" else "access.log")),
        tag_header=platform.header,
    )
    try:
        yield front, sides
    finally:
        front.stop()
        for side in sides.values():
            await side.stop()


async def _served(front: Any, sides: dict[str, Upstream], policy: Policy, begun: Started) -> list[Served]:
    """What came to the shop for each of some customers, while the follower reads the router's log."""
    async with Journal.open(policy) as journal:
        await journal.append(begun)
    follower, arrivals = Follower(policy, WebOptions()), []

    def kept() -> bool:
        found = follower.web.registry.get_sample_value("canary_log_lines_total", {"service": "shop"})
        return (found or 0) >= CUSTOMERS

    async with follower.following():
        await front.start()
        await front.router.set_weight(Split("r1", 0.5))
        for number in range(CUSTOMERS):
            customer = Customer(front.port, f"u{number}", {"User-Agent": "Mozilla/5.0 (X11)"})
            version = (await customer.ask()).version
            customer.close()
            arrivals.append((version, sides[version].arrivals[-1], datetime.now(UTC).replace(tzinfo=None)))
        await eventually(kept, "all lines")
    return arrivals


def _ways(platform: Platform) -> dict[str, tuple[dict[str, Event], Assignments | None]]:
    served = Assignments(table="served", unit="cookie", time="at", version="version")
    return {
        "column": (platform.events(version="truth"), None),
        "table": (platform.events(), served),
        "router": (platform.events(), Assignments(from_="router")),
        "log": (platform.events(), Assignments(from_="log")),
        "tag": (platform.events(tag=platform.stored), None),
        "stamp": (platform.events(version="stamp"), None),
    }


@pytest.mark.parametrize(("kind", "platform"), [("haproxy", WOOCOMMERCE), ("nginx", MAGENTO)])
async def test_each_way_gives_what_a_version_column_gives(
    kind: str, platform: Platform, tmp_path: Path, postgres: Postgres
) -> None:
    """Counters, KPIs and verdicts by a table, the router's hash, log and tag, and stamps, are those of the column."""
    url = postgres.new_database()
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        for statement in platform.ddl():
            await connection.execute(sa.text(statement))
    await engine.dispose()
    log = RequestLog(socket=str(tmp_path / "log.sock")) if kind == "haproxy" else RequestLog(file="access.log")
    ago = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
    begun = started("r1", ago, traffic=(0.5, 1.0), durations_seconds=(3600, 60))
    policy = replace(policy_for(url.replace("+asyncpg", ""), tmp_path, log=log), kpis=KPIS)
    async with _shop(kind, tmp_path, platform) as (front, sides):
        policy = replace(policy, router=(front.section,), state=replace(policy.state, url="sqlite:///state.db"))
        arrivals = await _served(front, sides, policy, begun)
    await _write(url, platform, arrivals)
    rollout = fold([begun])["r1"]

    # All ways look at the same moment, at which every row is old enough to be judged, however quickly it was written.
    now = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=2)

    found = {way: await _judged(policy, *how, rollout, now) for way, how in _ways(platform).items()}

    assert set(found["column"].counters["shop_orders_total"]) == {("v1.0",), ("v2.0",)}
    assert all(canary and stable for _, canary, stable in found["column"].units.values())
    for judged in found.values():
        assert judged == found["column"]


async def _judged(
    policy: Policy, events: dict[str, Event], assignments: Assignments | None, rollout: Rollout, now: datetime
) -> Judged:
    policy = replace(policy, database=replace(policy.database, events=events, assignments=assignments))
    clock = FakeClock(now)
    async with refresher_on(policy, clock) as refresher:
        refresher.rollout = rollout
        if refresher.routed is not None:
            refresher.routed.know([rollout])
        await settle(refresher, clock, 40)
        await refresher.refresh()
        evidence = refresher.snapshot.evidence
        assert evidence is not None
        units = {name: (str(kpi.verdict), kpi.canary_units, kpi.stable_units) for name, kpi in evidence.kpis.items()}
        return Judged(published(refresher), kpis(refresher), str(evidence.verdict), units)
