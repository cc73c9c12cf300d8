"""A driver that raises whatever it likes is a router that cannot be reached, and hinders nobody else."""

import asyncio
from pathlib import Path
from typing import Any, NoReturn

import pytest

from alertmanager.receiver.act.confirmations import Confirmations
from alertmanager.receiver.act.routercontroller import Reports, RouterController
from canary.errors import RouterError
from canary.policy import Policy
from canary.policy.routers.kinds import router_kinds
from canary.policy.routers.sections import NginxRouter
from canary.routers import Split, router_of
from canary.routers.contained import ContainedRouter
from canary.testing.routers import MemoryRouter
from canaryctl.check.router import check_router
from tests.support.receiving.acting import World, make_effects


class Broken:
    """A driver whose every method raises what it was made with."""

    name = "edge"
    finest_ratio = 0.0001

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def _fail(self, *_: object) -> NoReturn:
        raise self._error

    async def _fail_later(self, *_: object) -> NoReturn:
        raise self._error

    set_weight = read = check = unhealthy = sessions = _fail_later
    is_canary = snippet = _fail


@pytest.mark.parametrize("error", [ValueError("no such zone"), SystemExit(3), KeyError("weight")])
async def test_whatever_is_raised_is_a_routers_error(error: BaseException) -> None:
    """What is read is unknown and says why; what is asked for fails as with a router that is away."""
    router = ContainedRouter(Broken(error), "edge")
    said = f"its driver failed ({type(error).__name__}: "
    split = Split("r-1", 0.5)

    [reading] = (await router.read()).readings
    [finding] = await router.check()
    for work in (router.set_weight(split), router.unhealthy(), router.sessions(1)):
        with pytest.raises(RouterError, match="router edge: its driver failed"):
            await work
    with pytest.raises(RouterError, match="driver failed"):
        router.is_canary("ann", split)
    with pytest.raises(RouterError, match="driver failed"):
        router.snippet()

    assert (reading.weight_ratio, said in reading.error) == (None, True)
    assert said in finding.what


async def test_an_answer_that_is_no_observation_is_unknown() -> None:
    """A driver that returns nothing, or something else, has not said 0 %."""

    class Mute(MemoryRouter):
        async def read(self) -> Any:
            return 0.0

    observation = await ContainedRouter(Mute(), "edge").read()

    assert observation.weight_ratio is None
    assert "expected an Observation, found float" in observation.detail


async def test_a_cancelled_driver_stays_cancelled() -> None:
    """A controller that drops what it waits for, to lower at once, is not told of a fault."""
    router = ContainedRouter(Broken(asyncio.CancelledError()), "edge")

    with pytest.raises(asyncio.CancelledError):
        await router.read()


async def test_the_others_are_lowered_and_the_broken_one_is_tried_again(tmp_path: Path) -> None:
    """In a rollback with two routers, one of them broken: its controller lives, says why, and comes back."""
    async with World.around(tmp_path) as world:
        leader = world.receiver()
        await leader.start()
        fine = MemoryRouter("fine")
        broken = ContainedRouter(Broken(ZeroDivisionError("division by zero")), "edge")
        effects = make_effects(leader.store, leader.lead, routers=[broken, fine])

        async def told(*_: object) -> None:
            raise AssertionError("nobody has moved it")

        controllers = [
            RouterController(
                name,
                effects,
                rollout=lambda: leader.store.rollout,
                confirmations=Confirmations(),
                clock=leader.clock,
                reports=Reports(lambda: None, lambda: None, told, told),
                interval_seconds=2,
            )
            for name in ("edge", "fine")
        ]
        for one in controllers:
            await one.step()
        assert fine.split.weight_ratio == 0.05
        await leader.roll_back()
        pauses = [await one.step() for one in controllers]

        assert fine.split.weight_ratio == 0
        assert controllers[1].error == ""
        assert "its driver failed (ZeroDivisionError: division by zero)" in controllers[0].error
        assert 0 < pauses[0] <= 2


async def test_a_driver_that_cannot_be_made_is_the_policys_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """`canary check` names it, and does not end."""
    policy = Policy(service="s", router=(NginxRouter(kind="nginx", name="edge"),))
    kind = router_kinds().usable["nginx"]

    def fail(*_: object) -> NoReturn:
        raise ImportError("no edge library")

    monkeypatch.setitem(router_kinds().usable, "nginx", type(kind)(section=kind.section, driver=fail))

    with pytest.raises(RouterError, match="no edge library"):
        router_of(policy.router[0])
    [finding] = await check_router(policy)
    assert (finding.place, "ImportError: no edge library" in finding.what) == ("router edge", True)
