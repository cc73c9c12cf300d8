"""The loop in which simulations run: time that costs nothing, an order from a seed, machines that die and pause."""

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any, TypeVar

import pytest

from canary.testing.loop import Machine, VirtualLoop

T = TypeVar("T")


def live(work: Coroutine[Any, Any, T], seed: int = 1) -> T:
    """Run something in a loop of its own."""
    loop = VirtualLoop(Random(seed))
    try:
        return loop.run_until_complete(work)
    finally:
        loop.finish()


def test_a_year_of_sleep_takes_no_time() -> None:
    """Time passes exactly as far as somebody waits."""

    async def work() -> float:
        await asyncio.sleep(365 * 86400)
        return asyncio.get_running_loop().time()

    assert live(work()) == pytest.approx(365 * 86400, abs=0.01)


def order(seed: int) -> list[int]:
    """In which order ten tasks run that are ready in the same moment."""

    async def work() -> list[int]:
        ran: list[int] = []

        async def one(number: int) -> None:
            await asyncio.sleep(1)
            ran.append(number)

        await asyncio.gather(*(one(number) for number in range(10)))
        return ran

    return live(work(), seed)


def test_the_seed_alone_decides_the_order() -> None:
    """The same seed shows the same order, and the seeds together many."""
    assert [order(seed) for seed in range(5)] == [order(seed) for seed in range(5)]
    assert len({tuple(order(seed)) for seed in range(20)}) > 10


def test_nothing_of_a_killed_machine_runs_any_more() -> None:
    """No clean-up, no exception, as after SIGKILL; who waits for its answer sees the connection end."""
    ran: list[str] = []

    async def service() -> None:
        try:
            await asyncio.sleep(10)
            ran.append("answered")
        except asyncio.CancelledError:
            ran.append("cancelled")
            raise
        finally:
            ran.append("cleaned up")

    async def work() -> None:
        machine = Machine("a")
        asking = asyncio.create_task(machine.call(service()))
        await asyncio.sleep(1)
        machine.kill()
        with pytest.raises(ConnectionError, match="a died"):
            await asking
        with pytest.raises(ConnectionError, match="a is down"):
            await machine.call(service())
        await asyncio.sleep(100)
        assert ran == []

    live(work())


def test_a_paused_machine_goes_on_where_it_stood() -> None:
    """Others' time passes meanwhile; what was due is done at once, and connections stay open."""

    async def ticking(ticks: list[float]) -> None:
        while True:
            await asyncio.sleep(1)
            ticks.append(asyncio.get_running_loop().time())

    async def work() -> tuple[list[float], list[float]]:
        paused, other = Machine("paused"), Machine("other")
        mine: list[float] = []
        theirs: list[float] = []
        paused.spawn(ticking(mine))
        other.spawn(ticking(theirs))
        await asyncio.sleep(2.5)
        paused.pause()
        await asyncio.sleep(10)
        paused.go_on()
        await asyncio.sleep(2)
        return mine, theirs

    mine, theirs = live(work())
    assert [round(at, 1) for at in mine] == [1.0, 2.0, 12.5, 13.5, 14.5] or [round(at, 1) for at in mine] == [
        1.0,
        2.0,
        12.5,
        13.5,
    ]
    assert len(theirs) == 14


def test_children_belong_to_their_parents_machine() -> None:
    """A task that is started by a machine's task dies with the machine."""

    async def work() -> None:
        ran: list[str] = []

        async def child() -> None:
            await asyncio.sleep(2)
            ran.append("child")

        async def parent() -> None:
            await asyncio.gather(child(), child())

        machine = Machine("a")
        machine.spawn(parent())
        await asyncio.sleep(1)
        machine.kill()
        await asyncio.sleep(10)
        assert ran == []

    live(work())


def test_waiting_for_nothing_is_an_error_and_no_hang() -> None:
    """A simulation that can never go on says so."""

    async def work() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="nothing is left"):
        live(work())
