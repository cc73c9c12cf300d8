"""The customers in front of a running stack, during a story and after it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from canary.timing.clock import Clock
from demo.customers import Customers
from demo.stack.stack import Stack


@asynccontextmanager
async def crowd(stack: Stack, clock: Clock, seed: int) -> AsyncIterator[Customers]:
    """Customers who come in as long as the block lasts."""
    settings = stack.settings
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        customers = Customers(
            stack.places.url("front"),
            session,
            clock,
            rate_per_second=settings.rate_per_second,
            speed=settings.speed,
            seed=seed,
        )
        coming = asyncio.create_task(customers.run())
        try:
            yield customers
        finally:
            coming.cancel()
            # Not `await coming`: its end looks like an interruption of ours, and one that comes now would be lost.
            await asyncio.wait([coming])
