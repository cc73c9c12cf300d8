"""A wake-up event wakes whoever waits, early or at the next wait."""

import asyncio

from alertmanager.receiver.wakeup import WakeUp
from canary.timing.clock import SystemClock


async def test_an_event_is_not_missed() -> None:
    """An event that is set while nobody waits is seen at the next wait; set twice it wakes once."""
    wake_up = WakeUp(SystemClock())
    wake_up.set()
    wake_up.set()
    await wake_up.wait(1000)

    waiting = asyncio.create_task(wake_up.wait(1000))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    wake_up.set()
    await waiting


async def test_the_time_ends_a_wait() -> None:
    """Without an event the time ends the wait."""
    await WakeUp(SystemClock()).wait(0.01)
