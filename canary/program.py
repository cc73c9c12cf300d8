"""Running the user's programs: fixed arguments, no shell, a time limit."""

import asyncio
import contextlib
import os
import shlex
import signal
from collections.abc import Sequence
from dataclasses import dataclass

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
    """Run a program to its end, or kill it and its children at the time limit."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # so that the time limit reaches the program's children too
        )
    except (OSError, ValueError) as error:
        return Outcome(None, fault=f"`{shlex.join(argv)}`: cannot be started ({error})")
    try:
        async with asyncio.timeout(timeout_seconds):
            output, complaint = await process.communicate(stdin.encode())
    except TimeoutError:
        return Outcome(
            None, fault=f"`{shlex.join(argv)}`: expected to end within {timeout_seconds:g}s, did not; it was killed"
        )
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    said = complaint.decode(errors="replace").strip()[-_SHOWN_CHARACTERS:]
    fault = (
        f"`{shlex.join(argv)}`: expected exit status 0, found {process.returncode}: {said!r}"
        if process.returncode
        else ""
    )
    return Outcome(process.returncode, output.decode(errors="replace"), fault)
