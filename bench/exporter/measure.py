"""What one exporter costs and how fresh it is, while the shop goes on trading."""

import asyncio
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import asyncpg
import numpy as np

from bench.exporter.peers import Peer
from bench.exporter.shop import trade
from tests.support.programs.processes import Program

_VISITS_PER_SECOND = 16.5
"""As many as ten million visits in a week, so that the present goes on like the past."""
_POLL_SECONDS = 0.1
"""How exactly freshness is measured."""
_MARKER_SECONDS = 4.0
"""A marked visit so often; a multiple of no exporter's interval, so that it meets each at every moment of its round."""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Figures:
    """One exporter's figures; times in milliseconds unless their name says otherwise."""

    name: str
    scrapes: list[float] = field(default_factory=list)
    freshness_seconds: list[float] = field(default_factory=list)
    database_per_minute: float = 0.0
    database_per_refresh: float = 0.0
    statements_per_refresh: float = 0.0
    cpu_seconds_per_minute: float = 0.0
    memory_mb: float = 0.0
    first_answer_seconds: float = 0.0
    complete_seconds: float = 0.0
    locked_connections: int = 0
    locked_freshness_seconds: float | None = None

    def row(self) -> str:
        """A line of the table."""
        fresh = self.freshness_seconds
        freshness = f"{np.median(fresh):.1f} / {max(fresh):.1f}" if fresh else "never"
        locked = f"{self.locked_freshness_seconds:.1f}" if self.locked_freshness_seconds is not None else "not at all"
        return (
            f"| {self.name} | {np.median(self.scrapes):.1f} / {np.percentile(self.scrapes, 99):.1f} "
            f"| {self.database_per_refresh:,.2f} | {self.database_per_minute:,.0f} "
            f"| {freshness} | {self.cpu_seconds_per_minute:.2f} | {self.memory_mb:.0f} "
            f"| {self.locked_connections} / {locked} |"
        )


HEAD = """\
| exporter | scrape p50 / p99, ms | database ms per refresh | database ms per minute | commit to /metrics p50 / max, s \
| own CPU s per minute | memory MB | `orders` locked 20 s: connections / a new visit shown after, s |
|---|---|---|---|---|---|---|---|"""


async def measure(peer: Peer, dsn: str, seconds: float) -> Figures:
    """Start an exporter, wait until it has everything, and watch it for *seconds*."""
    figures = Figures(peer.name)
    stop = asyncio.Event()
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    trading = asyncio.create_task(trade(dsn, _VISITS_PER_SECOND, stop))
    peer.program.launch()
    try:
        async with aiohttp.ClientSession() as client:
            figures.first_answer_seconds, figures.complete_seconds = await warm(peer, client)
            await connection.execute("SELECT pg_stat_statements_reset()")
            cpu, started = cpu_seconds(peer.program), time.monotonic()
            await _watch(peer, client, connection, figures, seconds)
            minutes = (time.monotonic() - started) / 60
            figures.cpu_seconds_per_minute = (cpu_seconds(peer.program) - cpu) / minutes
            figures.memory_mb = memory_mb(peer.program)
            spent, calls = await _database_time(connection)
            refreshes = minutes * 60 / peer.refresh_seconds
            figures.database_per_minute = spent / minutes
            figures.database_per_refresh = spent / refreshes
            figures.statements_per_refresh = calls / refreshes
            await _locked(peer, client, dsn, figures)
    finally:
        peer.program.stop()
        stop.set()
        await trading
        await connection.execute("DELETE FROM visits WHERE version = 'marker'")
        await connection.close()
    return figures


async def warm(peer: Peer, client: aiohttp.ClientSession) -> tuple[float, float]:
    """Wait for a program that was just launched: seconds until it answers, and, where it says so, has the past."""
    began, answered = time.monotonic(), 0.0
    while True:
        try:
            async with client.get(peer.url) as answer:
                text = await answer.text()
        except aiohttp.ClientError:
            await asyncio.sleep(0.05)
            continue
        answered = answered or time.monotonic() - began
        if peer.name == "kpi-canary":
            found = re.search(r"^canary_exporter_backfill_ratio\S* (\S+)$", text, re.MULTILINE)
            if found and float(found[1]) >= 1:
                break
        elif "visits" in text:
            break
        await asyncio.sleep(0.2)
    complete = time.monotonic() - began
    await asyncio.sleep(2 * peer.refresh_seconds)
    return answered, complete


async def _watch(
    peer: Peer, client: aiohttp.ClientSession, connection: "asyncpg.Connection[asyncpg.Record]", figures: Figures,
    seconds: float,
) -> None:  # fmt: skip
    """Scrape all the time, and now and then write a marked visit and see how long it takes to be shown."""
    until = time.monotonic() + seconds
    marked = shown = 0
    marked_at = 0.0
    while time.monotonic() < until or shown < marked:
        if shown == marked and time.monotonic() - marked_at >= _MARKER_SECONDS and time.monotonic() < until:
            await _mark(connection)
            marked += 1
            marked_at = time.monotonic()
        begun = time.perf_counter()
        async with client.get(peer.url) as answer:
            text = await answer.text()
        figures.scrapes.append((time.perf_counter() - begun) * 1000)
        if shown < marked and markers(peer, text) >= marked:
            shown = marked
            figures.freshness_seconds.append(time.monotonic() - marked_at)
        if time.monotonic() > until + 60:
            return
        await asyncio.sleep(_POLL_SECONDS)


async def _mark(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await connection.execute("INSERT INTO visits VALUES ($1, 'marker', 'marker', clock_timestamp())", time.time_ns())


def markers(peer: Peer, text: str) -> float:
    """How many marked visits the metrics show."""
    for line in text.splitlines():
        if line.startswith(peer.marker) and 'version="marker"' in line:
            return float(line.rsplit(" ", 1)[1])
    return 0.0


async def _locked(peer: Peer, client: aiohttp.ClientSession, dsn: str, figures: Figures) -> None:
    """Lock `orders` for twenty seconds: how many connections pile up, and whether visits are still shown."""
    locker, writer = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    try:
        async with client.get(peer.url) as answer:
            before = markers(peer, await answer.text())
        async with locker.transaction():
            await locker.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
            await asyncio.sleep(2)
            await _mark(writer)
            begun = time.monotonic()
            while time.monotonic() - begun < 18:
                count = await writer.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'"
                    " AND query LIKE 'SELECT%' AND query NOT LIKE '%pg_stat%'"
                )
                figures.locked_connections = max(figures.locked_connections, int(count))
                async with client.get(peer.url) as answer:
                    if figures.locked_freshness_seconds is None and markers(peer, await answer.text()) > before:
                        figures.locked_freshness_seconds = time.monotonic() - begun
                await asyncio.sleep(0.2)
    finally:
        await locker.close()
        await writer.close()


async def _database_time(connection: "asyncpg.Connection[asyncpg.Record]") -> tuple[float, float]:
    """Milliseconds of planning and executing, and number, of everything that only reads."""
    row = await connection.fetchrow(
        "SELECT sum(total_exec_time + total_plan_time) AS spent, sum(calls) AS calls FROM pg_stat_statements"
        " WHERE query ILIKE 'SELECT%' AND query NOT ILIKE '%pg_stat_statements%'"
    )
    return (float(row["spent"] or 0), float(row["calls"] or 0)) if row is not None else (0.0, 0.0)


def cpu_seconds(program: Program) -> float:
    """Processor time of a program so far."""
    fields = Path(f"/proc/{program.pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_mb(program: Program) -> float:
    """Memory of a program now."""
    status = Path(f"/proc/{program.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0
