"""Where work runs that would block the event loop: files, drivers without an asynchronous side, long computations.

The loop's own pool is shared by everything, name look-ups included, and is small. One file server that hangs, or one
chat service, would take its threads one by one until a rollback finds none. So what may hang has threads of its own,
and is waited for with a time limit: the thread may stay lost, its resource alone is affected.

Whoever needs a thread is given a `Threads` by its constructor. So a simulation can run the same code without threads,
where the order of events comes from its seed alone, and a test can see what ran where.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

T = TypeVar("T")


class Threads(Protocol):
    """Runs blocking work alongside the event loop."""

    async def run(self, work: Callable[[], T]) -> T:
        """What *work* gives or raises. Cancelling the wait does not stop work that has begun."""
        ...

    def close(self) -> None:
        """Take no more work; what has not begun never will."""
        ...


class SharedThreads:
    """The event loop's own pool, for work that always ends soon and may run on any thread."""

    async def run(self, work: Callable[[], T]) -> T:
        """What *work* gives or raises."""
        return await asyncio.to_thread(work)

    def close(self) -> None:
        """Nothing to do: the pool is the loop's."""


class OwnThreads:
    """Some threads for one purpose, such as calls that may hang: they hold up nothing else.

    Args:
        most: how many there are at most.
    """

    def __init__(self, name: str, most: int) -> None:
        self._pool = ThreadPoolExecutor(most, name)

    async def run(self, work: Callable[[], T]) -> T:
        """What *work* gives or raises."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Take no more work; what has not begun never will."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class OwnThread(OwnThreads):
    """One thread for one resource: a driver whose connections must not change threads, a disk that may hang.

    Work runs in the order in which it came. Work that hangs holds up nothing but this resource; in the shared pool it
    would take a thread from everybody.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, 1)


class InlineThreads:
    """No threads: the work is done at once, in the event loop. For simulations and tests."""

    async def run(self, work: Callable[[], T]) -> T:
        """What *work* gives or raises."""
        return work()

    def close(self) -> None:
        """Nothing to end."""
