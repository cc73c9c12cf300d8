"""What follows the traffic in a rollback: the process, the log, the end; each for the right rollout only."""

import json
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from canary.errors import CanaryError, JournalError, RefusedError
from canary.policy.release import Process
from canary.process.manager import ProcessState
from canary.rollout.commands.commands import Hold, Resume
from canary.rollout.entries import RolledBack
from canary.rollout.kinds import Step
from canary.rollout.state import State
from tests.support.receiving.acting import Acting, PausingClock, World

DRAIN_SECONDS = 3


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A world with an empty journal, a running canary and three seconds for requests in flight."""
    async with World.around(tmp_path, process=Process(drain=DRAIN_SECONDS)) as world:
        world.clock = PausingClock()
        world.process.now = ProcessState.RUNNING
        yield world


@pytest.fixture
async def leader(world: World) -> Acting:
    """The receiver that leads, with a rollout whose 5 % are in force."""
    leader = world.receiver()
    await leader.start()
    await leader.controller.step()
    return leader


def log_of(world: World) -> list[dict[str, str]]:
    """The lines of the rollback log that are for machines."""
    path = world.folder / "rollbacks.log"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.startswith("{")]


def clock_of(world: World) -> PausingClock:
    """The clock in whose sleep something can happen."""
    assert isinstance(world.clock, PausingClock)
    return world.clock


async def test_a_rollback_is_completed_in_order(leader: Acting, world: World) -> None:
    """Traffic, then the process after its drain, then the end; the log has both lines."""
    await leader.roll_back()
    decided_at = world.clock.now()
    await leader.reconcile()

    assert leader.rollout.state is State.ROLLED_BACK
    assert leader.rollout.steps == {Step.TRAFFIC, Step.PROCESS, Step.LOG}
    assert world.process.done == ["stop", "stopped"]
    assert (world.clock.now() - decided_at).total_seconds() >= DRAIN_SECONDS
    decision, end = log_of(world)
    assert decision["rollout"] == end["rollout"] == leader.rollout.id
    assert end["outcome"] == "completed"


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
    """What cannot be told leaves a dead canary by itself; the rollback is over only when it has been told."""
    world.router.away = True
    await leader.roll_back()
    await leader.reconcile()
    assert world.process.done == ["stop", "stopped"]
    assert leader.rollout.ended_at is None

    world.router.away = False
    await leader.reconcile()
    assert leader.rollout.state is State.ROLLED_BACK


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

    line, end = log_of(world)
    assert line["rollout"] == end["rollout"] == old
    assert line["reason"] == decision.reason == "bad"
    assert end["outcome"] == ("given_up" if given_up else "completed")
    assert Step.LOG in successor.store.rollouts[old].steps
    assert Step.LOG not in successor.rollout.steps


async def test_a_standby_neither_stops_nor_writes(leader: Acting, world: World) -> None:
    """A receiver that does not lead lowers the router, and leaves the rest."""
    standby = world.receiver(leading=False)
    await leader.roll_back()
    await standby.store.refresh()

    await standby.reconcile()

    assert world.router.split.weight_ratio == 0
    assert world.process.done == []
    assert log_of(world) == []
    assert standby.rollout.steps == frozenset()


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
        assert len(log_of(one)) == 2
        assert log_of(two) == []


def measured(receiver: Acting) -> tuple[datetime | None, float | None]:
    """Since when routers do not follow, and for how long."""
    return receiver.reconciler.converging_since, receiver.reconciler.converging_seconds


async def test_how_long_routers_do_not_follow_is_measured_from_the_decision(leader: Acting, world: World) -> None:
    """Until all of them do; a hold, which moves nobody, is nothing to follow."""
    reconciler = leader.reconciler
    assert (reconciler.settled, measured(leader)) == (True, (None, None))
    await leader.propose(Hold(actor="ann"))
    await leader.propose(Resume(actor="ann"))
    assert measured(leader) == (None, None)

    world.router.away = True
    decided = await leader.advance()
    world.clock.advance(7)
    await leader.controller.step()
    assert (reconciler.settled, measured(leader)) == (False, (decided.at, 7))

    world.router.away = False
    await leader.controller.step()
    assert (reconciler.settled, measured(leader), reconciler.weight_ratio) == (True, (None, None), 0.5)


async def test_a_receiver_that_begins_does_not_know_that_routers_follow(world: World) -> None:
    """Nothing has been read back: there is no weight to show, and the time counts from its beginning."""
    began = world.clock.now()
    reconciler = world.receiver().reconciler
    assert (reconciler.weight_ratio, reconciler.converging_since) == (None, began)
    world.clock.advance(3)
    assert reconciler.converging_seconds == 3


async def test_a_router_that_somebody_changes_does_not_follow_any_more(leader: Acting, world: World) -> None:
    """It counts from when that was found, and not as the time that a decision took."""
    world.router.away = True
    world.clock.advance(5)
    await leader.controller.step()

    assert leader.reconciler.converging_since == world.clock.now()
    assert leader.reconciler.converging_seconds == 0


async def test_what_is_driven_has_a_worker_of_its_own(leader: Acting) -> None:
    """No step waits for one that protects customers less."""
    assert set(leader.reconciler.workers()) == {"router edge", "traffic", "deploy", "process", "log", "journal"}


async def test_a_step_that_goes_on_failing_is_logged_once(leader: Acting, caplog: pytest.LogCaptureFixture) -> None:
    """With its name and why; again when the reason is another one, and not for a rollout that has moved on."""
    faults: list[CanaryError] = [JournalError("away"), JournalError("away"), JournalError("full")]

    async def step() -> None:
        raise faults.pop(0)

    assert [await leader.reconciler.attempt("log", step) for _ in range(3)] == [False] * 3
    told = [(record.levelname, record.getMessage(), vars(record)["canary_fields"]) for record in caplog.records]
    assert [(level, text, fields["step"], str(fields["error"])) for level, text, fields in told] == [
        ("ERROR", "step failed and is repeated", "log", "away"),
        ("ERROR", "step failed and is repeated", "log", "full"),
    ]
    assert leader.reconciler.errors == {"log": "full"}

    faults.append(RefusedError("moved on"))
    assert await leader.reconciler.attempt("log", step)
    assert leader.reconciler.errors == {}
