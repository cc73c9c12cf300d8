"""A receiver that was stopped has heard nothing: that is no silence."""

import asyncio
from types import SimpleNamespace
from typing import cast

from alertmanager.receiver.decide.pauses import Pauses
from alertmanager.receiver.decide.watchdog import Watchdog
from alertmanager.receiver.supervisor import working
from canary.policy.model import Policy
from canary.policy.release import Receiver, Rollback
from canary.policy.release import Watchdog as Section
from canary.rollout.commands.records import Record
from canary.rollout.entries import Recorded
from canary.rollout.state import State
from canary.rollout.store.store import RolloutStore
from canary.testing.clock import VirtualClock
from tests.support.clock import in_virtual_time
from tests.support.receiving.deciding import Deciding
from tests.support.receiving.receiver import SERVICE

POLICY = Policy(
    service=SERVICE, receiver=Receiver(watchdog=Section(timeout=60, then=60)), rollback=Rollback(countdown=60)
)


def stoppable(deciding: Deciding) -> Pauses:
    """Let a test's parts notice pauses, which they take for the passing of time otherwise."""
    pauses = Pauses(deciding.store, deciding.clock, asks_seconds=20)
    deciding.watchdog = Watchdog(deciding.policy.receiver.watchdog, deciding.clock, pauses)
    deciding.deadlines._watchdog, deciding.deadlines._pauses = deciding.watchdog, pauses
    return pauses


async def live(deciding: Deciding, pauses: Pauses, seconds: int) -> None:
    """Run for so long, second by second."""
    for _ in range(seconds):
        pauses.tick()
        await deciding.passes(1)


async def test_a_receiver_that_wakes_rolls_nothing_back() -> None:
    """Stopped for an hour, it neither holds nor rolls back; silence goes on from where it stood, after a question."""
    async with Deciding.about(POLICY) as deciding:
        pauses = stoppable(deciding)
        deciding.beat()
        await live(deciding, pauses, 50)
        await deciding.passes(3600)
        assert deciding.state() is State.PHASE

        await live(deciding, pauses, 29)
        assert deciding.state() is State.PHASE
        await live(deciding, pauses, 3)
        assert (deciding.state(), deciding.rollout.cause) == (State.HOLDING, "watchdog")
        await live(deciding, pauses, 61)
        assert deciding.state() is State.ROLLING_BACK


async def test_a_countdown_goes_on_from_where_it_stood() -> None:
    """People get all of their time: in a pause they could not cancel anything."""
    async with Deciding.about(POLICY) as deciding:
        pauses = stoppable(deciding)
        await deciding.hear("CanaryHighErrorRate", "rollback")
        for _ in range(4):  # one pause in what the one before still asks for counts once
            deciding.beat()
            await live(deciding, pauses, 5)
            await deciding.passes(600)
        deciding.beat()
        await live(deciding, pauses, 50)
        assert deciding.state() is State.HOLDING
        deciding.beat()
        await live(deciding, pauses, 26)
        assert deciding.state() is State.ROLLING_BACK


async def test_what_is_late_is_no_pause() -> None:
    """A busy machine is late by seconds; a pause of hours is told once, and wakes whoever asks."""
    async with Deciding.about(POLICY) as deciding:
        pauses, woken = stoppable(deciding), []
        pauses.listen(lambda: woken.append(deciding.clock.monotonic()))
        for seconds in (9, 10, 3600, 1, 5):
            deciding.clock.advance(seconds)
            pauses.tick()
            await pauses.tell()

        told = [entry for entry in await deciding.store.entries() if isinstance(entry, Recorded)]
        assert [entry.reason for entry in told] == [
            "the receiver was stopped for 1h and heard nothing; countdowns go on from where they stood"
        ]
        assert len(woken) == 1
        assert pauses.awake_seconds(3625) == 25 - 6


@in_virtual_time
async def test_a_journal_that_hangs_is_no_pause() -> None:
    """While a pause waits to be written down, time goes on: else no countdown would end before the journal answers."""
    clock, hanging, reasons = VirtualClock("boot"), asyncio.Event(), []

    async def propose(_seen: object, record: Record) -> None:
        reasons.append(record.reason)
        await hanging.wait()

    store = SimpleNamespace(rollout=SimpleNamespace(id="r-1", running=True), propose=propose)
    pauses = Pauses(cast("RolloutStore", store), clock, asks_seconds=0)
    async with working(pauses.workers(), clock):
        await clock.sleep(2)
        clock._booted_at -= 60  # the machine slept for a minute
        await clock.sleep(600)
        assert len(reasons) == 1
        assert pauses.awake_seconds(500) == 500
