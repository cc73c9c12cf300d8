"""Curves over the rollout as inline SVG: the traffic weight, and each KPI's band and e-value.

Plain lines in a picture that is stretched to the page's width; the numbers at its edges are text next to it, so that
they stay readable on a phone. No style stands in an element, which the page's own policy forbids.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from alertmanager.receiver.http.page.curves import Curves, KpiCurves, Points
from alertmanager.receiver.http.page.view import KpiRow, View
from canary.report.markup import Markup, join, tag
from canary.timing.zones import zone_name
from canary.units import format_change, format_ratio

_WIDTH, _HEIGHT = 600, 120

# As in the report's pictures: less would make noise look like news, and the first looks know so little that their bands
# would flatten all that follows.
_LEAST_REACH = 0.3
# The tolerance and the largest change stand at two thirds of the height: beyond them there is something to be seen.
_ROOM = 1.5

# A line is broken where this many points are missing: nothing was known meanwhile.
_GAP_STEPS = 3


@dataclass(frozen=True)
class _Frame:
    """From time and value to the picture's coordinates."""

    curves: Curves
    low: float
    high: float

    def x(self, at: float) -> int:
        span = self.curves.until - self.curves.since
        return round((at - self.curves.since) / span * _WIDTH)

    def y(self, value: float) -> int:
        kept = min(self.high, max(self.low, value))
        return round((self.high - kept) / (self.high - self.low) * _HEIGHT)

    def lines(self, points: Points) -> Iterator[Points]:
        """The stretches without a gap."""
        begin = 0
        for index in range(1, len(points)):
            if points[index][0] - points[index - 1][0] > _GAP_STEPS * self.curves.step_seconds:
                yield points[begin:index]
                begin = index
        if points:
            yield points[begin:]

    def line(self, points: Points, kind: str) -> Markup:
        drawn = " ".join(_path(self, stretch) for stretch in self.lines(points))
        return tag("path", d=drawn, class_=f"curve {kind}")

    def level(self, value: float, kind: str) -> Markup:
        return tag("line", x1=0, x2=_WIDTH, y1=self.y(value), y2=self.y(value), class_=kind)


def _path(frame: _Frame, points: Points) -> str:
    return "M" + "L".join(f"{frame.x(at)} {frame.y(value)}" for at, value in points)


def plots(view: View) -> Markup | None:
    """All pictures, or why there are none; nothing before the first rollout."""
    curves = view.curves
    if curves.fault:
        return tag("p", f"No plots: {curves.fault}", class_="fault")
    if not curves.weight and not curves.kpis:
        return tag("p", "No plots yet: Prometheus has nothing of this rollout.", class_="quiet") if view.kpis else None
    rows, times = {row.name: row for row in view.kpis}, _times(curves, ZoneInfo(view.about.zone))
    return tag(
        "div",
        _weight(curves, times) if curves.weight else None,
        *(_kpi(name, found, rows.get(name), curves, times) for name, found in curves.kpis.items()),
        class_="plots",
    )


def _weight(curves: Curves, times: Markup) -> Markup:
    frame = _Frame(curves, 0.0, 1.0)
    last = format_ratio(round(curves.weight[-1][1], 6))
    picture = _picture(f"Traffic weight of the canary over time; now {last}", frame.line(_steps(curves.weight), "main"))
    return _figure(
        "Traffic weight", f"now {last}, as read back from the routers", [(picture, ("100%", "50%", "0%"))], times
    )


def _steps(points: Points) -> Points:
    """A weight stays as it was until it is another."""
    found: list[tuple[float, float]] = []
    for at, value in points:
        if found and found[-1][1] != value:
            found.append((at, found[-1][1]))
        found.append((at, value))
    return found


def _kpi(name: str, found: KpiCurves, row: KpiRow | None, curves: Curves, times: Markup) -> Markup:
    title = name.replace("_", " ")
    pictures = []
    said = []
    if found.change or found.lower:
        picture, edges, words = _change(title, found, row, curves)
        pictures.append((picture, edges))
        said.append(words)
    if found.evidence:
        picture, edges, words = _evidence(title, found, curves)
        pictures.append((picture, edges))
        said.append(words)
    return _figure(title, "; ".join(said), pictures, times)


def _change(title: str, found: KpiCurves, row: KpiRow | None, curves: Curves) -> tuple[Markup, Sequence[str], str]:
    tolerance = (row.tolerance if row else None) or 0.0
    reach = max(_LEAST_REACH, _ROOM * max((abs(value) for _, value in found.change), default=0.0), _ROOM * tolerance)
    frame = _Frame(curves, -reach, reach)
    words = f"change {_last(found.change, format_change)}, band {_last(found.lower, format_change)} to "
    words += _last(found.upper, format_change)
    if tolerance:
        words += f", tolerance {format_change(-tolerance)}"
    picture = _picture(
        f"{title}: change against stable over time; now {words}",
        _band(frame, found.lower, found.upper),
        frame.level(0.0, "zero"),
        frame.level(-tolerance, "limit") if tolerance else None,
        frame.line(found.change, "main"),
    )
    return picture, (f"{reach:+.0%}", "0%", f"{-reach:+.0%}"), words


def _band(frame: _Frame, lower: Points, upper: Points) -> Markup | None:
    """The area between both ends, where both are known."""
    above = dict(upper)
    both = [(at, value, above[at]) for at, value in lower if at in above]
    areas = []
    for stretch in frame.lines([(at, low) for at, low, _ in both]):
        back = [(at, above[at]) for at, _ in reversed(stretch)]
        areas.append(f"{_path(frame, stretch)}L{_path(frame, back)[1:]}Z")
    return tag("path", d=" ".join(areas), class_="area") if areas else None


def _evidence(title: str, found: KpiCurves, curves: Curves) -> tuple[Markup, Sequence[str], str]:
    threshold = found.threshold[-1][1] if found.threshold else None
    values = [value for _, value in found.evidence]
    high = max(1.0, *values, *(() if threshold is None else (threshold,))) * 1.1
    low = min(0.0, *values)
    words = f"e-value 10^{values[-1]:.1f}" + (f", threshold 10^{threshold:.1f}" if threshold is not None else "")
    frame = _Frame(curves, low, high)
    picture = _picture(
        f"{title}: evidence of harm over time; now {words}",
        frame.level(threshold, "limit") if threshold is not None else None,
        frame.level(0.0, "zero"),
        frame.line(found.evidence, "evidence"),
    )
    return picture, (f"10^{high:.1f}", "", f"10^{low:.1f}"), words


def _last(points: Points, say: Callable[[float], str]) -> str:
    return say(points[-1][1]) if points else "unknown"


def _picture(name: str, *drawn: Markup | None) -> Markup:
    return tag(
        "svg", *drawn, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", preserveAspectRatio="none", role="img", aria_label=name
    )


def _times(curves: Curves, zone: ZoneInfo) -> Markup:
    """The moments of both edges, in the shop's zone."""
    first, last = (datetime.fromtimestamp(at, zone) for at in (curves.since, curves.until))
    form = "%H:%M" if (last - first).total_seconds() < 86400 else "%m-%d %H:%M"
    return tag("div", tag("span", f"{first:{form}}"), tag("span", f"{last:{form}} {zone_name(last)}"), class_="times")


def _figure(title: str, said: str, pictures: Sequence[tuple[Markup, Sequence[str]]], times: Markup) -> Markup:
    drawn = (
        join(tag("div", *(tag("span", edge) for edge in edges), class_="edges", aria_hidden="true"), picture)
        for picture, edges in pictures
    )
    return tag(
        "figure",
        tag("figcaption", tag("strong", title[:1].upper() + title[1:]), " ", tag("span", said, class_="quiet")),
        *(tag("div", one, class_="plot") for one in drawn),
        times,
    )
