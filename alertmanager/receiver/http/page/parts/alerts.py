"""What keeps the rollout from going on or takes it back: alerts, silences, a change freeze."""

from collections.abc import Mapping
from typing import Final

from alertmanager.receiver import answers
from alertmanager.receiver.http.page.parts.sources import sources
from alertmanager.receiver.http.page.parts.words import link, moment
from alertmanager.receiver.http.page.view import View
from canary.report.markup import Markup, join, tag

_ASKS: Final[Mapping[str, str]] = {
    "rollback": "rolls back",
    "hold": "holds",
    "advance": "lets the rollout advance",
}
_KINDS: Final[Mapping[str, str]] = {"rollback": "fault", "hold": "warn"}


def alerts(view: View) -> Markup:
    """The section."""
    status = view.status
    prometheus, alertmanager, freeze = status["prometheus"], status["alertmanager"], status["freeze"]
    if prometheus["error"]:
        body = tag("p", prometheus["error"], class_="fault")
    elif prometheus["alerts"]:
        body = tag("ul", *map(_alert, prometheus["alerts"]), class_="alerts")
    else:
        body = tag("p", "No alert of this rollout fires.", class_="quiet")
    return join(
        tag("h2", "Alerts", id="alerts-title"),
        body,
        *(tag("p", f"Silenced: {one['summary']}", class_="fault") for one in alertmanager["silences"]),
        *(tag("p", f"Inhibited: {sentence}", class_="quiet") for sentence in alertmanager["inhibited"]),
        tag("p", f"Silences are unknown: {alertmanager['error']}", class_="fault") if alertmanager["error"] else None,
        tag("p", f"Frozen: {freeze['summary']}", class_="fault") if freeze else None,
        sources("alerts", status["service"], view.rollout_id),
    )


def _alert(one: answers.Firing) -> Markup:
    """What it asks for, what it says, since when, and where to read on."""
    links = [found for found in (link("Runbook", one["runbook_url"]), link("Panel", one["dashboard_url"])) if found]
    asks = _ASKS.get(one["action"], one["severity"] or "for people")
    return tag(
        "li",
        tag("strong", one["name"], class_=_KINDS.get(one["action"])),
        tag("span", f" {asks}", class_="quiet"),
        tag("p", one["summary"]) if one["summary"] else None,
        tag(
            "p",
            *(join("Since ", moment(one["since"], seconds=True)) if one["since"] else "",),
            *(join(" · ", found) if one["since"] or index else found for index, found in enumerate(links)),
            class_="quiet",
        ),
    )
