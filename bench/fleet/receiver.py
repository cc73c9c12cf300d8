"""One receiver for many services, a rollout running in each: how busy it is, how soon any of them is rolled back."""

import asyncio
import random
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import aiohttp

from bench import results
from bench.fleet.shops import ALERTS_EACH, cpu_seconds, memory_mib, monitoring, write_policies
from bench.parts import parts
from bench.results import figures
from canary import names
from canary.policy.load import load_policy
from canary.web.client import Client
from tests.support.programs.ports import free_port
from tests.support.programs.processes import Program, eventually, listens

_BETWEEN_SECONDS = 0.3
"""Between two rollbacks, so that each is measured alone."""
_AT_ONCE = 10
"""So many are started at the same time."""


async def measure(services: int, seconds: float) -> str:
    """A row of Markdown."""
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        async with parts() as start:
            there = f"http://127.0.0.1:{await start(monitoring, services).hear()}"
            policies = write_policies(folder, services, port, there)
            argv: list[str | Path] = [Path(sys.executable).with_name("canary"), "receiver"]
            argv += ["--config.file", folder / "policies", "--web.listen-address", f"127.0.0.1:{port}"]
            receiver = Program(argv, folder / "receiver.log")
            try:
                await receiver.start(lambda: listens(port), 120)
                async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
                    await eventually(lambda: _ready(http), "all services are ready", 120)
                    rollouts = await _begin(policies)
                    await eventually(lambda: all(_open(folder, one) for one in rollouts), "all canaries", 120)
                    busy = await _busy(receiver.pid, seconds)
                    memory = memory_mib([receiver.pid])
                    answered, in_force = await _roll_back(http, folder, rollouts)
            finally:
                receiver.stop()
    cells = (str(services), f"{busy:.0%}", f"{memory:.0f}", figures(answered), figures(in_force))
    return f"| {' | '.join(cells)} |"


async def _ready(http: aiohttp.ClientSession) -> bool:
    async with http.get("/-/ready") as answer:
        return answer.status == 200


async def _begin(policies: list[Path]) -> dict[str, str]:
    """Start a rollout in each service; gives its id by the service's name."""
    few = asyncio.Semaphore(_AT_ONCE)

    async def one(path: Path) -> tuple[str, str]:
        policy = load_policy(path)
        async with few, Client.of(policy) as client:
            entry = await client.command("start", canary="v2.0", stable="v1.0", force=True)
            return policy.service, str(entry["rollout"])

    return dict(await asyncio.gather(*map(one, policies)))


def _open(folder: Path, name: str) -> bool:
    return (folder / "markers" / name / "active").is_symlink()


async def _busy(pid: int, seconds: float) -> float:
    before, began = cpu_seconds([pid]), time.monotonic()
    await asyncio.sleep(seconds)
    return (cpu_seconds([pid]) - before) / (time.monotonic() - began)


async def _roll_back(
    http: aiohttp.ClientSession, folder: Path, rollouts: dict[str, str]
) -> tuple[list[float], list[float]]:
    """Roll each service back, in no order; gives milliseconds until the answer, and until nobody is on the canary."""
    answered: list[float] = []
    in_force: list[float] = []
    order = random.Random(1)
    for name in order.sample(sorted(rollouts), len(rollouts)):
        labels = {"alertname": "CanaryHighErrorRate", names.SERVICE: name, names.ACTION: "rollback"}
        labels[names.ROLLOUT] = rollouts[name]
        alert = {"status": "firing", "labels": labels, "annotations": {}, "startsAt": "2026-01-01T00:00:00Z"}
        headers = {"Authorization": f"Bearer webhook-of-{name}-1234567"}
        began = time.perf_counter()
        sent = asyncio.ensure_future(
            http.post(
                f"/services/{name}{names.WEBHOOK_PATH}", json={"version": "4", "alerts": [alert]}, headers=headers
            )
        )
        sent.add_done_callback(partial(_note, answered, began))
        while _open(folder, name):  # noqa: ASYNC110  # another process closes it
            await asyncio.sleep(0.001)
        in_force.append((time.perf_counter() - began) * 1000)
        async with await sent as answer:
            if answer.status != 202:
                raise RuntimeError(f"the webhook of {name} answered {answer.status}")
        await asyncio.sleep(_BETWEEN_SECONDS)
    return answered, in_force


def _note(answered: list[float], began: float, _sent: object) -> None:
    answered.append((time.perf_counter() - began) * 1000)


_INTRODUCTION = f"""\
A rollout runs in each service, whose marker files are nginx'; the journal is one SQLite file; Prometheus and
Alertmanager are a stand-in in another process, where {ALERTS_EACH} alerts of each service fire. *Busy* is the
receiver's share of one core while nothing happens. Then each service is rolled back by its webhook, one after the
other. Milliseconds: median / p99 / largest.

| services | busy | memory, MiB | webhook answered | nobody on the canary after |
|---|---|---|---|---|
"""


async def main(services: int, seconds: float, command: str) -> None:
    """Measure, and record the figures."""
    row = await measure(services, seconds)
    print(row, flush=True)
    results.record("Many services: one receiver", command, _INTRODUCTION + row)
