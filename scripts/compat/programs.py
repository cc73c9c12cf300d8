"""The programs that can be tried, which of them lie in a folder, and in which version."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from demo.stack.processes import find_program

_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)*")

# A program that says its version does nothing else.
_TIMEOUT_SECONDS = 30


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
    """By name, the version of each program that lies in the folder, under the first of its names, as it is then run."""
    found: dict[str, str] = {}
    for program in PROGRAMS:
        paths = (shutil.which(file, path=folder) for file in program.files)
        if path := next(filter(None, paths), None):
            found[program.name] = version(Path(path), program)
    return found


def used(name: str) -> str:
    """A program as PATH has it, with its version: `HAProxy 2.6.12`.

    Raises:
        ProcessError: it is nowhere.
    """
    program = BY_NAME[name]
    return f"{program.title} {version(Path(find_program(*program.files)), program)}"


def version(path: Path, program: Program) -> str:
    """What the program says of itself, on whichever stream; `unknown` where no number is in it, or it cannot run."""
    try:
        said = subprocess.run(
            [path, *program.asked], check=False, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    found = _VERSION.search(said.stdout + said.stderr)
    return found[0] if found else "unknown"
