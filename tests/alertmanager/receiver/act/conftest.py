"""What a receiver's acting part meets: a world of memory around it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from canary.policy.release import Process
from canary.process.manager import ProcessState
from tests.support.receiving.acting import Acting, Chats, World

DRAIN_SECONDS = 3


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A world with an empty journal and one chat."""
    async with World.around(tmp_path) as world:
        world.chats = Chats("slack#1")
        yield world


@pytest.fixture
async def leader(world: World) -> Acting:
    """The receiver that leads, with a rollout that has just begun."""
    leader = world.receiver()
    await leader.start()
    return leader


@pytest.fixture
async def draining(tmp_path: Path) -> AsyncIterator[World]:
    """A world with an empty journal, a running canary and three seconds for requests in flight."""
    async with World.around(tmp_path, process=Process(drain=DRAIN_SECONDS)) as world:
        world.process.now = ProcessState.RUNNING
        yield world
