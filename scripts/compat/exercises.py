"""What is run for which programs, with how each ends: `passed`, or what went wrong."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from canary.mixin.yamltext import dump
from canary.policy import Policy
from canary.timing.clock import SystemClock
from demo.screen import Screen
from demo.stack.policy import STRATEGY
from demo.stack.processes import find_program
from demo.stack.stack import Settings, Stack
from grafana.generate import dashboards
from rules.generate import prometheus_files
from rules.targets import thanos_rules, victoriametrics_rules
from scripts import golden
from scripts.compat.programs import run
from scripts.compat.release import release
from scripts.compat.thanos import ThanosStack
from scripts.compat.victoriametrics import VictoriaStack

_PASSED = "passed"

# Half of the demo's own customers: this is about whether everything happens, and other programs may run alongside.
_RATE = 25.0

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
        alongside: programs that take part and get none; the page says which they were.
        run: gives `passed`, or what went wrong.
    """

    what: str
    judges: Sequence[str]
    run: Callable[[], str]
    alongside: Sequence[str] = ()


def _said(argv: Sequence[str], folder: Path) -> str:
    try:
        done = run([find_program(argv[0]), *argv[1:]], _TIMEOUT_SECONDS, folder)
    except OSError as error:
        return f"failed: cannot be started ({error.strerror})"
    except subprocess.TimeoutExpired:
        return f"failed: not over after {_TIMEOUT_SECONDS} s"
    said = " ".join((done.stdout + done.stderr).split())
    return _PASSED if done.returncode == 0 else f"failed: {said[-_LONGEST:]}"


def _on_golden(*argv: str, files: str) -> Callable[[], str]:
    """On what is committed of the generators' output, one policy after the other: two have the same rules."""

    def tried() -> str:
        for name in golden.POLICIES:
            found = sorted(str(path) for path in (golden.FOLDER / name).glob(files))
            if (said := _said([*argv, *found], golden.ROOT)) != _PASSED:
                return said
        return _PASSED

    return tried


def _on_generated(*argv: str, files: str, option: str = "") -> Callable[[], str]:
    """On what is generated now for each policy of the golden files, and committed nowhere."""

    def tried() -> str:
        with tempfile.TemporaryDirectory(prefix="canary-compat-") as folder:
            for name in golden.POLICIES:
                _generate(golden.policy(name), Path(folder) / name)
            found = sorted(str(path) for path in Path(folder).glob(files))
            return _said([*argv, *(option + path for path in found)], Path(folder))

    return tried


def _on_each_dashboard(*argv: str) -> Callable[[], str]:
    """On each dashboard that is generated for the policies of the golden files."""

    def tried() -> str:
        with tempfile.TemporaryDirectory(prefix="canary-compat-") as folder:
            for name, text in dashboards(*map(golden.policy, golden.POLICIES)).items():
                file = Path(folder, name)
                file.write_text(text, encoding="utf-8")
                if (said := _said([*argv, str(file)], golden.ROOT)) != _PASSED:
                    return said
        return _PASSED

    return tried


def _generate(policy: Policy, folder: Path) -> None:
    files = {f"prometheus/{path}": text for path, text in prometheus_files(policy).items()} | {
        "thanos.yml": dump(thanos_rules(policy)),
        "vmalert.yml": dump(victoriametrics_rules(policy)),
    }
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def _tests(path: str) -> Callable[[], str]:
    def tried() -> str:
        return _said([sys.executable, "-m", "pytest", "-q", "-x", path], golden.ROOT)

    return tried


def _stack(kind: type[Stack]) -> Callable[[], str]:
    async def story() -> str:
        clock, screen = SystemClock(), Screen(Console(file=sys.stderr))
        with tempfile.TemporaryDirectory(prefix="canary-compat-") as folder:
            found = await release(
                kind(Settings(STRATEGY, Path(folder), rate_per_second=_RATE), clock, screen), clock, screen
            )
        return found if found == _PASSED else found[: 2 * _LONGEST]

    def tried() -> str:
        return asyncio.run(story())

    return tried


_CHAIN = ("prometheus", "alertmanager", "haproxy")

EXERCISES = (
    Exercise(
        "`check rules --lint=all`",
        ["promtool"],
        _on_golden("promtool", "check", "rules", "--lint=all", "--lint-fatal", files="prometheus/rules/*.yml"),
    ),
    Exercise(
        "generated tests", ["promtool"], _on_generated("promtool", "test", "rules", files="*/prometheus/tests/*.yml")
    ),
    Exercise("`check-config`", ["amtool"], _on_golden("amtool", "check-config", files="alertmanager/*.yml")),
    Exercise(
        "`lint --fail-on=info`",
        ["pint"],
        _on_golden(
            "pint",
            "--no-color",
            "--offline",
            "lint",
            "--min-severity=info",
            "--fail-on=info",
            files="prometheus/rules/*.yml",
        ),
    ),
    Exercise(
        "`lint --strict --config .lint`",
        ["dashboard-linter"],
        _on_each_dashboard("dashboard-linter", "lint", "--strict", "--config", ".lint"),
    ),
    Exercise("`-dryRun`", ["vmalert"], _on_generated("vmalert", "-dryRun", files="*/vmalert.yml", option="-rule=")),
    Exercise(
        "`tools rules-check`",
        ["thanos"],
        _on_generated("thanos", "tools", "rules-check", files="*/thanos.yml", option="--rules="),
    ),
    Exercise("tests of the router", ["haproxy"], _tests("tests/canary/routers/haproxy")),
    Exercise("tests of the router", ["nginx"], _tests("tests/canary/routers/nginx")),
    Exercise("demo", _CHAIN, _stack(Stack)),
    Exercise("demo", ["thanos"], _stack(ThanosStack), ["prometheus", "alertmanager", "haproxy"]),
    Exercise("demo", ["victoria-metrics", "vmalert"], _stack(VictoriaStack), ["alertmanager", "haproxy"]),
)


def first_on_path(folder: Path) -> None:
    """Let every program that is started from here be taken from the folder first."""
    os.environ["PATH"] = f"{folder.resolve()}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
