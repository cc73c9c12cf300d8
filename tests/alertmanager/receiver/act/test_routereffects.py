"""What routers tell, and are told when they ask: which slot is stable, what is left on the canary, what is wanted."""

import asyncio
import contextlib

import pytest

from alertmanager.receiver.act.effects import Effects
from canary.errors import RefusedError, RouterError
from canary.routers import Split, router_of
from canary.routers.asking import Question
from canary.routers.traefik.section import TraefikRouter
from canary.testing.routers import MemoryRouter
from tests.support.receiving.acting import Acting, World, make_effects

UNKNOWN = Question(instance="", in_force="")


class YoungRouter(MemoryRouter):
    """A router whose process is ten minutes old: a predecessor may still serve what can last longer."""

    async def sessions(self, lasting_seconds: float) -> int | None:
        """What is left, where this process knows all of it."""
        return await super().sessions(lasting_seconds) if lasting_seconds <= 600 else None


@pytest.fixture
def traefik(leader: Acting) -> Effects:
    """Effects on a Traefik that asks and that nobody has told anything; its API does not answer."""
    section = TraefikRouter(kind="traefik", receiver="http://127.0.0.1:1", apis=("http://127.0.0.1:1",))
    return make_effects(leader.store, leader.lead, routers=[router_of(section), MemoryRouter("edge")])


async def test_the_stable_slot_is_remembered_as_a_router_has_it_recorded(world: World) -> None:
    """While no journal says it, it is what was read last; a router that knows of no slots takes nothing back."""
    receiver = world.receiver()
    front, plain = MemoryRouter("front", Split("r-1", 0.25, stable_slot="b"), slots=True), MemoryRouter("plain")
    effects = make_effects(receiver.store, receiver.lead, routers=[front, plain])

    await effects.read_router("plain")
    assert effects.stable_slot is None
    assert await effects.read_router("front") == await front.read()
    assert effects.stable_slot == "b"
    await effects.read_router("plain")
    assert effects.stable_slot == "b"


async def test_a_weight_is_read_from_the_slot_that_the_journal_calls_stable(world: World) -> None:
    """A router that was wiped has slot a recorded: what it calls nobody is everybody on the canary."""
    receiver = world.receiver()
    await receiver.start(stable_slot="b")
    effects = make_effects(receiver.store, receiver.lead, routers=[MemoryRouter(slots=True)])

    assert (await effects.read_router("edge")).weight_ratio == 1
    assert effects.stable_slot == "b"


async def test_what_is_left_is_asked_with_how_long_it_may_last(leader: Acting) -> None:
    """A router cannot tell what was there before its process began, and says so only when that may still be there."""
    effects = make_effects(leader.store, leader.lead, routers=[YoungRouter(in_flight=3)])

    assert await effects.sessions("edge", 600) == 3
    assert await effects.sessions("edge", 601) is None


async def test_a_router_that_asks_is_told_by_the_leader(traefik: Effects, leader: Acting) -> None:
    """One that stands by refuses, but for the rollback that it carries out: that waits for no lead."""
    leader.lead.leading = False
    with pytest.raises(RefusedError, match=r"^router traefik: this receiver stands by"):
        await traefik.answer_router("traefik", UNKNOWN)
    lowering = asyncio.create_task(traefik.lower("traefik", Split(leader.rollout.id, 0.0, testers=False)))
    await asyncio.sleep(0)

    told = await traefik.answer_router("traefik", UNKNOWN)

    assert told is not None
    assert set(told) == {"http"}
    lowering.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await lowering


@pytest.mark.parametrize(("name", "shown"), [("edge", "edge"), ("x" * 66, "x" * 64)], ids=["told", "unknown"])
async def test_whoever_asks_under_a_wrong_name_is_refused(traefik: Effects, name: str, shown: str) -> None:
    """A router that does not ask, or that no policy has: its files are old. What is too long is not repeated."""
    with pytest.raises(RouterError) as refused:
        await traefik.answer_router(name, UNKNOWN)
    assert str(refused.value) == f"router: none that asks is called '{shown}'; generate its files anew"
