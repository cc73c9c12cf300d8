"""The releases before this one, each with its report."""

from alertmanager.receiver.http.page.parts.sources import sources
from alertmanager.receiver.http.page.parts.tables import Row, table
from alertmanager.receiver.http.page.parts.words import STATES, moment
from alertmanager.receiver.http.page.view import View
from canary.report.markup import Markup, join, tag
from canary.report.text import lasted
from canary.rollout.kinds import Step
from canary.rollout.state import Rollout
from canary.units import format_ratio

_TITLES = ("Release", "How it ended", "Began", "Lasted", "Reached", "Why", "Report")


def releases(view: View) -> Markup:
    """The section."""
    rows = view.releases
    return join(
        tag("h2", "Releases", id="releases-title"),
        table("releases", "The newest first", _TITLES, map(_row, rows), hints=[one.id for one in rows])
        if rows
        else tag("p", "None yet.", class_="quiet"),
        sources("releases", view.status["service"], view.rollout_id),
    )


def _row(one: Rollout) -> Row:
    return (
        f"{one.canary} against {one.stable}",
        STATES[one.state],
        moment(one.started_at),
        lasted(one.started_at, one.ended_at) if one.ended_at else "—",
        format_ratio(max(weight.ratio for weight in one.weights)),
        tag("span", one.reason, class_="long"),
        _report(one),
    )


def _report(one: Rollout) -> Markup | str:
    if Step.REPORT not in one.steps:
        return "—"
    hidden = tag("span", f" of {one.canary}, {one.started_at:%Y-%m-%d %H:%M} UTC", class_="hidden")
    return tag("a", "report", hidden, href=f"page/reports/{one.id}")
