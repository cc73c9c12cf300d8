"""Keeping the receiver's workers alive: a fault in one must not stop those that protect customers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from canary.logs import Log
from canary.timing.clock import Clock

# Long enough that a worker which fails at once fills no log, short enough that a rollback does not wait for it.
_PAUSE_SECONDS = 1.0


@asynccontextmanager
async def working(workers: Mapping[str, Callable[[], Awaitable[None]]], clock: Clock) -> AsyncIterator[None]:
    """Run every worker while the block runs; one that ends or breaks is reported and restarts."""
    tasks = [asyncio.create_task(_keep(name, work, clock), name=name) for name, work in workers.items()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep(name: str, work: Callable[[], Awaitable[None]], clock: Clock) -> None:
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  # whatever it is, the other workers go on and this one starts anew
            Log("receiver").error("worker broke and restarts", exception=error, worker=name)
        await clock.sleep(_PAUSE_SECONDS)
