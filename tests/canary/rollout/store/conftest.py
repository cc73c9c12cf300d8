"""A store in which a rollout has begun, on journals that a test can take away."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from canary.rollout.commands.seen import Seen
from canary.rollout.journal import journal as journals
from canary.rollout.store.store import RolloutStore
from tests.support.clock import FakeClock
from tests.support.receiving.journals import START, Gate, Stubborn


@pytest.fixture
async def engine() -> AsyncIterator[AsyncEngine]:
    """An empty journal's database in memory."""
    made = create_async_engine("sqlite+aiosqlite:///:memory:")
    async with made.begin() as connection:
        await connection.run_sync(journals.METADATA.create_all)
    yield made
    await made.dispose()


@pytest.fixture
def journal(engine: AsyncEngine) -> Stubborn:
    """The journal of the store under test."""
    return Stubborn(engine, "shop")


@pytest.fixture
async def store(journal: Stubborn) -> RolloutStore:
    """A store in which rollout r1 has just begun."""
    made = RolloutStore(journal, FakeClock())
    await made.propose(Seen.of(None), START)
    return made


@pytest.fixture
def gate() -> Gate:
    """What comes before each operation on a journal in memory."""
    return Gate()


@pytest.fixture
async def complaints() -> list[dict[str, Any]]:
    """What the loop says of errors that nobody has asked for."""
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: said.append(context))
    return said
