"""A receiver that is killed at a chosen point: before or after its n-th journal write, router change, stop or message.

The real service runs in a process of its own; only there, in the tests, are its effects wrapped so that SIGKILL can
come exactly between them. One process imports everything once and forks a receiver for each life.
"""

import asyncio
import functools
import json
import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import apprise
from sqlalchemy.ext.asyncio import create_async_engine

from alertmanager.receiver.act.telling.rollbacklog import RollbackLog
from alertmanager.receiver.service import serve
from canary import logs
from canary.notify import Notifier
from canary.process.manager import CommandProcess
from canary.rollout.journal.journal import Journal
from canary.routers.haproxy.driver import HAProxyRouter
from canary.routers.nginx.driver import NginxMarkerRouter
from canary.web.options import WebOptions
from tests.support.receiving.receiver import Setting

_EFFECTS: list[tuple[type, str]] = [
    (Journal, "append"),
    (HAProxyRouter, "set_weight"),
    (NginxMarkerRouter, "set_weight"),
    (CommandProcess, "stop"),
    (Notifier, "send"),
    (RollbackLog, "write"),
]


class Mortal:
    """Receivers that die at a point, one after the other; `with` ends the last."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._forker: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        argv = ["setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-m", "tests.support.receiving.crashing"]
        self._forker = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        assert self._forker is not None, "entered"
        self._forker.communicate(timeout=90)

    def begin(self, dies_at: int = 0) -> None:
        """Start a receiver that dies at a point, or never."""
        self._ask("begin", str(self._setting.policy_file), self._setting.port, dies_at)

    def alive(self) -> bool:
        """Whether the receiver runs."""
        return bool(self._ask("alive"))

    def end(self) -> None:
        """Kill the receiver."""
        self._ask("end")

    def _ask(self, *words: object) -> Any:
        forker = self._forker
        assert forker is not None, "entered"
        assert forker.stdin is not None, "piped"
        assert forker.stdout is not None, "piped"
        forker.stdin.write(json.dumps(words) + "\n")
        forker.stdin.flush()
        return json.loads(forker.stdout.readline())


class _Forker:
    """Forks receivers; one lives at a time."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 8)
        self._pid = 0
        # What a receiver loads only when it first needs it, every life would load again.
        apprise.Apprise().add("json://127.0.0.1/")
        create_async_engine("sqlite+aiosqlite://")

    def begin(self, policy_file: str, port: int, dies_at: int) -> int:
        self._shared[:] = bytes(8)
        self._pid = os.fork()
        if self._pid == 0:
            self._live(policy_file, port, dies_at)
        return self._pid

    def alive(self) -> bool:
        if self._pid and os.waitpid(self._pid, os.WNOHANG)[0]:
            self._pid = 0
        return self._pid != 0

    def passed(self) -> int:
        return int.from_bytes(self._shared[:], "little")

    def end(self) -> bool:
        if self.alive():
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0
        return True

    def _live(self, policy_file: str, port: int, dies_at: int) -> None:
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(2, 1)

        def point() -> None:
            self._shared[:] = (self.passed() + 1).to_bytes(8, "little")
            if self.passed() == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)

        for owner, name in _EFFECTS:
            setattr(owner, name, _wrapped(getattr(owner, name), point))
        logs.configure("error")
        asyncio.run(serve(Path(policy_file), WebOptions((f"127.0.0.1:{port}",))))
        os._exit(0)


def _wrapped(effect: Callable[..., Awaitable[Any]], point: Callable[[], None]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(effect)
    async def wrapped(*arguments: Any, **keys: Any) -> Any:
        point()
        result = await effect(*arguments, **keys)
        point()
        return result

    return wrapped


if __name__ == "__main__":
    forker = _Forker()
    for line in sys.stdin:
        verb, *arguments = json.loads(line)
        sys.stdout.write(json.dumps(getattr(forker, verb)(*arguments)) + "\n")
        sys.stdout.flush()
