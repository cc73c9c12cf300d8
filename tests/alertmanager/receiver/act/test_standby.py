"""Two receivers at one router: whoever does not lead, or knows less, does not undo what the other one did."""

import contextlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alertmanager.receiver.act.splits import wanted_split
from canary.errors import JournalError, RefusedError
from canary.rollout.kinds import Cause
from canary.rollout.state import State
from tests.support.receiving.acting import Acting, World, nothing, on


async def test_a_standby_carries_out_a_rollback_that_it_has_read(leader: Acting, world: World) -> None:
    """A receiver that reads of a rollback lowers the router although another one leads."""
    standby = world.receiver(leading=False)
    await leader.controller.step()
    await leader.roll_back()
    await standby.store.refresh()

    await standby.controller.step()

    assert world.router.split.weight_ratio == 0


async def test_a_standby_that_is_cut_off_does_not_undo_an_advance(leader: Acting, world: World) -> None:
    """It knows of 5 % only; that the router has 50 % is the leader's doing."""
    standby = world.receiver(leading=False)
    await standby.store.refresh()
    await leader.controller.step()
    await standby.controller.step()
    await leader.advance()
    await leader.controller.step()
    standby.journal.broken = True

    for _ in range(3):
        await standby.controller.step()

    assert [split.weight_ratio for split in world.router.set] == [0.05, 0.5]


async def test_what_a_receiver_lowers_that_is_cut_off_is_not_raised_by_the_leader(leader: Acting, world: World) -> None:
    """Its own decision, which the journal cannot take, is carried out; the leader finds it lowered, and holds."""
    cut_off = world.receiver(leading=False)
    await cut_off.store.refresh()
    await leader.controller.step()
    cut_off.journal.broken = True
    with pytest.raises(JournalError):
        await cut_off.roll_back()

    for _ in range(4):
        await cut_off.controller.step()
        await leader.controller.step()

    assert world.router.split.weight_ratio == 0
    assert {split.weight_ratio for split in world.router.set[1:]} == {0}
    assert (leader.rollout.state, leader.rollout.cause) == (State.HOLDING, Cause.BY_HAND)
    cut_off.journal.broken = False
    await cut_off.store.refresh()
    await leader.store.refresh()
    assert leader.rollout.state is State.ROLLING_BACK


async def test_an_old_rollback_does_not_touch_the_next_rollouts_traffic(leader: Acting, world: World) -> None:
    """A receiver paused in the middle of a rollback wakes up when the next rollout runs, and leaves its traffic."""
    await leader.controller.step()
    await leader.roll_back()
    world.router.away = True
    await leader.controller.step()
    # It is paused here; another one takes over.
    leader.lead.leading = False
    other = world.receiver()
    await other.store.refresh()
    await other.give_up()
    await other.start("v2.2")
    world.router.away = False
    await other.controller.step()
    world.clock.advance(3600)

    await leader.controller.step()

    assert world.router.split == wanted_split(other.rollout)
    assert world.router.split.weight_ratio == 0.05


async def test_a_rollout_that_begins_during_the_look_is_not_lowered(leader: Acting, world: World) -> None:
    """What this receiver learns while it reads the router is compared before it lowers."""
    await leader.controller.step()
    await leader.roll_back()
    leader.lead.leading = False

    async def next_rollout() -> None:
        world.router.before = on("read", nothing)
        await leader.give_up()
        await leader.start("v2.2")

    world.router.before = on("read", next_rollout)
    assert await leader.controller.step() == 0

    assert [split.weight_ratio for split in world.router.set] == [0.05]


@settings(deadline=None)
@given(chosen=st.lists(st.sampled_from(["lead", "follow", "advance", "roll back", "cut off", "repair"]), max_size=30))
async def test_whoever_looks_in_whatever_order_the_router_comes_to_rest(
    tmp_path_factory: pytest.TempPathFactory, chosen: Sequence[str]
) -> None:
    """Two receivers, one cut off now and then: in the end the router has what the journal wants, and stays there."""
    async with World.around(tmp_path_factory.getbasetemp()) as world:
        leader, standby = world.receiver(), world.receiver(leading=False)
        await leader.start()
        await standby.store.refresh()
        for what in chosen:
            match what:
                case "lead":
                    await leader.controller.step()
                case "follow":
                    await standby.controller.step()
                case "advance" if leader.rollout.phase < 2:
                    with contextlib.suppress(RefusedError):
                        await leader.advance()
                case "roll back" if standby.rollout.running:
                    with contextlib.suppress(JournalError):
                        await standby.roll_back()
                case "cut off":
                    standby.journal.broken = True
                case "repair":
                    standby.journal.broken = False
        standby.journal.broken = False
        await leader.store.refresh()
        await standby.store.refresh()
        await leader.store.refresh()
        for _ in range(2):
            await leader.controller.step()
            await standby.controller.step()
        settled = len(world.router.set)
        for _ in range(3):
            await leader.controller.step()
            await standby.controller.step()

        assert world.router.split == wanted_split(leader.rollout)
        assert wanted_split(standby.rollout) == wanted_split(leader.rollout)
        assert len(world.router.set) == settled
