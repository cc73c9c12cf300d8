"""Real programs under test: started with a log file, awaited, and always stopped."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

# Administrators' programs are not on every user's PATH.
SEARCH_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"

# A server that is up within a second on an idle machine.
_READY_SECONDS = 120.0

# Of Go's short-lived programs with little in memory, a third of the CPU is garbage collection otherwise.
ENVIRONMENT = {"PATH": SEARCH_PATH, "GOGC": "400"}


# What never happens fails a test by this; an overloaded machine alone must not.
_PATIENCE_SECONDS = 90.0


async def eventually(
    condition: Callable[[], Awaitable[bool] | bool], what: str, timeout_seconds: float = _PATIENCE_SECONDS
) -> None:
    """Wait until *condition* holds; AssertionError with *what* when it never does."""
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    while True:
        holds = condition()
        if isinstance(holds, Awaitable):
            holds = await holds
        if holds:
            return
        assert asyncio.get_running_loop().time() < deadline, f"never happened: {what}"
        await asyncio.sleep(0.02)


async def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts connections on a port."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


class Program:
    """One program in a process group of its own, which dies with the test process.

    Args:
        argv: Program and arguments.
        log: File that gets what it prints; the tail is shown when it does not come up.
        environment: Added to the test's own.
    """

    def __init__(self, argv: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self._argv = [str(word) for word in argv]
        self._log = log
        self._environment = {**os.environ, **ENVIRONMENT, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None, f"{self._argv[0]} is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        """Start it without waiting for anything."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *self._argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )

    async def start(
        self, ready: Callable[[], Awaitable[bool] | bool], timeout_seconds: float = _PATIENCE_SECONDS
    ) -> None:
        """Start it and wait until it is ready."""
        self.launch()

        async def ready_or_dead() -> bool:
            holds = ready()
            return bool(await holds if isinstance(holds, Awaitable) else holds) or not self.running

        await eventually(ready_or_dead, f"{self._argv[0]} ready; its log: {self.log_tail()}", timeout_seconds)
        assert self.running, (
            f"{self._argv[0]} ended with {self._process and self._process.returncode}: {self.log_tail()}"
        )

    def wait_until(self, answers: Callable[[], bool]) -> None:
        """Wait until what was launched answers, however long a busy machine takes."""
        deadline = time.monotonic() + _READY_SECONDS
        while not answers():
            assert self.running, f"{self._argv[0]} ended: {self.log_tail()}"
            assert time.monotonic() < deadline, f"{self._argv[0]} never became ready: {self.log_tail()}"
            time.sleep(0.05)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the program itself."""
        os.kill(self.pid, number)

    def pause(self) -> None:
        """Let it and what it started hang: connections stay, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        for pid in (self.pid, *map(int, children.split())):
            with contextlib.suppress(ProcessLookupError):  # a child that has ended meanwhile
                os.kill(pid, number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it and everything it started."""
        if self._process is None:
            return
        group = self._process.pid
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        self._process.wait(10)
        self._process = None

    def log(self) -> str:
        """What it printed."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def log_tail(self) -> str:
        """The last of what it printed."""
        return self.log()[-2000:]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
