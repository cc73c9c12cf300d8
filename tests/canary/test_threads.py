"""Blocking work next to the event loop, or in it."""

import threading

import pytest

from canary.threads import InlineThreads, OwnThreads, Threads


@pytest.mark.parametrize("threads", [OwnThreads("test", 1), InlineThreads()], ids=["own", "inline"])
async def test_work_gives_its_result_or_its_error(threads: Threads) -> None:
    """What the work returns is returned, what it raises is raised."""
    assert await threads.run(lambda: 2 + 2) == 4
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 // 0)
    threads.close()


async def test_where_the_work_is_done() -> None:
    """The machine's threads are other threads; the simulation's are none."""
    threads = OwnThreads("test", 1)

    assert await threads.run(threading.get_ident) != threading.get_ident()
    assert await InlineThreads().run(threading.get_ident) == threading.get_ident()
    threads.close()
