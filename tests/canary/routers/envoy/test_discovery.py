"""Envoys that ask for their values, in memory; a real one asks a real receiver in `test_routerroutes`."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.errors import RefusedError, RouterError
from canary.finding import Status
from canary.routers import router_of
from canary.routers.asking import Question
from canary.routers.base import Split
from canary.routers.envoy.discovery import EnvoyDiscoveryRouter
from canary.routers.envoy.kind import ENVOY
from canary.routers.envoy.section import EnvoyRouter
from canary.testing.contract import router_contract
from tests.support.clock import in_virtual_time

QUARTER = Split("r-7", 0.25)
CLOSED = Split("r-7", 0)


def make(*instances: str, **keys: Any) -> EnvoyDiscoveryRouter:
    """A router whose time is the loop's."""
    section = EnvoyRouter(kind="envoy", instances=instances or ("edge1", "edge2"), **keys)
    router = EnvoyDiscoveryRouter(section, lambda: asyncio.get_running_loop().time())
    router.opened()
    return router


async def leads() -> bool:
    """This receiver leads."""
    return True


async def stands_by() -> bool:
    """Another one does."""
    return False


class Envoy:
    """Asks again and again, as Envoy does, and takes over what it is told unless it is stubborn."""

    def __init__(self, router: EnvoyDiscoveryRouter, name: str, *, stubborn: bool = False) -> None:
        self._router = router
        self._name = name
        self._stubborn = stubborn
        self.version = ""
        self.values: Mapping[str, int] = {}
        self.told = 0
        self.refused = 0
        self.stands_by = False

    async def _leads(self) -> bool:
        return not self.stands_by

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Envoy"]:
        """Ask while the block runs."""
        asking = asyncio.create_task(self._ask())
        try:
            yield self
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _ask(self) -> None:
        while True:
            try:
                found = await self._router.answer(Question(self._name, self.version), self._leads)
            except RefusedError:
                found, self.refused = None, self.refused + 1
            if found is not None:
                self.told += 1
                if not self._stubborn:
                    self.version, self.values = found["version_info"], found["resources"][0]["layer"]
            await asyncio.sleep(0.05)


@in_virtual_time
async def test_two_envoys_keep_the_contract_of_every_router() -> None:
    """What was set is in force when both say so, and is what each of them got."""
    router = make()
    async with Envoy(router, "edge1").running() as first, Envoy(router, "edge2").running() as second:
        await router_contract(router)
        await router.set_weight(QUARTER)
        assert first.values == second.values
        assert first.values["canary.canary-a"] + first.values["canary.canary-b"] == 2500
        assert await router.check() == []


@in_virtual_time
async def test_what_is_in_force_is_known_after_a_restart_of_the_receiver() -> None:
    """It is read from the Envoy's own words, and nothing is told before a rollout's weight is set."""
    before, after = make("edge1"), make("edge1")
    envoy = Envoy(before, "edge1")
    async with envoy.running():
        await before.set_weight(QUARTER)
    envoy._router = after
    async with envoy.running():
        await asyncio.sleep(0.1)
        assert (await after.read()).agrees(QUARTER)
        assert envoy.told == 1


@in_virtual_time
async def test_an_envoy_that_restarts_gets_its_values_at_once() -> None:
    """It names no version, and need not wait for anybody's look."""
    router = make("edge1")
    async with Envoy(router, "edge1").running():
        await router.set_weight(QUARTER)
    await asyncio.sleep(1)
    async with Envoy(router, "edge1").running() as envoy:
        await asyncio.sleep(0.01)
        assert envoy.told == 1
        await asyncio.sleep(0.1)
        assert (await router.read()).agrees(QUARTER)


@in_virtual_time
async def test_one_that_is_away_is_named_and_hinders_no_other() -> None:
    """Neither silence nor half of the Envoys is a switch, and silence is never 0 %."""
    router = make()
    async with Envoy(router, "edge1").running():
        with pytest.raises(RouterError, match="edge2: has not asked yet"):
            await router.set_weight(QUARTER)
        there, away = (await router.read()).readings
        assert (there.weight_ratio, away.weight_ratio) == (0.25, None)
    await asyncio.sleep(11)
    assert (await router.read()).weight_ratio is None
    gone, never = await router.check()
    assert gone.what.startswith("has not asked for 1")
    assert never.failed


@in_virtual_time
async def test_who_stands_by_tells_nothing_but_a_rollback() -> None:
    """What it knows may be superseded; getting customers off the canary waits for no lead."""
    router = make("edge1")
    envoy = Envoy(router, "edge1")
    async with envoy.running():
        await router.set_weight(QUARTER)
        envoy.stands_by = True
        with pytest.raises(RouterError, match="expected 50%, found edge1: 25%"):
            await router.set_weight(Split("r-7", 0.5))
        assert envoy.refused
        await router.set_weight(CLOSED)
        assert (await router.read()).agrees(CLOSED)
        with pytest.raises(RouterError):
            await router.set_weight(QUARTER)
        assert envoy.values["canary.stable-a"] + envoy.values["canary.stable-b"] == 10_000


@in_virtual_time
async def test_values_that_are_refused_are_offered_twice_a_second() -> None:
    """An Envoy that does not take them asks at once again; it is neither believed nor flooded."""
    router = make("edge1")
    async with Envoy(router, "edge1", stubborn=True).running() as envoy:
        with pytest.raises(RouterError, match="found edge1: 0%"):
            await router.set_weight(QUARTER)
        assert 3 <= envoy.told <= 5


@in_virtual_time
async def test_two_envoys_under_one_name_are_found() -> None:
    """What one of them has in force must not pass for the other's."""
    router = make("edge1")
    async with Envoy(router, "edge1").running(), Envoy(router, "edge1").running():
        await asyncio.sleep(6)
        [reading] = (await router.read()).readings
        assert "several Envoys ask under this name" in reading.error


@in_virtual_time
async def test_an_instance_that_the_policy_does_not_have_is_told_so() -> None:
    """With the names that there are."""
    with pytest.raises(RouterError, match=r"'edge9' is none of its instances; .*: edge1, edge2"):
        await make().answer(Question("edge9", ""), leads)


@given(st.text() | st.just("a=b&c=d") | st.just("canary.salt=x") | st.just("canary.salt=1&canary.stable-a=0"))
def test_a_version_of_another_server_is_unknown(text: str) -> None:
    """Whatever an Envoy says that it has, only our own values are read as a weight."""

    async def read() -> None:
        router = make("edge1")
        with pytest.raises(RefusedError):
            await router.answer(Question("edge1", text), stands_by)
        [reading] = (await router.read()).readings
        assert reading.weight_ratio == (None if text else 0)

    asyncio.run(read())


async def test_the_command_line_says_that_only_the_receiver_knows() -> None:
    """`canary check` is another process: no Envoy asks it, which is no fault."""
    router = router_of(EnvoyRouter(kind="envoy", instances=("edge1",)))
    [finding] = await router.check()
    assert finding.status is Status.SKIPPED


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({"admins": ("/run/envoy.sock",)}, "admins"),
        ({"instances": ("a", "a")}, "instances"),
        ({"receivers": ("http://10.0.0.1:9878/services/shop",)}, "receivers"),
        ({"receivers": ("http://10.0.0.1:9878", "https://10.0.0.2:9878")}, "receivers"),
    ],
)
def test_what_contradicts_itself_is_refused(keys: Mapping[str, Any], place: str) -> None:
    """Two ways at once, one name for two, a path that Envoy cannot ask at."""
    section = EnvoyRouter(kind="envoy", **{"instances": ("edge1",), **keys})
    assert [key for key, _, _ in ENVOY.faults(section)] == [place]
