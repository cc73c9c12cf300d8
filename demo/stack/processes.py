"""Programs that the demo starts, and ends again whatever happens."""

import asyncio
import os
import shutil
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import aiohttp

from canary.errors import ProcessError
from canary.process.program import SYSTEM_PATH

# Prometheus takes a second on an idle machine; a machine that needs more than this is no place for a demo.
READY_SECONDS = 30.0
# All parts end at the same time, and within what somebody who has pressed Ctrl-C waits for: five seconds in all, of
# which a busy machine needs some to end the demo itself.
STOP_SECONDS = 1.5
# Short against the start of any part, long against a request.
_POLL_SECONDS = 0.1


def find_program(*names: str) -> str:
    """A program that goes by several names; of several that are installed PATH decides, as in a shell.

    Raises:
        ProcessError: none is.
    """
    folders = (str(Path(sys.executable).parent), *os.environ.get("PATH", "").split(os.pathsep), *SYSTEM_PATH.split(":"))
    for folder in folders:
        for name in names:
            if found := shutil.which(name, path=folder):
                return found
    raise ProcessError(
        "expected the program on PATH, found none",
        place=names[0],
        remedy="install it (Debian: apt-get install prometheus prometheus-alertmanager haproxy)",
    )


# Where the system has it: a program dies with us, even when we are killed and cannot end it.
_LEASH = (setpriv, "--pdeathsig", "TERM", "--") if (setpriv := shutil.which("setpriv")) else ()


class Processes:
    """Starts programs, each in a process group of its own with a log file, and ends them in reverse order."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: list[tuple[str, Process]] = []

    async def start(self, name: str, argv: Sequence[str]) -> None:
        """Start a program; its output goes to `NAME.log`.

        Raises:
            ProcessError: it cannot be started.
        """
        with (self._logs / f"{name}.log").open("ab") as log:
            try:
                process = await asyncio.create_subprocess_exec(
                    *_LEASH, *argv, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            except OSError as error:
                raise ProcessError(f"cannot start {argv[0]} ({error.strerror})", place=name) from error
        self._running.append((name, process))

    async def ready(self, name: str, url: str, session: aiohttp.ClientSession) -> None:
        """Wait until a started program answers 200 at a URL.

        Raises:
            ProcessError: it ended, or did not answer in time; the message holds the end of its log.
        """
        await self.answers(name, url, session, alive=lambda: self._alive(name))

    async def answers(
        self, name: str, url: str, session: aiohttp.ClientSession, alive: Callable[[], bool] = lambda: True
    ) -> None:
        """Wait until any program with a log here answers 200 at a URL, as long as it is *alive*.

        Raises:
            ProcessError: it ended, or did not answer in time; the message holds the end of its log.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(READY_SECONDS):
                while alive():
                    if await _answers(url, session):
                        return
                    await asyncio.sleep(_POLL_SECONDS)
        found = f"no 200 from {url} within {READY_SECONDS:g}s" if alive() else "that it ended by itself"
        raise ProcessError(
            f"expected it to become ready, found {found}", place=name, remedy=f"its log ends:\n{self.log_tail(name)}"
        )

    def pids(self) -> dict[str, int]:
        """By name, the process of each program."""
        return {name: process.pid for name, process in self._running}

    def ended(self) -> list[str]:
        """Names of the programs that ended although nobody asked them to."""
        return [name for name, process in self._running if process.returncode is not None]

    def log_tail(self, name: str, lines: int = 15) -> str:
        """The last lines of a program's output."""
        text = (self._logs / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    async def stop(self, *names: str) -> None:
        """End everything that was started, or what has these names, at once; by force what does not end in time.

        Interrupted, it may be called again: what has not ended yet is still known.
        """
        ending = [process for name, process in self._running if not names or name in names]
        for process in ending:
            _signal(process, signal.SIGTERM)
            _signal(process, signal.SIGCONT)  # what somebody has frozen hears nothing
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await asyncio.gather(*(process.wait() for process in ending))
        for process in ending:
            # What the program itself started is in its group, and ends with it.
            _signal(process, signal.SIGKILL)
        await asyncio.gather(*(process.wait() for process in ending))
        self._running = [(name, process) for name, process in self._running if process not in ending]

    def _alive(self, name: str) -> bool:
        return any(process.returncode is None for running, process in self._running if running == name)


def _signal(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


async def _answers(url: str, session: aiohttp.ClientSession) -> bool:
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=2)) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
