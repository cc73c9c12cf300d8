"""The report's pictures as SVG: each KPI's change with its band, and the canary's traffic weight over time."""

import io
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from canary import extras
from canary.report.bandplot import BLUE, GREY, draw_band
from canary.report.facts import KpiStory, Report
from canary.timing.zones import zone_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE_INCHES = (7.2, 2.4)
"""As wide as the page's text, three times as wide as high: several of them are compared one below the other."""


def kpi_plot(report: Report, kpi: KpiStory) -> str:
    """Relative change against stable and its confidence band over the rollout; the tolerance as a dashed line."""
    figure, axes = _canvas(report)
    lower, upper = dict(kpi.lower), dict(kpi.upper)
    both = sorted(set(lower) & set(upper))
    draw_band(
        axes,
        band=(_days(both), [lower[at] for at in both], [upper[at] for at in both]),
        change=(_days(at for at, _ in kpi.change), [value for _, value in kpi.change]),
        limit=-kpi.tolerance if kpi.tolerance else None,
    )
    return svg_of(figure)


def share_plot(report: Report) -> str:
    """The canary's traffic weight: grey as wanted, blue as read back from the routers."""
    figure, axes = _canvas(report)
    for phase in report.phases:
        axes.hlines(
            100 * phase.traffic_ratio, _day(phase.since), _day(phase.until), color=GREY, linewidth=4, alpha=0.35
        )
    axes.plot(_days(at for at, _ in report.share), [100 * value for _, value in report.share], color=BLUE)
    axes.set_ylabel("share, %")
    axes.set_ylim(0, 105)
    return svg_of(figure)


def _canvas(report: Report) -> "tuple[Figure, Axes]":
    extras.require("plots", "pictures")
    # matplotlib takes long to import, and only reports need it. A figure of its own touches no screen.
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
    axes = figure.subplots()
    start = _day(report.rollout.started_at)
    axes.set_xlim(start, max(_day(report.until), start + 1 / 86400))
    zone = ZoneInfo(report.zone)
    locator = AutoDateLocator(tz=zone)  # type: ignore[no-untyped-call]  # matplotlib's dates have no types yet
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=zone))  # type: ignore[no-untyped-call]  # as above
    axes.set_xlabel(zone_name(report.until.astimezone(zone)), loc="left")  # at the right the formatter writes the day
    axes.grid(visible=True, color="#c9ced4", linewidth=0.5)
    for phase in report.phases[1:]:
        axes.axvline(_day(phase.since), color=GREY, linewidth=0.8, linestyle=":")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _days(moments: Iterable[float]) -> list[float]:
    """Unix times as matplotlib counts time: in days."""
    return [moment / 86400 for moment in moments]


def _day(moment: datetime) -> float:
    return moment.timestamp() / 86400


def svg_of(figure: "Figure") -> str:
    """The picture's text, the same for the same data."""
    import matplotlib as mpl

    target = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "kpi-canary", "svg.fonttype": "none"}):
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})
    return target.getvalue()
