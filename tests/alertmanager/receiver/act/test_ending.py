"""The end of a rollback, and of a release that is finished: when it is written, what it says, and the log's lines."""

from pathlib import Path

import pytest

from canary.process.manager import ProcessState
from canary.rollout.commands.commands import Promote
from canary.rollout.commands.finishing import Finish, FinishStep
from canary.rollout.commands.records import CompleteStep
from canary.rollout.entries import Finished, RolledBack
from canary.rollout.kinds import Step
from canary.rollout.state import State
from tests.support.receiving.acting import Acting, World


@pytest.fixture
def world(draining: World) -> World:
    """A world with a running canary, and three seconds for requests in flight."""
    return draining


@pytest.fixture
async def leader(leader: Acting) -> Acting:
    """The receiver that leads, with a rollout whose 5 % are in force."""
    await leader.controller.step()
    return leader


async def test_a_rollback_is_completed_in_order(leader: Acting, world: World) -> None:
    """Traffic, then the process after its drain, then the end; the log has both lines."""
    await leader.roll_back()
    decided_at = world.clock.now()
    await leader.reconcile()

    assert leader.rollout.state is State.ROLLED_BACK
    assert leader.rollout.steps == {Step.TRAFFIC, Step.PROCESS, Step.LOG}
    assert world.process.done == ["stop", "stopped"]
    assert leader.reconciler.process_state is ProcessState.STOPPED
    assert (world.clock.now() - decided_at).total_seconds() >= 3
    decision, end = world.logged
    assert decision["rollout"] == end["rollout"] == leader.rollout.id
    assert end["outcome"] == "completed"


@pytest.mark.parametrize(
    ("managed", "reason"),
    [
        (True, "all traffic is on stable, the canary's process is stopped"),
        (False, "all traffic is on stable"),
    ],
)
async def test_the_end_names_a_process_only_where_there_is_one(tmp_path: Path, *, managed: bool, reason: str) -> None:
    """Without a process in the policy nothing is said to be stopped."""
    async with World.around(tmp_path) as world:
        world.process.managed = managed
        leader = world.receiver()
        await leader.start()
        await leader.roll_back()
        await leader.reconcile()

        (end,) = (entry for entry in await leader.store.entries() if isinstance(entry, RolledBack))
        assert end.reason == reason


@pytest.mark.parametrize("given_up", [True, False])
async def test_the_log_of_an_older_rollback_is_written_when_it_can_be(
    leader: Acting, world: World, *, given_up: bool
) -> None:
    """A line that found no place is not forgotten when the rollback is over and the next rollout has begun."""
    path = world.folder / "rollbacks.log"
    world.router.away = given_up
    path.mkdir()
    decision = await leader.roll_back()
    old = leader.rollout.id
    await leader.reconcile()
    assert "cannot be written" in leader.reconciler.errors["write_log"]
    if given_up:
        await leader.give_up()
    await leader.start("v2.2")

    path.rmdir()
    successor = world.receiver()
    await successor.store.refresh()
    await successor.reconcile()

    line, end = world.logged
    assert line["rollout"] == end["rollout"] == old
    assert line["reason"] == decision.reason == "bad"
    assert end["outcome"] == ("given_up" if given_up else "completed")
    assert Step.LOG in successor.store.rollouts[old].steps
    assert Step.LOG not in successor.rollout.steps


async def test_a_rollback_all_of_whose_steps_are_done_is_ended(leader: Acting, world: World) -> None:
    """The receiver that did the last one was killed before it could write the end; the next one writes it."""
    await leader.roll_back()
    await leader.controller.step()
    for step in (Step.TRAFFIC, Step.PROCESS):
        await leader.propose(CompleteStep(rollout=leader.rollout.id, step=step, decision=leader.rollout.decision))
    successor = await world.restarted()
    assert successor.rollout.ended_at is None

    await successor.reconcile()

    assert successor.rollout.state is State.ROLLED_BACK
    assert world.process.done == []


async def test_the_log_of_several_rollbacks_says_of_each_what_was_its_own(leader: Acting, world: World) -> None:
    """Both find no place at first, and are written together later."""
    path = world.folder / "rollbacks.log"
    path.mkdir()
    for canary in ("v2.2", ""):
        await leader.roll_back()
        await leader.reconcile()
        if canary:
            await leader.start(canary)
    path.rmdir()
    await leader.reconcile()

    first, second = leader.store.rollouts
    assert [line["rollout"] for line in world.logged] == [first, first, second, second]


@pytest.mark.parametrize(
    ("managed", "stopped"),
    [
        (True, ", the canary's process is stopped"),
        (False, ""),
    ],
)
async def test_a_finish_ends_when_the_process_is_stopped(
    leader: Acting, world: World, *, managed: bool, stopped: str
) -> None:
    """With everybody on the stable servers, and a line that says what they run; a rollback is none."""
    world.process.managed = managed
    for command in (
        Promote(actor="ann"),
        Finish(actor="ann", weights=(0.5, 0.0), step_seconds=60),
        FinishStep(actor="ann", last=True),
    ):
        await leader.propose(command)
    await leader.reconcile()
    assert (world.router.split.weight_ratio, world.process.done) == (0, [])

    rollout = leader.rollout
    await leader.propose(CompleteStep(rollout=rollout.id, step=Step.TRAFFIC, decision=rollout.decision))
    await leader.reconcile()

    assert leader.rollout.state is State.FINISHED
    assert world.process.done == ["stop", "stopped"]
    (end,) = (entry for entry in await leader.store.entries() if isinstance(entry, Finished))
    assert (end.actor, end.reason) == ("receiver", f"all traffic is on the stable servers, which run v2.0{stopped}")
    assert world.logged == []
