"""Dashboards against Grafana's own schema."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.documents.grafana_schema import faults


def test_every_dashboard_is_what_the_schema_says(dashboards: dict[str, dict[str, Any]]) -> None:
    """Nothing in a generated dashboard is unknown to Grafana or of another type."""
    found = [f"{name}: {fault}" for name, dashboard in dashboards.items() for fault in faults(dashboard)]

    assert found == []


def _panel(dashboard: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(panel for panel in dashboard["panels"] if panel["type"] == kind)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda d: d.update(titel="x"), "dashboard.titel: not known"),
        (lambda d: d.update(schemaVersion="39"), "schema_version: expected"),
        (lambda d: d.update(graphTooltip=7), "graph_tooltip: expected"),
        (lambda d: d["links"][0].update(asDropDown=True), "asDropDown: not known"),
        (lambda d: d["templating"]["list"][1].update(refresh=9), "refresh: expected"),
        (lambda d: d["annotations"]["list"][0].update(useValueForTime="on"), "use_value_for_time: expected"),
        (lambda d: _panel(d, "timeseries")["fieldConfig"]["defaults"]["custom"].update(drawStyle="wavy"), "draw_style"),
        (lambda d: _panel(d, "timeseries")["targets"][0].update(exp="up"), "exp: not known"),
        (lambda d: _panel(d, "stat")["options"].update(colorMode="loud"), "color_mode: expected"),
        (lambda d: _panel(d, "stat")["fieldConfig"]["defaults"].update(decimals="1"), "decimals: expected"),
        (lambda d: _panel(d, "table")["options"].update(cellHeight="huge"), "cell_height: expected"),
        (lambda d: _panel(d, "state-timeline")["options"].update(rowHeight="tall"), "row_height: expected"),
    ],
)
def test_what_the_schema_does_not_know_is_found(
    damage: Callable[[dict[str, Any]], object], told: str, dashboards: dict[str, dict[str, Any]]
) -> None:
    """A misspelt key, a wrong type or an unknown word of an enumeration is named with its place."""
    dashboard = copy.deepcopy(dashboards["canary-rollout.json"])

    damage(dashboard)

    assert any(told in fault for fault in faults(dashboard)), faults(dashboard)
