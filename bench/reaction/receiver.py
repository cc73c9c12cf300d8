"""From the webhook's arrival to the last request that the canary is given, under 1,000 requests a second.

As `bench.reaction.router`, but the decision comes the way it comes in life: a webhook, the journal, the reconciler.
"""

import argparse
import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bench import results
from bench.reaction.load import CYCLE_SECONDS, Load, Make, Run, around, new_run
from canary.web.client import Client
from tests.support.programs.haproxy import HAProxy
from tests.support.programs.nginx import Nginx
from tests.support.receiving.receiver import (
    ReceiverProgram,
    Setting,
    alert,
    in_state,
    payload,
    post,
    router_section,
    until,
)

COMMAND = "python -m bench.reaction.receiver"
_PHASES = [{"traffic": "50%", "duration": "1h"}, {"traffic": "100%", "duration": "1h"}]


@dataclass
class Rollback:
    """One rollback; milliseconds from the moment when the webhook was sent."""

    answered_ms: float
    last_arrival_ms: float


async def measure(make: Make, far: bool, rollbacks: int) -> Run[Rollback]:
    """Start a rollout and roll it back, again and again."""
    run: Run[Rollback] = new_run(make, far)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with around(make, folder / "front") as load:
            changes = {"phases": _PHASES, "process": {"kind": "none", "drain": "0s"}}
            assert isinstance(load.front, HAProxy | Nginx), "only these have a receiver's section here"
            setting = Setting(folder / "receiver", [router_section(load.front)], changes)
            receiver = ReceiverProgram(setting)
            try:
                await receiver.start()
                await load.begin(far)
                async with aiohttp.ClientSession() as session, Client.of(setting.policy) as client:
                    for _ in range(rollbacks):
                        await _roll_back(run, setting, client, session, load)
            finally:
                receiver.program.stop()
    return run


async def _roll_back(
    run: Run[Rollback], setting: Setting, client: Client, session: aiohttp.ClientSession, load: Load
) -> None:
    entry = await client.command("start", canary="v2.0", stable="v1.0", again=True)
    await until(setting, "the share is in force", lambda now: now["settled"])
    await asyncio.sleep(4 * CYCLE_SECONDS)
    body = payload(alert("CanaryHighErrorRate", "rollback", str(entry["rollout"])))
    sent_at = time.perf_counter()
    assert await post(setting, body, session=session) == 202, "refused"
    answered_at = time.perf_counter()
    await asyncio.sleep(3 * CYCLE_SECONDS)
    arrived_at, _ = await load.note(run)
    run.rollbacks.append(Rollback((answered_at - sent_at) * 1000, (arrived_at - sent_at) * 1000))
    await until(setting, "rolled back", in_state("rolled_back"))
    # Rollouts are named by the second.
    await asyncio.sleep(max(0.0, 1.1 - (time.perf_counter() - sent_at)))


_INTRODUCTION = """\
As above, from 50 %, but decided by a webhook: HTTP, bearer token, journal on disk (SQLite, synchronous=FULL),
reconciler, router. Times are milliseconds from the moment when the webhook was sent: median / p99 / largest.

| router | round trip | rollbacks | requests (per s) | webhook answered | canary's last request arrives | failed |
|---|---|---|---|---|---|---|
"""


def row(run: Run[Rollback]) -> str:
    """One run's figures as a row of Markdown."""
    return run.row(lambda one: one.answered_ms, lambda one: one.last_arrival_ms)


async def main(rollbacks: int = 30) -> None:
    """Measure both routers, near and far, and record the figures."""
    runs = []
    for far in (False, True):
        for make in (HAProxy, Nginx):
            runs.append(await measure(make, far, rollbacks))
            print(row(runs[-1]), *set(runs[-1].failures), flush=True)
    title = "Reaction: from the webhook to the last request"
    results.record(title, f"{COMMAND} --rollbacks {rollbacks}", _INTRODUCTION + "\n".join(map(row, runs)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollbacks", type=int, default=30, help="per router and distance")
    asyncio.run(main(parser.parse_args().rollbacks))
