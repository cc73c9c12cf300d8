"""The reverts: each still finds the line that it undoes."""

from pathlib import Path

import pytest

from simulation.fixes import FIXES, Revert

_ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("revert", FIXES, ids=lambda revert: revert.name)
def test_what_it_undoes_is_there_once(revert: Revert) -> None:
    """A line that has moved or changed would be found missing only by the hour that all reverts take."""
    assert (_ROOT / revert.file).read_text(encoding="utf-8").count(revert.text) == 1
