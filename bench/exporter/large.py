"""`python -m bench.exporter.large`: a shop of 200,000 visits a minute on PostgreSQL, judged by a sample of customers.

A rollout runs, the past before it is there, and customers go on coming at that rate, written in one statement a second
as no shop could write them one by one on two cores. What the exporter costs then is measured minute by minute:
processor time, memory, and how old its knowledge is. A day's peak of a shop is shorter than what it is made to last
here.
"""

import argparse
import asyncio
import contextlib
import itertools
import re
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import asyncpg
import yaml

from bench.exporter.measure import cpu_seconds, memory_mb
from bench.exporter.peers import ours
from bench.exporter.shop import INDEXES, SCHEMA
from bench.results import record
from canary.policy.load import load_policy
from canary.rollout.journal.journal import Journal
from tests.support.databases.postgres import Postgres
from tests.support.programs.ports import free_port
from tests.support.receiving.entries import started

_VISITS_A_MINUTE = 200_000
_AT_ONCE = 60_000
"""Visits of one statement that fills the past."""
_SETTINGS = ["shared_buffers=1GB", "max_wal_size=8GB", "synchronous_commit=off"]

# Of visits a fifth come to a cart, a tenth to a checkout, and 3 % to an order and a payment, of which 3 % fail. A
# twentieth of the customers, by a hash of their own, are on the canary.
_TRADE = """
WITH visit AS (
  INSERT INTO visits SELECT n, 'c' || n, CASE WHEN hashint8(n) % 20 = 0 THEN 'v2.0' ELSE 'v1.0' END,
    $3::timestamptz + (n - $1) * ($4::interval / ($2 - $1)) FROM generate_series($1::bigint, $2::bigint - 1) n
  RETURNING id, version, created_at),
cart AS (
  INSERT INTO carts SELECT id, id, version, created_at, CASE WHEN id % 2 = 0 THEN created_at END
  FROM visit WHERE id % 5 = 0 RETURNING id),
bought AS (
  INSERT INTO orders SELECT id, id, id, version, 'paid', 10 + id % 90, 'EUR', created_at
  FROM visit WHERE id % 33 = 0 RETURNING id, version, created_at)
INSERT INTO payments SELECT id, id, version, CASE WHEN id % 1000 < 30 THEN 'failed' ELSE 'succeeded' END, 10,
  created_at, created_at FROM bought
"""


@dataclass
class _Minute:
    cpu_ratio: float
    memory_mb: float
    refresh_age_seconds: float
    sample_ratio: float
    canary_units: float
    verdict: str


async def _fill(connection: "asyncpg.Connection[asyncpg.Record]", minutes: float) -> int:
    """The past up to now; the first number that is free."""
    await connection.execute(SCHEMA)
    await connection.execute(INDEXES)
    visits = int(minutes * _VISITS_A_MINUTE)
    begin = time.time() - 60 * minutes
    for low in range(0, visits, _AT_ONCE):
        since = datetime.fromtimestamp(begin + low * 60 / _VISITS_A_MINUTE, UTC)
        lasts = 60 * _AT_ONCE / _VISITS_A_MINUTE
        await connection.execute(_TRADE, 1 + low, 1 + low + _AT_ONCE, since, _interval(lasts))
    await connection.execute("VACUUM ANALYZE")
    return 1 + visits + _AT_ONCE


def _interval(seconds: float) -> "object":
    return datetime.fromtimestamp(seconds, UTC) - datetime.fromtimestamp(0, UTC)


async def _trade(dsn: str, first: int, since: float) -> None:
    """A second's customers each second, and those of the time that filling took."""
    connection = await asyncpg.connect(dsn)
    number, at = first, since
    try:
        while True:
            seconds = min(time.time() - at, 5.0)
            count = int(seconds * _VISITS_A_MINUTE / 60)
            if count:
                moment = datetime.fromtimestamp(at, UTC)
                await connection.execute(_TRADE, number, number + count, moment, _interval(seconds))
                number, at = number + count, at + seconds
            await asyncio.sleep(max(0.0, 1.0 - (time.time() - at)))
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def _trading(dsn: str, first: int, since: float) -> AsyncIterator[None]:
    task = asyncio.create_task(_trade(dsn, first, since))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _value(text: str, pattern: str) -> float:
    found = re.search(rf"^{pattern}\S* (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else float("nan")


async def measure(dsn: str, past_minutes: float, minutes: int) -> list[_Minute]:
    """Each minute of a rollout from when the judge has looked at it for the first time."""
    connection = await asyncpg.connect(dsn)
    filled_at = time.time()
    first = await _fill(connection, past_minutes)
    await connection.close()
    found = []
    with tempfile.TemporaryDirectory(prefix="canary-bench-") as name:
        peer = ours(Path(name), dsn, free_port())
        path = Path(name) / "canary.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "kpis": _KPIS}))
        async with _trading(dsn, first, filled_at), aiohttp.ClientSession() as client:
            async with Journal.open(load_policy(path)) as journal:
                await journal.append(started("large", datetime.now(UTC)))
            peer.program.launch()
            try:
                await _judged(client, peer.url)
                for _ in range(minutes):
                    cpu, began = cpu_seconds(peer.program), time.monotonic()
                    await asyncio.sleep(60)
                    spent = (cpu_seconds(peer.program) - cpu) / (time.monotonic() - began)
                    text = await _metrics(client, peer.url)
                    found.append(_minute(text, spent, memory_mb(peer.program)))
                    print(found[-1], flush=True)
            finally:
                peer.program.stop()
    return found


_KPIS = {
    "conversion_rate": {"kind": "conversion", "from": "visits", "to": "orders", "action": "rollback"},
    "payment_success_rate": {"kind": "success", "of": "payments", "floor": "90%", "action": "rollback"},
    "cart_rate": {"kind": "conversion", "from": "visits", "to": "carts", "action": "rollback"},
    "checkout_rate": {"kind": "conversion", "from": "visits", "to": "checkouts", "action": "hold"},
    "checkout_completion_rate": {"kind": "conversion", "from": "checkouts", "to": "orders", "action": "hold"},
    "average_order_value": {"kind": "mean", "of": "orders", "action": "hold"},
}


async def _metrics(client: aiohttp.ClientSession, url: str) -> str:
    async with client.get(url) as answer:
        return await answer.text()


async def _judged(client: aiohttp.ClientSession, url: str) -> None:
    for _ in itertools.count():
        with contextlib.suppress(aiohttp.ClientError):
            if "canary_kpi_verdict{" in await _metrics(client, url):
                return
        await asyncio.sleep(1)


def _minute(text: str, cpu_ratio: float, memory: float) -> _Minute:
    verdict = re.search(r'^canary_kpi_verdict{.*kpi="conversion_rate".*verdict="(\w+)".* 1.0$', text, re.MULTILINE)
    return _Minute(
        cpu_ratio,
        memory,
        time.time() - _value(text, "canary_exporter_last_refresh_timestamp_seconds"),
        _value(text, "canary_exporter_sample_ratio"),
        _value(text, 'canary_kpi_units{kpi="conversion_rate",role="canary"'),
        verdict[1] if verdict else "none",
    )


def _section(found: list[_Minute], past_minutes: float) -> str:
    rows = "\n".join(
        f"| {number} | {one.cpu_ratio:.0%} | {one.memory_mb:.0f} | {one.refresh_age_seconds:.1f}"
        f" | {one.sample_ratio:.1%} | {one.canary_units:,.0f} | {one.verdict} |"
        for number, one in enumerate(found, 1)
    )
    return (
        f"PostgreSQL with the past of {past_minutes:g} minutes at {_VISITS_A_MINUTE:,} visits a minute, which go on.\n"
        "A rollout with six KPIs is judged, both halves. Database, customers and exporter share the cores.\n\n"
        "| minute | of one core | memory MB | last refresh s ago | sample | canary's units of conversion | verdict |\n"
        f"|---|---|---|---|---|---|---|\n{rows}"
    )


def main() -> None:
    """Measure and write the section."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--past", type=float, default=70, help="minutes before the rollout")
    arguments.add_argument("--minutes", type=int, default=40)
    given = arguments.parse_args()
    with Postgres(_SETTINGS) as server:
        dsn = server.new_database().replace("+asyncpg", "")
        found = asyncio.run(measure(dsn, given.past, given.minutes))
    command = f"python -m bench.exporter.large --past {given.past:g} --minutes {given.minutes}"
    record("Exporter: 200,000 visits a minute", command, _section(found, given.past))


if __name__ == "__main__":
    main()
