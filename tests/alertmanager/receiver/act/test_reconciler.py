"""What follows the traffic in a rollback: the process, the log, the end; each for the right rollout only."""

from pathlib import Path

import pytest

from canary.errors import JournalError
from canary.process.manager import ProcessState
from canary.rollout.commands.commands import Promote
from canary.rollout.state import State
from canary.routers.base import Split
from tests.support.receiving.acting import Acting, PausingClock, World


@pytest.fixture
def world(draining: World) -> World:
    """A world with a running canary, in which something can happen while a receiver waits."""
    draining.clock = PausingClock()
    return draining


@pytest.fixture
async def leader(leader: Acting) -> Acting:
    """The receiver that leads, with a rollout whose 5 % are in force."""
    await leader.controller.step()
    return leader


def clock_of(world: World) -> PausingClock:
    """The clock in whose sleep something can happen."""
    assert isinstance(world.clock, PausingClock)
    return world.clock


async def test_an_old_rollback_does_not_stop_the_next_canary(leader: Acting, world: World) -> None:
    """Given up during its drain, with the next rollout started before the drain is over, a rollback stops nothing."""
    await leader.roll_back()
    world.router.away = True
    await leader.controller.step()

    async def next_rollout() -> None:
        await leader.give_up()
        world.router.away = False
        await leader.effects.start_process(lambda: None)
        await leader.start("v2.2")

    clock_of(world).meanwhile = next_rollout
    await leader.reconcile()

    assert world.process.done == ["start"]
    assert leader.rollout.canary == "v2.2"
    assert leader.rollout.state is State.PHASE
    assert leader.reconciler.errors == {}


async def test_a_receiver_that_lost_the_lead_during_the_drain_stops_nothing(leader: Acting, world: World) -> None:
    """Another receiver leads by the end of the drain: it stops the process, this one does not."""
    await leader.roll_back()
    await leader.controller.step()

    async def lose() -> None:
        leader.lead.leading = False

    clock_of(world).meanwhile = lose
    await leader.reconcile()
    assert world.process.done == []

    successor = world.receiver()
    await successor.store.refresh()
    await successor.reconcile()
    assert world.process.done == ["stop", "stopped"]
    assert successor.rollout.state is State.ROLLED_BACK


async def test_a_rollback_that_another_receiver_has_ended_meanwhile(leader: Acting, world: World) -> None:
    """A receiver that was paused in the drain reads, before it acts, that all is over and the next rollout runs."""
    await leader.roll_back()
    await leader.controller.step()
    other = world.receiver()

    async def elsewhere() -> None:
        await other.store.refresh()
        await other.reconcile()
        await other.effects.start_process(lambda: None)
        await other.start("v2.2")

    clock_of(world).meanwhile = elsewhere
    await leader.reconciler.attempt("process", leader.reconciler.stop_process)

    assert world.process.done == ["stop", "stopped", "start"]
    assert world.process.now is ProcessState.RUNNING


async def test_the_process_waits_for_the_journal(leader: Acting, world: World) -> None:
    """Stopping is not lowering: while the decision cannot be written the process runs on, without customers."""
    leader.journal.broken = True
    with pytest.raises(JournalError):
        await leader.roll_back()
    await leader.reconcile()
    assert world.router.split.weight_ratio == 0
    assert world.process.done == []

    leader.journal.broken = False
    await leader.reconcile()
    assert world.process.done == ["stop", "stopped"]
    assert leader.rollout.state is State.ROLLED_BACK


async def test_the_process_waits_until_every_router_was_tried(leader: Acting, world: World) -> None:
    """Before the router has been told nothing is stopped: its customers would meet a dead canary."""
    await leader.roll_back()

    await leader.reconciler.attempt("process", leader.reconciler.stop_process)

    assert world.process.done == []


async def test_a_router_that_is_away_does_not_spare_the_process(leader: Acting, world: World) -> None:
    """What cannot be told leaves a dead canary by itself; the rollback, and its log, end when it has been told."""
    world.router.away = True
    await leader.roll_back()
    await leader.reconcile()
    assert world.process.done == ["stop", "stopped"]
    assert leader.rollout.ended_at is None
    assert ["outcome" in line for line in world.logged] == [False]

    world.router.away = False
    await leader.reconcile()
    assert leader.rollout.state is State.ROLLED_BACK
    assert ["outcome" in line for line in world.logged] == [False, True]


async def test_a_step_that_fails_is_shown_until_it_is_done(leader: Acting, world: World) -> None:
    """A process that does not stop is a fault that people see, and is tried again."""
    world.process.refuses = True
    await leader.roll_back()
    await leader.reconcile()
    assert leader.reconciler.errors == {"stop_process": "process canary: expected stopped, found running"}

    world.process.refuses = False
    await leader.reconcile()
    assert leader.reconciler.errors == {}
    assert leader.rollout.state is State.ROLLED_BACK


async def test_a_standby_neither_stops_nor_writes(leader: Acting, world: World) -> None:
    """A receiver that does not lead lowers the router, and leaves the rest."""
    standby = world.receiver(leading=False)
    await leader.roll_back()
    await standby.store.refresh()
    began = world.clock.now()

    await standby.reconcile()
    standby.journal.broken = True  # which it need not read for that
    await standby.reconcile()

    assert world.router.split.weight_ratio == 0
    assert world.process.done == []
    assert world.logged == []
    assert standby.rollout.steps == frozenset()
    assert standby.reconciler.errors == {}
    assert world.clock.now() == began


async def test_two_services_share_nothing(tmp_path: Path) -> None:
    """What is done for one service's rollout is not done to another one's world, in the same process."""
    async with World.around(tmp_path / "one") as one, World.around(tmp_path / "two") as two:
        for world in (one, two):
            world.folder.mkdir()
            world.process.now = ProcessState.RUNNING
        first, second = one.receiver(), two.receiver()
        await first.start()
        await second.start()
        await second.controller.step()
        await first.roll_back()
        await first.reconcile()
        await second.reconcile()

        assert one.process.done == ["stop", "stopped"]
        assert two.process.done == []
        assert two.router.split.weight_ratio == 0.05
        assert second.rollout.state is State.PHASE
        assert len(one.logged) == 2
        assert two.logged == []


async def test_before_the_first_rollout_nothing_is_done(world: World) -> None:
    """No step fails, and none writes anything."""
    receiver = world.receiver()
    await receiver.reconcile()

    assert receiver.reconciler.errors == {}
    assert receiver.reconciler.process_state is None
    assert await receiver.store.entries() == []
    assert world.process.done == []


async def test_while_a_rollout_runs_nothing_follows_the_traffic(leader: Acting, world: World) -> None:
    """A process that has died meanwhile is no step that is done, and nothing is waited for."""
    world.process.now = ProcessState.STOPPED
    began = world.clock.now()
    await leader.reconcile()

    assert leader.reconciler.errors == {}
    assert leader.rollout.steps == frozenset()
    assert world.clock.now() == began


async def test_a_process_is_stopped_once(leader: Acting, world: World) -> None:
    """Started by a person while a router is still away, it is left alone."""
    world.router.away = True
    await leader.roll_back()
    await leader.reconcile()
    world.process.now = ProcessState.RUNNING
    await leader.reconcile()

    assert world.process.done == ["stop", "stopped"]
    assert leader.rollout.state is State.ROLLING_BACK


@pytest.mark.parametrize("starts", [True, False])
async def test_nothing_is_raised_over_a_rollout_that_the_journal_does_not_know(
    leader: Acting, world: World, starts: bool
) -> None:
    """The first look that shows it counts: of a receiver that starts on an older copy, or that leads all along."""
    await leader.propose(Promote(actor="ann"))
    await leader.reconcile()
    receiver = await world.restarted() if starts else leader
    world.router.split = world.router.saved = later = Split("later", 0.05, testers=False)

    for _ in range(3):
        await receiver.controller.step()

    assert world.router.split == later
    assert "does not know the rollout" in receiver.reconciler.trust.doubt


async def test_a_router_that_the_journal_cannot_have_driven_is_left_as_it_is(leader: Acting, world: World) -> None:
    """Whoever takes over knows that the router has customers of another rollout, and puts nothing right."""
    foreign = Split("another", 0.5)
    world.router.split = foreign
    leader.lead.leading = False
    await leader.controller.step()
    leader.lead.leading = True
    for _ in range(3):
        await leader.controller.step()

    assert world.router.split == foreign
    assert not leader.reconciler.settled
    assert "does not know the rollout" in leader.reconciler.trust.doubt
