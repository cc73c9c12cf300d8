"""Parts of a benchmark that run in processes of their own, asked through a pipe.

Their clocks are the kernel's monotonic one, which all processes share.
"""

import asyncio
import contextlib
import multiprocessing
from collections.abc import AsyncIterator, Callable, Coroutine
from multiprocessing.connection import Connection
from typing import Any

Main = Callable[..., Coroutine[Any, Any, None]]


def _child(main: Main, pipe: Connection, arguments: tuple[object, ...]) -> None:
    asyncio.run(main(pipe, *arguments))


class Part:
    """One process of the bench, asked through a pipe."""

    def __init__(self, main: Main, *arguments: object) -> None:
        self._pipe, far = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(
            target=_child, args=(main, far, arguments), daemon=True
        )
        self._process.start()

    async def hear(self) -> Any:
        """What it says next."""
        return await asyncio.to_thread(self._pipe.recv)

    async def ask(self) -> Any:
        """Ask, and wait for the answer."""
        self._pipe.send(True)
        return await self.hear()

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.join()


@contextlib.asynccontextmanager
async def parts() -> AsyncIterator[Callable[..., Part]]:
    """Starts parts, and ends them all."""
    started: list[Part] = []

    def start(main: Main, *arguments: object) -> Part:
        started.append(Part(main, *arguments))
        return started[-1]

    try:
        yield start
    finally:
        for part in reversed(started):
            part.stop()
