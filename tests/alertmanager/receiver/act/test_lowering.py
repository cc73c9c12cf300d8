"""Lowering a router asks nobody: customers leave the canary without lead and journal."""

import pytest

from alertmanager.receiver.act.splits import wanted_split
from canary.errors import JournalError
from canary.routers.base import Split
from tests.support.receiving.acting import Acting, World, five


@pytest.mark.parametrize("leading", [True, False])
async def test_a_rollback_is_carried_out_without_lead_and_journal(
    leader: Acting, world: World, *, leading: bool
) -> None:
    """The journal is broken, perhaps the lead lost: the customers leave the canary all the same."""
    await leader.controller.step()
    leader.lead.leading = leading
    leader.journal.broken = True
    with pytest.raises(JournalError):
        await leader.roll_back()

    for _ in range(3):
        await leader.controller.step()

    assert [split.weight_ratio for split in world.router.set] == [0.05, 0]
    assert leader.controller.follows(wanted_split(leader.rollout))


async def test_a_rollback_is_carried_out_once_by_whoever_does_not_lead(leader: Acting, world: World) -> None:
    """What the router has afterwards is for the leader to put right, who knows more."""
    await leader.controller.step()
    await leader.roll_back()
    await leader.controller.step()
    leader.lead.leading = False
    world.router.split = five(leader)

    await leader.controller.step()

    assert world.router.split == five(leader)


async def test_a_router_that_is_away_is_lowered_when_it_is_back(leader: Acting, world: World) -> None:
    """Without lead and journal it is tried until the router follows."""
    await leader.controller.step()
    leader.lead.leading = False
    leader.journal.broken = True
    with pytest.raises(JournalError):
        await leader.roll_back()
    world.router.away = True
    pauses = [await leader.controller.step() for _ in range(3)]
    world.router.away = False
    await leader.controller.step()

    assert pauses == [0.2, 0.4, 0.8]
    assert world.router.split.weight_ratio == 0


async def test_a_leader_keeps_a_rolled_back_router_down_without_the_journal(leader: Acting, world: World) -> None:
    """A router that comes back with an old share, while the journal's disk is full, is lowered as often as needed."""
    await leader.controller.step()
    leader.journal.broken = True
    with pytest.raises(JournalError):
        await leader.roll_back()
    for _ in range(3):
        await leader.controller.step()
        world.router.split = five(leader)

    await leader.controller.step()

    assert world.router.split.weight_ratio == 0


async def test_a_leader_lowers_a_router_that_somebody_has_raised_without_the_journal(
    leader: Acting, world: World
) -> None:
    """Nobody gets onto the canary by it, although the rollout goes on."""
    await leader.controller.step()
    leader.journal.broken = True
    world.router.split = Split(leader.rollout.id, 0.5)

    await leader.controller.step()

    assert world.router.split == five(leader)


async def test_a_leader_lowers_whatever_a_router_comes_back_with_without_the_journal(
    leader: Acting, world: World
) -> None:
    """Also an older rollout's share, which the router had kept: the lead is enough where nobody gets on."""
    await leader.controller.step()
    await leader.roll_back()
    await leader.controller.step()
    leader.journal.broken = True
    world.router.split = Split("older", 0.5)

    await leader.controller.step()

    assert world.router.split.weight_ratio == 0


async def test_a_router_that_does_not_tell_whose_traffic_it_has_is_lowered(leader: Acting, world: World) -> None:
    """Not knowing is no reason to leave customers on a canary that is rolled back."""
    world.router.tells_salt = False
    await leader.controller.step()
    leader.lead.leading = False
    leader.journal.broken = True
    with pytest.raises(JournalError):
        await leader.roll_back()

    await leader.controller.step()

    assert world.router.split.weight_ratio == 0
