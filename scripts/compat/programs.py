"""The programs that can be tried, which of them lie in a folder, and in which version."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from canary.errors import ProcessError
from demo.stack.processes import find_program

_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)*")

# A program that says its version does nothing else.
_TIMEOUT_SECONDS = 30

_EXECUTABLE = "make it executable (chmod +x), or take it out of the folder"


@dataclass(frozen=True)
class Program:
    """A program, by the names under which it is installed, and how it says its version."""

    name: str
    title: str
    asked: Sequence[str]
    others: Sequence[str] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """Every name of it, its own first."""
        return (self.name, *self.others)


PROGRAMS = (
    Program("prometheus", "Prometheus", ["--version"]),
    Program("promtool", "promtool", ["--version"]),
    Program("alertmanager", "Alertmanager", ["--version"], ["prometheus-alertmanager"]),
    Program("amtool", "amtool", ["--version"]),
    Program("victoria-metrics", "VictoriaMetrics", ["-version"], ["victoria-metrics-prod"]),
    Program("vmalert", "vmalert", ["-version"], ["vmalert-prod"]),
    Program("thanos", "Thanos", ["--version"]),
    Program("pint", "pint", ["version"]),
    Program("dashboard-linter", "dashboard-linter", ["--help"]),
    Program("haproxy", "HAProxy", ["-v"]),
    Program("nginx", "nginx", ["-v"]),
)
BY_NAME = {program.name: program for program in PROGRAMS}


def inside(folder: Path) -> dict[str, str]:
    """By name, the version of each program that lies in the folder, under the first of its names, as it is then run.

    Raises:
        ProcessError: one of them does not run: what PATH has in its place is not what somebody laid there to be tried.
    """
    found: dict[str, str] = {}
    for program in PROGRAMS:
        paths = (shutil.which(file, path=folder) for file in program.files)
        if path := next(filter(None, paths), None):
            found[program.name] = version(Path(path), program)
        elif lying := next((folder / file for file in program.files if (folder / file).is_file()), None):
            raise ProcessError(
                "expected a program, found a file that may not be run", place=str(lying), remedy=_EXECUTABLE
            )
    return found


def used(name: str) -> str:
    """A program as PATH has it, with its version: `HAProxy 2.6.12`.

    Raises:
        ProcessError: it is nowhere.
    """
    program = BY_NAME[name]
    return f"{program.title} {version(Path(find_program(*program.files)), program)}"


def version(path: Path, program: Program) -> str:
    """What the program says of itself, on whichever stream; `unknown` where no number is in it.

    Raises:
        ProcessError: it cannot be started, or says nothing; no line of the page could name which one that was.
    """
    argv = [str(path), *program.asked]
    try:
        said = run(argv, _TIMEOUT_SECONDS)
    except OSError as error:
        what = f"expected a program for this machine, found that it cannot be started ({error.strerror})"
        raise ProcessError(what, place=str(path), remedy="take the one for this machine out of its archive") from error
    except subprocess.TimeoutExpired as error:
        what = f"expected its version, found no end of `{' '.join(argv)}` after {_TIMEOUT_SECONDS} s"
        raise ProcessError(what, place=str(path), remedy="see why it hangs, or take it out of the folder") from error
    found = _VERSION.search(said.stdout + said.stderr)
    return found[0] if found else "unknown"


def run(argv: Sequence[str], timeout_seconds: float, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, with nothing to read; one that hangs is ended with all that it has started.

    Raises:
        OSError: it cannot be started.
        subprocess.TimeoutExpired: it had not ended in time.
    """
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, cwd=folder, start_new_session=True,
    )  # fmt: skip
    try:
        stdout, stderr = process.communicate(timeout=timeout_seconds)
    except BaseException:  # somebody's Ctrl-C does not reach its session
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    return subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)
