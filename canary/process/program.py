"""Running the user's programs: fixed arguments, no shell, a time limit.

No shell, because what a rollback hands over (an id, a reason) may come from metrics and so from anybody's browser; it
goes to standard input or an argument of its own and is never part of a command. A time limit, because a rollback must
not wait for ever for a program that hangs; it ends the whole session, so that a child that hangs goes too.

Input and output go through files in memory, not pipes. With pipes the end of the output is the end of the last process
that holds the pipe: a daemon that the program started (as `pm2 start` does) would keep us waiting for its own end.
"""

import asyncio
import contextlib
import os
import shlex
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from canary.errors import reason

SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where Debian keeps daemons such as nginx, out of a user's PATH."""

# The end of what a program says on standard error is where the reason stands.
_SHOWN_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended.

    *status* is None when it could not be started or was killed at its time limit. *fault* is empty after exit
    status 0, otherwise one sentence that names the program, what was expected and what was found.
    """

    status: int | None
    output: str = ""
    fault: str = ""


async def run(argv: Sequence[str], *, timeout_seconds: float, stdin: str = "") -> Outcome:
    """Run a program to its end, or kill it and its children at the time limit.

    It is looked for, and may itself look, in PATH first and then in `SYSTEM_PATH`. What it starts in the background may
    go on. Never raises for what the program does or does not: the outcome says it.
    """
    with _memory(stdin) as given, _memory() as output, _memory() as complaint:
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=given,
                stdout=output,
                stderr=complaint,
                env={**os.environ, "PATH": f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_PATH}"},
                start_new_session=True,  # so that the time limit reaches the program's children too
            )
        except (OSError, ValueError) as error:
            return Outcome(None, fault=f"`{shlex.join(argv)}`: cannot be started ({reason(error)})")
        try:
            async with asyncio.timeout(timeout_seconds):
                status = await process.wait()
        except TimeoutError:
            fault = f"`{shlex.join(argv)}`: expected to end within {timeout_seconds:g}s, did not; it was killed"
            return Outcome(None, fault=fault)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        said = _text(complaint).strip()[-_SHOWN_CHARACTERS:]
        fault = f"`{shlex.join(argv)}`: expected exit status 0, found {status}: {said!r}" if status else ""
        return Outcome(status, _text(output), fault)


def _memory(text: str = "") -> BinaryIO:
    file = os.fdopen(os.memfd_create("program"), "w+b", buffering=0)
    file.write(text.encode())
    file.seek(0)
    return file


def _text(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
