"""The stop of the canary's process waits for what its servers still serve, and no longer than it must."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from alertmanager.receiver.act.drain import Drain
from alertmanager.receiver.act.effects import Effects
from canary.errors import RouterError
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


async def test_what_never_ends_is_waited_for_no_longer_than_the_policy_says(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A websocket that stays open costs `process.drain`, and is cut then; the log says of which rollout it was."""
    world.router.in_flight = 1

    assert await rolled_back(world) == pytest.approx(MOST_SECONDS)
    (cut,) = [record for record in caplog.records if record.getMessage() == "the time for what is left is over"]
    assert vars(cut)["canary_fields"]["rollout"].startswith("v2.0-")


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


async def stopped(receiver: Acting) -> float:
    """The process is stopped; how long was waited before."""
    began = receiver.clock.monotonic()
    await receiver.reconciler.attempt("process", receiver.reconciler.stop_process)
    assert receiver.reconciler.errors == {}
    assert receiver.reconciler.process_state is ProcessState.STOPPED
    return receiver.clock.monotonic() - began


async def test_a_receiver_that_is_late_waits_for_the_rest_only(world: World) -> None:
    """What has passed since the router let go has passed, as far as this receiver has seen it."""
    leader = world.receiver()
    await leader.start()
    await leader.controller.step()
    world.clock.advance(200)
    await leader.roll_back()
    await leader.controller.step()
    successor = await world.restarted()
    world.clock.advance(50)
    await successor.controller.step()
    world.clock.advance(100)

    assert await stopped(successor) == MOST_SECONDS - 100


async def test_the_receiver_that_decided_counts_from_when_its_router_let_go(world: World) -> None:
    """The router followed some time after the decision: customers were sent to the canary until then."""
    leader = world.receiver()
    await leader.start()
    await leader.roll_back()
    world.clock.advance(50)
    await leader.controller.step()
    world.clock.advance(100)

    assert await stopped(leader) == MOST_SECONDS - 100


@pytest.mark.parametrize("followed", [False, True])
async def test_a_router_that_is_away_counts_from_the_decision(world: World, *, followed: bool) -> None:
    """Nobody knows when it lets go: it finds a dead canary by itself, whatever it had in force before."""
    leader = world.receiver()
    await leader.start()
    world.router.away = not followed
    await leader.controller.step()
    world.router.away = True
    world.clock.advance(200)
    await leader.roll_back()
    await leader.controller.step()
    world.clock.advance(100)

    assert await stopped(leader) == pytest.approx(MOST_SECONDS - 100)


async def test_a_receiver_that_knows_of_no_moment_waits_for_all_of_the_time(world: World) -> None:
    """It has just begun, and the router is away: nobody tells since when no more is routed to the canary."""
    leader = world.receiver()
    await leader.start()
    await leader.controller.step()
    await leader.roll_back()
    world.router.away = True
    successor = await world.restarted()
    await successor.controller.step()
    world.clock.advance(100)

    assert await stopped(successor) == pytest.approx(MOST_SECONDS)


class Routers:
    """What routers say that is left, look by look; the last look's answer stays."""

    def __init__(self, **looks: list[int | RouterError | None]) -> None:
        self.asked: list[tuple[str, float]] = []
        self.router_names = tuple(looks)
        self._looks = looks

    async def sessions(self, name: str, seconds: float) -> int | None:
        """The next answer."""
        self.asked.append((name, seconds))
        looks = self._looks[name]
        found = looks.pop(0) if len(looks) > 1 else looks[0]
        if isinstance(found, RouterError):
            raise found
        return found


async def waited(routers: Routers, ago: float = 0) -> float:
    """How long is waited for what was let go of so many seconds ago."""
    clock = FakeClock()
    began = clock.monotonic()
    await Drain(cast("Effects", routers), clock, MOST_SECONDS).wait("v2.0-1", began - ago)
    return clock.monotonic() - began


@pytest.mark.parametrize(
    ("looks", "seconds"),
    [
        ({"edge": [0]}, 0.25),
        ({"edge": [1, 0]}, 0.5),
        ({"edge": [0, 1, 0]}, 0.75),
        ({"edge": [0], "inner": [3, 2, 0]}, 0.75),
        ({"edge": [0], "inner": [1]}, MOST_SECONDS),
        ({"edge": [0], "inner": [None]}, MOST_SECONDS),
        ({"edge": [0], "inner": [RouterError("away")]}, MOST_SECONDS),
        ({"edge": [1, None]}, MOST_SECONDS),
        ({}, MOST_SECONDS),
    ],
)
async def test_all_routers_must_say_twice_that_nothing_is_left(
    looks: dict[str, list[int | RouterError | None]], seconds: float
) -> None:
    """One that has something left, cannot tell or is away keeps the process; without any nobody can tell."""
    routers = Routers(**looks)
    assert await waited(routers) == seconds
    assert set(routers.asked) == {(name, MOST_SECONDS) for name in looks}


@pytest.mark.parametrize(("ago", "seconds"), [(100, MOST_SECONDS - 100), (-100, MOST_SECONDS), (MOST_SECONDS, 0)])
async def test_the_time_counts_from_when_the_last_router_let_go(ago: float, seconds: float) -> None:
    """What has passed since has passed; a moment that is still to come does not make it longer."""
    for left in (1, None):
        assert await waited(Routers(edge=[left]), ago) == seconds


async def test_what_is_cut_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Whose canary it was, and how many sessions; nothing is said where nothing was left, or nobody knew."""
    await waited(Routers(edge=[2], inner=[1]))
    (record,) = caplog.records
    assert record.getMessage() == "the time for what is left is over"
    assert vars(record)["canary_fields"] == {"rollout": "v2.0-1", "sessions": 3}

    caplog.clear()
    await waited(Routers(edge=[0]))
    await waited(Routers(edge=[None]))
    await waited(Routers(edge=[1]), MOST_SECONDS)
    assert caplog.records == []
