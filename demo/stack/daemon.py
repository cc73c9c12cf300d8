"""The canary's process as a deployment would run it: started, stopped and looked at by commands.

A JSON file says what to run; `python -m demo.stack.daemon start|stop|status FILE` does it. The policy's `process`
section names these commands, so that the receiver can stop a canary that it did not start. Each may be repeated.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

# Longer than the shop takes to finish the requests that it has begun (`demo.shop.server.DRAIN_SECONDS`).
STOP_SECONDS = 10.0
# Each command is waited for by a rollback.
_POLL_SECONDS = 0.05


def describe(path: Path, argv: list[str], log: Path) -> None:
    """Write the file that says what to run and where its output goes."""
    path.write_text(json.dumps({"argv": argv, "log": str(log)}), encoding="utf-8")


def commands(path: Path) -> dict[str, list[str]]:
    """The argument vectors of the three commands, as the policy's `process` section takes them."""
    return {verb: [sys.executable, "-m", "demo.stack.daemon", verb, str(path)] for verb in ("start", "stop", "status")}


def start(path: Path) -> None:
    """Run what the file describes, in a session of its own, unless it runs already."""
    if running(path):
        return
    description = json.loads(path.read_text(encoding="utf-8"))
    with Path(description["log"]).open("ab") as log:
        process = subprocess.Popen(
            description["argv"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    _pid_file(path).write_text(f"{process.pid} {started_at(process.pid)}", encoding="utf-8")


def stop(path: Path, patience_seconds: float | None = None) -> None:
    """Ask it to end, wait, and end it by force when it does not."""
    pid = running(path)
    if pid is None:
        return
    patience_seconds = STOP_SECONDS if patience_seconds is None else patience_seconds
    for number, seconds in ((signal.SIGTERM, patience_seconds), (signal.SIGKILL, STOP_SECONDS)):
        with suppress(ProcessLookupError):
            os.killpg(pid, number)
        deadline = time.monotonic() + seconds
        while running(path) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)


def running(path: Path) -> int | None:
    """The process id, or nothing when it does not run."""
    try:
        pid, since = _pid_file(path).read_text(encoding="utf-8").split()
    except (FileNotFoundError, ValueError):
        return None
    # A number alone proves nothing: the kernel gives it to another process in time.
    return int(pid) if started_at(int(pid)) == since else None


def _pid_file(path: Path) -> Path:
    return path.with_suffix(".pid")


def started_at(pid: int) -> str:
    """When a living process began, in the kernel's ticks; empty when there is none, or only its remains."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state in ("Z", "X") else fields[18]


def main() -> int:
    """Carry out one command; `status` exits with 0 when the process runs and 3 when it does not."""
    verbs: dict[str, Callable[[Path], object]] = {"start": start, "stop": stop}
    match sys.argv[1:]:
        case ["status", path]:
            return 0 if running(Path(path)) else 3
        case [verb, path] if verb in verbs:
            verbs[verb](Path(path))
            return 0
        case _:
            sys.stderr.write("usage: python -m demo.stack.daemon start|stop|status FILE\n")
            return 2


if __name__ == "__main__":
    sys.exit(main())
