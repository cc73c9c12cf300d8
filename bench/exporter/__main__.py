"""`canary exporter` next to Debian's prometheus-sql-exporter and PyPI's query-exporter, on one real PostgreSQL.

`--orders` gives the size of the past; `--alone` leaves the peers out, to see how cost depends on size.
"""

import argparse
import asyncio
import os
import tempfile
from pathlib import Path

from bench.exporter.measure import HEAD, Figures, measure
from bench.exporter.peers import Peer, debian, ours, query_exporter
from bench.exporter.shop import DAYS, seed
from bench.results import record
from tests.support.databases.postgres import Postgres
from tests.support.programs.ports import free_port

_SETTINGS = [
    "shared_preload_libraries=pg_stat_statements",
    "pg_stat_statements.track_planning=on",
    "shared_buffers=4GB",
    "maintenance_work_mem=1GB",
    "max_wal_size=8GB",
]


async def compare(dsn: str, seconds: float, *, alone: bool) -> list[Figures]:
    """The figures of every exporter, one after the other on the same database."""
    figures = []
    with tempfile.TemporaryDirectory(prefix="canary-bench-") as name:
        folder = Path(name)
        peers: list[Peer] = [ours(folder, dsn, free_port())]
        if not alone:
            for minutes in (5, None):
                peers += [debian(folder, dsn, free_port(), minutes), query_exporter(folder, dsn, free_port(), minutes)]
        for peer in peers:
            print(peer.name, flush=True)
            figures.append(await measure(peer, dsn, seconds))
            print(figures[-1].row(), flush=True)
    return figures


def main() -> None:
    """Measure and write the section."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--visits", type=int, default=10_000_000)
    arguments.add_argument("--orders", type=int, default=5_000_000)
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--alone", action="store_true", help="only kpi-canary")
    arguments.add_argument("--dsn", help="a database that was filled before")
    given = arguments.parse_args()
    if given.dsn:
        figures = asyncio.run(compare(given.dsn, given.seconds, alone=given.alone))
    else:
        with Postgres(_SETTINGS) as server:
            dsn = server.new_database().replace("+asyncpg", "")
            print("filling the database", flush=True)
            asyncio.run(seed(dsn, given.visits, given.orders))
            figures = asyncio.run(compare(dsn, given.seconds, alone=given.alone))
    size = f"{given.visits / 1e6:g} million visits, {given.orders / 1e6:g} million orders"
    command = f"python -m bench.exporter --visits {given.visits} --orders {given.orders}"
    record(f"Exporter: {size}", command + (" --alone" if given.alone else ""), text(figures, size, given.seconds))


def text(figures: list[Figures], size: str, seconds: float) -> str:
    """The section's body."""
    rows = "\n".join(one.row() for one in figures)
    first = figures[0]
    return (
        f"PostgreSQL with {size} over {DAYS} days, about 1,000 more visits a minute meanwhile, {seconds:g} s each,"
        f"\nload average {os.getloadavg()[0]:.1f} at the end. All publish visits, carts, orders and payments by version"
        " and the conversion rate\nof the last hour; kpi-canary publishes five KPIs and keeps the rows for the judge"
        f" besides. Database time is planning\nand executing, by pg_stat_statements.\n\n{HEAD}\n{rows}\n\n"
        f"kpi-canary's cold start: /metrics answered after {first.first_answer_seconds:.1f} s, the past was counted"
        f"\nafter {first.complete_seconds:.0f} s; {first.statements_per_refresh:.1f} statements a refresh."
    )


if __name__ == "__main__":
    main()
