"""Keeping a router where the journal wants it, next to other receivers that do the same."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alertmanager.receiver.act.confirmations import Confirmations
from alertmanager.receiver.act.routercontroller import Reports, RouterController
from alertmanager.receiver.act.splits import lowered_at, wanted_split
from canary.errors import JournalError, RefusedError
from canary.rollout.commands.commands import Promote
from canary.rollout.commands.records import MarkElapsed
from canary.rollout.entries import Entry
from canary.rollout.kinds import Cause
from canary.rollout.state import State
from canary.routers import files
from canary.routers.base import Split
from canary.routers.haproxy import mapfile
from canary.routers.haproxy.mapfile import Entries
from tests.support.programs.haproxy import HAProxy
from tests.support.programs.processes import eventually
from tests.support.receiving.acting import Acting, MemoryLead, World, make_effects, nothing, on


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A world with an empty journal."""
    async with World.around(tmp_path) as world:
        yield world


def controller(leader: Acting, haproxy: HAProxy, lead: MemoryLead, drifts: list[None]) -> RouterController:
    """A controller of a real HAProxy."""

    async def lowered(_router: str, _weight: float) -> None:
        raise AssertionError("nobody has lowered it")

    async def restored(_router: str, _found: str) -> None:
        return

    return RouterController(
        haproxy.router.name,
        make_effects(leader.store, lead, routers=[haproxy.router]),
        rollout=lambda: leader.store.rollout,
        confirmations=Confirmations(),
        clock=leader.clock,
        reports=Reports(lambda: None, lambda: drifts.append(None), lowered, restored),
        interval_seconds=2,
    )


def five(leader: Acting) -> Split:
    """5 % of the running rollout."""
    return Split(leader.rollout.id, 0.05)


# On a real HAProxy.


async def test_a_standby_looks_and_does_not_touch(leader: Acting, haproxy: HAProxy) -> None:
    """While another receiver acts, a controller sees whether the router follows, and sets nothing."""
    lead, drifts = MemoryLead(leading=False), list[None]()
    kept, wanted = controller(leader, haproxy, lead, drifts), five(leader)

    await kept.step()
    assert not kept.follows(wanted)
    assert (await haproxy.router.read()).weight_ratio == 0

    await haproxy.router.set_weight(wanted)
    await kept.step()
    assert kept.follows(wanted)
    await haproxy.router.set_weight(replace(wanted, weight_ratio=0))
    await kept.step()
    assert not kept.follows(wanted)
    assert drifts == []


async def test_a_new_leader_sets_what_a_restart_of_the_router_would_bring(leader: Acting, haproxy: HAProxy) -> None:
    """A leader that died between the runtime and the map's file leaves the file behind; its follower repairs it."""
    lead = MemoryLead(leading=False)
    kept, wanted = controller(leader, haproxy, lead, []), five(leader)
    await haproxy.router.set_weight(wanted)
    files.write(haproxy.map, mapfile.render(Entries(), "none"))

    await kept.step()
    lead.leading = True
    await kept.step()

    assert mapfile.read(haproxy.map) == Entries.of(wanted)


async def test_a_drift_is_counted_once_and_mended(leader: Acting, haproxy: HAProxy) -> None:
    """Changed by somebody else, the router is brought back; a change of ours is no drift."""
    drifts = list[None]()
    kept, wanted = controller(leader, haproxy, MemoryLead(), drifts), five(leader)
    await kept.step()
    assert drifts == []

    await haproxy.router.set_weight(replace(wanted, weight_ratio=0.5))
    await kept.step()
    await kept.step()

    assert len(drifts) == 1
    assert (await haproxy.router.read()).agrees(wanted)


async def test_pauses_grow_while_a_router_is_away(leader: Acting, haproxy: HAProxy) -> None:
    """A router that does not answer is tried again with growing pauses, and at once is known not to follow."""
    kept, wanted = controller(leader, haproxy, MemoryLead(), []), five(leader)
    haproxy.stop()

    pauses = [await kept.step() for _ in range(6)]

    assert pauses == sorted(pauses)
    assert pauses[-1] == 2
    assert kept.tried(wanted)
    assert not kept.follows(wanted)
    assert "cannot be reached" in kept.error
    await haproxy.start()
    await kept.step()
    assert kept.follows(wanted)
    assert kept.error == ""


async def test_after_a_change_a_reload_by_others_is_put_right_within_a_second(leader: Acting, world: World) -> None:
    """A reload that had read the old file comes up with the old weight: looked for often, then as rarely as before."""
    controller = leader.controller
    pauses = [await controller.step()]
    await leader.roll_back()
    pauses.append(await controller.step())
    world.router.restart(saved=five(leader))  # the worker that takes over some seconds later
    leader.clock.advance(3)
    pauses.append(await controller.step())

    assert world.router.split.weight_ratio == 0
    assert max(pauses) <= 0.5
    leader.clock.advance(10)
    assert await controller.step() == 2


# Raising asks lead and journal.


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


# Lowering asks nobody.


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


async def test_a_standby_carries_out_a_rollback_that_it_has_read(leader: Acting, world: World) -> None:
    """A receiver that reads of a rollback lowers the router although another one leads."""
    standby = world.receiver(leading=False)
    await leader.controller.step()
    await leader.roll_back()
    await standby.store.refresh()

    await standby.controller.step()

    assert world.router.split.weight_ratio == 0


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


# Two receivers do not fight.


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


# What is wanted.


def test_without_a_rollout_everybody_is_on_stable() -> None:
    """Before the first rollout the wanted share is 0, and nothing was decided."""
    assert wanted_split(None).weight_ratio == 0
    assert lowered_at(None) is None


async def test_only_lowering_is_a_decision_to_lower(leader: Acting) -> None:
    """A start and an advance are none, a rollback is one until the end, also when it is given up."""
    await leader.propose(MarkElapsed(rollout=leader.rollout.id, phase=0, seconds=1))
    assert lowered_at(leader.rollout) is None
    await leader.advance()
    assert lowered_at(leader.rollout) is None
    decision = await leader.roll_back()
    assert lowered_at(leader.rollout) == decision.at
    await leader.give_up()
    assert lowered_at(leader.rollout) == decision.at


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
