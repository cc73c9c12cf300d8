"""A clock that stands still until a test moves it, and time in which sleeping costs nothing: the product's own."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from random import Random
from typing import ParamSpec

from canary.testing.clock import FakeClock
from canary.testing.loop import VirtualLoop

__all__ = ["FakeClock", "in_virtual_time"]

P = ParamSpec("P")


def in_virtual_time(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Run a test whose parts take their time from the loop, as it is: no wait takes longer on a busy machine."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=lambda: VirtualLoop(Random(1))) as runner:
            runner.run(test(*args, **kwargs))

    return run
