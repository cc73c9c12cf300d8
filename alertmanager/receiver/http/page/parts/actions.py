"""What people can do now, and what each of it will do, said before."""

from alertmanager.receiver import answers
from alertmanager.receiver.http.page.parts.words import LABELS
from alertmanager.receiver.http.page.view import View
from canary.report.markup import Markup, join, tag
from canary.rollout.commands.verbs import Verb
from canary.rollout.state import State
from canary.units import format_ratio


def offered(status: answers.Status) -> list[Verb]:
    """The commands that the page offers now: those that fit, without giving up a rollback, which takes a terminal."""
    rollout = status["rollout"]
    if rollout is None or rollout["state"] is State.ROLLING_BACK:
        return []
    return [verb for verb in status["accepts"] if verb in LABELS]


def actions(view: View) -> Markup:
    """The section."""
    rollout = view.status["rollout"]
    verbs = offered(view.status)
    links = [
        tag(
            "li",
            tag(
                "a",
                LABELS[verb],
                href=f"page/{verb.value}",
                class_=f"button {verb.value}",
                aria_describedby=f"what-{verb.value}",
            ),
            tag("span", what_it_does(verb, rollout), id=f"what-{verb.value}", class_="quiet"),
        )
        for verb in verbs
        if rollout is not None
    ]
    if rollout is not None:
        note = tag("a", "Add a note", href="page/note", class_="button plain", aria_describedby="what-note")
        what = tag("span", "It stands in history and report, and decides nothing.", id="what-note", class_="quiet")
        links.append(tag("li", note, what))
    none = None if verbs else tag("p", "No actions available in this state.", _next(view.status), class_="quiet")
    return join(tag("h2", "Actions", id="actions-title"), none, tag("ul", *links, class_="actions") if links else None)


def _next(status: answers.Status) -> Markup | None:
    """How to go on once a release is over: what builds the next version also begins its rollout."""
    if status["rollout"] is None or Verb.START not in status["accepts"]:
        return None
    return join(" The next release begins with ", tag("code", "canary start"), ".")


def what_it_does(verb: Verb, rollout: answers.Rollout) -> str:
    """What a command will do to the rollout as it is, in one or two sentences."""
    weight, canary, stable = format_ratio(rollout["weight_ratio"]), rollout["canary"], rollout["stable"]
    match verb:
        case Verb.HOLD:
            return f"Traffic stays at {weight} until somebody resumes. Alerts still roll back."
        case Verb.RESUME:
            return f"The rollout goes on at {weight}, and advances by itself again."
        case Verb.ADVANCE:
            return _advances(rollout)
        case Verb.PROMOTE:
            return f"All customers go to {canary} at once; the phases that are left are skipped. Prometheus must agree."
        case Verb.FINISH if rollout["stable_slot"]:
            return f"The servers that run {canary} become the stable ones. Nobody moves; no rollback after that."
        case Verb.FINISH:
            return f"Customers return to the stable servers in steps, once these run {canary}. Then the canary stops."
        case _:
            return f"All customers go back to {stable} at once, and {canary} is stopped. Needs a reason, asks nobody."


def _advances(rollout: answers.Rollout) -> str:
    follows = rollout["phase"] + 1
    if follows >= len(rollout["phases"]):
        return f"The last phase ends now, and {rollout['canary']} is promoted. Prometheus must agree."
    ratio = format_ratio(rollout["phases"][follows]["traffic_ratio"])
    approval = next((one for one in rollout["approvals"] if one["needed"]), None)
    agreed = f" {approval['needed']} people must agree." if approval else ""
    begins = f"Phase {follows + 1} begins now: {ratio} of the customers on {rollout['canary']}."
    return f"{begins} Prometheus must agree.{agreed}"
