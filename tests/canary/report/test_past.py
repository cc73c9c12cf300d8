"""Reports read back from files that people may have edited."""

import json
from pathlib import Path

import pytest

from canary.report.past import past_reports

REPORT = {
    "service": "shop",
    "rollout": "one",
    "stable": "v1",
    "canary": "v2",
    "state": "promoted",
    "ended_at": "2026-03-03T12:00:00Z",
    "kpis": {
        "conversion_rate": {
            "relative_change": [[0, -0.03], [60, None]],
            "relative_change_lower": [[0, -0.04], [None, 1]],
            "relative_change_upper": [[0, -0.02], [60, float("nan")]],
        }
    },
}


def test_a_point_that_is_no_number_is_a_point_that_is_not_there(tmp_path: Path) -> None:
    """The report is kept, with the last band that was known."""
    (tmp_path / "one.json").write_text(json.dumps(REPORT), encoding="utf-8")

    band = past_reports(tmp_path, "shop").reports["one"].kpis["conversion_rate"].band

    assert band is not None
    assert (band.expected, band.lower, band.upper) == (-0.03, -0.04, -0.02)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_number_is_not_known(tmp_path: Path, number: str) -> None:
    """Harm without bound is harm that nobody has counted; a loss without bound makes the report no whole one."""
    harm, loss = {"harmed_units_estimated": "HERE"}, {"expected": "HERE", "lower": 0, "upper": 1}
    for name, edited in (
        ("harm", {"kpis": {"conversion_rate": harm}}),
        ("loss", {"money": [{"currency": "EUR", "turnover": 1, "lost": loss}]}),
    ):
        text = json.dumps(REPORT | {"rollout": name} | edited).replace('"HERE"', number)
        (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")

    past = past_reports(tmp_path, "shop")

    assert past.reports["harm"].kpis["conversion_rate"].harmed_units_estimated is None
    assert past.damaged == ["loss.json"]


def test_of_a_curve_its_last_known_point_is_kept(tmp_path: Path) -> None:
    """Hundreds of reports with hundreds of points each do not stay in a receiver's memory."""
    curve = [[at, at / 1000] for at in range(400)] + [[400, None]]
    kpis = {"conversion_rate": {"relative_change": curve}}
    (tmp_path / "one.json").write_text(json.dumps(REPORT | {"kpis": kpis}), encoding="utf-8")

    kpi = past_reports(tmp_path, "shop").reports["one"].kpis["conversion_rate"]

    assert list(kpi.relative_change) == [(399.0, 0.399)]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(REPORT)[:-40],
        "",
        "[]",
        "null",
        "[" * 100_000,
        json.dumps(REPORT | {"kpis": {"conversion_rate": {"relative_change": [["x", 1]]}}}),
        json.dumps(REPORT | {"ended_at": "yesterday"}),
        json.dumps(REPORT | {"kpis": {"conversion_rate": {"harmed_units_estimated": "inf"}}}),
    ],
    ids=["truncated", "empty", "list", "null", "deep", "words", "time", "harm"],
)
def test_what_is_no_whole_report_is_named(tmp_path: Path, text: str) -> None:
    """It is left out, and the others are read all the same."""
    (tmp_path / "bad.json").write_text(text, encoding="utf-8")
    (tmp_path / "one.json").write_text(json.dumps(REPORT), encoding="utf-8")

    past = past_reports(tmp_path, "shop")

    assert list(past.reports) == ["one"]
    assert past.damaged == ["bad.json"]
