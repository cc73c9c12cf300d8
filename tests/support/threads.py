"""No threads: blocking work runs at once, so that what a test sees depends on its own steps alone."""

from collections.abc import Callable
from typing import TypeVar

from tests.support.clock import FakeClock

T = TypeVar("T")


class InlineThreads:
    """Runs work where it is called.

    Attributes:
        count: how many pieces of work ran.
    """

    def __init__(self) -> None:
        self.count = 0

    async def run(self, work: Callable[[], T]) -> T:
        """What *work* gives or raises."""
        self.count += 1
        return work()

    def close(self) -> None:
        """Nothing to end."""


class SlowThreads(InlineThreads):
    """Work that takes this many seconds."""

    def __init__(self, clock: FakeClock, seconds: float) -> None:
        super().__init__()
        self._clock, self._seconds = clock, seconds

    async def run(self, work: Callable[[], T]) -> T:
        """Do it, slowly."""
        self._clock.advance(self._seconds)
        return await super().run(work)
