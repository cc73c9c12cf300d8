"""Small faults in what decides, one at a time: does a test of that module notice each?

`python -m scripts.mutation` copies the tree into a scratch folder for each module, has mutmut change one thing after
another in it, and runs the module's own tests against each change. What survives is named; a module passes when at
least nine of ten changes are noticed. `--only folding` takes the modules whose path has this in it. Each change costs a
run of the module's tests: all modules together take hours on two cores.
"""

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

_ROOT = Path(__file__).resolve().parent.parent
# Some of the changes mean the same program: not all can be noticed.
_LEAST_RATIO = 0.9

_ROLLOUT, _TESTS = "canary/rollout", "tests/canary/rollout"
_RECEIVER, _RECEIVER_TESTS = "alertmanager/receiver", "tests/alertmanager/receiver"

MODULES: dict[str, tuple[str, ...]] = {
    # What an entry makes of a rollout is shown by the commands that write it.
    f"{_ROLLOUT}/state.py": (f"{_TESTS}/test_state.py", f"{_TESTS}/test_folding.py", f"{_TESTS}/commands"),
    f"{_ROLLOUT}/folding.py": (f"{_TESTS}/test_folding.py", f"{_TESTS}/test_state.py", f"{_TESTS}/commands"),
    f"{_ROLLOUT}/commands/commands.py": (f"{_TESTS}/commands",),
    f"{_ROLLOUT}/journal/journal.py": (f"{_TESTS}/journal",),
    f"{_ROLLOUT}/store/store.py": (f"{_TESTS}/store",),
    f"{_ROLLOUT}/store/reader.py": (f"{_TESTS}/store",),
    f"{_ROLLOUT}/store/writer.py": (f"{_TESTS}/store",),
    **{
        f"{_RECEIVER}/{folder}/{name}.py": (f"{_RECEIVER_TESTS}/{folder}/test_{name}.py",)
        for folder, names in {
            "decide/alerts": ("admission", "alerthandler", "alertpoller", "objections"),
            "decide": ("deadlines", "watchdog"),
            "decide/promotion": ("promoter", "phasetimer", "waiting", "outlook"),
            "act": ("reconciler", "routercontroller", "permission", "effects", "drain"),
            "lead": ("leader", "postgres"),
        }.items()
        for name in names
    },
    "exporter/judge/blindness.py": ("tests/exporter/judge/test_blindness.py",),
}
"""What decides, and the tests that must notice."""

# What mutmut says of a change that a test has noticed; a change that never comes to an end is noticed, too.
_NOTICED = ("killed", "timeout", "caught by type check")


def _configured(folder: Path, module: str, tests: tuple[str, ...]) -> None:
    """The tree in a scratch folder, and what mutmut is to do there."""
    tree = subprocess.run(["git", "archive", "HEAD"], cwd=_ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "x", "-C", str(folder)], input=tree.stdout, check=True)
    package = module.partition("/")[0]
    copied = sorted({one.name for one in folder.iterdir() if one.is_dir()} - {package})
    with (folder / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(
            f"\n[tool.mutmut]\nsource_paths = [{package!r}]\nonly_mutate = [{module!r}]\nalso_copy = {copied!r}\n"
            f"pytest_add_cli_args_test_selection = {list(tests)!r}\n"
        )


def survivors(module: str, tests: tuple[str, ...]) -> tuple[Counter[str], list[str]]:
    """What became of all changes in a module, by how many, and the names of those that nobody has noticed."""
    with tempfile.TemporaryDirectory(prefix="canary-mutation-") as name:
        folder = Path(name)
        _configured(folder, module, tests)
        mutmut = Path(sys.executable).parent / "mutmut"
        subprocess.run([mutmut, "run"], cwd=folder, stdout=subprocess.DEVNULL, check=False)
        asked = [str(mutmut), "results", "--all", "true"]
        told = subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=True)
    found = dict(_outcomes(told.stdout))
    return Counter(found.values()), [change for change, outcome in found.items() if outcome not in _NOTICED]


def _outcomes(text: str) -> Iterator[tuple[str, str]]:
    """Each change and its outcome, from lines like `canary.rollout.folding.x_fold__mutmut_1: killed`."""
    for line in text.splitlines():
        change, found, outcome = line.strip().partition(": ")
        if found and "__mutmut_" in change:
            yield change, outcome


@click.command()
@click.option("--only", default="", help="The modules whose path has this in it.")
def main(only: str) -> None:
    """Say which changes nobody notices."""
    short = 0
    for module, tests in MODULES.items():
        if only not in module:
            continue
        outcomes, unnoticed = survivors(module, tests)
        noticed, changes = sum(outcomes[one] for one in _NOTICED), outcomes.total()
        short += not changes or noticed < _LEAST_RATIO * changes
        click.echo(f"{module}: {noticed} of {changes} noticed")
        for change in unnoticed:
            click.echo(f"  {change}")
    sys.exit(bool(short))


if __name__ == "__main__":
    main()
