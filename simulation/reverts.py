"""Does the simulator find what it is for? Known fixes are undone in a scratch copy, and seeds are run until one fails.

The fixes are in `fixes`. When the product has moved on and a fix's text is gone, that is said and counts as a failure:
a revert that undoes nothing shows nothing.

    python -m simulation.reverts                  all of them, a line each
    python -m simulation.reverts --only outbox    those whose name has this in it
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from simulation.fixes import FIXES, Revert

_ROOT = Path(__file__).resolve().parent.parent
_PARTS = ("canary", "canaryctl", "alertmanager", "demo", "exporter", "rules", "grafana", "simulation")


def _find(revert: Revert, seeds: int, jobs: int) -> str:
    """How many seeds it took, in words."""
    with tempfile.TemporaryDirectory(prefix="canary-revert-") as folder:
        for part in _PARTS:
            shutil.copytree(_ROOT / part, Path(folder, part), ignore=shutil.ignore_patterns("__pycache__"))
        file = Path(folder, revert.file)
        text = file.read_text(encoding="utf-8")
        if text.count(revert.text) != 1:
            return f"NOT UNDONE: the text is there {text.count(revert.text)} times in {revert.file}"
        file.write_text(text.replace(revert.text, revert.broken), encoding="utf-8")
        argv = [sys.executable, "-m", "simulation", "--seeds", str(seeds), "--until-failure", "--jobs", str(jobs)]
        done = subprocess.run(
            argv, cwd=folder, env={**os.environ, "PYTHONPATH": folder}, capture_output=True, text=True, check=False
        )
        failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED seed")]
        return failed[0].removeprefix("FAILED ") if failed else f"NOT FOUND in {seeds} seeds {done.stderr[-300:]}"


def search(only: str, seeds: int, jobs: int) -> Iterator[tuple[Revert, str]]:
    """Undo each, and look for it."""
    for revert in FIXES:
        if only in revert.name:
            yield revert, _find(revert, seeds, jobs)


@click.command()
@click.option("--only", default="", help="Those whose name has this in it.")
@click.option("--seeds", default=1000, show_default=True, help="How many worlds at most.")
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True, help="Processes.")
def main(only: str, seeds: int, jobs: int) -> None:
    """Undo known fixes, one by one, and show which seed finds each."""
    missed = 0
    for revert, found in search(only, seeds, jobs):
        missed += found.startswith("NOT")
        click.echo(f"{revert.name}: {found}")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
