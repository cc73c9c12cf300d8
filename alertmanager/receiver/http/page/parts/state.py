"""Where the rollout stands: the first thing that is read."""

from collections.abc import Iterator, Mapping

from alertmanager.receiver import answers
from alertmanager.receiver.http.page.parts.phases import phase_line
from alertmanager.receiver.http.page.parts.sources import sources
from alertmanager.receiver.http.page.parts.words import RUNNING, STATES, about, moment
from alertmanager.receiver.http.page.view import View
from canary.policy.plans import NORMAL
from canary.policy.routers.slots import other
from canary.report.markup import Markup, join, tag
from canary.rollout.kinds import Step
from canary.rollout.state import weight_words
from canary.units import format_ratio

Row = tuple[str, Markup | str]

_DONE: Mapping[Step, str] = {
    Step.TRAFFIC: "traffic moved",
    Step.DEPLOY: "deployed to stable",
    Step.PROCESS: "canary drained",
    Step.NOTIFY: "team notified",
    Step.LOG: "logged",
    Step.REPORT: "report written",
}
"""What has been done about the last decision, in the order in which it is."""


def state_of(view: View) -> str:
    """The rollout's state in words."""
    rollout = view.status["rollout"]
    return STATES[rollout["state"] if rollout else "idle"]


def sentence(view: View) -> str:
    """What a screen reader says when something has changed."""
    rollout = view.status["rollout"]
    if rollout is None:
        return "No rollout has been started."
    text = f"{rollout['canary']} against {rollout['stable']}: {state_of(view)}"
    if rollout["state"] in RUNNING:
        text += f", phase {rollout['phase'] + 1} of {len(rollout['phases'])}, {format_ratio(rollout['weight_ratio'])}"
    if rollout["finishing"] and rollout["finishing"]["frozen"]:
        text += f", frozen. {rollout['reason']}"
    if rollout["state"] in ("holding", "rolling_back", "rolled_back", "failed") and rollout["reason"]:
        text += f". {rollout['reason']}"
    return text.rstrip(".") + "."


def state(view: View) -> Markup:
    """The section."""
    status, rollout = view.status, view.status["rollout"]
    rows = [*(_of_rollout(rollout) if rollout else ()), *_around(status)]
    passport = rollout["passport"] if rollout else None
    found = tag("ul", *(tag("li", one) for one in passport["summary"])) if passport else None
    begin = tag("p", "Begin with ", tag("code", "canary start --canary V2 --stable V1"), ".")
    return join(
        tag("h2", state_of(view), id="state-title", class_=f"badge {rollout['state'] if rollout else 'idle'}"),
        phase_line(rollout) if rollout else begin,
        _waits(status),
        *(
            tag("p", tag("strong", "Price of going on: "), price["summary"], ".", class_="waits")
            for price in status["prices"]
        ),
        tag("dl", *(join(tag("dt", term), tag("dd", what)) for term, what in rows)),
        tag("details", tag("summary", "What was found at the start"), found, id="passport") if found else None,
        sources("state", status["service"], view.rollout_id),
    )


def _waits(status: answers.Status) -> Markup | None:
    """What it waits for, until when at least, and how long that is."""
    rollout, waits = status["rollout"], status["waiting_for"]
    if rollout is None or not waits:
        return None
    left = rollout["phases"][rollout["phase"]]["duration_seconds"] - rollout["phase_elapsed_seconds"]
    until = None
    if rollout["state"] in RUNNING and status["waiting_reason"] == "time" and left > 0:
        until = f", in {about(left)}"
    return tag("p", tag("strong", "Waits for: "), waits, until, class_="waits")


def _of_rollout(rollout: answers.Rollout) -> Iterator[Row]:
    yield "Rollout", rollout["id"]
    yield "Versions", f"{rollout['canary']} (canary) against {rollout['stable']} (stable)"
    yield "Began", moment(rollout["started_at"])
    if rollout["ended_at"]:
        yield "Ended", moment(rollout["ended_at"])
    if rollout["plan"] != NORMAL:
        yield "Plan", rollout["plan"]
    if rollout["state"] in RUNNING:
        yield "Phase", f"{rollout['phase'] + 1} of {len(rollout['phases'])}"
    yield from (("Approvals", one["summary"]) for one in rollout["approvals"])
    if rollout["rollback_at"]:
        yield "Rolls back at", moment(rollout["rollback_at"], seconds=True)
    if rollout["reason"] and rollout["state"] not in ("phase", "baking"):
        yield "Why", f"{rollout['reason']} ({rollout['actor']})"
    if rollout["steps"]:
        yield "Done", ", ".join(words for step, words in _DONE.items() if step in rollout["steps"])
    if finishing := rollout["finishing"]:
        step = f"{finishing['step']} of {len(finishing['steps'])} steps"
        yield "Back on stable", f"{format_ratio(1 - rollout['weight_ratio'])} of the customers, {step}"
    if slot := rollout["stable_slot"]:
        yield "Slots", f"{slot} is stable, {other(slot)} is the canary's"
    yield "Wanted weight", weight_words(rollout["state"], rollout["weight_ratio"])


def _around(status: answers.Status) -> Iterator[Row]:
    for router in status["routers"]:
        mark = "" if router["follows"] else " — not in sync"
        yield f"Router {router['name']}", f"{router['error'] or router['detail']}{mark}"
    yield from ((f"Fault: {name}", text) for name, text in status["errors"].items() if not name.startswith("router "))
    schedule, policy = status["schedule"], status["policy"]
    if schedule["summary"]:
        yield "Scheduled", schedule["summary"]
    if schedule["refused"]:
        yield "Start refused", schedule["refused"]
    yield from (("Policy", text) for text in (policy["notice"], *policy["differing"]) if text)
    if status["watchdog"]["blind"]:
        yield "Blind", "no data: no heartbeat from Prometheus through Alertmanager"
    if status["untold"]:
        yield "Pending", f"{status['untold']} notifications not delivered yet"
    if not status["leading"]:
        yield "Standby", "another receiver acts"
