"""A worker that breaks does not take the others with it."""

import asyncio

import pytest

from alertmanager.receiver.supervisor import working
from canary.timing.clock import SystemClock
from tests.support.clock import FakeClock
from tests.support.programs.processes import eventually


async def test_a_broken_worker_begins_again_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    """An unforeseen error is reported; the worker is started anew, the other one never notices."""
    began = {"broken": 0, "steady": 0}

    async def broken() -> None:
        began["broken"] += 1
        await asyncio.sleep(0)
        raise ZeroDivisionError("unforeseen")

    async def steady() -> None:
        began["steady"] += 1
        await asyncio.Event().wait()

    async with working({"broken": broken, "steady": steady}, FakeClock()):
        await eventually(lambda: began["broken"] > 3, "restarted")

    assert began["steady"] == 1
    assert "worker broke and restarts" in caplog.text


async def test_workers_end_with_the_block() -> None:
    """Nothing goes on when the receiver ends."""
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with working({"one": work}, SystemClock()):
        await asyncio.sleep(0)

    assert ended.is_set()
