"""`python -m bench.ways [ORDERS]`: what each way to know the version costs, on one PostgreSQL with one past.

Orders of seven days name their customer, of whom there are a million at most, as many as the log keeps (`max_rows`).
Each order has a payment, which inherits the version. The same command takes 50 million orders. A rollout was at 25 %
two days ago, and one is at 25 % now. The exporter's refresher runs in this process, with one session, so that what is
measured is reading and nothing else: how long a first start counts the past, what a refresh costs the database and
this process, how long after its commit an order is in the snapshot when a refresh follows at once, and how often a
refresh read a whole table, by the database's own count. A scrape writes down a snapshot and asks nothing of the
database, whatever the way.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from prometheus_client import generate_latest
from prometheus_client.registry import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from bench import results
from canary.policy.database.requestlog import RequestLog
from canary.policy.database.section import Assignments, Database, Event
from canary.policy.kpis import Mean, Success
from canary.policy.model import Policy
from canary.policy.release import Upstreams
from canary.policy.routers.sections import HaproxyRouter
from canary.rollout.folding import fold
from canary.rollout.kinds import Kind
from canary.rollout.state import Rollout
from canary.threads import SharedThreads
from canary.timing.clock import SystemClock
from exporter.follow.store import Store
from exporter.follow.tally import Assignment, Changes
from exporter.publish.collector import ExporterCollector
from exporter.publish.counters import Counters
from exporter.refresher import Refresher
from exporter.source.assignments.logged import store_url
from exporter.source.database import Patience, Row, Session
from exporter.source.sources import Sources
from tests.support.databases.postgres import Postgres
from tests.support.receiving.entries import entry, started

COMMAND = "python -m bench.ways"
ORDERS = 200_000
DAYS = 7
CUSTOMERS = 1_000_000
"""The router's log and the table of assignments know so many; a multiple of four, as each fourth is on the canary."""
REFRESHES = 20
_AT_ONCE = 1_000_000
_TABLES = ("orders", "payments", "served")
_SETTINGS = ["shared_buffers=1GB", "maintenance_work_mem=1GB", "max_wal_size=8GB"]
_SCHEMA = """
CREATE UNLOGGED TABLE orders (id bigint, cookie text, agent text, version text, total numeric, currency text,
  created_at timestamptz);
CREATE UNLOGGED TABLE payments (id bigint, order_id bigint, status text, created_at timestamptz,
  settled_at timestamptz);
CREATE UNLOGGED TABLE served (cookie text, at timestamptz, version text);
"""
_INDEXES = """
ALTER TABLE orders ADD PRIMARY KEY (id);
ALTER TABLE payments ADD PRIMARY KEY (id);
CREATE INDEX ON orders (created_at);
CREATE INDEX ON payments (created_at);
CREATE INDEX ON payments (settled_at);
CREATE INDEX ON served (cookie);
"""
HEAD = """\
| way | scrape p50, ms | database ms per refresh | own CPU ms per refresh | commit to snapshot, ms | cold start, s | \
database s of it | whole tables read per refresh |
|---|---|---|---|---|---|---|---|"""


_ORDER = sa.text("INSERT INTO orders VALUES (:id, 'u1', 'x kpi-canary/stable', 'v1.0', 5, 'EUR', clock_timestamp())")
_WHOLE_READS = sa.text("SELECT sum(seq_scan) FROM pg_stat_user_tables")
_TOLD_EVERY_SECONDS = 1.1
"""A server process tells what it has read at the end of the first transaction after so long."""


class Timed:
    """A session that adds up how long its database takes."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.dialect_name = session.dialect_name
        self.seconds = 0.0
        self.columns, self.run, self.close = session.columns, session.run, session.close

    async def rows(self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Row]:
        """All rows of a statement."""
        began = time.perf_counter()
        try:
            return await self._session.rows(statement, parameters)
        finally:
            self.seconds += time.perf_counter() - began


def _rollouts(now: datetime) -> list[Rollout]:
    """One of two days ago, which ended after an hour, and one that runs."""
    past, running = now - timedelta(days=2), now - timedelta(minutes=30)
    ended = entry("r1", Kind.ROLLBACK, past + timedelta(hours=1), "ann", "bad", {"cause": "manual"}, 2)
    begun = started("r1", past, canary="v1.5", traffic=(0.25, 1.0), durations_seconds=(7200, 60))
    newest = started("r2", running, traffic=(0.25, 1.0), durations_seconds=(7200, 60))
    return [*fold([begun, ended]).values(), *fold([newest]).values()]


async def _seed(engine: AsyncEngine, count: int) -> None:
    """Fill the tables, both large ones at once; their indexes afterwards, which is quicker than row by row."""
    moment = f"now() - interval '{DAYS} days' * (1 - n::float8 / {count})"
    side = "CASE WHEN n % 4 = 0 THEN 'canary' ELSE 'stable' END"
    agent = f"'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 kpi-canary/' || {side}"
    status = "CASE WHEN n % 33 = 0 THEN 'failed' ELSE 'succeeded' END"
    version, customer = "CASE WHEN n % 4 = 0 THEN 'v2.0' ELSE 'v1.0' END", f"'u' || n % {CUSTOMERS}"
    await _execute(engine, *_SCHEMA.split(";"))
    await asyncio.gather(
        _insert(engine, f"orders SELECT n, {customer}, {agent}, {version}, 10 + n % 90, 'EUR', {moment}", count),
        _insert(engine, f"payments SELECT n, n, {status}, {moment}, {moment}", count),
    )
    await _insert(engine, f"served SELECT {customer}, {moment}, {version}", min(count, CUSTOMERS))
    indexes = [statement for statement in _INDEXES.split(";") if statement.strip()]
    await asyncio.gather(*(_execute(engine, *(one for one in indexes if table in one)) for table in _TABLES))
    await _execute(engine, "VACUUM ANALYZE", "CHECKPOINT")  # or the first way measured would pay for the others


async def _insert(engine: AsyncEngine, rows: str, count: int) -> None:
    """Rows of the numbers 1 to *count*, some at a time: the server keeps a whole series on disk before it uses it."""
    for low in range(1, count + 1, _AT_ONCE):
        high = min(low + _AT_ONCE - 1, count)
        await _execute(engine, f"INSERT INTO {rows} FROM generate_series({low}, {high}) n")


async def _execute(engine: AsyncEngine, *statements: str) -> None:
    async with engine.connect() as connection:
        alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
        for statement in filter(str.strip, statements):
            await alone.exec_driver_sql(statement)


async def _fill_log(policy: Policy, count: int, now: float) -> None:
    """What the follower would have kept: each customer's assignment."""
    store = Store.of(store_url(policy))
    await store.open()
    for low in range(1, min(count, CUSTOMERS) + 1, 20_000):
        some = range(low, min(low + 20_000, count + 1))
        found = {n: now - DAYS * 86400 * (1 - n / count) for n in some}
        rows = {n: _assigned(n, at) for n, at in found.items()}
        await store.write(Changes(assignments=rows), "bench", None)
    await store.close()


def _assigned(n: int, at: float) -> Assignment:
    return Assignment(n, f"u{n % CUSTOMERS}", "v1.0" if n % 4 else "v2.0", n % 4 == 0, at, at)


def _ways() -> dict[str, tuple[Event, Assignments | None]]:
    silent = Event(table="orders", unit="cookie", version=None, value="total", currency="currency")
    served = Assignments(table="served", unit="cookie", time="at", version="version")
    return {
        "a version column": (replace(silent, version="version"), None),
        "a table of assignments": (silent, served),
        "the router's hash": (silent, Assignments(from_="router")),
        "the router's log": (silent, Assignments(from_="log")),
        "tags": (replace(silent, tag="agent"), None),
    }


async def _measure(policy: Policy, rollouts: Sequence[Rollout], url: str, number: int) -> str:
    """A first start, and then refreshes after one order each."""
    clock = SystemClock()
    sources = Sources.of(policy, Patience.STUDY)
    timed = sources.sessions[None] = Timed(sources.sessions[None])
    since = clock.now().timestamp() - policy.database.since
    refresher = Refresher(policy, sources, clock, Counters(10), since, SharedThreads())
    refresher.rollout = rollouts[-1]
    if refresher.routed is not None:
        refresher.routed.know(rollouts)
    began = time.perf_counter()
    while not refresher.complete or time.perf_counter() - began < 1:
        await refresher.refresh()
    cold, cold_database = time.perf_counter() - began, timed.seconds
    engine = create_async_engine(url)
    before = await _whole_reads(refresher, engine)
    found = [await _refreshed(refresher, timed, engine, 10**9 + 1000 * number + one) for one in range(REFRESHES)]
    whole = (await _whole_reads(refresher, engine) - before) / REFRESHES
    await engine.dispose()
    await refresher.close()
    await sources.close()
    middle = [statistics.median(values) for values in zip(*found, strict=True)]
    return " | ".join([*(f"{value:.1f}" for value in (*middle, cold, cold_database)), f"{whole:g}"])


async def _whole_reads(refresher: Refresher, engine: AsyncEngine) -> int:
    """How often a table was read whole so far."""
    await asyncio.sleep(_TOLD_EVERY_SECONDS)
    await refresher.refresh()
    async with engine.connect() as connection:
        return int(await connection.scalar(_WHOLE_READS) or 0)


async def _refreshed(refresher: Refresher, timed: Timed, engine: AsyncEngine, order: int) -> tuple[float, ...]:
    """One refresh after an order: scrape, database, own CPU, and commit to snapshot, in milliseconds."""
    registry = CollectorRegistry()
    registry.register(ExporterCollector(lambda: refresher.snapshot, refresher.clock))
    async with engine.begin() as connection:
        await connection.execute(_ORDER, {"id": order})
    before, used, committed = timed.seconds, time.process_time(), time.perf_counter()
    await refresher.refresh()
    fresh, database, own = time.perf_counter() - committed, timed.seconds - before, time.process_time() - used
    asked = time.perf_counter()
    generate_latest(registry)
    scrape = time.perf_counter() - asked
    await asyncio.sleep(0.2)
    return tuple(seconds * 1000 for seconds in (scrape, database, own, fresh))


async def _all(count: int, folder: Path, server: Postgres) -> str:
    url, now = server.new_database(), datetime.now(UTC)
    engine = create_async_engine(url)
    began = time.perf_counter()
    await _seed(engine, count)
    await engine.dispose()
    sys.stderr.write(f"tables filled in {time.perf_counter() - began:.0f} s\n")
    upstreams = Upstreams(stable=("10.0.1.10:80",), canary=("10.0.1.20:80",))
    log = RequestLog(file="access.log", url=f"sqlite:///{folder}/requests.db")
    policy = Policy(
        service="shop",
        base=str(folder),
        database=Database(url=url.replace("+asyncpg", ""), log=log),
        router=(HaproxyRouter(kind="haproxy", upstreams=upstreams),),
        kpis={
            "average_order_value": Mean(kind="mean", of="orders"),
            "payment_success_rate": Success(kind="success", of="payments"),
        },
    )
    await _fill_log(policy, count, now.timestamp())
    lines = [HEAD]
    for number, (way, (orders, assignments)) in enumerate(_ways().items()):
        payments = Event(
            table="payments", outcome="status", settled="settled_at", version=None, parent={"orders": "order_id"}
        )
        database = replace(policy.database, events={"orders": orders, "payments": payments}, assignments=assignments)
        row = await _measure(replace(policy, database=database), _rollouts(now), url, number)
        lines.append(f"| {way} | {row} |")
        sys.stderr.write(lines[-1] + "\n")
    return "\n".join(lines)


def main() -> None:
    """Measure, and write the section."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else ORDERS
    with tempfile.TemporaryDirectory() as name, Postgres(_SETTINGS) as server:
        table = asyncio.run(_all(count, Path(name), server))
    what = f"{count:,} orders and as many payments of {DAYS} days, PostgreSQL. Stamps are read as a version column."
    text = f"{what}\n\n{table}"
    sys.stdout.write(text + "\n")
    results.record("Each way to know the version", f"{COMMAND} {count}", text)


if __name__ == "__main__":
    main()
