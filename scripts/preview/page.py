"""One dashboard as an HTML page without outside references, laid out by its grid."""

import time
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

from canary.units import parse_duration
from grafana.expand import built_in, expand
from grafana.templating import resolve
from scripts.preview.display import field_of
from scripts.preview.frames import columns_of, rows_of, series_of
from scripts.preview.graph import Frame, Mark, graph, line_of, timeline
from scripts.preview.prometheus import Prometheus, Series

# Grafana's own measures, in pixels.
_ROW, _GAP, _PADDING, _HEADER = 30, 8, 8, 28
_WIDTH = 1600
"""The same as the picture's."""
_COLUMN = (_WIDTH - 2 * 16 + _GAP) / 24
"""Grafana's grid has 24 columns between margins of 16 pixels."""

# Inside the page, because the page refers to nothing outside.
_STYLE = Path(__file__).with_name("style.css").read_text(encoding="utf-8")


def choose(dashboard: dict[str, Any], server: Prometheus) -> dict[str, str]:
    """The values of the variables: the first of each, as Grafana chooses them."""
    found = resolve(
        dashboard,
        built_in(1, server.end - server.start, 1),
        server.label_values,
        lambda expression: [series.labels for series in server.instant(expression)],
    )
    return {"datasource": "Prometheus"} | {name: values[0] if values else "" for name, values in found.items()}


def page(dashboard: dict[str, Any], server: Prometheus) -> str:
    """The whole page."""
    chosen = choose(dashboard, server)
    marks = list(_marks(dashboard, server, chosen))
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    panels = "".join(_placed(panel, server, chosen, marks) for panel in dashboard["panels"])
    shown = [item for item in dashboard["templating"]["list"] if item["hide"] == 0]
    variables = "".join(
        f"<span><i>{escape(item['label'])}</i>{escape(chosen[item['name']] or 'none')}</span>" for item in shown
    )
    begin, end = (time.strftime("%H:%M", time.gmtime(at)) for at in (server.start, server.end))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(dashboard["title"])}</title>'
        f"<style>{_STYLE}</style><header><b>{escape(dashboard['title'])}</b>{variables}"
        f'<span class="when">{begin} to {end} UTC</span></header>'
        f'<main style="height:{bottom * (_ROW + _GAP) + 8}px">{panels}</main></html>'
    )


def _marks(dashboard: dict[str, Any], server: Prometheus, chosen: dict[str, str]) -> Iterator[Mark]:
    for annotation in dashboard["annotations"]["list"]:
        for series in server.range(expand(annotation["expr"], chosen), parse_duration(annotation["step"])):
            for value in sorted({value for _, value in series.points}):
                if server.start <= value / 1000 <= server.end:
                    yield Mark(value / 1000, annotation["name"], annotation["iconColor"])


def _placed(panel: dict[str, Any], server: Prometheus, chosen: dict[str, str], marks: list[Mark]) -> str:
    place = panel["gridPos"]
    left, top = place["x"] * _COLUMN, place["y"] * (_ROW + _GAP)
    width, height = place["w"] * _COLUMN - _GAP, place["h"] * (_ROW + _GAP) - _GAP
    where = f"left:{left:.0f}px;top:{top}px;width:{width:.0f}px;height:{height}px"
    if panel["type"] == "row":
        return f'<div class="row" style="{where}">⌄ {escape(panel["title"])}</div>'
    inner = (int(width) - 2 * _PADDING - 2, height - _HEADER - _PADDING - 2)
    body = _DRAW[panel["type"]](panel, server, chosen, marks, inner)
    title = f'<h2 title="{escape(panel["description"])}">{escape(panel["title"])}</h2>'
    return f'<div class="panel" style="{where}">{title}<div class="body">{body}</div></div>'


_Size = tuple[int, int]


def _timeseries(
    panel: dict[str, Any], server: Prometheus, chosen: dict[str, str], marks: list[Mark], size: _Size
) -> str:
    series = series_of(panel, server, chosen, size[0])
    if not series:
        return _none(panel, size)
    frame = Frame(size[0], size[1] - 4 - _legend_height(series, size[0]), server.start, server.end)
    return graph(panel, series, frame, marks) + _legend(panel, series)


def _timeline(panel: dict[str, Any], server: Prometheus, chosen: dict[str, str], marks: list[Mark], size: _Size) -> str:
    del marks  # Grafana draws none there
    series = series_of(panel, server, chosen, size[0])
    if not series:
        return _none(panel, size)
    words = panel["fieldConfig"]["defaults"]["mappings"][0]["options"].values()
    keys = "".join(f'<span><i style="background:{word["color"]}"></i>{escape(word["text"])}</span>' for word in words)
    drawn = timeline(panel, series, Frame(size[0], size[1] - 22, server.start, server.end))
    return f'{drawn}<div class="legend">{keys}</div>'


def _stat(panel: dict[str, Any], server: Prometheus, chosen: dict[str, str], marks: list[Mark], size: _Size) -> str:
    del marks
    series = series_of(panel, server, chosen, size[0])
    if not series:
        return _none(panel, size)
    values = []
    for one in series:
        shown = field_of(panel, one.name, one.ref).show(one.last)
        if panel["options"]["textMode"] == "name":
            shown = replace(shown, text=one.name)
        share = size[0] / len(series)
        font = min(60, share / max(4, len(shown.text)) * 1.55, size[1] * 0.55)
        name = (
            f"<small>{escape(one.name)}</small>"
            if len(series) > 1 or panel["options"]["textMode"] == "value_and_name"
            else ""
        )
        background = panel["options"]["colorMode"] == "background"
        look = f"background:{shown.colour};color:{_contrast(shown.colour)}" if background else f"color:{shown.colour}"
        values.append(f'<div style="{look};font-size:{font:.0f}px">{name}{escape(shown.text)}</div>')
    return f'<div class="stat" style="height:{size[1]}px">{"".join(values)}</div>'


def _table(panel: dict[str, Any], server: Prometheus, chosen: dict[str, str], marks: list[Mark], size: _Size) -> str:
    del marks
    rows = rows_of(panel, server, chosen)
    if not rows:
        return _none(panel, size)
    columns = columns_of(panel, rows)
    numeric = {key for key in columns if any(isinstance(row.get(key), float) for row in rows)}
    head = "".join(f'<th class="{"n" if key in numeric else ""}">{escape(key)}</th>' for key in columns)
    body = "".join("<tr>" + "".join(_cell(panel, key, row.get(key)) for key in columns) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(panel: dict[str, Any], column: str, value: float | str | None) -> str:
    field = field_of(panel, column)
    shown = field.show(value)
    kind = field.custom.get("cellOptions", {}).get("type", "auto")
    number = "n" if isinstance(value, float) else ""
    if kind == "color-background":
        return f'<td style="background:{shown.colour};color:{_contrast(shown.colour)}">{escape(shown.text)}</td>'
    if kind == "gauge" and isinstance(value, float):
        full = min(1.0, value / field.config.get("max", 1)) * 100
        bar = f'<span class="gauge"><i style="width:{full:.0f}%;background:{shown.colour}"></i></span>'
        return f'<td class="n">{bar}{escape(shown.text)}</td>'
    return f'<td class="{number}">{escape(shown.text)}</td>'


def _alerts(panel: dict[str, Any], server: Prometheus, chosen: dict[str, str], marks: list[Mark], size: _Size) -> str:
    del marks
    found = server.instant("ALERTS" + expand(panel["options"]["alertInstanceLabelFilter"], chosen))
    if not found:
        return _none(panel, size)
    items = []
    for alert in _in_one_state(found):
        colour = "#D55E00" if alert.labels["alertstate"] == "firing" else "#F0E442"
        more = " ".join(alert.labels[key] for key in ("action", "kpi", "reason", "metric") if key in alert.labels)
        items.append(
            f'<li style="border-left:4px solid {colour};padding-left:8px"><b>{escape(alert.labels["alertname"])}</b>'
            f"<small>{escape(alert.labels['alertstate'])} · {escape(more)}</small></li>"
        )
    return f"<ul>{''.join(items)}</ul>"


def _in_one_state(found: list[Series]) -> list[Series]:
    """Each alert once, by name: in series that were written afterwards, nothing ends `pending` when it fires."""
    newest: dict[tuple[tuple[str, str], ...], Series] = {}
    for alert in sorted(found, key=lambda one: (one.labels["alertname"], one.labels["alertstate"] == "firing")):
        newest[tuple(sorted((key, of) for key, of in alert.labels.items() if key != "alertstate"))] = alert
    return list(newest.values())


def _text(panel: dict[str, Any], server: Prometheus, chosen: dict[str, str], marks: list[Mark], size: _Size) -> str:
    del server, chosen, marks, size
    return f"<p>{escape(panel['options']['content'])}</p>"


_DRAW = {
    "timeseries": _timeseries,
    "state-timeline": _timeline,
    "stat": _stat,
    "table": _table,
    "alertlist": _alerts,
    "text": _text,
}


def _none(panel: dict[str, Any], size: _Size) -> str:
    reason = escape(panel["fieldConfig"]["defaults"].get("noValue", "No data"))
    return f'<div class="none" style="height:{size[1]}px">{reason}</div>'


def _legend_height(all_series: list[Series], width: int) -> int:
    """How many pixels the names of the lines need, line by line."""
    lines, x = 1, 0
    for series in all_series:
        entry = 34 + 7 * len(series.name)
        lines, x = (lines, x + entry) if x + entry <= width or not x else (lines + 1, entry)
    return 18 * lines


def _legend(panel: dict[str, Any], all_series: list[Series]) -> str:
    entries = []
    for index, series in enumerate(all_series):
        _, colour = line_of(panel, series, index)
        entries.append(f'<span><i style="background:{colour}"></i>{escape(series.name)}</span>')
    return f'<div class="legend">{"".join(entries)}</div>'


def _contrast(colour: str) -> str:
    """Black or white, whichever is easier to read on a colour."""
    if not colour.startswith("#"):
        return "#ffffff"
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#111217" if red * 0.299 + green * 0.587 + blue * 0.114 > 140 else "#ffffff"
