"""From a value to what people see."""

import math
from typing import Any

import pytest

from scripts.preview.display import TEXT, field_of, unit_text


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "text"),
    [
        (0.0312, "percentunit", None, "3.12%"),
        (0.0312, "percentunit", 1, "3.1%"),
        (0.9, "percentunit", 0, "90%"),
        (0.25, "s", None, "250 ms"),
        (0, "s", 0, "0 s"),
        (90, "s", None, "1.5 mins"),
        (1234, "short", None, "1.23 K"),
        (7, "short", 0, "7"),
        (2**30, "bytes", None, "1 GiB"),
        (61, "dtdhms", None, "00:01:01"),
        (90061, "dtdhms", None, "1 d 01:01:01"),
        (12.34, "reqps", None, "12.3 req/s"),
        (math.inf, "percentunit", 1, "∞"),
    ],
)
def test_units_are_written_as_grafana_writes_them(value: float, unit: str, decimals: int | None, text: str) -> None:
    """A number becomes the text that Grafana shows for its unit."""
    assert unit_text(value, unit, decimals) == text


def _panel(**defaults: Any) -> dict[str, Any]:
    return {"fieldConfig": {"defaults": defaults, "overrides": []}}


def test_a_mapping_gives_word_and_colour() -> None:
    """A mapped value is shown by its word, whatever its unit."""
    mappings = [{"type": "value", "options": {"6": {"text": "Harm", "color": "#D55E00"}}}]

    shown = field_of(_panel(mappings=mappings, unit="short"), "x").show(6.0)

    assert (shown.text, shown.colour) == ("Harm", "#D55E00")


def test_thresholds_colour_a_number() -> None:
    """The last threshold that is reached gives the colour."""
    steps = [{"color": "green", "value": None}, {"color": "red", "value": 10}]
    field = field_of(_panel(color={"mode": "thresholds"}, thresholds={"mode": "absolute", "steps": steps}), "x")

    assert [field.colour(value) for value in (0, 9.9, 10, 11)] == ["green", "green", "red", "red"]


def test_an_override_wins_over_the_default() -> None:
    """A column's own unit and a query's own colour are taken."""
    panel = _panel(unit="short", color={"mode": "fixed", "fixedColor": "text"})
    panel["fieldConfig"]["overrides"] = [
        {"matcher": {"id": "byName", "options": "Change"}, "properties": [{"id": "unit", "value": "percentunit"}]},
        {
            "matcher": {"id": "byFrameRefID", "options": "B"},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": "#E69F00"}}],
        },
    ]

    assert field_of(panel, "Change").show(0.5).text == "50%"
    assert field_of(panel, "other", "B").colour(1) == "#E69F00"
    assert field_of(panel, "other", "A").colour(1) == TEXT
