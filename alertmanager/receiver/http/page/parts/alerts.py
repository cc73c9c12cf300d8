"""What keeps the rollout from going on or takes it back: alerts, silences, a change freeze."""

from alertmanager.receiver.http.page.parts.sources import sources
from alertmanager.receiver.http.page.view import View
from canary.report.markup import Markup, join, tag


def alerts(view: View) -> Markup:
    """The section."""
    status = view.status
    prometheus, alertmanager, freeze = status["prometheus"], status["alertmanager"], status["freeze"]
    if prometheus["error"]:
        body = tag("p", prometheus["error"], class_="fault")
    elif prometheus["firing"]:
        body = tag("ul", *(tag("li", name) for name in prometheus["firing"]))
    else:
        body = tag("p", "No alert of this rollout fires.", class_="quiet")
    return join(
        tag("h2", "Alerts", id="alerts-title"),
        body,
        *(tag("p", f"Silenced: {one['summary']}", class_="fault") for one in alertmanager["silences"]),
        tag("p", f"Silences are unknown: {alertmanager['error']}", class_="fault") if alertmanager["error"] else None,
        tag("p", f"Frozen: {freeze['summary']}", class_="fault") if freeze else None,
        sources("alerts", status["service"], view.rollout_id),
    )
