"""Raising a router asks lead and journal: without their word nobody gets onto the canary."""

import asyncio
from collections.abc import Sequence

from canary.rollout.commands.commands import Promote
from canary.rollout.entries import Entry
from tests.support.programs.processes import eventually
from tests.support.receiving.acting import Acting, World, five


async def test_a_share_that_another_receiver_has_rolled_back_is_not_raised(leader: Acting, world: World) -> None:
    """A leader that has not heard of the rollback yet reads the journal before it raises."""
    other = world.receiver()
    await other.store.refresh()
    await other.roll_back()

    await leader.controller.step()

    assert world.router.set == []


async def test_an_advance_of_a_rollout_that_was_rolled_back_is_not_raised(leader: Acting, world: World) -> None:
    """Nor does the router get more of the same customers when the journal says by now that they are to leave."""
    await leader.controller.step()
    await leader.advance()
    other = world.receiver()
    await other.store.refresh()
    await other.roll_back()

    await leader.controller.step()

    assert [split.weight_ratio for split in world.router.set] == [0.05]


async def test_without_the_journal_nobody_gets_onto_the_canary(leader: Acting, world: World) -> None:
    """A leader that cannot read the journal raises nothing, says why, and goes on when it can."""
    leader.journal.broken = True
    await leader.controller.step()
    assert world.router.set == []
    assert "no space left" in leader.controller.error

    leader.journal.broken = False
    await leader.controller.step()
    assert "the journal has just come back" in leader.controller.error
    leader.clock.advance(12)
    await leader.controller.step()
    assert leader.controller.follows(five(leader))


async def test_a_lead_lost_while_the_journal_is_read_raises_nothing(leader: Acting, world: World) -> None:
    """A receiver that was paused between its look and its deed finds that it leads no more."""
    questions: list[None] = []

    def lose() -> None:
        questions.append(None)
        leader.lead.leading = len(questions) < 3

    leader.lead.asked = lose
    await leader.controller.step()

    assert len(questions) == 3
    assert world.router.set == []


async def test_a_start_that_is_not_understood_raises_nobody(world: World, leader: Acting) -> None:
    """Without its row the release before is the newest; its promotion does not put everybody on the new canary."""
    await leader.propose(Promote(actor="ann"))
    second = await leader.start("v3.0")
    await leader.reconcile()
    assert world.router.split.weight_ratio == 0.05
    async with world.engine.begin() as connection:
        await connection.exec_driver_sql(f"update canary_journal set data = '{{' where seq = {second.seq}")
    restarted = world.receiver()
    await restarted.store.refresh()
    assert restarted.rollout.weight == 1

    await restarted.reconcile()

    assert world.router.split.weight_ratio == 0.05
    assert f"row {second.seq} of the journal, 'started', is not understood" in restarted.store.unread
    assert "does not know the rollout" in restarted.reconciler.trust.doubt


async def test_a_raise_that_waits_for_the_journal_holds_up_no_rollback(world: World, leader: Acting) -> None:
    """It does not stay with a journal that hangs; a rollback that is decided meanwhile is in force at once."""
    await leader.controller.step()
    await leader.advance()
    answering = asyncio.Event()
    real = leader.journal.entries

    async def hanging(rollout: str | None = None, *, after: int = 0) -> Sequence[Entry]:
        await answering.wait()
        return await real(rollout, after=after)

    leader.journal.entries = hanging  # type: ignore[method-assign]
    raising = asyncio.ensure_future(leader.controller.step())
    await asyncio.sleep(0.05)
    rollback = asyncio.ensure_future(leader.roll_back())
    async with asyncio.timeout(2):
        await raising
        await eventually(lambda: not leader.rollout.running, "the rollback counts")
        await leader.controller.step()
    assert world.router.split.weight_ratio == 0
    assert not rollback.done()

    answering.set()
    await rollback
    assert world.router.set[-1].weight_ratio == 0
    assert 0.5 not in [split.weight_ratio for split in world.router.set]
