"""The report as one HTML file that needs nothing from outside."""

import base64
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial

from canary.errors import ExtraMissingError
from canary.report import text
from canary.report.facts import KpiStory, Report
from canary.report.markup import Markup, join, tag
from canary.report.plots import kpi_plot, share_plot
from canary.rollout.entries import Entry
from canary.timing.times import to_text
from canary.timing.zones import in_zone, moment
from canary.units import format_ratio

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f23; background: #fff; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; overflow-wrap: anywhere; }
h1 { margin-bottom: 0; } h2 { margin-top: 2rem; border-bottom: 1px solid #c9ced4; }
table { border-collapse: collapse; width: 100%; overflow-wrap: normal; } .wide { overflow-x: auto; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #e3e6e9; vertical-align: top; }
dl { display: grid; grid-template-columns: 10rem 1fr; gap: .2rem 1rem; } dt { color: #57606a; } dd { margin: 0; }
img { max-width: 100%; height: auto; } figure { margin: 1rem 0; } figcaption { color: #57606a; }
.fault { color: #a4110f; } .quiet { color: #57606a; }
@media print { h2 { break-after: avoid; } figure, tr { break-inside: avoid; } }
"""


def html_report(report: Report) -> str:
    """The whole file."""
    return page(f"{report.rollout.canary}: {report.summary}", _parts(report), report.made_at, report.zone)


def page(title: str, parts: Iterable[Markup], made_at: datetime, zone: str) -> str:
    """One HTML file that needs nothing from outside, times in the zone."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Markup(_STYLE)),
    )
    footer = tag("footer", tag("p", f"Made at {moment(made_at)} by kpi-canary.", class_="quiet"))
    text = "<!doctype html>\n" + tag("html", head, tag("body", tag("main", *parts), footer), lang="en") + "\n"
    return in_zone(text, zone)


def _parts(report: Report) -> Iterable[Markup]:
    yield tag("h1", report.summary)
    yield tag("dl", *(join(tag("dt", term), tag("dd", what)) for term, what in text.facts(report)))
    yield tag("p", text.exposure(report))
    for gap in report.gaps:
        yield tag("p", f"Not known: {gap}", class_="fault")
    if report.advice:
        yield tag("h2", "What to look at next")
        yield tag("ol", *(tag("li", line) for line in report.advice))
    yield tag("h2", "Traffic")
    if report.share:
        caption = "The canary's traffic weight: grey as wanted, blue as read back from the routers."
        yield figure(partial(share_plot, report), caption)
    rows = [
        (
            str(phase.number),
            format_ratio(phase.traffic_ratio),
            moment(phase.since),
            text.lasted(phase.since, phase.until),
        )
        for phase in report.phases
    ]
    yield table("Phases", ("Phase", "Share", "Began", "Lasted"), rows)
    yield tag("h2", "KPIs")
    yield table("Canary against stable", text.KPI_TITLES, [text.kpi_cells(kpi) for kpi in report.kpis])
    yield from (_plotted(report, kpi) for kpi in report.kpis if kpi.change)
    yield from _reviewed(report)
    yield tag("h2", "Alerts")
    alerts = [(one.name, one.action, moment(one.since), text.lasted(one.since, one.until)) for one in report.alerts]
    yield table("Alerts of this rollout", ("Alert", "Action", "Fired", "For"), alerts)
    yield tag("h2", "Decisions")
    yield tag("ol", *(_decided(entry) for entry in report.entries))
    if report.notes:
        yield tag("h2", "Notes")
        yield tag("ol", *(_noted(entry) for entry in report.notes))


def _reviewed(report: Report) -> Iterable[Markup]:
    review = report.review
    if review.money:
        yield tag("h2", "Money")
        yield from (tag("p", line) for one in review.money for line in text.money(one))
    if report.drift:
        yield tag("h2", text.DRIFT_TITLE)
        yield tag("ul", *(tag("li", str(one)) for one in report.drift))
    if review.technical:
        yield tag("h2", "Errors, response times, machines")
        rows = [text.technical_cells(one) for one in review.technical]
        yield table("By version, from the shop's own series", text.TECHNICAL_TITLES, rows)
    if review.rows or review.replica is not None:
        yield tag("h2", text.ROWS_TITLE)
    if review.rows:
        yield tag("p", text.rows_looked_at(review.rows))
        if faulty := text.faulty(review.rows):
            yield table("From the order database, while both versions had customers", text.ROWS_TITLES, faulty)
    if review.replica is not None:
        yield tag("p", text.replica_told(review.replica))
    if review.opinions:
        yield tag("h2", "Second opinion")
        rows = [text.opinion_cells(one) for one in review.opinions]
        yield table("What others would have done on the same numbers", text.OPINION_TITLES, rows)


def _noted(note: Entry) -> Markup:
    return tag("li", tag("time", moment(note.at), datetime=to_text(note.at)), f" {note.actor}: {note.reason}")


def _decided(entry: Entry) -> Markup:
    return tag(
        "li",
        tag("time", moment(entry.at), datetime=to_text(entry.at)),
        " ",
        tag("strong", text.decision(entry)),
        f" by {entry.actor}",
        f": {entry.reason}" if entry.reason else None,
    )


def _plotted(report: Report, kpi: KpiStory) -> Markup:
    caption = f"{kpi.name.replace('_', ' ')}: change against stable with its confidence band; dashed: the tolerance."
    return figure(partial(kpi_plot, report, kpi), caption)


def figure(draw: Callable[[], str], caption: str) -> Markup:
    """A picture, which *draw* gives as SVG, with what it shows; a line in its place when nothing here can draw."""
    try:
        svg = draw()
    except ExtraMissingError as error:
        return tag("p", f"No picture ({caption}): {error}.", class_="quiet")
    # As a picture of its own, so that the ids inside several of them cannot meet.
    source = "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
    return tag("figure", tag("img", src=source, alt=caption), tag("figcaption", caption))


def table(caption: str, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    """A table that scrolls by itself where it is too wide."""
    if not rows:
        return tag("p", "None.", class_="quiet")
    head = tag("thead", tag("tr", *(tag("th", title, scope="col") for title in titles)))
    body = tag("tbody", *(tag("tr", *(tag("td", cell) for cell in row)) for row in rows))
    drawn = tag("table", tag("caption", caption, class_="quiet"), head, body)
    # On a phone it is scrolled, also by those who have a keyboard only.
    return tag("div", drawn, class_="wide", tabindex="0", role="region", aria_label=f"Table: {caption}")
