"""Draws graphs and timelines as SVG."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from scripts.preview.display import Field, field_of, unit_text
from scripts.preview.prometheus import Series

# Grafana's classic palette in its own order, for series without a colour of their own.
PALETTE = ("#73BF69", "#F2CC0C", "#8AB8FF", "#FF780A", "#F2495C", "#5794F2", "#B877D9", "#705DA0", "#37872D", "#FADE2A")
_GRID = "#2c3035"
"""Lines behind a graph, in Grafana's dark theme."""
_FAINT = "#8e8e99"
"""Words on the axes."""


@dataclass(frozen=True)
class Mark:
    """An annotation: when, what, and its colour."""

    at: float
    title: str
    colour: str


@dataclass(frozen=True)
class Frame:
    """The area of a drawing and the window of time that it spans."""

    width: int
    height: int
    start: float
    end: float
    left: int = 56
    bottom: int = 18
    top: int = 6

    def x(self, at: float) -> float:
        """Where a time is."""
        return self.left + (at - self.start) / (self.end - self.start) * (self.width - self.left - 6)

    @property
    def floor(self) -> int:
        """Where the time axis is."""
        return self.height - self.bottom


def line_of(panel: dict[str, Any], series: Series, index: int) -> tuple[Field, str]:
    """How a line looks: its field and its colour."""
    field = field_of(panel, series.name, series.ref)
    fixed = field.config.get("color", {})
    return field, fixed["fixedColor"] if fixed.get("mode") == "fixed" else PALETTE[index % len(PALETTE)]


def graph(panel: dict[str, Any], all_series: list[Series], frame: Frame, marks: list[Mark]) -> str:
    """A `timeseries` panel."""
    defaults = panel["fieldConfig"]["defaults"]
    low, high, ticks = _axis(defaults, all_series)
    labels = [_tick(tick, defaults) for tick in ticks]
    frame = replace(frame, left=max(frame.left, 7 * max(map(len, labels)) + 8))

    def y(value: float) -> float:
        share = (min(max(value, low - (high - low)), high + (high - low)) - low) / (high - low)
        return frame.floor - share * (frame.floor - frame.top)

    clip = f"plot-{panel['id']}"
    parts = [_svg_open(frame), _clip(frame, clip)]
    for tick, label in zip(ticks, labels, strict=True):
        parts.append(f'<path d="M{frame.left} {y(tick):.1f}H{frame.width - 6}" stroke="{_GRID}"/>')
        parts.append(_label(frame.left - 6, y(tick) + 4, label, "end"))
    parts += _times(frame)
    parts.append(f'<g clip-path="url(#{clip})">')
    if defaults.get("custom", {}).get("thresholdsStyle", {}).get("mode") == "dashed":
        for step in Field(defaults).steps:
            if step["value"] is not None and low <= step["value"] <= high:
                line = f"M{frame.left} {y(step['value']):.1f}H{frame.width - 6}"
                parts.append(f'<path d="{line}" stroke="{step["color"]}" stroke-dasharray="10 6" opacity=".8"/>')
    parts += _lines(panel, all_series, frame, y)
    parts += [
        f'<path d="M{frame.x(mark.at):.1f} {frame.top}V{frame.floor}" stroke="{mark.colour}" stroke-dasharray="3 3"/>'
        f'<path d="M{frame.x(mark.at) - 4:.1f} {frame.floor}h8l-4 -6z" fill="{mark.colour}"/>'
        for mark in marks
    ]
    parts.append("</g></svg>")
    return "".join(parts)


def _tick(value: float, defaults: dict[str, Any]) -> str:
    """What stands at a line of the axis; nothing between whole numbers where there are no others, as in Grafana."""
    if defaults.get("decimals") == 0 and not round(value, 9).is_integer():
        return ""
    return unit_text(value, defaults.get("unit", "none"), defaults.get("decimals"))


def _lines(panel: dict[str, Any], all_series: list[Series], frame: Frame, y: Callable[[float], float]) -> Iterator[str]:
    by_name = {series.name: series for series in all_series}
    for index, series in enumerate(all_series):
        field, colour = line_of(panel, series, index)
        custom = field.custom
        if custom.get("drawStyle") == "bars":
            yield from _bars(series, frame, y, colour)
            continue
        stepped = custom.get("lineInterpolation") == "stepAfter"
        opacity = custom.get("fillOpacity", 0) / 100
        for run in _runs(series):
            if len(run) == 1 and custom.get("showPoints") == "auto":
                at, value = run[0]
                yield f'<circle cx="{frame.x(at):.1f}" cy="{y(value):.1f}" r="3" fill="{colour}"/>'
            path = _path(run, frame, y, stepped)
            below = by_name.get(custom.get("fillBelowTo", ""))
            if below and opacity:
                inside = [point for point in below.points if run[0][0] <= point[0] <= run[-1][0]]
                back = "".join(f"L{frame.x(at):.1f} {y(value):.1f}" for at, value in reversed(inside))
                yield f'<path d="{path}{back}Z" fill="{colour}" opacity="{opacity}"/>'
            elif opacity:
                base = f"L{frame.x(run[-1][0]):.1f} {y(0):.1f}L{frame.x(run[0][0]):.1f} {y(0):.1f}Z"
                yield f'<path d="{path}{base}" fill="{colour}" opacity="{opacity}"/>'
            if width := custom.get("lineWidth", 1):
                dash = " ".join(map(str, custom.get("lineStyle", {}).get("dash", [])))
                look = f'stroke="{colour}" stroke-width="{width + 0.5}" stroke-dasharray="{dash}"'
                yield f'<path d="{path}" fill="none" {look}/>'


def _bars(series: Series, frame: Frame, y: Callable[[float], float], colour: str) -> Iterator[str]:
    width = max(2.0, (frame.width - frame.left) / max(1, len(series.points)) * 0.6)
    for at, value in series.points:
        if value:
            yield (
                f'<rect x="{frame.x(at) - width / 2:.1f}" y="{y(value):.1f}" width="{width:.1f}" '
                f'height="{max(0.0, y(0) - y(value)):.1f}" fill="{colour}" opacity=".85"/>'
            )


def _runs(series: Series) -> Iterator[list[tuple[float, float]]]:
    """Pieces without a gap."""
    gap = 1.5 * series.step_seconds
    run: list[tuple[float, float]] = []
    for point in series.points:
        if run and (math.isnan(point[1]) or point[0] - run[-1][0] > gap):
            yield run
            run = []
        if not math.isnan(point[1]):
            run.append(point)
    if run:
        yield run


def _path(run: list[tuple[float, float]], frame: Frame, y: Callable[[float], float], stepped: bool) -> str:
    parts = [f"M{frame.x(run[0][0]):.1f} {y(run[0][1]):.1f}"]
    for at, value in run[1:]:
        parts.append(f"H{frame.x(at):.1f}V{y(value):.1f}" if stepped else f"L{frame.x(at):.1f} {y(value):.1f}")
    return "".join(parts)


def _axis(defaults: dict[str, Any], all_series: list[Series]) -> tuple[float, float, list[float]]:
    """Lowest and highest value of the axis, and where its lines are."""
    values = [value for series in all_series for _, value in series.points if math.isfinite(value)]
    custom = defaults.get("custom", {})
    low = defaults.get("min", min([custom["axisSoftMin"], *values] if "axisSoftMin" in custom else values, default=0.0))
    high = defaults.get(
        "max", max([custom["axisSoftMax"], *values] if "axisSoftMax" in custom else values, default=1.0)
    )
    if high <= low:
        high = low + (abs(low) or 1.0)
    rough = (high - low) / 4
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.99)
    bottom = low if "min" in defaults else math.floor(low / step + 1e-9) * step
    top = high if "max" in defaults else math.ceil(high / step - 1e-9) * step
    count = round((top - bottom) / step)
    return bottom, top, [bottom + step * i for i in range(count + 1)]


def timeline(panel: dict[str, Any], all_series: list[Series], frame: Frame) -> str:
    """A `state-timeline` panel."""
    longest = max(len(series.name) for series in all_series)
    frame = replace(frame, left=min(longest * 7 + 16, frame.width // 2))
    row = (frame.floor - frame.top) / max(1, len(all_series))
    parts = [_svg_open(frame), *_times(frame)]
    for index, series in enumerate(all_series):
        top = frame.top + row * index
        room = frame.left // 7 - 1
        name = series.name if len(series.name) <= room else series.name[: room - 1] + "…"
        parts.append(_label(frame.left - 8, top + row / 2 + 4, name, "end", "#ccccdc"))
        field = field_of(panel, series.name, series.ref)
        for begin, end, value in _states(series):
            shown = field.show(value)
            x, width = frame.x(begin), max(2.0, frame.x(end) - frame.x(begin))
            height = row * panel["options"]["rowHeight"]
            parts.append(
                f'<rect x="{x:.1f}" y="{top + (row - height) / 2:.1f}" width="{width:.1f}" height="{height:.1f}" '
                f'fill="{shown.colour}" opacity=".85"/>'
            )
            if width > len(shown.text) * 7:
                parts.append(_label(x + 4, top + row / 2 + 4, shown.text, "start", "#111217"))
    parts.append("</svg>")
    return "".join(parts)


def _states(series: Series) -> Iterator[tuple[float, float, float]]:
    """Stretches of the same value: from, to, value."""
    for run in _runs(series):
        begin, value = run[0]
        for at, now in run[1:]:
            if now != value:
                yield begin, at, value
                begin, value = at, now
        yield begin, run[-1][0] + series.step_seconds, value


def _times(frame: Frame) -> Iterator[str]:
    span = frame.end - frame.start
    room = (frame.width - frame.left) / 60
    step = next(size for size in (60, 300, 600, 900, 1800, 3600, 7200, 21600, 86400) if span / size <= room)
    at = math.ceil(frame.start / step) * step
    while at <= frame.end:
        yield f'<path d="M{frame.x(at):.1f} {frame.top}V{frame.floor}" stroke="{_GRID}" opacity=".6"/>'
        anchor = "end" if frame.width - frame.x(at) < 20 else "middle"
        yield _label(frame.x(at), frame.height - 4, time.strftime("%H:%M", time.gmtime(at)), anchor)
        at += step


def _label(x: float, y: float, text: str, anchor: str, colour: str = _FAINT) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def _clip(frame: Frame, name: str) -> str:
    width, height = frame.width - frame.left - 6, frame.floor - frame.top
    return (
        f'<clipPath id="{name}"><rect x="{frame.left}" y="{frame.top}" width="{width}" height="{height}"/></clipPath>'
    )


def _svg_open(frame: Frame) -> str:
    return f'<svg width="{frame.width}" height="{frame.height}" viewBox="0 0 {frame.width} {frame.height}">'
