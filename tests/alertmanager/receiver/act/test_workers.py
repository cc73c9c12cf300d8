"""The loops side by side: woken by what is decided, repeated when they fail, else in the policy's rhythm."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from canary.errors import CanaryError, JournalError, RefusedError
from canary.policy.release import Receiver
from canary.process.manager import ProcessState
from canary.rollout.commands.commands import Promote
from canary.rollout.commands.finishing import Finish
from canary.rollout.kinds import Step
from canary.rollout.state import State
from canary.testing.servers import MemoryDeployment
from tests.support.clock import FakeClock
from tests.support.programs.processes import eventually
from tests.support.receiving.acting import Acting, World

RECONCILE_SECONDS = 7
PATIENCE_SECONDS = 10


class WaitingClock(FakeClock):
    """A clock whose timers the test lets go off, and whose sleeps pass at once; it knows how long each was to be."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []
        self.waits: list[float] = []
        self._timers: list[Callable[[], object]] = []

    async def sleep(self, seconds: float) -> None:
        """Let time pass, and others come in between."""
        self.slept.append(seconds)
        await super().sleep(seconds)
        await asyncio.sleep(0)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> asyncio.Handle:
        """Keep it until `go_off`."""
        self.waits.append(seconds)
        self._timers.append(callback)
        return asyncio.get_running_loop().call_later(PATIENCE_SECONDS * 10, callback)

    def go_off(self) -> None:
        """The time of all timers has come."""
        timers, self._timers = self._timers, []
        for timer in timers:
            timer()


@pytest.fixture
def clock() -> WaitingClock:
    """A clock that ends no wait by itself."""
    return WaitingClock()


@pytest.fixture
async def world(tmp_path: Path, clock: WaitingClock) -> AsyncIterator[World]:
    """A world with an empty journal and a running canary."""
    async with World.around(tmp_path, receiver=Receiver(reconcile=RECONCILE_SECONDS)) as world:
        world.clock = clock
        world.process.now = ProcessState.RUNNING
        yield world


@asynccontextmanager
async def working(receiver: Acting, *names: str) -> AsyncIterator[None]:
    """These loops run, or all; one that breaks fails the test."""
    workers = receiver.reconciler.workers()

    async def run(name: str) -> None:
        await workers[name]()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run(name)) for name in names or workers]
        yield
        for task in tasks:
            task.cancel()


async def soon(condition: Callable[[], bool], what: str) -> None:
    """Wait for what needs no timer."""
    await eventually(condition, what, PATIENCE_SECONDS)


async def test_what_is_driven_has_a_worker_of_its_own(leader: Acting) -> None:
    """No step waits for one that protects customers less."""
    assert set(leader.reconciler.workers()) == {"router edge", "traffic", "deploy", "process", "log", "journal"}


async def test_what_another_receiver_has_left_is_done_without_waiting(leader: Acting, world: World) -> None:
    """A receiver that begins reads of a rollback, and drives it to its end: each step wakes the next one."""
    await leader.controller.step()
    await leader.roll_back()
    successor = world.receiver()

    async with working(successor):
        await soon(lambda: bool(successor.store.rollouts), "the journal is read")
        await soon(lambda: successor.rollout.steps == {Step.TRAFFIC, Step.PROCESS, Step.LOG}, "all is done")
        await soon(lambda: successor.rollout.state is State.ROLLED_BACK, "the rollback is over")

    assert world.router.split.weight_ratio == 0
    assert world.process.done == ["stop", "stopped"]


async def test_a_decision_wakes_whoever_waits(leader: Acting, world: World, clock: WaitingClock) -> None:
    """A rollout is started, promoted, finished and deployed while no timer goes off."""
    deployment = MemoryDeployment(configured=True)
    receiver = world.receiver(deployment=deployment)
    await receiver.store.refresh()

    async with working(receiver):
        await soon(lambda: world.router.split.weight_ratio == 0.05, "the start is in force")
        await soon(lambda: clock.waits.count(RECONCILE_SECONDS) >= len(receiver.reconciler.workers()) - 1, "all wait")
        await receiver.propose(Promote(actor="ann"))
        await soon(lambda: world.router.split.weight_ratio == 1, "the promotion is in force")
        await receiver.propose(Finish(actor="ann", weights=(0.5, 0.0), step_seconds=60))
        await soon(lambda: Step.DEPLOY in receiver.rollout.steps, "the stable servers have the new version")

    assert deployment.done == [leader.rollout.canary]


async def test_a_step_that_fails_is_repeated_after_pauses_that_grow(world: World, clock: WaitingClock) -> None:
    """From half a second to ten, and anew from half a second after a success; what succeeds has the policy's rhythm."""
    receiver = world.receiver()
    receiver.journal.broken = True

    async with working(receiver, "journal"):
        await soon(lambda: len(clock.slept) > 6, "it is tried again and again")
        assert clock.slept[:7] == [0.5, 1, 2, 4, 8, 10, 10]
        assert receiver.reconciler.errors == {"journal": "journal: no space left"}
        assert clock.waits == []

        receiver.journal.broken = False
        await soon(lambda: clock.waits == [RECONCILE_SECONDS], "it waits for the next look")
        assert receiver.reconciler.errors == {}
        failed = len(clock.slept)
        receiver.journal.broken = True
        clock.go_off()
        await soon(lambda: len(clock.slept) > failed, "it fails again")
        assert clock.slept[failed] == 0.5


@pytest.mark.parametrize("lowers", [True, False])
async def test_a_decision_to_lower_drops_a_look_that_hangs(leader: Acting, world: World, *, lowers: bool) -> None:
    """A router that answers no look is told at once; what lowers nothing waits for the look's end."""
    await leader.controller.step()
    if not lowers:
        await leader.roll_back()
        await leader.controller.step()
        await leader.give_up()
    looks, answering = 0, asyncio.Event()

    async def hang(operation: str) -> None:
        nonlocal looks
        looks += operation == "read"
        if operation == "read" and looks == 1:
            await answering.wait()

    world.router.before = hang
    async with working(leader, "router edge"):
        await soon(lambda: looks == 1, "it looks")
        await (leader.roll_back() if lowers else leader.start("v2.2"))
        if lowers:
            await soon(lambda: world.router.split.weight_ratio == 0, "it is lowered")
        await asyncio.sleep(0.05)
        assert (looks > 1) is lowers

        answering.set()
        await soon(lambda: leader.reconciler.settled, "the router follows")


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
