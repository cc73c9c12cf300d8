"""A clock that stands still until a test moves it, and time in which sleeping costs nothing: the product's own."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from random import Random
from typing import ParamSpec

from canary.testing.clock import FakeClock
from canary.testing.loop import VirtualLoop

__all__ = ["FakeClock", "StandingClock", "in_virtual_time", "settled"]

P = ParamSpec("P")


class StandingClock(FakeClock):
    """A clock on which nobody's waiting ends before the test says so; how long each waits is recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.waits_seconds: list[float] = []
        self._over: Callable[[], object] = bool

    def call_later(self, seconds: float, callback: Callable[[], object]) -> asyncio.Handle:
        """A timer that waits for the test."""
        self.waits_seconds.append(seconds)
        self._over = callback
        return asyncio.get_running_loop().call_later(3600, callback)

    async def wait_over(self) -> None:
        """The newest timer's time has passed, and what waited for it goes on."""
        self.advance(self.waits_seconds[-1])
        self._over()
        await settled()


async def settled() -> None:
    """Everybody has done what there was to do."""
    for _ in range(100):
        await asyncio.sleep(0)


def in_virtual_time(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Run a test whose parts take their time from the loop, as it is: no wait takes longer on a busy machine."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=lambda: VirtualLoop(Random(1))) as runner:
            runner.run(test(*args, **kwargs))

    return run
