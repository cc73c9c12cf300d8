"""The other side: one service's loop in a process of its own, until the exporter lets go of the socket.

Signals are left to the exporter: a service manager sends them to all processes at once, and a worker that ended before
its exporter would be started again.
"""

import asyncio
import resource
import signal
import socket
import sys
from functools import partial

from canary import logs
from canary.errors import CanaryError, Fault, PolicyError
from canary.policy.load import load_policy
from exporter.loop import Loop
from exporter.publish.update import Update
from exporter.worker.frames import frame, next_message
from exporter.worker.order import Alive, Order, Reloaded

BEAT_SECONDS = 5.0
"""How often a worker says that it lives: a refresh of a slow database may take longer than this."""


def main(order: Order, ours: socket.socket) -> None:
    """Work until the exporter is gone; status 1 when the work failed.

    Raises:
        SystemExit: it did.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    logs.configure(order.log_level, order.log_format)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = order.memory_bytes if hard == resource.RLIM_INFINITY else min(order.memory_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    try:
        asyncio.run(Child(order).run(ours))
    except Exception as error:  # noqa: BLE001  # `multiprocessing` would print its traceback between the log's lines
        logs.Log("exporter").error("a service's process failed", exception=error, file=order.path)
        sys.exit(1)


class Child:
    """One service's loop, its updates on a socket, and the answers to what the exporter asks."""

    def __init__(self, order: Order) -> None:
        self._loop = Loop(partial(load_policy, order.path), order.state_file)
        # Only the newest is of interest to an exporter that is busy.
        self._newest: Update | None = None
        self._fresh = asyncio.Event()

    async def run(self, ours: socket.socket) -> None:
        """Until the other end is closed, or the loop ends by a fault."""
        reader, writer = await asyncio.open_connection(sock=ours)
        parts = (self._loop.run(self._tell), self._send(writer), self._answer(reader, writer))
        tasks = [asyncio.ensure_future(part) for part in parts]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    def _tell(self, update: Update) -> None:
        self._newest = update
        self._fresh.set()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            try:
                await asyncio.wait_for(self._fresh.wait(), BEAT_SECONDS)
            except TimeoutError:
                writer.write(frame(Alive()))
            else:
                self._fresh.clear()
                writer.write(frame(self._newest))
            await _drained(writer)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Whatever is asked is a reload."""
        while True:
            try:
                await next_message(reader)
            except (EOFError, ConnectionError):
                return
            writer.write(frame(Reloaded(await self._reload())))

    async def _reload(self) -> tuple[Fault, ...]:
        try:
            await self._loop.reload()
        except PolicyError as error:
            return error.faults
        except CanaryError as error:
            return (Fault(error.place or "policy", error.what, error.remedy),)
        return ()


async def _drained(writer: asyncio.StreamWriter) -> None:
    """Wait until the exporter has taken it; one that is gone is noticed by whoever reads."""
    try:
        await writer.drain()
    except ConnectionError:
        writer.close()
