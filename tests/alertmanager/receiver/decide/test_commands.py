"""People's commands: what they saw, their keys, and what the canary's process does meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alertmanager.receiver.decide.commands import Commands, Request
from alertmanager.receiver.decide.freezes import Freezes
from canary.errors import RefusedError, UnseenError
from canary.rollout.commands.seen import Seen
from canary.rollout.commands.verbs import Verb
from canary.rollout.kinds import Kind
from canary.rollout.plan.plans import Plans
from canary.rollout.state import Rollout, State
from canary.routers import Split
from tests.support.programs.processes import eventually
from tests.support.receiving.acting import Acting, World, on
from tests.support.web.servers import KnownServers, departure

_NONE = Seen.of(None)


class People:
    """Who gives commands to one receiver; *complaint* is what Prometheus objects."""

    def __init__(self, world: World) -> None:
        self.complaint = ""
        self.servers = KnownServers()
        self.world_router = world.router
        self.acting: Acting = world.receiver()
        self.policy = world.policy
        self.commands = Commands(
            Plans(world.policy),
            self.acting.store,
            self.acting.effects,
            self.acting.metrics,
            self._objects,
            self.acting.reconciler.trust,
            Freezes(world.policy.receiver, self.acting.store, world.clock),
            departure(Plans(world.policy), self.acting.store, self.acting.effects, self.servers),
        )

    async def _objects(self, _rollout: Rollout) -> str:
        return self.complaint

    async def start(self, canary: str = "v2.0", key: str = "", seen: Seen = _NONE) -> Kind:
        """Begin a rollout."""
        request = Request(Verb.START, "ann", canary=canary, stable="v1.0", seen=seen, key=key)
        return (await self.commands.submit(request)).kind

    async def give(self, verb: Verb, *, key: str = "", force: bool = False, give_up: bool = False) -> Kind:
        """Any other command, of somebody who has just looked."""
        seen = Seen.of(self.acting.store.rollout)
        request = Request(verb, "ann", "because", force=force, give_up=give_up, seen=seen, key=key)
        return (await self.commands.submit(request)).kind


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A world with an empty journal."""
    async with World.around(tmp_path) as made:
        yield made


@pytest.fixture
def people(world: World) -> People:
    """Who gives commands."""
    return People(world)


async def test_a_start_sent_again_while_the_process_starts_is_one_start(world: World, people: People) -> None:
    """The sender's time-out is shorter than the process takes: the second request gets what the first began."""
    release = asyncio.Event()
    begun = asyncio.Event()
    start = world.process.start

    async def slow() -> object:
        begun.set()
        await release.wait()
        return await start()

    world.process.start = slow  # type: ignore[method-assign,assignment]
    first = asyncio.ensure_future(people.start(key="k"))
    await begun.wait()
    again = asyncio.ensure_future(people.start(key="k"))
    other = asyncio.ensure_future(people.start("v3.0", key="other"))
    await asyncio.sleep(0.01)
    release.set()

    assert (await first, await again) == (Kind.STARTED, Kind.STARTED)
    with pytest.raises(RefusedError, match="cannot start another rollout"):
        await other
    assert world.process.done == ["start"]
    assert [entry.kind for entry in await people.acting.store.entries()] == [Kind.STARTED]


async def test_giving_up_is_not_taken_for_the_rollback_with_the_same_key(people: People) -> None:
    """One verb, two commands: the key of one is not the other's."""
    await people.start()
    assert await people.give(Verb.ROLLBACK, key="k") is Kind.ROLLBACK

    assert await people.give(Verb.ROLLBACK, key="k", give_up=True) is Kind.FAILED


@pytest.mark.parametrize("verb", [Verb.ADVANCE, Verb.PROMOTE, Verb.RESUME, Verb.START])
async def test_what_raises_says_what_it_is_about(people: People, verb: Verb) -> None:
    """Without it nothing is compared, so nothing is done."""
    await people.start()

    with pytest.raises(UnseenError, match="does not say what it is about"):
        await people.commands.submit(Request(verb, "ann", canary="v3.0", stable="v1.0"))

    assert people.acting.rollout.state is State.PHASE


async def test_prometheus_is_the_other_key_unless_forced(people: People) -> None:
    """What Prometheus objects refuses what raises; a person may insist, and a repeated request is not asked about."""
    await people.start()
    people.complaint = "CanaryBlind fires"
    with pytest.raises(RefusedError, match="CanaryBlind fires; to do it all the same, add --force"):
        await people.give(Verb.ADVANCE)
    seen = Seen.of(people.acting.store.rollout)
    request = Request(Verb.ADVANCE, "ann", force=True, seen=seen, key="k")

    first = await people.commands.submit(request)

    assert await people.commands.submit(Request(Verb.ADVANCE, "ann", seen=seen, key="k")) == first
    assert people.acting.rollout.phase == 1


async def test_a_rollback_that_a_paused_receiver_finds_is_of_the_rollout_that_its_author_saw(
    world: World, people: People
) -> None:
    """What was running is over by then, and the routers have the next rollout, which is another matter."""
    await people.start()
    paused = People(world)
    await paused.acting.store.refresh()
    seen = Seen.of(paused.acting.store.rollout)
    await people.give(Verb.ROLLBACK)
    await people.acting.reconcile()
    world.clock.advance(60)
    await people.start("v3.0", seen=Seen.of(people.acting.store.rollout))
    await people.acting.reconcile()
    paused.acting.controller.observation = await world.router.read()
    assert not paused.acting.reconciler.trust.trusted

    with pytest.raises(RefusedError, match=r"v2\.0"):
        await paused.commands.submit(Request(Verb.ROLLBACK, "bob", "too many errors", seen=seen))

    assert (world.router.split.weight_ratio, people.acting.rollout.state) == (0.05, State.PHASE)


@pytest.mark.parametrize("failing", ["router", "journal"])
async def test_a_rollback_in_doubt_is_in_force_whatever_does_not_answer(
    world: World, people: People, failing: str
) -> None:
    """A last look at what may have ended the doubt keeps nobody on the canary."""
    world.router.split = Split("lost", 0.5)
    people.acting.controller.observation = await world.router.read()
    waits = asyncio.Event()
    if failing == "journal":
        people.acting.store.refresh = lambda **_: waits.wait()  # type: ignore[method-assign,assignment]
    else:
        world.router.before = on("read", waits.wait)

    submitted = asyncio.ensure_future(people.commands.submit(Request(Verb.ROLLBACK, "bob", "to be sure")))

    await eventually(lambda: world.router.split.weight_ratio == 0, "everybody is on stable")
    waits.set()

    assert (await submitted).kind is Kind.ROLLBACK


async def test_what_is_adopted_does_not_become_nothing(world: World, people: People) -> None:
    """Where a weight is too fine for a router the next smaller one is adopted, but not 0, which ends the rollout."""
    world.router.split, world.router.finest_ratio = Split("lost", 0.005), 0.01
    with pytest.raises(RefusedError, match=r"cannot adopt: 0\.5% is less than 1%, .*; adopt 1%, or 0% to"):
        await people.commands.submit(Request("adopt", "ann", canary="v2.0", stable="v1.0", weight=0.005))
    assert people.acting.store.rollout is None

    await people.commands.submit(Request("adopt", "ann", canary="v2.0", stable="v1.0", weight=0.015))
    assert people.acting.rollout.weight == 0.01
