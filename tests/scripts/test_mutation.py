"""The mutation run knows what to change, runs the tests against each change, and says what nobody noticed."""

import json
import os
import subprocess
import sys
from pathlib import Path

from scripts.mutation.__main__ import _ROOT, _changed, explained
from scripts.mutation.modules import MODULES

_MODULE = """
def limit(value):
    return value if value < 10 else 10


def unseen(value):
    return value + 1


async def waits(event):
    await event.wait()
"""

_TESTS = """
import pytest

from small import limit


@pytest.mark.parametrize(("value", "limited"), [(0, 0), (9, 9), (11, 10)])
def test_limit(value, limited):
    assert limit(value) == limited
"""


def test_every_module_and_its_tests_are_there() -> None:
    """A module that was moved is changed where it is now, or the run says nothing."""
    named = [path for module, tests in MODULES.items() for path in (module, *tests)]
    assert [path for path in named if not (_ROOT / path).exists()] == []


def test_each_change_is_run_against_the_tests_that_come_by_it(tmp_path: Path) -> None:
    """Noticed or not, and what no test comes by; the module's own tests run once without a change before."""
    (tmp_path / "pyproject.toml").write_text("[tool.mutmut]\nsource_paths = ['.']\n", encoding="utf-8")
    (tmp_path / "small.py").write_text(_MODULE, encoding="utf-8")
    (tmp_path / "test_small.py").write_text(_TESTS, encoding="utf-8")
    results = tmp_path / "results.jsonl"
    arguments = ["small.py", str(results), json.dumps(["test_small.py"]), json.dumps(["*limit*", "*unseen*"])]
    subprocess.run(
        [sys.executable, "-m", "scripts.mutation.changed", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{_ROOT}"},
        check=True,
        capture_output=True,
    )
    outcomes = dict(json.loads(line) for line in results.read_text(encoding="utf-8").splitlines())
    made = dict(_changed((tmp_path / "small.py").read_text(encoding="utf-8")))
    found = {made[change.rpartition(".")[2]]: outcome for change, outcome in outcomes.items()}

    assert found == {
        "value <= 10": "survived",
        "value < 11": "survived",
        "value if value < 10 else 11": "killed",
        "value < 10 and False": "killed",
        "value < 10 or True": "killed",
        "value - 1": "no tests",
        "value + 2": "no tests",
    }


def test_reasons_are_found_by_what_a_change_makes(tmp_path: Path) -> None:
    """Numbers of changes move with the code; what a change makes of it does not."""
    file = tmp_path / "explained.toml"
    file.write_text(
        '[[survivors]]\nmodule = "a.py"\nwhy = "the same"\nchanges = ["x <= 1", "x < 2"]\n', encoding="utf-8"
    )

    assert explained("a.py", file) == {"x <= 1": "the same", "x < 2": "the same"}
    assert explained("b.py", file) == {}
