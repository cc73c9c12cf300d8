"""Says which changes nobody notices."""

import ast
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from scripts.mutation.modules import MODULES

_ROOT = Path(__file__).resolve().parent.parent.parent
_EXPLAINED = Path(__file__).with_name("explained.toml")
# Some of the changes mean the same program: not all can be noticed.
_LEAST_RATIO = 0.9
# What mutmut calls a change that a test has noticed; one that never comes to an end is noticed, too.
_NOTICED = ("killed", "timeout")
# Nothing is promised by lines that only show when somebody looks for a fault, nor by how parts are called in the log.
_UNCHANGED = ("_log[.]debug", "= Log[(]")


@dataclass(frozen=True)
class Found:
    """What became of all changes in a module: how many, how many noticed, and the others by name, as they read."""

    changes: int
    noticed: int
    unnoticed: Mapping[str, str]


def survivors(module: str, tests: Sequence[str], like: Sequence[str] = ()) -> Found:
    """Make the changes in a module whose names are like one of these, or all, and see which are noticed."""
    with tempfile.TemporaryDirectory(prefix="canary-mutation-") as name:
        folder, results = Path(name), Path(name, "results.jsonl")
        _copy(folder)
        with (folder / "pyproject.toml").open("a", encoding="utf-8") as file:
            file.write(f"\n[tool.mutmut]\nsource_paths = ['.']\ndo_not_mutate_patterns = {list(_UNCHANGED)!r}\n")
        arguments = [module, str(results), json.dumps(tests), json.dumps(like)]
        command = [sys.executable, "-m", "scripts.mutation.changed", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if not results.exists():
            raise click.ClickException(f"{module}: {(done.stdout + done.stderr)[-3000:]}")
        outcomes = dict(json.loads(line) for line in results.read_text(encoding="utf-8").splitlines())
        changed = dict(_changed((folder / module).read_text(encoding="utf-8")))
    unnoticed = [change for change, outcome in outcomes.items() if outcome not in _NOTICED]
    lines = {change: changed[change.rpartition(".")[2]] for change in unnoticed}
    return Found(len(outcomes), len(outcomes) - len(unnoticed), lines)


def _copy(folder: Path) -> None:
    """The tree as it stands."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=_ROOT, capture_output=True, check=True).stdout
    there = b"\0".join(name for name in files.split(b"\0") if name and (_ROOT / name.decode()).exists())
    tree = subprocess.run(["tar", "c", "--null", "-T", "-"], cwd=_ROOT, input=there, capture_output=True, check=True)
    subprocess.run(["tar", "x", "-C", str(folder)], input=tree.stdout, check=True)


def _changed(code: str) -> Iterator[tuple[str, str]]:
    """By name of a changed function, the statement that reads otherwise than in the right one."""
    functions = {
        node.name: node
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    for name, node in functions.items():
        function, made, number = name.partition("__mutmut_")
        if made and number.isdecimal():
            right = {ast.unparse(one) for one in ast.walk(functions[f"{function}__mutmut_orig"]) if _told(one)}
            other = [line for one in ast.walk(node) if _told(one) and (line := ast.unparse(one)) not in right]
            yield name, min(other, key=len, default="(as it was)")


def _told(node: ast.AST) -> bool:
    """Whether a difference is told by this part of the code: a statement, or what stands before a block."""
    return isinstance(node, ast.stmt | ast.comprehension | ast.match_case | ast.arguments) or (
        isinstance(node, ast.expr) and not isinstance(node, ast.Name | ast.Attribute | ast.Constant)
    )


def explained(module: str, path: Path = _EXPLAINED) -> dict[str, str]:
    """Why a change in a module need not be noticed, by what it makes."""
    groups = tomllib.loads(path.read_text(encoding="utf-8")).get("survivors", [])
    return {line: group["why"] for group in groups if group["module"] == module for line in group["changes"]}


def _report(module: str, found: Found, *, whole: bool) -> bool:
    """Say what became of the changes in a module; gives whether it passes."""
    reasons = explained(module)
    click.echo(f"{module}: {found.noticed} of {found.changes} noticed")
    for change, line in found.unnoticed.items():
        click.echo(f"  {change.rpartition('.')[2]}: {line}\n    {reasons.get(line, 'NOT EXPLAINED')}")
    met = set(found.unnoticed.values())
    stale = reasons.keys() - met if whole else set()
    for line in sorted(stale):
        click.echo(f"  noticed, or no longer there, though {_EXPLAINED.name} explains it: {line}")
    return met <= reasons.keys() and not stale and 0 < found.changes * _LEAST_RATIO <= found.noticed


@click.command()
@click.option("--only", default="", help="The modules whose path has this in it.")
@click.option("--changes", multiple=True, help="Only the changes of such a name; * stands for anything.")
def main(only: str, changes: tuple[str, ...]) -> None:
    """Say which changes nobody notices."""
    passed = [
        _report(module, survivors(module, tests, changes), whole=not changes)
        for module, tests in MODULES.items()
        if only in module
    ]
    sys.exit(not all(passed))


if __name__ == "__main__":
    main()
