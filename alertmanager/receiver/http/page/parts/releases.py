"""The releases before this one, each with its report."""

from collections.abc import Sequence

from alertmanager.receiver.http.page.parts.sources import sources
from alertmanager.receiver.http.page.parts.words import STATES, moment
from alertmanager.receiver.http.page.view import View
from canary.report.markup import Markup, join, tag
from canary.rollout.kinds import Step
from canary.rollout.state import Rollout
from canary.units import format_ratio

_TITLES = ("Release", "How it ended", "Began", "Ended", "Reached", "Why", "Report")


def releases(view: View) -> Markup:
    """The section."""
    rows = view.releases
    return join(
        tag("h2", "Releases", id="releases-title"),
        _table(rows) if rows else tag("p", "None yet.", class_="quiet"),
        sources("releases", view.status["service"], view.rollout_id),
    )


def _table(rows: Sequence[Rollout]) -> Markup:
    head = tag("thead", tag("tr", *(tag("th", title, scope="col") for title in _TITLES)))
    body = tag("tbody", *(_row(one) for one in rows))
    table = tag("table", tag("caption", "The newest first"), head, body)
    return tag("div", table, class_="wide", tabindex="0", role="region", aria_label="Table of releases")


def _row(one: Rollout) -> Markup:
    cells: list[Markup | str] = [
        STATES[one.state],
        moment(one.started_at, day=True),
        moment(one.ended_at, day=True) if one.ended_at else "—",
        format_ratio(max(weight.ratio for weight in one.weights)),
        tag("span", one.reason, class_="long"),
        _report(one),
    ]
    title = tag("th", f"{one.canary} against {one.stable}", scope="row", title=one.id)
    return tag("tr", title, *(tag("td", cell) for cell in cells))


def _report(one: Rollout) -> Markup | str:
    if Step.REPORT not in one.steps:
        return "—"
    hidden = tag("span", f" of {one.canary}, {one.started_at:%Y-%m-%d %H:%M}", class_="hidden")
    return tag("a", "report", hidden, href=f"page/reports/{one.id}")
