"""The data of a panel: its queries' answers, named and transformed as Grafana does."""

import re
from dataclasses import replace
from typing import Any

from canary.units import parse_duration
from grafana.expand import built_in, expand
from scripts.preview.prometheus import Prometheus, Series

Row = dict[str, float | str]


def series_of(panel: dict[str, Any], server: Prometheus, chosen: dict[str, str], points: int) -> list[Series]:
    """The series of a panel that is *points* pixels wide."""
    found = []
    for target in panel["targets"]:
        least_seconds = parse_duration(target["interval"])
        step_seconds = max(least_seconds, _nice((server.end - server.start) / points))
        values = chosen | built_in(step_seconds, server.end - server.start, least_seconds)
        expression = expand(target["expr"], values)
        asked = server.instant(expression) if target["instant"] else server.range(expression, step_seconds)
        for series in sorted(asked, key=lambda one: sorted(one.labels.items())):
            legend = expand(target["legendFormat"], values)
            found.append(replace(series, ref=target["refId"], name=_named(legend, series.labels)))
    return found


def _named(legend: str, labels: dict[str, str]) -> str:
    """The legend with the series' labels in it."""
    return re.sub(r"{{\s*(\w+)\s*}}", lambda match: labels.get(match[1], ""), legend).strip()


def rows_of(panel: dict[str, Any], server: Prometheus, chosen: dict[str, str]) -> list[Row]:
    """The rows of a table, after its transformations; columns in their order."""
    several = len(panel["targets"]) > 1
    frames: list[list[Row]] = []
    for target in panel["targets"]:
        value = f"Value #{target['refId']}" if several else "Value"
        asked = server.instant(expand(target["expr"], chosen | built_in(1, server.end - server.start, 1)))
        frames.append([{**series.labels, value: series.last} for series in asked])
    rows = _merge([frame for frame in frames if frame]) if several else [row for frame in frames for row in frame]
    for transformation in panel["transformations"]:
        if transformation["id"] == "organize":
            rows = [_organize(row, transformation["options"]) for row in rows]
    for sort in panel["options"].get("sortBy", []):
        rows.sort(key=lambda row: row.get(sort["displayName"], 0.0), reverse=sort["desc"])
    return rows


def _merge(frames: list[list[Row]]) -> list[Row]:
    """One row for all rows that agree in the columns that every frame has."""
    if not frames:
        return []
    keys = set.intersection(*({key for row in frame for key in row} for frame in frames))
    merged: dict[tuple[float | str, ...], Row] = {}
    for frame in frames:
        for row in frame:
            merged.setdefault(tuple(row[key] for key in sorted(keys)), {}).update(row)
    return list(merged.values())


def columns_of(panel: dict[str, Any], rows: list[Row]) -> list[str]:
    """The columns of a table's rows, in their order."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    for transformation in panel["transformations"]:
        if transformation["id"] == "organize":
            names, order = transformation["options"]["renameByName"], transformation["options"]["indexByName"]
            places = {names.get(key, key): place for key, place in order.items()}
            columns.sort(key=lambda column: places.get(column, len(places)))
    return columns


def _organize(row: Row, options: dict[str, Any]) -> Row:
    kept = [key for key in row if not options["excludeByName"].get(key)]
    return {options["renameByName"].get(key, key): row[key] for key in kept}


def _nice(seconds: float) -> float:
    """The next step that people would choose."""
    steps = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600)
    return float(next((step for step in steps if step >= seconds), 3600))
