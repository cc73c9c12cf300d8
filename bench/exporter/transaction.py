"""`canary exporter` while a transaction is open on a table of some gigabytes, on a real PostgreSQL and MariaDB.

The transaction changes the newest rows of `orders` and adds one each second, while customers go on shopping and orders
go on being paid. What a reader could suffer from it is the versions of rows that the database must keep meanwhile; what
the database could suffer from a reader is a snapshot that keeps them for longer than the transaction does.
"""

import argparse
import asyncio
import re
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import numpy as np
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from bench.exporter.measure import cpu_seconds, markers, memory_mb, warm
from bench.exporter.peers import Peer, ours
from bench.exporter.shop import INDEXES, SCHEMA
from bench.results import record
from tests.support.databases.mariadb import MariaDb
from tests.support.databases.postgres import Postgres
from tests.support.programs.ports import free_port

_ROW_BYTES = 330
"""About what an order takes with its note, without indexes."""
_AT_ONCE = 250_000
_CHANGED = 200_000
"""The newest orders, of some hours, which the transaction changes."""
_MARKER_SECONDS = 4.0
_POLL_SECONDS = 0.2
_AFTER_SECONDS = 60.0

_ORDER = "{id}, {id}, {id}, 'v1.0', 'paid', 10, 'EUR', {at}, {note}"
_NOTE = "ALTER TABLE orders ADD note varchar(300)"


@dataclass(frozen=True)
class _Dialect:
    """What the two servers say differently; *snapshot* is the age of our session's oldest transaction in seconds."""

    name: str
    time: str
    now: str
    series: str
    past: str
    snapshot: str
    kept: str

    def order(self, number: str, at: str) -> str:
        return _ORDER.format(id=number, note="repeat('n', 250)", at=at)


_POSTGRES = _Dialect(
    "PostgreSQL",
    "timestamptz",
    "clock_timestamp()",
    "generate_series({low}, {high}) n",
    "now() - interval '1 second' * ({count} - n) * (7 * 86400.0 / {count})",
    "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0) FROM pg_stat_activity"
    " WHERE application_name = 'kpi-canary' AND (xact_start IS NOT NULL OR backend_xmin IS NOT NULL)",
    "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'orders'",
)
_MARIADB = _Dialect(
    "MariaDB",
    "datetime(6)",
    "utc_timestamp(6)",
    "(SELECT seq AS n FROM seq_{low}_to_{high}) s",
    "utc_timestamp(6) - interval ({count} - n) * (7 * 86400.0 / {count}) second",
    "SELECT coalesce(max(timestampdiff(microsecond, t.trx_started, now(6))) / 1e6, 0)"
    " FROM information_schema.innodb_trx t JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id"
    " WHERE p.user = 'canary'",
    "SELECT count FROM information_schema.innodb_metrics WHERE name = 'trx_rseg_history_len'",
)


@dataclass
class _Span:
    """What was seen in one span of time; *ours* are the ages of our session's transactions."""

    name: str
    fresh: list[float] = field(default_factory=list)
    scrapes: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    kept: float = 0.0
    errors: float = 0.0
    down: int = 0
    cpu: float = 0.0
    memory: float = 0.0

    def row(self, server: str) -> str:
        return (
            f"| {server} | {self.name} | {np.median(self.fresh):.1f} / {max(self.fresh):.1f} |"
            f" {np.median(self.scrapes):.1f} / {np.percentile(self.scrapes, 99):.1f} | {self.errors:.0f} / {self.down}"
            f" | {max(self.ours):.2f} | {self.kept:,.0f} | {self.cpu:.2f} | {self.memory:.0f} |"
        )


async def _execute(connection: AsyncConnection, statement: str) -> None:
    await connection.execute(sa.text(statement))


async def _number(connection: AsyncConnection, statement: str) -> float:
    return float((await connection.execute(sa.text(statement))).scalar() or 0)


def _schema(dialect: _Dialect) -> list[str]:
    """The benchmarks' shop, with a note to each order, in the dialect's words."""
    tables = SCHEMA.replace("timestamptz", dialect.time).replace(" text", " varchar(40)")
    indexes = re.sub(r"INDEX ON (\w+) \((\w+)\)", r"INDEX \1_\2 ON \1 (\2)", INDEXES)
    return [text for text in f"{tables}{_NOTE};{indexes}".split(";") if text.strip()]


async def _fill(engine: AsyncEngine, dialect: _Dialect, gigabytes: float) -> int:
    """Tables with a past of seven days; gives the number of orders."""
    count = int(gigabytes * 2**30 / _ROW_BYTES)
    async with engine.connect() as connection:
        for statement in _schema(dialect):
            await _execute(connection, statement)
        for low in range(1, count, _AT_ONCE):
            series = dialect.series.format(low=low, high=min(low + _AT_ONCE - 1, count))
            past = dialect.past.format(count=count)
            await _execute(connection, f"INSERT INTO orders SELECT {dialect.order('n', past)} FROM {series}")
    return count


async def _trade(engine: AsyncEngine, dialect: _Dialect, first: int) -> None:
    """Ten customers a second, of whom every second one orders; each order is sent a moment later."""
    async with engine.connect() as connection:
        for number in range(first, first + 10**9):
            visit = f"{number}, '{number}', 'v1.0', {dialect.now}"
            await _execute(connection, f"INSERT INTO visits VALUES ({visit})")
            if number % 2:
                order = dialect.order(str(number), dialect.now)
                await _execute(connection, f"INSERT INTO orders VALUES ({order})")
                await _execute(connection, f"UPDATE orders SET status = 'sent' WHERE id = {number}")
            await asyncio.sleep(0.1)


async def _transaction(engine: AsyncEngine, dialect: _Dialect, newest: int, first: int, seconds: float) -> int:
    """One transaction, open for so long; gives the number of orders that it adds, of its own version."""
    lasting = engine.execution_options(isolation_level="READ COMMITTED")
    async with lasting.connect() as connection, connection.begin():
        await _execute(connection, f"UPDATE orders SET note = repeat('x', 250) WHERE id > {newest - _CHANGED}")
        began, added = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            order = dialect.order(str(first + added), dialect.now).replace("'v1.0'", "'slow'")
            await _execute(connection, f"INSERT INTO orders VALUES ({order})")
            added += 1
            await asyncio.sleep(1)
    return added


async def _watch(span: _Span, peer: Peer, engine: AsyncEngine, dialect: _Dialect, seconds: float, done: int) -> int:
    """Scrape for *seconds*, and see now and then how soon a marked visit is shown; gives how many were marked."""
    began, cpu, marked_at, shown = time.monotonic(), cpu_seconds(peer.program), 0.0, done
    errors = None
    async with engine.connect() as connection, aiohttp.ClientSession() as client:
        while time.monotonic() - began < seconds:
            if shown == done and time.monotonic() - marked_at >= _MARKER_SECONDS:
                visit = f"{time.time_ns()}, 'marker', 'marker', {dialect.now}"
                await _execute(connection, f"INSERT INTO visits VALUES ({visit})")
                done, marked_at = done + 1, time.monotonic()
            asked = time.perf_counter()
            async with client.get(peer.url) as answer:
                text = await answer.text()
            span.scrapes.append((time.perf_counter() - asked) * 1000)
            if shown < done and markers(peer, text) >= done:
                shown = done
                span.fresh.append(time.monotonic() - marked_at)
            now = _sum(text, "canary_exporter_errors_total")
            errors = now if errors is None else errors
            span.errors = now - errors
            span.down += _sum(text, "canary_exporter_database_up") < 1
            span.ours.append(await _number(connection, dialect.snapshot))
            await asyncio.sleep(_POLL_SECONDS)
        span.kept = await _number(connection, dialect.kept)
    minutes = (time.monotonic() - began) / 60
    span.cpu, span.memory = (cpu_seconds(peer.program) - cpu) / minutes, memory_mb(peer.program)
    return done


def _sum(text: str, metric: str, label: str = "") -> float:
    return sum(map(float, re.findall(rf"^{metric}(?:{{[^}}]*{label}[^}}]*}})? (\S+)$", text, re.MULTILINE)))


async def _counted(peer: Peer) -> float:
    async with aiohttp.ClientSession() as client, client.get(peer.url) as answer:
        return _sum(await answer.text(), "shop_orders_total", 'version="slow"')


async def measure(dialect: _Dialect, url: str, exporter_url: str, gigabytes: float, minutes: float) -> tuple[str, str]:
    """Rows of the table, and a sentence on the rows of the transaction."""
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    newest = await _fill(engine, dialect, gigabytes)
    spans = [_Span("before"), _Span("transaction open"), _Span("after its commit")]
    first = int(time.time_ns() // 1000)
    with tempfile.TemporaryDirectory(prefix="canary-bench-") as name:
        peer = ours(Path(name), exporter_url, free_port())
        trading = asyncio.create_task(_trade(engine, dialect, first))
        peer.program.launch()
        try:
            async with aiohttp.ClientSession() as client:
                _, start_seconds = await warm(peer, client)
            done = await _watch(spans[0], peer, engine, dialect, 60, 0)
            open_seconds = minutes * 60
            slow = asyncio.create_task(_transaction(engine, dialect, newest, first * 2, open_seconds))
            done = await _watch(spans[1], peer, engine, dialect, open_seconds, done)
            added = await slow
            await _watch(spans[2], peer, engine, dialect, _AFTER_SECONDS, done)
            counted = await _counted(peer)
        finally:
            peer.program.stop()
            trading.cancel()
            await asyncio.gather(trading, return_exceptions=True)
            await engine.dispose()
    rows = "\n".join(span.row(dialect.name) for span in spans)
    said = (
        f"{dialect.name}: the past of {newest:,} orders was counted {start_seconds:.0f} s after the start; of the"
        f" {added} orders that the transaction added, {counted:.0f} were counted within {_AFTER_SECONDS:.0f} s of its"
        " commit."
    )
    print(rows, said, sep="\n", flush=True)
    return rows, said


async def both(gigabytes: float, minutes: float) -> list[tuple[str, str]]:
    """PostgreSQL and MariaDB at the same time."""
    with Postgres(["max_wal_size=4GB"]) as postgres, MariaDb(["innodb-buffer-pool-size=256M"]) as mariadb:
        first, second = postgres.new_database(), mariadb.new_database()
        mariadb.execute("CREATE USER canary@'127.0.0.1'; GRANT SELECT ON *.* TO canary@'127.0.0.1'")
        theirs = second.replace("mysql+asyncmy://shop@", "mariadb://canary@")
        found = await asyncio.gather(
            measure(_POSTGRES, first, first.replace("+asyncpg", ""), gigabytes, minutes),
            measure(_MARIADB, second, theirs, gigabytes, minutes),
        )
        return list(found)


_HEAD = """\
| server | | commit to /metrics p50 / max, s | scrape p50 / p99, ms \
| failed statements / scrapes with the database down | our longest transaction, s | versions of rows kept at the end \
| own CPU s per minute | memory MB |
|---|---|---|---|---|---|---|---|---|
"""


def main() -> None:
    """Measure and write the section."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--gigabytes", type=float, default=2)
    arguments.add_argument("--minutes", type=float, default=10)
    given = arguments.parse_args()
    found = asyncio.run(both(given.gigabytes, given.minutes))
    body = (
        f"`orders` has {given.gigabytes:g} GB. The transaction changes its newest {_CHANGED:,} rows, adds one a second,"
        f" and is open for {given.minutes:g} min,\nwhile ten customers a second go on shopping. Both servers, their"
        " customers and exporters share the machine. Versions of rows kept\nare dead tuples of `orders`"
        " (PostgreSQL) and the history list's length (MariaDB). Rows that commit later than\n"
        "`database.lateness` (2 min) after their time are counted by the hourly comparison.\n\n"
    )
    body += _HEAD + "\n".join(rows for rows, _ in found) + "\n\n" + "\n".join(said for _, said in found)
    command = f"python -m bench.exporter.transaction --gigabytes {given.gigabytes:g} --minutes {given.minutes:g}"
    record("Exporter: a long transaction", command, body)


if __name__ == "__main__":
    main()
