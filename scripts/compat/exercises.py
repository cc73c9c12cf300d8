"""What is run for which programs, with how each ends: `passed`, or what went wrong."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from alertmanager.config.configuration import alertmanager_file
from canary.mixin.yamltext import dump
from canary.timing.clock import SystemClock
from demo.screen import Screen
from demo.stack.policy import STRATEGY
from demo.stack.processes import find_program
from demo.stack.stack import Settings, Stack
from rules.generate import prometheus_files
from rules.targets import thanos_rules, victoriametrics_rules
from scripts import golden
from scripts.compat.release import release
from scripts.compat.victoriametrics import VictoriaStack

# promtool runs all tests of a policy, on a busy machine.
_TIMEOUT_SECONDS = 1800

# Of what a program says before it fails, the page has room for so much.
_LONGEST = 200


@dataclass(frozen=True)
class Exercise:
    """One thing to be run.

    Attributes:
        what: as the page names it.
        judges: the programs that it says something about, each of which gets a line; all must be there.
        beside: programs that take part and get none; the page says which they were.
        run: gives `passed`, or what went wrong.
    """

    what: str
    judges: Sequence[str]
    run: Callable[[], "str"]
    beside: Sequence[str] = ()


def _said(argv: Sequence[str], folder: Path) -> str:
    done = subprocess.run(
        [find_program(argv[0]), *argv[1:]],
        check=False, capture_output=True, text=True, cwd=folder, timeout=_TIMEOUT_SECONDS,
    )  # fmt: skip
    said = " ".join((done.stdout + done.stderr).split())
    return "passed" if done.returncode == 0 else f"failed: {said[-_LONGEST:]}"


def _generated() -> AbstractContextManager[str]:
    """A folder with what is generated for each policy of the golden files."""
    folder = tempfile.TemporaryDirectory(prefix="canary-compat-")
    for name in golden.POLICIES:
        policy = golden.policy(name)
        files = {f"prometheus/{path}": text for path, text in prometheus_files(policy).items()} | {
            "alertmanager.yml": alertmanager_file(policy),
            "thanos.yml": dump(thanos_rules(policy)),
            "vmalert.yml": dump(victoriametrics_rules(policy)),
        }
        for path, text in files.items():
            file = Path(folder.name) / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    return folder


def _on_files(*argv: str, files: str) -> Callable[[], str]:
    def run() -> str:
        with _generated() as folder:
            found = sorted(str(path) for path in Path(folder).glob(files))
            return _said([*argv, *found], Path(folder))

    return run


def _vmalert() -> str:
    with _generated() as folder:
        found = sorted(Path(folder).glob("*/vmalert.yml"))
        return _said(["vmalert", "-dryRun", *(f"-rule={path}" for path in found)], Path(folder))


def _thanos() -> str:
    with _generated() as folder:
        found = sorted(Path(folder).glob("*/thanos.yml"))
        return _said(["thanos", "tools", "rules-check", *(f"--rules={path}" for path in found)], Path(folder))


def _tests(path: str) -> Callable[[], str]:
    def run() -> str:
        return _said([sys.executable, "-m", "pytest", "-q", "-x", path], golden.ROOT)

    return run


def _stack(kind: type[Stack]) -> Callable[[], str]:
    async def story() -> str:
        clock, screen = SystemClock(), Screen(Console(file=sys.stderr))
        with tempfile.TemporaryDirectory(prefix="canary-compat-") as folder:
            found = await release(kind(Settings(STRATEGY, Path(folder)), clock, screen), clock, screen)
        return found if found == "passed" else found[: 2 * _LONGEST]

    def run() -> str:
        return asyncio.run(story())

    return run


_CHAIN = ("prometheus", "alertmanager", "haproxy")

EXERCISES = (
    Exercise(
        "`check rules --lint=all`", ["promtool"],
        _on_files("promtool", "check", "rules", "--lint=all", "--lint-fatal", files="*/prometheus/rules/*.yml"),
    ),
    Exercise("generated tests", ["promtool"], _on_files("promtool", "test", "rules", files="*/prometheus/tests/*.yml")),
    Exercise("`check-config`", ["amtool"], _on_files("amtool", "check-config", files="*/alertmanager.yml")),
    Exercise(
        "`lint --fail-on=warning`", ["pint"],
        _on_files("pint", "--offline", "lint", "--fail-on=warning", files="*/prometheus/rules/*.yml"),
    ),
    Exercise("`-dryRun`", ["vmalert"], _vmalert),
    Exercise("`tools rules-check`", ["thanos"], _thanos),
    Exercise("tests of the router", ["haproxy"], _tests("tests/canary/routers/haproxy")),
    Exercise("tests of the router", ["nginx"], _tests("tests/canary/routers/nginx")),
    Exercise("demo", _CHAIN, _stack(Stack)),
    Exercise("demo", ["victoria-metrics", "vmalert"], _stack(VictoriaStack), ["alertmanager", "haproxy"]),
)  # fmt: skip


def first_on_path(folder: Path) -> None:
    """Let every program that is started from here be taken from the folder first."""
    os.environ["PATH"] = f"{folder.resolve()}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
