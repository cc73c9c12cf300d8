"""The stop of the canary's process waits for what its servers still serve, and no longer than it must."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from canary.policy.release import Process
from canary.process.manager import ProcessState
from canary.rollout.state import State
from tests.support.clock import FakeClock
from tests.support.receiving.acting import Acting, World

MOST_SECONDS = 600


class LosingClock(FakeClock):
    """A clock in whose sleep what is left on the canary goes down by one at a time."""

    def __init__(self, world: World, every_seconds: float) -> None:
        super().__init__()
        self._world = world
        self._every_seconds = every_seconds
        self._began = self.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await super().sleep(seconds)
        router = self._world.router
        if router.in_flight and self.monotonic() - self._began >= self._every_seconds:
            self._began = self.monotonic()
            router.in_flight -= 1


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A world with a running canary, and ten minutes for what is left."""
    async with World.around(tmp_path, process=Process(drain=MOST_SECONDS)) as world:
        world.process.now = ProcessState.RUNNING
        yield world


async def rolled_back(world: World) -> float:
    """A rollout that is rolled back to its end; the seconds that this took."""
    leader: Acting = world.receiver()
    await leader.start()
    await leader.controller.step()
    await leader.roll_back()
    decided_at = world.clock.monotonic()
    await leader.reconcile()
    assert leader.rollout.state is State.ROLLED_BACK
    assert world.process.done == ["stop", "stopped"]
    return world.clock.monotonic() - decided_at


async def test_with_nothing_left_the_process_is_stopped_at_once(world: World) -> None:
    """Two looks in a row find no session: there is nothing to wait for."""
    world.router.in_flight = 0

    assert await rolled_back(world) < 1.0


async def test_it_is_stopped_when_the_last_session_has_ended(world: World) -> None:
    """Two downloads that end after a minute each are not cut."""
    world.clock = LosingClock(world, 60)
    world.router.in_flight = 2

    assert 110 < await rolled_back(world) < 125


async def test_what_never_ends_is_waited_for_no_longer_than_the_policy_says(world: World) -> None:
    """A websocket that stays open costs `process.drain`, and is cut then."""
    world.router.in_flight = 1

    assert await rolled_back(world) == pytest.approx(MOST_SECONDS)


async def test_where_the_router_cannot_tell_all_of_the_time_is_waited(world: World) -> None:
    """Unknown is not nothing."""
    assert await rolled_back(world) == pytest.approx(MOST_SECONDS)


async def test_a_router_that_cannot_be_asked_does_not_shorten_it(world: World) -> None:
    """It fails when it is asked what is left: the time is waited."""
    leader = world.receiver()
    await leader.start()
    await leader.controller.step()
    await leader.roll_back()
    await leader.controller.step()
    world.router.in_flight, world.router.away = 0, True
    decided_at = world.clock.monotonic()
    await leader.reconciler.attempt("process", leader.reconciler.stop_process)

    assert world.process.done == ["stop", "stopped"]
    assert world.clock.monotonic() - decided_at == pytest.approx(MOST_SECONDS)
