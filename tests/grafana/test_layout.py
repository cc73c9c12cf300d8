"""The computed layout."""

import json
from pathlib import Path
from typing import Any

import _jsonnet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import grafana

_LAYOUT = Path(grafana.__file__).parent / "lib" / "layout.libsonnet"
_SIZES = st.tuples(st.integers(1, 24), st.integers(1, 12))
_SECTIONS = st.lists(st.lists(_SIZES, min_size=1, max_size=8), min_size=1, max_size=4)


def _place(sections: list[list[tuple[int, int]]]) -> list[dict[str, Any]]:
    """Panels of these sizes, placed by the mixin's own layout."""
    program = f"""
        local layout = import '{_LAYOUT}';
        local sections = {json.dumps(sections)};
        layout.place([
          layout.section('section ' + i, [
            {{ title: 'panel ' + i + ' ' + j, type: 'stat', size:: sections[i][j] }}
            for j in std.range(0, std.length(sections[i]) - 1)
          ])
          for i in std.range(0, std.length(sections) - 1)
        ])
    """
    placed: list[dict[str, Any]] = json.loads(_jsonnet.evaluate_snippet("layout", program))
    return placed


@settings(max_examples=40, deadline=None)
@given(sections=_SECTIONS)
def test_panels_never_overlap_nor_leave_the_grid(sections: list[list[tuple[int, int]]]) -> None:
    """Whatever the sizes, each panel has its place within 24 columns to itself."""
    taken: set[tuple[int, int]] = set()

    for panel in _place(sections):
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells
        taken |= cells


@settings(max_examples=20, deadline=None)
@given(sections=_SECTIONS)
def test_panels_keep_their_order(sections: list[list[tuple[int, int]]]) -> None:
    """Panels are read in the order in which they were given, left to right and top to bottom."""
    placed = _place(sections)

    assert placed == sorted(placed, key=lambda panel: (panel["gridPos"]["y"], panel["gridPos"]["x"]))


@pytest.mark.parametrize(
    ("count", "widths"),
    [(1, [24]), (2, [12, 12]), (4, [12] * 4), (5, [8, 8, 8, 12, 12]), (7, [8, 8, 8, 12, 12, 12, 12]), (9, [8] * 9)],
)
def test_equal_panels_fill_their_lines_evenly(count: int, widths: list[int]) -> None:
    """Among panels of a third of the width, none is left over to fill a line alone."""
    _, *placed = _place([[(8, 7)] * count])

    assert [panel["gridPos"]["w"] for panel in placed] == widths


def test_a_panel_keeps_its_number_when_it_moves() -> None:
    """Links to a panel stay good when others are put before it."""
    alone = _place([[(8, 4)]])
    after = _place([[(8, 4)], [(6, 3), (6, 3)]])

    assert alone[1]["id"] == after[1]["id"]
