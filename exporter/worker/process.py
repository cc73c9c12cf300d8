"""This side of a worker: starts its process, takes its updates, and starts it again when it ends or falls silent.

While it is away its service knows nothing: its KPIs and its judgement are absent, its counters stay where they were,
and `canary_exporter_errors_total{error="worker"}` says how often that was so. The others notice nothing.

Processes are forked from a server that has loaded the program once (`forkserver`), so that fifty of them share what it
takes (`common`). The exporter itself has threads and open sockets, which a fork of its own would copy.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Protocol

from canary.errors import PolicyError, reason
from canary.logs import Log
from canary.policy.model import Policy
from canary.policy.pinning.digest import digest
from canary.policy.pinning.reload import require_reloadable
from canary.timing.backoff import Backoff
from canary.timing.clock import Clock, SystemClock
from exporter.loop import RELOADED
from exporter.publish.snapshot import Snapshot
from exporter.publish.update import Tell, Update
from exporter.worker import child
from exporter.worker.frames import frame, next_message
from exporter.worker.order import Order, Reload, Reloaded

LOADED_ONCE = ["__main__", "exporter.worker.common"]
"""By the fork server, for all. Without the first, each worker would load the command's own module anew."""
ERROR = "worker"
"""The kind under which a worker's end is counted."""
_SILENT_SECONDS = 60.0
"""A worker says something every `child.BEAT_SECONDS`; after twelve of them nobody is there who could."""
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 1.0, 30.0
"""Before it is started again: reading the past anew costs the database something."""
_STEADY_SECONDS = 60.0
"""A worker that has lived so long did not end by what it began with."""
_LEAVE_SECONDS = 5.0
"""How long a worker may take to write down its counters when it is let go."""


class Process(Protocol):
    """What is needed of a process."""

    @property
    def exitcode(self) -> int | None:
        """How it ended; negative for a signal."""
        ...

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


Start = Callable[[Order, socket.socket], Process]
"""Starts a process that works on an order, and tells what it finds through the socket."""


class Forked:
    """A process of the fork server, with a handle on the process itself.

    The server alone is told how a process ended. When it is gone first (a service manager signals all processes at
    once, and a fork for which there is no memory is its end), `multiprocessing` takes its processes for ended: they
    would neither be waited for while they write down their counters, nor be killed when they hang.
    """

    def __init__(self, process: BaseProcess) -> None:
        self._process = process
        self._handle: int | None = None
        with contextlib.suppress(OSError):  # it has ended already, or a container's rules are older than handles
            self._handle = os.pidfd_open(self.pid)

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid or 0

    @property
    def exitcode(self) -> int | None:
        """How it ended, as far as the server could tell; None before `join` has seen its end."""
        return self._process.exitcode if self._handle is None else None

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        if self._handle is not None:
            if not wait([self._handle], timeout):
                return
            os.close(self._handle)
            self._handle = None
        self._process.join(timeout)

    def kill(self) -> None:
        """End it at once."""
        if self._handle is not None:
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        else:
            self._process.kill()


def forked(order: Order, theirs: socket.socket) -> Forked:
    """A process of the fork server."""
    context = get_context("forkserver")
    context.set_forkserver_preload(LOADED_ONCE)
    process = context.Process(target=child.main, args=(order, theirs), name=f"canary-{order.path.stem}", daemon=True)
    process.start()
    return Forked(process)


@dataclass
class Worker:
    """The work on one policy, done by a process.

    Attributes:
        load: reads the policy, here too: a faulty one, or another service's, never gets as far as a process.
    """

    load: Callable[[], Policy]
    order: Order
    clock: Clock = field(default_factory=SystemClock)
    start: Start = forked
    silent_seconds: float = _SILENT_SECONDS

    def __post_init__(self) -> None:
        """Read the policy.

        Raises:
            PolicyError: it is faulty.
        """
        self.policy = self.load()
        self._log = Log("exporter")
        self._ends = 0
        self._known = Update(Snapshot(self.policy.service), digest(self.policy))
        self._writer: asyncio.StreamWriter | None = None
        self._answer: asyncio.Future[Reloaded] | None = None
        # A changed file is noticed, and somebody asks for a reload because he changed it.
        self._reloading = asyncio.Lock()

    async def run(self, tell: Tell) -> None:
        """Tell each update of one process after the other."""
        backoff = Backoff(_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS)
        while True:
            began = self.clock.monotonic()
            try:
                how = await self._one_life(tell)
            except Exception as error:  # noqa: BLE001  # no memory for one more process: later there may be some
                how = f"failed: {reason(error)}"
            self._ends += 1
            if self.clock.monotonic() - began > _STEADY_SECONDS:
                backoff.succeeded()
            pause = backoff.failed()
            service = self.policy.service
            self._log.error(
                "a service's process ended; starting another", service=service, how=how, after_seconds=pause
            )
            lost = Snapshot(service, counters=self._known.snapshot.counters, database_up=False)
            self._take(Update(lost, self._known.digest), tell)
            await self.clock.sleep(pause)

    async def reload(self) -> None:
        """Read the policy again.

        Raises:
            CanaryError: it cannot be taken over; the one before stays in force.
        """
        async with self._reloading:
            policy = self._readable()
            if self._writer is not None:  # else the next process reads it when it begins
                self._answer = asyncio.get_running_loop().create_future()
                self._writer.write(frame(Reload()))
                if faults := (await self._answer).faults:
                    raise PolicyError(faults)
            self.policy = policy

    def _readable(self) -> Policy:
        policy = self.load()
        require_reloadable(self.policy, policy, RELOADED)
        return policy

    async def _one_life(self, tell: Tell) -> str:
        """From a process' start to its end; gives how it ended.

        Raises:
            CanaryError: the file is not what it was, and a process could not begin with it.
            Exception: there is no process to be had.
        """
        self.policy = self._readable()
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = await asyncio.to_thread(self.start, self.order, theirs)
            reader, self._writer = await asyncio.open_connection(sock=ours)
            patience = _LEAVE_SECONDS
            try:
                await self._hear(reader, tell)
            except (EOFError, ConnectionError):
                pass
            except TimeoutError:
                patience = 0.0
            finally:
                self._let_go()
                await asyncio.to_thread(_end, process, patience)
        return _words(process.exitcode) if patience else f"said nothing for {self.silent_seconds:g}s"

    async def _hear(self, reader: asyncio.StreamReader, tell: Tell) -> None:
        while True:
            async with asyncio.timeout(self.silent_seconds):
                message = await next_message(reader)
            if isinstance(message, Update):
                self._take(message, tell)
            elif isinstance(message, Reloaded) and self._answer is not None and not self._answer.done():
                self._answer.set_result(message)

    def _take(self, update: Update, tell: Tell) -> None:
        """Pass an update on, with what its process cannot know: how many there were before it."""
        self._known = update
        if self._ends:
            snapshot = update.snapshot
            update = replace(update, snapshot=replace(snapshot, errors={**snapshot.errors, ERROR: self._ends}))
        tell(update)

    def _let_go(self) -> None:
        """Close the socket, by which the process sees that it shall end."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Reloaded())  # the next process reads the file when it begins


def _end(process: Process, patience: float) -> None:
    """See to it that nothing is left of a process."""
    if patience:
        process.join(patience)
    if process.exitcode is None:
        process.kill()
        process.join()


def _words(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit status {code}"
