"""From the call of `set_weight` to the last request that the canary is given, under 1,000 requests a second.

The two versions' servers, the customers and the relay run in processes of their own, as they would; their clocks
are the kernel's monotonic one, which all processes share.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench import results
from canary.routers import Split
from tests.support.haproxy import HAProxy
from tests.support.nginx import Nginx
from tests.support.traffic import Relay, Upstream, load

COMMAND = "python -m bench.reaction.router"
CUSTOMERS = 200
REQUESTS_PER_SECOND = 1000
SERVICE_SECONDS = 0.02
ROUND_TRIP_SECONDS = 0.05
# A customer pauses between two requests, so that all together ask as often as wanted.
CYCLE_SECONDS = CUSTOMERS / REQUESTS_PER_SECOND

Main = Callable[..., Coroutine[Any, Any, None]]


@dataclass
class Rollback:
    """One rollback; times in milliseconds, counted from the call of `set_weight`."""

    command_ms: float
    last_arrival_ms: float
    last_answer_ms: float


@dataclass
class Run:
    """All rollbacks with one router at one distance."""

    router: str
    round_trip_ms: int
    rollbacks: list[Rollback] = field(default_factory=list)
    requests: int = 0
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0


async def serve(pipe: Connection) -> None:
    """Both versions' servers: tells when the canary's last request since the last question arrived."""
    stable, canary = Upstream("stable", SERVICE_SECONDS), Upstream("canary", SERVICE_SECONDS)
    await stable.start()
    await canary.start()
    pipe.send((stable.address, canary.address))
    while await asyncio.to_thread(pipe.recv):
        pipe.send(max((arrival.at for arrival in canary.arrivals), default=None))
        stable.arrivals.clear()
        canary.arrivals.clear()


async def shop(pipe: Connection, port: int, pause_seconds: float) -> None:
    """The customers: tells of the requests since the last question."""
    users = [f"customer-{number}" for number in range(CUSTOMERS)]
    async with load(port, users, pause_seconds) as answers:
        pipe.send(None)
        while await asyncio.to_thread(pipe.recv):
            last = max((answer.answered_at for answer in answers if answer.version == "canary"), default=None)
            pipe.send((len(answers), [answer.failure for answer in answers if answer.failure], last))
            answers.clear()


async def relay(pipe: Connection, target: int) -> None:
    """A way to the router that takes time."""
    made = Relay(target, ROUND_TRIP_SECONDS / 2)
    await made.start()
    pipe.send(made.port)
    await asyncio.to_thread(pipe.recv)


def _child(main: Main, pipe: Connection, arguments: tuple[object, ...]) -> None:
    asyncio.run(main(pipe, *arguments))


class Part:
    """One process of the bench, asked through a pipe."""

    def __init__(self, main: Main, *arguments: object) -> None:
        self._pipe, far = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(
            target=_child, args=(main, far, arguments), daemon=True
        )
        self._process.start()

    async def hear(self) -> Any:
        """What it says next."""
        return await asyncio.to_thread(self._pipe.recv)

    async def ask(self) -> Any:
        """Ask, and wait for the answer."""
        self._pipe.send(True)
        return await self.hear()

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.join()


@contextlib.asynccontextmanager
async def parts() -> AsyncIterator[Callable[..., Part]]:
    """Starts parts, and ends them all."""
    started: list[Part] = []

    def start(main: Main, *arguments: object) -> Part:
        started.append(Part(main, *arguments))
        return started[-1]

    try:
        yield start
    finally:
        for part in reversed(started):
            part.stop()


async def measure(make: type[HAProxy] | type[Nginx], far: bool, rollbacks: int) -> Run:
    """Roll back from 50 % again and again."""
    run = Run(make.__name__, round(ROUND_TRIP_SECONDS * 1000) if far else 0)
    with tempfile.TemporaryDirectory() as folder:
        async with parts() as start:
            servers = start(serve)
            stable, canary = await servers.hear()
            front = make(Path(folder), stable, canary)
            await front.start()
            try:
                port = front.port
                if far:
                    port = await start(relay, front.port).hear()
                latency = SERVICE_SECONDS + (ROUND_TRIP_SECONDS if far else 0)
                customers = start(shop, port, CYCLE_SECONDS - latency)
                await customers.hear()
                began = time.perf_counter()
                for number in range(rollbacks):
                    await _roll_back(run, front, servers, customers, f"r-{number}")
                run.seconds = time.perf_counter() - began
            finally:
                front.stop()
    return run


async def _roll_back(run: Run, front: HAProxy | Nginx, servers: Part, customers: Part, rollout: str) -> None:
    for weight_ratio in (0.05, 0.25, 0.5):
        await front.router.set_weight(Split(rollout, weight_ratio))
        await asyncio.sleep(2 * CYCLE_SECONDS)
    called_at = time.perf_counter()
    await front.router.set_weight(Split(rollout, 0))
    returned_at = time.perf_counter()
    await asyncio.sleep(3 * CYCLE_SECONDS)
    arrived_at = await servers.ask()
    requests, failures, answered_at = await customers.ask()
    run.requests += requests
    run.failures += failures
    run.rollbacks.append(
        Rollback(
            command_ms=(returned_at - called_at) * 1000,
            last_arrival_ms=(arrived_at - called_at) * 1000,
            last_answer_ms=(answered_at - called_at) * 1000,
        )
    )


def figures(values: list[float]) -> str:
    """Median, 99th percentile and largest of some times, as in the tables."""
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return f"{statistics.median(ordered):.1f} / {p99:.1f} / {ordered[-1]:.1f}"


_INTRODUCTION = f"""\
{CUSTOMERS} keep-alive customers who never try twice, one request in five a POST, {SERVICE_SECONDS * 1000:.0f} ms
service time; each rollback after 5, 25 and 50 %. Times are milliseconds from the call of `set_weight(0)`:
median / p99 / largest. A negative time means that the canary's last request had come before the call.

| router | round trip | rollbacks | requests (per s) | call returns | canary's last request arrives | \
canary's last answer at the customer | failed requests |
|---|---|---|---|---|---|---|---|
"""


def row(run: Run) -> str:
    """One run's figures as a row of Markdown."""
    cells = (
        run.router,
        f"{run.round_trip_ms} ms",
        str(len(run.rollbacks)),
        f"{run.requests:,} ({run.requests / run.seconds:.0f})",
        figures([rollback.command_ms for rollback in run.rollbacks]),
        figures([rollback.last_arrival_ms for rollback in run.rollbacks]),
        figures([rollback.last_answer_ms for rollback in run.rollbacks]),
        str(len(run.failures)),
    )
    return f"| {' | '.join(cells)} |"


async def main(rollbacks: int = 50) -> None:
    """Measure both routers, near and far, and record the figures."""
    runs = []
    for far in (False, True):
        for make in (HAProxy, Nginx):
            runs.append(await measure(make, far, rollbacks))
            print(row(runs[-1]), *set(runs[-1].failures), flush=True)
    results.record(
        "Reaction: the routers", f"{COMMAND} --rollbacks {rollbacks}", _INTRODUCTION + "\n".join(map(row, runs))
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollbacks", type=int, default=50, help="per router and distance")
    asyncio.run(main(parser.parse_args().rollbacks))
