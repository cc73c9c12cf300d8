"""Blocking work as a dependency: files and foreign libraries that would stop the event loop run in threads.

They come through the constructor, as the clock does, so that a simulation can run them inline: then one seed gives one
order of events, which threads of the machine's would not.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

T = TypeVar("T")


class Threads(Protocol):
    """Runs a blocking function without stopping the event loop."""

    async def run(self, work: Callable[[], T]) -> T:
        """What *work* returns, or raises."""
        ...

    def close(self) -> None:
        """Take no more work, and wait for none."""
        ...


class SystemThreads:
    """Threads of the machine.

    Args:
        name: what the threads are called.
        most: how many there are at most. Whoever does work that may hang brings threads of its own, so that the others
            are not held up.
    """

    def __init__(self, name: str, most: int) -> None:
        self._pool = ThreadPoolExecutor(most, thread_name_prefix=name)

    async def run(self, work: Callable[[], T]) -> T:
        """What *work* returns, or raises, in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Take no more work, and wait for none."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class InlineThreads:
    """No threads: the work is done at once, in the event loop."""

    async def run(self, work: Callable[[], T]) -> T:
        """What *work* returns, or raises."""
        return work()

    def close(self) -> None:
        """Nothing to end."""
