"""A controller's looks at its router: when each is due, what ends one early, and what is told and logged of it."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise

import pytest

from alertmanager.receiver.act.confirmations import Confirmation, Confirmations
from alertmanager.receiver.act.routercontroller import Reports, RouterController
from alertmanager.receiver.act.splits import wanted_split
from canary.routers import Split
from canary.testing.routers import CLOSED
from tests.support.programs.processes import eventually
from tests.support.receiving.acting import Acting, World, on

INTERVAL_SECONDS = 2
PATIENCE_SECONDS = 10
Logged = Callable[[], list[tuple[str, dict[str, str]]]]


class Kept:
    """A controller of the one router, with what it tells and what it has confirmed."""

    def __init__(
        self,
        acting: Acting,
        *,
        confirmations: Confirmations | None = None,
        trusted: Callable[["Kept"], bool] = lambda _: True,
    ) -> None:
        self.told: list[str] = []
        self.confirmations = confirmations or Confirmations()
        self.controller = RouterController(
            "edge",
            acting.effects,
            rollout=lambda: acting.store.rollout,
            trusted=lambda: trusted(self),
            confirmations=self.confirmations,
            clock=acting.clock,
            reports=Reports(
                lambda: self.told.append("changed"),
                lambda: self.told.append("drifted"),
                self._lowered,
                self._restored,
            ),
            interval_seconds=INTERVAL_SECONDS,
        )
        self.step = self.controller.step

    async def _lowered(self, router: str, weight: float) -> None:
        self.told.append(f"{router} lowered to {weight:g}")

    async def _restored(self, router: str, found: str) -> None:
        self.told.append(f"{router} restored from {found}")


class Hang:
    """A router that does not answer the first time that it is read; later it does."""

    def __init__(self, world: World) -> None:
        self.dropped = False
        self._begun = asyncio.Event()
        world.router.before = on("read", self._read)

    async def begins(self) -> None:
        """Wait until it is read."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._begun.wait()

    async def _read(self) -> None:
        if self._begun.is_set():
            return
        self._begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.dropped = True
            raise


@pytest.fixture
def kept(leader: Acting) -> Kept:
    """The leader's controller, before its first look."""
    return Kept(leader)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Logged:
    """What controllers have logged since the last time: the message and the fields."""
    caplog.set_level(logging.INFO, "canary.router")

    def lines() -> list[tuple[str, dict[str, str]]]:
        found = [
            (one.getMessage(), {name: str(value) for name, value in vars(one)["canary_fields"].items()})
            for one in caplog.records
            if one.name == "canary.router"
        ]
        caplog.clear()
        return found

    return lines


def five(leader: Acting) -> Split:
    """5 % of the running rollout."""
    return Split(leader.rollout.id, 0.05)


async def ended(running: asyncio.Future[None]) -> None:
    """End a controller's loop."""
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await asyncio.sleep(0)


# When.


async def test_a_router_is_looked_at_again_after_each_pause(kept: Kept, leader: Acting, world: World) -> None:
    """A standby, which changes nothing, looks once in each interval for as long as it runs."""
    leader.lead.leading = False
    looks, enough = list[float](), asyncio.Event()

    async def look() -> None:
        looks.append(world.clock.monotonic())
        if len(looks) == 4:
            enough.set()

    world.router.before = on("read", look)
    running = asyncio.ensure_future(kept.controller.run())
    async with asyncio.timeout(PATIENCE_SECONDS):
        await enough.wait()
    await ended(running)

    assert [second - first for first, second in pairwise(looks[:4])] == [2, 2, 2]


async def test_a_look_that_hangs_holds_up_no_rollback(leader: Acting, world: World) -> None:
    """It is dropped as soon as the rollback is decided, and the customers leave the canary."""
    await leader.controller.step()
    hang = Hang(world)
    running = asyncio.ensure_future(leader.controller.run())
    await hang.begins()

    await leader.roll_back()
    await eventually(lambda: world.router.split.weight_ratio == 0, "the router is lowered", PATIENCE_SECONDS)

    assert hang.dropped
    await ended(running)


async def test_a_rollback_that_is_carried_out_drops_no_look(leader: Acting, world: World) -> None:
    """Told once more of what it has done already, a controller ends its look as it would have."""
    await leader.controller.step()
    await leader.roll_back()
    await leader.controller.step()
    hang = Hang(world)
    running = asyncio.ensure_future(leader.controller.run())
    await hang.begins()

    leader.controller.hurry()
    await asyncio.sleep(0.05)
    assert not hang.dropped

    await ended(running)
    assert hang.dropped


@pytest.mark.parametrize(("ago_seconds", "first"), [(4, "set"), (4.5, "read")])
async def test_with_a_recent_look_a_rollback_is_set_first_and_read_afterwards(
    leader: Acting, world: World, ago_seconds: float, first: str
) -> None:
    """A leader whose last look is older than two intervals was paused: it asks the router before it lowers it."""
    await leader.controller.step()
    await leader.roll_back()
    world.clock.advance(ago_seconds - 1)  # the rollback took one
    done = list[str]()

    async def note(operation: str) -> None:
        done.append(operation)

    world.router.before = note
    await leader.controller.step()

    assert done[0] == first
    assert world.router.split.weight_ratio == 0


async def test_a_standby_that_has_never_looked_looks_before_it_lowers(leader: Acting, world: World) -> None:
    """A receiver that has just begun sets nothing on a router that is down already."""
    await leader.roll_back()
    leader.lead.leading = False

    await leader.controller.step()

    assert world.router.set == []
    assert leader.controller.follows(wanted_split(leader.rollout))


# What is told.


async def test_before_the_first_look_nothing_is_known(kept: Kept, leader: Acting) -> None:
    """Neither that the router follows, nor that it does not."""
    assert kept.controller.error == ""
    assert kept.controller.observation is None
    assert kept.controller.confirmed_at is None
    assert not kept.controller.tried(five(leader))
    assert kept.told == []


async def test_a_router_that_follows_is_told_once(kept: Kept, leader: Acting, world: World, logged: Logged) -> None:
    """With the moment since when, the process that has it in force, and one line in the log."""
    confirmed_at = world.clock.monotonic()
    for _ in range(2):
        await kept.step()
        world.clock.advance(1)

    assert kept.told == ["changed"]
    assert kept.controller.confirmed_at == confirmed_at
    assert kept.confirmations.of("edge") == Confirmation(five(leader), {"edge": "1/100"}, weights=1)
    assert logged() == [("router follows", {"router": "edge", "weight": "0.05", "rollout": leader.rollout.id})]


async def test_a_router_that_does_not_follow_is_logged_once_for_each_reason(
    kept: Kept, leader: Acting, world: World, logged: Logged
) -> None:
    """It is believed only when it is read back, and what it has instead is said."""
    world.router.claims = CLOSED
    for _ in range(2):
        await kept.step()

    reason = "router edge: expected 5% in force, found edge: 0%"
    assert kept.controller.error == reason
    assert kept.controller.tried(five(leader))
    assert logged() == [("router does not follow", {"router": "edge", "wanted": "0.05", "error": reason})]

    world.router.away = True
    await kept.step()
    reason = "router edge: is unreachable"
    assert logged() == [("router does not follow", {"router": "edge", "wanted": "0.05", "error": reason})]

    world.router.away, world.router.claims = False, None
    await kept.step()
    assert kept.controller.error == ""
    assert [message for message, _ in logged()] == ["router follows"]


async def test_a_standby_tells_once_that_a_router_follows_no_more(leader: Acting, world: World) -> None:
    """Nor does it tell anything of a router that it has never seen follow."""
    leader.lead.leading = False
    standby = Kept(leader)
    for _ in range(2):
        await standby.step()
    assert standby.told == []

    world.router.split = five(leader)
    await standby.step()
    world.router.split = Split(leader.rollout.id, 0.01)
    for _ in range(2):
        await standby.step()

    assert standby.told == ["changed", "changed"]


async def test_a_router_that_lost_its_weight_is_told_with_what_it_had_instead(
    kept: Kept, leader: Acting, world: World, logged: Logged
) -> None:
    """A weight of ours that is followed by another one is no loss."""
    await kept.step()
    logged()
    world.router.restart(saved=CLOSED)
    await kept.step()
    assert kept.told == ["changed", "drifted", "edge restored from edge: 0%"]
    assert logged() == [("router changed externally", {"router": "edge", "found": "edge: 0%"})]

    await leader.advance()
    await kept.step()
    assert kept.told[3:] == ["changed"]


async def test_what_a_write_that_was_cut_short_has_left_is_told_to_nobody(
    kept: Kept, leader: Acting, world: World
) -> None:
    """It is put right like everything else; the router has lost nothing."""
    await kept.step()
    await kept.confirmations.begin("edge")
    world.router.split = CLOSED

    await kept.step()

    assert world.router.split == five(leader)
    assert kept.told == ["changed", "drifted"]


# What was found lowered.


async def test_a_receiver_that_has_just_begun_looks_twice_before_it_obeys(
    kept: Kept, leader: Acting, world: World, logged: Logged
) -> None:
    """What it knows from before its restart does not count as a look; what has no effect is found anew by two more."""
    await kept.step()
    restarted = Kept(leader, confirmations=kept.confirmations)
    world.router.split = Split(leader.rollout.id, 0.01)
    logged()

    assert await restarted.step() == 1
    assert restarted.told == []
    assert await restarted.step() == 0
    assert restarted.told == ["drifted", "edge lowered to 0.01"]
    assert await restarted.step() == 1
    assert logged() == [("router lowered by hand", {"router": "edge", "found": "edge: 1%"})]


@pytest.mark.parametrize("what", ["raised again", "lead lost"])
async def test_two_looks_that_are_not_in_a_row_are_one(kept: Kept, leader: Acting, world: World, what: str) -> None:
    """Where the router followed in between, or another receiver led, the next look is the first one again."""
    for _ in range(2):
        await kept.step()
    world.router.split = Split(leader.rollout.id, 0.01)
    await kept.step()

    leader.lead.leading = what != "lead lost"
    world.router.split = five(leader) if leader.lead.leading else world.router.split
    await kept.step()
    leader.lead.leading = True
    world.router.split = Split(leader.rollout.id, 0.01)

    assert await kept.step() == 1
    assert not [line for line in kept.told if "lowered" in line]


# What is set.


@pytest.mark.parametrize("what", ["advance", "rollback", "found above"])
async def test_a_write_is_entered_before_it_begins(kept: Kept, leader: Acting, world: World, what: str) -> None:
    """A receiver that is killed in it knows afterwards that what it finds may be its own."""
    await kept.step()
    match what:
        case "advance":
            await leader.advance()
        case "rollback":
            await leader.roll_back()
        case "found above":
            world.router.split = Split(leader.rollout.id, 0.5)
    entered = list[bool]()

    async def note() -> None:
        confirmation = kept.confirmations.of("edge")
        entered.append(confirmation is not None and confirmation.writing)

    world.router.before = on("set", note)
    await kept.step()

    assert entered == [True]
    assert kept.confirmations.of("edge") == Confirmation(
        wanted_split(leader.rollout), {"edge": "1/100"}, weights=len(leader.rollout.weights)
    )


async def test_without_a_rollout_a_router_is_closed(world: World) -> None:
    """Before the first one everybody is on stable, and what a restart of the router would bring is set too."""
    idle = Kept(world.receiver())

    await idle.step()

    assert world.router.set == [CLOSED]
    assert idle.confirmations.of("edge") == Confirmation(CLOSED, {"edge": "1/100"})


async def test_in_doubt_a_router_is_left_as_it_is(leader: Acting, world: World) -> None:
    """A journal that may be the wrong one raises and lowers nothing; the look that ends the doubt acts at once."""
    doubting = Kept(leader, trusted=lambda _: False)
    world.router.split = Split(leader.rollout.id, 0.5)
    assert await doubting.step() == INTERVAL_SECONDS
    assert world.router.set == []

    looking = Kept(leader, trusted=lambda kept: kept.controller.observation is not None)
    await looking.step()
    assert world.router.set == [five(leader)]
