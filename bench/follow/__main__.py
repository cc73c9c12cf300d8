"""`python -m bench.follow`: how many lines of the router's log a second the follower takes in, on one core.

The whole process, pinned to one core: reading the file, understanding lines, assignments and visits of 12,000
customers, SQLite on disk, metrics. The log is written beforehand, as after an outage, so that what is measured is the
most that it can do.
"""

import asyncio
import json
import os
import random
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bench import results
from canary.policy.database.requestlog import RequestLog
from canary.policy.database.section import Database
from canary.policy.model import Policy
from canary.policy.release import Upstreams
from canary.policy.routers.sections import NginxRouter
from canary.rollout.journal.journal import Journal
from canary.testing.clock import FakeClock
from canary.web.options import WebOptions
from exporter.follow.service import Follower
from tests.support.programs.processes import eventually
from tests.support.receiving.entries import started

COMMAND = "python -m bench.follow"
LINES = 60_000
CUSTOMERS = 12_000
AIM = 5_000
_PATHS = ("/", "/cart", "/checkout/payment", "/product/4711", "/category/shoes", "/api/cart/17/items")
_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"


def _write(path: Path, draw: random.Random) -> None:
    now = time.time()
    with path.open("w") as file:
        for number in range(LINES):
            user = draw.randrange(CUSTOMERS)
            line = {
                "ended": f"{now + number / AIM:.3f}",
                "took": f"{draw.expovariate(10):.3f}",
                "user": f"9f86d081884c7d659a2feaa0c55ad015{user}",
                "side": "canary" if user % 4 == 0 else "stable",
                "server": "10.0.1.20:5000" if user % 4 == 0 else "10.0.1.10:5000",
                "status": "200",
                "path": draw.choice(_PATHS),
                "agent": _AGENT,
            }
            file.write(json.dumps(line) + "\n")


async def _measure(folder: Path) -> tuple[float, float]:
    upstreams = Upstreams(stable=("10.0.1.10:5000",), canary=("10.0.1.20:5000",))
    policy = Policy(
        service="shop",
        base=str(folder),
        database=Database(url="sqlite:///shop.db", log=RequestLog(file="access.log")),
        router=(NginxRouter(kind="nginx", upstreams=upstreams),),
    )
    policy = replace(policy, state=replace(policy.state, url="sqlite:///state.db"))
    async with Journal.open(policy) as journal:
        await journal.append(started("r1", FakeClock().now()))
    follower = Follower(policy, WebOptions())
    began, used = time.perf_counter(), time.process_time()
    async with follower.following():
        await eventually(
            lambda: follower.web.registry.get_sample_value("canary_log_lines_total", {"service": "shop"}) == LINES,
            "all lines",
            timeout_seconds=600,
        )
        return time.perf_counter() - began, time.process_time() - used


def main() -> None:
    """Measure, and write the section."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as name:
        _write(Path(name) / "access.log", random.Random(1))
        took, used = asyncio.run(_measure(Path(name)))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    table = [
        "| what | measured | aim |",
        "|---|---|---|",
        f"| lines for each second of one core's time | {LINES / used:,.0f} | at least {AIM:,} |",
        f"| lines a second, next to whatever else the machine did | {LINES / took:,.0f} | |",
        f"| memory with {CUSTOMERS:,} customers, MB | {memory:.0f} | |",
    ]
    text = "\n".join(table)
    sys.stdout.write(text + "\n")
    results.record("The router's log", COMMAND, text)


if __name__ == "__main__":
    main()
