"""Services with policies, databases and a monitoring of their own making, for one receiver or exporter of all."""

import asyncio
import json
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import yaml
from aiohttp import web

from bench.backtest.shop import SCHEMA
from canary import names
from canary.policy.load import load_policy
from canary.rollout.journal.journal import Journal
from canary.timing.times import to_text
from tests.support.receiving.entries import started

ALERTS_EACH = 5
"""What fires in a shop on an ordinary day: its heartbeat, and a few ranges."""
_INDEXES = ("visits", "carts", "orders", "payments", "feedback")
_TICKS = os.sysconf("SC_CLK_TCK")


def service(number: int) -> str:
    """The name of one."""
    return f"shop{number:02}"


def write_policies(folder: Path, count: int, port: int, monitoring: str) -> list[Path]:
    """Policies with tokens, markers and a place in one journal; gives their files."""
    policies = folder / "policies"
    policies.mkdir()
    written = []
    for name in map(service, range(count)):
        for role in ("webhook", "operator"):
            (folder / f"{name}-{role}").write_text(f"{role}-of-{name}-1234567\n", encoding="utf-8")
        policy = {
            "service": name,
            "state": {"url": f"sqlite:///{folder / 'state.db'}", "reports": str(folder / "reports")},
            "database": {"url": f"sqlite:///{folder / name}.db"},
            "phases": [{"traffic": "5%", "duration": "1h"}, {"traffic": "100%", "duration": "1h"}],
            "process": {"kind": "none", "drain": "0s"},
            "router": [{"kind": "nginx", "directories": [str(folder / "markers" / name)]}],
            "receiver": {
                "url": f"http://127.0.0.1:{port}/services/{name}",
                "token_file": str(folder / f"{name}-webhook"),
                "operator_token_file": str(folder / f"{name}-operator"),
                "prometheus": monitoring,
                "alertmanager": monitoring,
            },
        }
        written.append(policies / f"{name}.yaml")
        written[-1].write_text(yaml.safe_dump(policy), encoding="utf-8")
    return written


async def begin_rollouts(policies: Iterable[Path]) -> None:
    """Have a rollout run in each, without a receiver."""
    for path in policies:
        policy = load_policy(path)
        async with Journal.open(policy) as journal:
            await journal.append(started(f"{policy.service}-r1", datetime.now(UTC) - timedelta(minutes=30)))


def fill(path: Path, visits: int) -> None:
    """A shop's database with the visits of its last hour, 3 % of which buy, 5 % of them on the canary."""
    now = datetime.now(UTC)
    with sqlite3.connect(path) as connection:
        connection.executescript(SCHEMA)
        times = [
            (n, "v2.0" if n % 20 == 0 else "v1.0", to_text(now - timedelta(hours=1) * (1 - n / visits)))
            for n in range(1, visits + 1)
        ]
        buyers = [one for one in times if one[0] % 33 < 1]
        connection.executemany("INSERT INTO visits VALUES (?1, 'u' || ?1, ?2, ?3)", times)
        connection.executemany("INSERT INTO carts VALUES (?1, ?1, ?2, ?3, ?3)", buyers)
        connection.executemany("INSERT INTO orders VALUES (?1, ?1, ?1, ?2, 'paid', 20 + ?1 % 50, 'EUR', ?3)", buyers)
        outcome = "CASE WHEN ?1 % 25 THEN 'succeeded' ELSE 'failed' END"
        connection.executemany(f"INSERT INTO payments VALUES (?1, ?1, ?2, {outcome}, 20, ?3, ?3)", buyers)
        for table in _INDEXES:
            connection.execute(f"CREATE INDEX {table}_at ON {table} (created_at)")


def fill_all(folder: Path, count: int, visits: int) -> None:
    """The databases of all: alike, as their costs are to be."""
    fill(folder / f"{service(0)}.db", visits)
    for number in range(1, count):
        shutil.copyfile(folder / f"{service(0)}.db", folder / f"{service(number)}.db")


async def monitoring(pipe: Connection, count: int) -> None:
    """Stands for Prometheus and Alertmanager, with the alerts of all services; tells its port."""
    since = to_text(datetime.now(UTC))
    labels: list[dict[str, str]] = [
        {names.SERVICE: service(number), names.ACTION: "none", "severity": "info", "alertname": alert}
        for number in range(count)
        for alert in (names.WATCHDOG, *(f"CanaryOutOfRange{n}" for n in range(ALERTS_EACH - 1)))
    ]
    firing = [{"labels": one, "annotations": {}, "state": "firing", "activeAt": since} for one in labels]
    alerts = json.dumps({"status": "success", "data": {"alerts": firing}}).encode()

    async def listed(_request: web.Request) -> web.Response:
        return web.Response(body=alerts, content_type="application/json")

    async def queried(request: web.Request) -> web.Response:
        asked = (await request.post()).get("query", request.query.get("query", ""))
        beating = [one for one in labels if "ALERTS" in str(asked) and one["alertname"] == names.WATCHDOG]
        metrics = [{**one, "alertstate": "firing"} for one in beating]
        found = [{"metric": one, "value": [time.time(), "1"]} for one in metrics]
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": found}})

    async def nothing(_request: web.Request) -> web.Response:
        return web.json_response([])

    app = web.Application()
    app.router.add_get("/api/v1/alerts", listed)
    app.router.add_route("*", "/api/v1/query", queried)
    app.router.add_get("/api/v2/{what:.*}", nothing)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    pipe.send(runner.addresses[0][1])
    await asyncio.Event().wait()


def cpu_seconds(pids: Iterable[int]) -> float:
    """What these processes have computed since they began."""
    spent = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        spent += int(fields[11]) + int(fields[12])
    return spent / _TICKS


def memory_mib(pids: Iterable[int]) -> float:
    """What these processes take together; what they share counts once."""
    texts = (Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8") for pid in pids)
    return sum(int(found[1]) for text in texts if (found := re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE))) / 1024


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    threads = Path(f"/proc/{pid}/task").glob("*/children")  # each of them may have started some
    children = [int(child) for thread in threads for child in thread.read_text(encoding="utf-8").split()]
    return [pid, *(one for child in children for one in family(child))]
