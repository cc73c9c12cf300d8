"""Nothing is done without asking for lead and journal at the last moment; only lowering traffic asks nobody."""

import asyncio
from dataclasses import replace

import pytest

from alertmanager.receiver.act.telling.rollbacklog import Line
from canary.errors import JournalError, RefusedError
from canary.notify import Message
from canary.process.manager import ProcessState
from canary.rollout.commands.records import CompleteStep, Record
from canary.rollout.entries import Notified, RollbackDecided
from canary.rollout.kinds import REPORT_RENEWED, Step
from canary.routers import Split
from canary.testing.servers import MemoryDeployment
from tests.support.receiving.acting import Acting, Chats, World, on, report_of

MESSAGE = Message("rolled back", "payments failed")


async def test_lowering_asks_nobody(leader: Acting, world: World) -> None:
    """Neither a lost lead nor a broken journal keeps customers on the canary."""
    leader.lead.leading = False
    leader.journal.broken = True
    closed = Split(leader.rollout.id, 0.0, testers=False)

    await leader.effects.lower("edge", closed)

    assert world.router.set == [closed]


async def test_putting_a_router_right_downwards_needs_the_lead_only(leader: Acting, world: World) -> None:
    """Where nobody gets onto the canary the journal is not waited for, but another leader is respected."""
    leader.journal.broken = True
    closed = Split(leader.rollout.id, 0.0, testers=False)
    await leader.effects.set_weight("edge", closed, still=lambda: True, lowers=True)
    leader.lead.leading = False

    with pytest.raises(RefusedError, match="router edge: this receiver does not lead"):
        await leader.effects.set_weight("edge", closed, still=lambda: True, lowers=True)
    assert world.router.set == [closed]


async def test_a_weight_that_is_not_set_says_at_which_router_and_why(leader: Acting, world: World) -> None:
    """It may be wanted no more, upwards or downwards, or this receiver does not lead; the router is not touched."""
    half = Split(leader.rollout.id, 0.5)
    for lowers in (False, True):
        with pytest.raises(RefusedError) as unwanted:
            await leader.effects.set_weight("edge", half, still=lambda: False, lowers=lowers)
        assert str(unwanted.value) == "router edge: 50% is no longer wanted"
    leader.lead.leading = False

    with pytest.raises(RefusedError, match=r"^router edge: this receiver does not lead; "):
        await leader.effects.set_weight("edge", half, still=lambda: True)
    assert world.router.set == []


async def test_a_row_that_is_not_understood_keeps_weights_from_rising_only(leader: Acting, world: World) -> None:
    """It may be a hold: until it is understood nobody more gets onto the canary, while customers may leave it."""
    row = await leader.advance()
    async with world.engine.begin() as connection:
        await connection.exec_driver_sql(f"update canary_journal set data = '{{' where seq = {row.seq}")
    receiver = world.receiver()
    await receiver.store.refresh()
    half, closed = Split(leader.rollout.id, 0.5), Split(leader.rollout.id, 0.0, testers=False)

    with pytest.raises(JournalError) as unknown:
        await receiver.effects.set_weight("edge", half, still=lambda: True)
    assert str(unknown.value) == f"router edge: {receiver.store.unread}; its weight stays as it is"
    assert str(unknown.value).startswith(f"router edge: row {row.seq} of the journal, 'advanced', is not understood")
    await receiver.effects.set_weight("edge", closed, still=lambda: True, lowers=True)
    assert world.router.set == [closed]


async def test_nobody_is_raised_as_soon_as_the_journal_is_back(leader: Acting, world: World) -> None:
    """Another receiver may have lowered without it, and writes so within seconds; lowering waits for nothing."""
    half, closed = Split(leader.rollout.id, 0.5), Split(leader.rollout.id, 0.0, testers=False)
    leader.journal.broken = True
    with pytest.raises(JournalError):
        await leader.store.refresh()
    leader.journal.broken = False

    with pytest.raises(JournalError, match="router edge: the journal has just come back"):
        await leader.effects.set_weight("edge", half, still=lambda: True)
    await leader.effects.set_weight("edge", closed, still=lambda: True, lowers=True)
    leader.clock.advance(12)
    await leader.effects.set_weight("edge", half, still=lambda: True)

    assert world.router.set == [closed, half]


async def test_the_process_is_started_by_the_leader_only(leader: Acting, world: World) -> None:
    """A command that reaches another receiver is refused with where to send it; one without a process is not."""
    follower = world.receiver(leading=False)

    with pytest.raises(RefusedError, match=r"^start of the canary's process: .* does not lead; .*canary status"):
        await follower.effects.start_process(lambda: None)
    world.process.starts = False
    assert await follower.effects.start_process(lambda: None) is ProcessState.STOPPED
    assert world.process.done == []


async def test_the_process_is_not_started_for_a_rollout_that_may_not_begin(leader: Acting, world: World) -> None:
    """What has happened since the command was checked is compared right before the start."""

    def refuse() -> None:
        raise RefusedError("another rollout has begun")

    with pytest.raises(RefusedError, match="another rollout has begun"):
        await leader.effects.start_process(refuse)
    assert world.process.done == []


async def test_a_start_waits_for_the_end_of_a_stop(leader: Acting, world: World) -> None:
    """The stop of an old rollback that is under way never ends the new canary: the start comes after it."""
    world.process.now = ProcessState.RUNNING
    await leader.roll_back()
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def stopping() -> None:
        begun.set()
        await may_end.wait()

    world.process.before = on("stop", stopping)
    stop = asyncio.create_task(leader.effects.stop_process(leader.rollout.id))
    await begun.wait()
    start = asyncio.create_task(leader.effects.start_process(lambda: None))
    # Time enough to do it wrong; how much is really needed does not matter when it is done right.
    await asyncio.wait({start}, timeout=0.3)
    may_end.set()
    await asyncio.gather(stop, start)

    assert world.process.done == ["stop", "stopped", "start"]
    assert world.process.now is ProcessState.RUNNING


async def test_what_is_stopped_is_not_stopped_again(leader: Acting, world: World) -> None:
    """A process that has ended by itself is left alone."""
    await leader.roll_back()

    assert await leader.effects.stop_process(leader.rollout.id) is ProcessState.STOPPED
    assert world.process.done == []


async def test_a_rollback_given_up_during_the_look_does_not_stop(leader: Acting, world: World) -> None:
    """The look at the process may last; the next rollout may have begun by its end."""
    world.process.now = ProcessState.RUNNING
    await leader.roll_back()
    old = leader.rollout.id

    async def next_rollout() -> None:
        await leader.give_up()
        await leader.start("v2.2")

    world.process.before = on("state", next_rollout)
    with pytest.raises(RefusedError, match=f"^step process of rollout {old}: the rollout has moved on"):
        await leader.effects.stop_process(old)
    assert world.process.done == []


async def test_a_rollback_that_was_given_up_stops_nothing(leader: Acting, world: World) -> None:
    """A person has taken over, whether or not the next rollout has begun."""
    world.process.now = ProcessState.RUNNING
    await leader.roll_back()
    await leader.give_up()

    with pytest.raises(RefusedError, match="has moved on"):
        await leader.effects.stop_process(leader.rollout.id)
    assert world.process.done == []


async def test_the_new_version_is_deployed_as_long_as_that_is_wanted(world: World) -> None:
    """The stable servers get the version of the rollout that the journal has; whoever stopped it meanwhile counts."""
    deployment = MemoryDeployment(configured=True)
    receiver = world.receiver(deployment=deployment)
    await receiver.start()
    rollout = receiver.rollout
    await receiver.effects.deploy_stable(rollout, still=lambda now: now == rollout)

    with pytest.raises(RefusedError) as stopped:
        await receiver.effects.deploy_stable(rollout, still=lambda _: False)
    assert str(stopped.value) == f"step deploy of rollout {rollout.id}: the rollout has moved on"
    assert deployment.done == ["v2.0"]


async def test_only_those_who_are_named_are_told(world: World) -> None:
    """Who has taken the message already does not get it again, in the journal or before it is written there."""
    world.chats = Chats("slack#1", "mailto#2")
    leader = world.receiver()
    written = await leader.start()
    unwritten = replace(written, seq=0)

    for entry in (written, unwritten):
        await leader.effects.send(entry, MESSAGE, ["mailto#2"], still=lambda _: True)

    assert world.chats.taken == [("mailto#2", MESSAGE)] * 2


async def test_people_are_told_what_the_journal_does_not_know(leader: Acting, world: World) -> None:
    """An entry that is not written yet is known to this receiver only: it tells people, whoever leads."""
    leader.lead.leading = False
    leader.journal.broken = True
    with pytest.raises(JournalError):
        await leader.roll_back()
    (entry,) = leader.store.unwritten

    await leader.effects.send(entry, MESSAGE, ["slack#1"], still=lambda _: False)

    assert world.chats.taken == [("slack#1", MESSAGE)]


async def test_people_are_not_told_twice_by_two_receivers(leader: Acting, world: World) -> None:
    """What another receiver has told meanwhile is not told again."""
    entry = await leader.roll_back()
    other = world.receiver()
    told = Notified(
        rollout=entry.rollout, at=world.clock.now(), actor="receiver", entry=entry.seq, targets=("slack#1",)
    )
    await other.journal.append(told)

    with pytest.raises(RefusedError, match=f"^step notify of rollout {entry.rollout}: the rollout has moved on"):
        await leader.effects.send(entry, MESSAGE, ["slack#1"], still=lambda now: entry.seq not in now.notified)
    assert world.chats.taken == []


async def test_the_log_is_written_once(leader: Acting, world: World) -> None:
    """A line that the journal knows to be written is not written again."""
    decision = await leader.roll_back()
    assert isinstance(decision, RollbackDecided)
    line = Line(decision)
    await leader.effects.write_log(leader.rollout, line)
    await leader.reconcile()

    with pytest.raises(RefusedError, match="step log of rollout"):
        await leader.effects.write_log(leader.rollout, line)
    assert len((world.folder / "rollbacks.log").read_text().splitlines()) == 3


async def test_a_report_is_written_until_it_has_been_renewed(leader: Acting) -> None:
    """Once at the rollout's end, and once more after the watch; then it is people's, and stays as it is."""
    await leader.roll_back()
    await leader.reconcile()
    rollout = leader.rollout.id
    report = await report_of(leader)
    assert not await leader.effects.report_is_there(rollout)
    await leader.effects.write_report(report)
    assert await leader.effects.report_is_there(rollout)
    assert [past.rollout for past in await leader.effects.past_reports(report.service)] == [rollout]
    assert await leader.effects.past_reports("another") == []
    await leader.store.propose(None, CompleteStep(rollout=rollout, step=Step.REPORT, decision=leader.rollout.decision))
    await leader.effects.write_report(report)
    await leader.store.propose(None, Record(rollout=rollout, key=REPORT_RENEWED))

    with pytest.raises(RefusedError) as renewed:
        await leader.effects.write_report(report)
    assert str(renewed.value) == f"step report of rollout {rollout}: the rollout has moved on"
