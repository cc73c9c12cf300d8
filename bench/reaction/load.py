"""A router under 1,000 requests a second: both versions' servers behind it, customers before it, perhaps far away.

Servers, customers and the relay run in processes of their own, as they would.
"""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Generic, TypeVar

from bench.parts import Part, parts
from bench.results import figures
from canary.routers.asking import AskingRouter
from tests.support.programs.caddy import Caddy
from tests.support.programs.envoy import Envoy
from tests.support.programs.haproxy import HAProxy
from tests.support.programs.nginx import Nginx
from tests.support.programs.ports import free_port
from tests.support.programs.traefik import Traefik
from tests.support.web.asking import answering
from tests.support.web.traffic import AddressCustomer, Customer, Relay, Upstream, load

# A shop on one machine: customers with a round trip of a mobile network, and pages that take a moment to make.
CUSTOMERS = 200
REQUESTS_PER_SECOND = 1000
SERVICE_SECONDS = 0.02
ROUND_TRIP_SECONDS = 0.05
# A customer pauses between two requests, so that all together ask as often as wanted.
CYCLE_SECONDS = CUSTOMERS / REQUESTS_PER_SECOND


class AskingEnvoy(Envoy):
    """One that asks the receiver for its weights."""

    def __init__(self, folder: Path, stable: str, canary: str) -> None:
        self.receiver_port = free_port()
        receivers = (f"http://127.0.0.1:{self.receiver_port}",)
        super().__init__(folder, stable, canary, instances=("edge1",), receivers=receivers)


class AskingTraefik(Traefik):
    """One that asks the receiver for its configuration."""

    def __init__(self, folder: Path, stable: str, canary: str) -> None:
        self.receiver_port = free_port()
        super().__init__(folder, stable, canary, receiver=f"http://127.0.0.1:{self.receiver_port}")


Front = HAProxy | Nginx | Envoy | Traefik | Caddy
Make = type[HAProxy] | type[Nginx] | type[Envoy] | type[Traefik] | type[Caddy]
Rollback = TypeVar("Rollback")


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


async def shop(pipe: Connection, port: int, pause_seconds: float, by_address: bool) -> None:
    """The customers: tells of the requests since the last question."""
    users = [hashlib.sha256(str(number).encode()).hexdigest()[:36] for number in range(CUSTOMERS)]
    if by_address:
        users = [f"127.1.1.{number + 1}" for number in range(CUSTOMERS)]
    async with load(port, users, pause_seconds, customer_of=AddressCustomer if by_address else Customer) as answers:
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


@dataclass
class Run(Generic[Rollback]):
    """All rollbacks with one router at one distance."""

    router: str
    round_trip_ms: int
    rollbacks: list[Rollback] = field(default_factory=list)
    requests: int = 0
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def row(self, *times_ms: Callable[[Rollback], float]) -> str:
        """Its figures as a row of Markdown, with a column for each of the *times_ms*."""
        cells = (
            self.router,
            f"{self.round_trip_ms} ms",
            str(len(self.rollbacks)),
            f"{self.requests:,} ({self.requests / self.seconds:.0f})",
            *(figures([time_ms(rollback) for rollback in self.rollbacks]) for time_ms in times_ms),
            str(len(self.failures)),
        )
        return f"| {' | '.join(cells)} |"


class Load:
    """What stands around a router."""

    def __init__(self, front: Front, servers: Part, start: Callable[..., Part]) -> None:
        self.front = front
        self._servers = servers
        self._start = start

    async def begin(self, far: bool) -> None:
        """Let the customers come."""
        port = await self._start(relay, self.front.port).hear() if far else self.front.port
        latency = SERVICE_SECONDS + (ROUND_TRIP_SECONDS if far else 0)
        self._customers = self._start(shop, port, CYCLE_SECONDS - latency, isinstance(self.front, Traefik))
        await self._customers.hear()
        self._began = time.perf_counter()

    async def note(self, run: Run[Rollback]) -> tuple[float, float]:
        """Count what came since the last time; when the canary's last request arrived, and was answered."""
        arrived_at = await self._servers.ask()
        requests, failures, answered_at = await self._customers.ask()
        run.requests += requests
        run.failures += failures
        run.seconds = time.perf_counter() - self._began
        return arrived_at, answered_at


@asynccontextmanager
async def around(make: Make, folder: Path) -> AsyncIterator[Load]:
    """A router of this make with its servers; the customers wait."""
    async with parts() as start, contextlib.AsyncExitStack() as stack:
        servers = start(serve)
        front = make(folder, *await servers.hear())
        if isinstance(front, AskingEnvoy | AskingTraefik):
            assert isinstance(front.router, AskingRouter), "its policy says that it asks"
            await stack.enter_async_context(answering(front.router, front.receiver_port))
        await front.start()
        try:
            yield Load(front, servers, start)
        finally:
            front.stop()


def new_run(make: Make, far: bool) -> Run[Rollback]:
    """A run in which nothing has happened."""
    return Run(make.__name__, round(ROUND_TRIP_SECONDS * 1000) if far else 0)
