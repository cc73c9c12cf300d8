"""The page as HTML: sections that the live updates replace one by one, and everything around them."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence

from alertmanager.receiver import answers
from alertmanager.receiver.http.page.kpitable import kpi_table
from alertmanager.receiver.http.page.sessions import Session
from alertmanager.receiver.http.page.view import View
from canary.policy.plans import NORMAL
from canary.policy.slots import other
from canary.report.markup import Markup, join, tag
from canary.rollout.commands.verbs import Verb
from canary.rollout.entries import Entry
from canary.rollout.state import State
from canary.times import to_text
from canary.units import format_duration, format_ratio

LABELS: Mapping[Verb, str] = {
    Verb.HOLD: "Hold",
    Verb.RESUME: "Resume",
    Verb.ADVANCE: "Advance",
    Verb.PROMOTE: "Promote",
    Verb.FINISH: "Finish",
    Verb.ROLLBACK: "Roll back",
}
"""The commands that the page offers; a rollout is started where its version is built."""

_STATES = {
    "idle": "No rollout",
    "phase": "In progress",
    "holding": "Held",
    "baking": "All traffic, still watched",
    "promoted": "Promoted",
    "finishing": "Being finished",
    "finished": "Finished",
    "rolling_back": "Rolling back",
    "rolled_back": "Rolled back",
    "failed": "Failed",
}


def document(title: str, *body: Markup, live: bool = False) -> str:
    """A whole page."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("title", title),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="stylesheet", href="/page/style.css"),
        tag("script", src="/page/live.js", defer=True) if live else None,
        tag("noscript", tag("meta", http_equiv="refresh", content="10")) if live else None,
    )
    return "<!doctype html>\n" + tag("html", head, tag("body", *body), lang="en") + "\n"


def home(view: View, ratios: Collection[str], session: Session | None) -> str:
    """The page at `/`."""
    service = str(view.status["service"])
    parts = sections(view, ratios)
    return document(
        f"{state_of(view)} — {service}",
        tag("a", "Skip to the state", href="#state", class_="skip"),
        tag(
            "header",
            tag("h1", f"Canary of {service}"),
            tag("p", "Live", id="connection", class_="quiet", hidden=True),
        ),
        # Read out when it changes, and only then: the state in one sentence, without the running clock.
        tag("p", sentence(view), id="announcement", role="status", class_="announcement"),
        tag("main", *(tag("section", parts[name], id=name, aria_labelledby=f"{name}-title") for name in parts)),
        _footer(session),
        live=True,
    )


def sections(view: View, ratios: Collection[str]) -> dict[str, Markup]:
    """The parts that change, by the id of their element."""
    return {
        "state": _state(view),
        "actions": _actions(view),
        "kpis": join(tag("h2", "KPIs", id="kpis-title"), kpi_table(view, ratios)),
        "alerts": _alerts(view.status),
        "events": _events(view.events),
    }


def fingerprint(part: str) -> str:
    """By which a live connection knows what it has sent."""
    return hashlib.sha256(part.encode()).hexdigest()


def offered(status: answers.Status) -> list[Verb]:
    """The commands that the page offers now: those that fit, without giving up a rollback, which takes a terminal."""
    rollout = status["rollout"]
    if rollout is None or rollout["state"] is State.ROLLING_BACK:
        return []
    return [verb for verb in status["accepts"] if verb in LABELS]


def state_of(view: View) -> str:
    """The rollout's state in words."""
    rollout = view.status["rollout"]
    return _STATES[rollout["state"] if rollout else "idle"]


def sentence(view: View) -> str:
    """What a screen reader says when something has changed."""
    rollout = view.status["rollout"]
    if rollout is None:
        return "No rollout has been started."
    text = f"{rollout['canary']} against {rollout['stable']}: {state_of(view)}"
    if rollout["state"] in ("phase", "baking", "holding"):
        text += f", phase {rollout['phase'] + 1} of {len(rollout['phases'])}, {format_ratio(rollout['weight_ratio'])}"
    if rollout["finishing"] and rollout["finishing"]["frozen"]:
        text += f", frozen. {rollout['reason']}"
    if rollout["state"] in ("holding", "rolling_back", "rolled_back", "failed") and rollout["reason"]:
        text += f". {rollout['reason']}"
    return text.rstrip(".") + "."


def _state(view: View) -> Markup:
    status, rollout = view.status, view.status["rollout"]
    rows: list[tuple[str, Markup | str]] = []
    if rollout is not None:
        rows.append(("Rollout", rollout["id"]))
        rows.append(("Versions", f"{rollout['canary']} (canary) against {rollout['stable']} (stable)"))
        if rollout["plan"] != NORMAL:
            rows.append(("Plan", rollout["plan"]))
        rows += [("Approvals", one["summary"]) for one in rollout["approvals"]]
        rows += _phase(rollout)
        if finishing := rollout["finishing"]:
            step = f"{finishing['step']} of {len(finishing['steps'])} steps"
            rows.append(("Back on stable", f"{format_ratio(1 - rollout['weight_ratio'])} of the customers, {step}"))
        if slot := rollout["stable_slot"]:
            rows.append(("Slots", f"{slot} is stable, {other(slot)} is the canary's"))
        rows.append(("Wanted weight", f"{format_ratio(rollout['weight_ratio'])} of the customers on the canary"))
    for router in status["routers"]:
        mark = "" if router["follows"] else " — does not follow"
        rows.append((f"Router {router['name']}", f"{router['error'] or router['detail']}{mark}"))
    rows += [(f"Fault: {name}", text) for name, text in status["errors"].items() if not name.startswith("router ")]
    if status["waiting_for"]:
        rows.append(("Waits for", status["waiting_for"]))
    schedule = status["schedule"]
    rows += [("Scheduled", schedule["summary"])] if schedule["summary"] else []
    rows += [("Start refused", schedule["refused"])] if schedule["refused"] else []
    policy = status["policy"]
    rows += [("Policy", text) for text in (policy["notice"], *policy["differing"]) if text]
    if status["freeze"]:
        rows.append(("Frozen", status["freeze"]["summary"]))
    if status["watchdog"]["blind"]:
        rows.append(("Blind", "no heartbeat from Prometheus through Alertmanager"))
    if not status["leading"]:
        rows.append(("Standby", "another receiver acts"))
    name = rollout["state"] if rollout else "idle"
    passport = rollout["passport"] if rollout else None
    found = tag("ul", *(tag("li", one) for one in passport["summary"])) if passport else None
    return join(
        tag("h2", state_of(view), id="state-title", class_=f"badge {name}"),
        None if rollout else tag("p", "Begin with ", tag("code", "canary start --canary V2 --stable V1"), "."),
        tag("dl", *(join(tag("dt", term), tag("dd", what)) for term, what in rows)),
        tag("details", tag("summary", "What was found at the start"), found) if found else None,
    )


def _phase(rollout: answers.Rollout) -> Iterator[tuple[str, Markup | str]]:
    phases, index = rollout["phases"], rollout["phase"]
    if rollout["state"] in ("phase", "baking", "holding"):
        least = phases[index]["duration_seconds"]
        elapsed = rollout["phase_elapsed_seconds"]
        left = max(0, round(least - elapsed))
        said = f"{format_duration(left)} left of {format_duration(least)}" if left else "its time is over"
        bar = tag(
            "progress", value=min(round(elapsed), round(least)), max=round(least), aria_label="Time of this phase"
        )
        yield "Phase", join(f"{index + 1} of {len(phases)}, ", said, " ", bar)
    if rollout["rollback_at"]:
        yield "Rolls back at", f"{rollout['rollback_at'][11:19]} UTC"
    if rollout["reason"] and rollout["state"] not in ("phase", "baking"):
        yield "Why", f"{rollout['reason']} ({rollout['actor']})"
    if rollout["steps"]:
        yield "Done", ", ".join(rollout["steps"])


def _actions(view: View) -> Markup:
    links = [
        tag("li", tag("a", LABELS[verb], href=f"/page/{verb.value}", class_=f"button {verb.value}"))
        for verb in offered(view.status)
    ]
    none = tag("p", "No actions available in this state.", class_="quiet")
    body = tag("ul", *links, class_="buttons") if links else none
    return join(tag("h2", "Actions", id="actions-title"), body)


def _alerts(status: answers.Status) -> Markup:
    prometheus = status["prometheus"]
    if prometheus["error"]:
        body = tag("p", prometheus["error"], class_="fault")
    elif prometheus["firing"]:
        body = tag("ul", *(tag("li", name) for name in prometheus["firing"]))
    else:
        body = tag("p", "No alert of this rollout fires.", class_="quiet")
    silences = (tag("p", f"Silenced: {one['summary']}", class_="fault") for one in status["alertmanager"]["silences"])
    return join(tag("h2", "Alerts", id="alerts-title"), body, *silences)


def _events(events: Sequence[Entry]) -> Markup:
    items = [
        tag(
            "li",
            tag("time", f"{entry.at:%H:%M:%S}", datetime=to_text(entry.at), title=f"{entry.at:%Y-%m-%d %H:%M:%S} UTC"),
            " ",
            tag("strong", entry.kind.value.replace("_", " ")),
            f" by {entry.actor}",
            f": {entry.reason}" if entry.reason else None,
        )
        for entry in events
    ]
    body = tag("ol", *items) if items else tag("p", "Nothing yet.", class_="quiet")
    return join(tag("h2", "What happened", id="events-title"), tag("p", "Times are UTC.", class_="quiet"), body)


def _footer(session: Session | None) -> Markup:
    links = (("/metrics", "Metrics"), ("/api/v1/status", "Status as JSON"), ("/api/v1/history", "Journal as JSON"))
    who = (
        tag(
            "form",
            tag("input", type="hidden", name="form_key", value=session.form_key),
            f"Signed in as {session.name}. ",
            tag("button", "Sign out", type="submit"),
            method="post",
            action="/page/sign-out",
        )
        if session
        else tag("p", tag("a", "Sign in to act", href="/page/sign-in"))
    )
    return tag("footer", who, tag("ul", *(tag("li", tag("a", text, href=href)) for href, text in links)))
