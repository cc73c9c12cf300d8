"""From the call of `set_weight` to the last request that the canary is given, under 1,000 requests a second."""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import results
from bench.reaction.load import (
    CUSTOMERS,
    CYCLE_SECONDS,
    SERVICE_SECONDS,
    AskingEnvoy,
    AskingTraefik,
    Load,
    Make,
    Run,
    around,
    new_run,
)
from canary.routers import Split
from tests.support.programs.caddy import Caddy
from tests.support.programs.envoy import Envoy
from tests.support.programs.haproxy import HAProxy
from tests.support.programs.nginx import Nginx
from tests.support.programs.traefik import Traefik

COMMAND = "python -m bench.reaction.router"
MAKES: tuple[Make, ...] = (HAProxy, Nginx, Envoy, AskingEnvoy, Traefik, AskingTraefik, Caddy)


@dataclass
class Rollback:
    """One rollback; times in milliseconds, counted from the call of `set_weight`."""

    command_ms: float
    last_arrival_ms: float
    last_answer_ms: float


async def measure(make: Make, far: bool, rollbacks: int) -> Run[Rollback]:
    """Roll back from 50 % again and again."""
    run: Run[Rollback] = new_run(make, far)
    with tempfile.TemporaryDirectory() as folder:
        async with around(make, Path(folder)) as load:
            await load.begin(far)
            for number in range(rollbacks):
                await _roll_back(run, load, f"r-{number}")
    return run


async def _roll_back(run: Run[Rollback], load: Load, rollout: str) -> None:
    router = load.front.router
    for weight_ratio in (0.05, 0.25, 0.5):
        await router.set_weight(Split(rollout, weight_ratio))
        await asyncio.sleep(2 * CYCLE_SECONDS)
    called_at = time.perf_counter()
    await router.set_weight(Split(rollout, 0))
    returned_at = time.perf_counter()
    await asyncio.sleep(3 * CYCLE_SECONDS)
    arrived_at, answered_at = await load.note(run)
    run.rollbacks.append(
        Rollback(
            command_ms=(returned_at - called_at) * 1000,
            last_arrival_ms=(arrived_at - called_at) * 1000,
            last_answer_ms=(answered_at - called_at) * 1000,
        )
    )


_INTRODUCTION = f"""\
{CUSTOMERS} keep-alive customers who never try twice, one request in five a POST, {SERVICE_SECONDS * 1000:.0f} ms
service time; each rollback after 5, 25 and 50 %. Times are milliseconds from the call of `set_weight(0)`:
median / p99 / largest. A negative time means that the canary's last request had come before the call.
Caddy is the example of kind `command`: two programs are started for each call. Traefik's customers are addresses.
AskingEnvoy and AskingTraefik ask the receiver (RTDS, HTTP provider), whose answers the measuring process itself gives.

| router | round trip | rollbacks | requests (per s) | call returns | canary's last request arrives | \
canary's last answer at the customer | failed requests |
|---|---|---|---|---|---|---|---|
"""


def row(run: Run[Rollback]) -> str:
    """One run's figures as a row of Markdown."""
    return run.row(lambda one: one.command_ms, lambda one: one.last_arrival_ms, lambda one: one.last_answer_ms)


async def main(rollbacks: int = 50, makes: Sequence[Make] = MAKES) -> None:
    """Measure routers, near and far; when it was all of them, record the figures."""
    runs = []
    for far in (False, True):
        for make in makes:
            runs.append(await measure(make, far, rollbacks))
            print(row(runs[-1]), *set(runs[-1].failures), flush=True)
    if len(makes) == len(MAKES):
        command = f"{COMMAND} --rollbacks {rollbacks}"
        results.record("Reaction: the routers", command, _INTRODUCTION + "\n".join(map(row, runs)))


if __name__ == "__main__":
    by_name = {make.__name__: make for make in MAKES}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollbacks", type=int, default=50, help="per router and distance")
    parser.add_argument("--router", nargs="+", choices=list(by_name), default=list(by_name), help="only these")
    given = parser.parse_args()
    asyncio.run(main(given.rollbacks, [by_name[name] for name in given.router]))
