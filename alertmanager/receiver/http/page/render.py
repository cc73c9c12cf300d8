"""The page as HTML: sections that the live updates replace one by one, and everything around them."""

from alertmanager.receiver.act.selfchecks import SelfChecks
from alertmanager.receiver.http.page.parts.actions import actions
from alertmanager.receiver.http.page.parts.alerts import alerts
from alertmanager.receiver.http.page.parts.events import events
from alertmanager.receiver.http.page.parts.experiments import experiments
from alertmanager.receiver.http.page.parts.kpitable import kpi_table
from alertmanager.receiver.http.page.parts.plots import plots
from alertmanager.receiver.http.page.parts.proofs import proofs
from alertmanager.receiver.http.page.parts.releases import releases
from alertmanager.receiver.http.page.parts.sources import sources
from alertmanager.receiver.http.page.parts.state import sentence, state, state_of
from alertmanager.receiver.http.page.sessions import Session
from alertmanager.receiver.http.page.view import View
from canary.report.markup import Markup, join, tag
from canary.timing.zones import in_zone


def document(title: str, *body: Markup, live: bool = False, root: str = "../") -> str:
    """A whole page.

    Args:
        live: whether its parts are replaced as they change.
        root: the way from this page to the one at `/`. All addresses in it begin there, so that they are right
            below whatever prefix a proxy or `--web.route-prefix` puts before them.
    """
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("base", href=root),
        tag("title", title),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="stylesheet", href="page/style.css"),
        tag("script", src="page/live.js", defer=True) if live else None,
        tag("noscript", tag("meta", http_equiv="refresh", content="10")) if live else None,
    )
    return "<!doctype html>\n" + tag("html", head, tag("body", *body), lang="en") + "\n"


def home(view: View, checks: SelfChecks, session: Session | None) -> str:
    """The page at `/`."""
    service = str(view.status["service"])
    parts = sections(view, checks)
    return document(
        f"{state_of(view)} — {service}",
        tag("a", "Skip to the state", href="#state", class_="skip"),
        tag(
            "header",
            tag("h1", f"Canary of {service}"),
            tag("p", "Live", id="connection", class_="quiet", hidden=True),
            # Read out when it changes, and only then: the state in one sentence, without the running clock.
            tag("p", in_zone(sentence(view), view.about.zone), id="announcement", role="status", class_="announcement"),
        ),
        tag("main", *(tag("section", part, id=name, aria_labelledby=f"{name}-title") for name, part in parts.items())),
        _footer(session),
        live=True,
        root="./",
    )


def sections(view: View, checks: SelfChecks) -> dict[str, Markup]:
    """The parts that change, by the id of their element."""
    parts = {
        "state": state(view),
        "actions": actions(view),
        "kpis": join(
            tag("h2", "KPIs", id="kpis-title"),
            kpi_table(view),
            sources("kpis", view.status["service"], view.rollout_id),
        ),
        "plots": join(tag("h2", "Over time", id="plots-title"), plots(view)),
        "alerts": alerts(view),
        "events": events(view),
        "proofs": proofs(view, checks),
        "experiments": experiments(view),
        "releases": releases(view),
    }
    return {name: Markup(in_zone(part, view.about.zone)) for name, part in parts.items() if part}


def _footer(session: Session | None) -> Markup:
    links = (("metrics", "Metrics"), ("api/v1/status", "Status as JSON"), ("api/v1/history", "Journal as JSON"))
    who = (
        tag(
            "form",
            tag("input", type="hidden", name="form_key", value=session.form_key),
            f"Signed in as {session.name}. ",
            tag("button", "Sign out", type="submit"),
            method="post",
            action="page/sign-out",
        )
        if session
        else tag("p", tag("a", "Sign in to act", href="page/sign-in"))
    )
    return tag("footer", who, tag("ul", *(tag("li", tag("a", text, href=href)) for href, text in links)))
