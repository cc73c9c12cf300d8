"""A bell wakes whoever waits, early or at the next wait."""

import asyncio

from alertmanager.receiver.bell import Bell
from canary.clock import SystemClock


async def test_a_bell_is_not_missed() -> None:
    """A bell that rings while nobody listens is heard at the next wait; one ring is one waking."""
    bell = Bell(SystemClock())
    bell.ring()
    bell.ring()
    await bell.wait(1000)

    waiting = asyncio.create_task(bell.wait(1000))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    bell.ring()
    await waiting


async def test_a_bell_waits_no_longer_than_told() -> None:
    """Without a ring the time ends the wait."""
    await Bell(SystemClock()).wait(0.01)
