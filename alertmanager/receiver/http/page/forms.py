"""The page's forms: signing in, confirming a command with a reason, and what else is asked for."""

from urllib.parse import quote

from alertmanager.receiver import answers
from alertmanager.receiver.http.page.errands import Errand
from alertmanager.receiver.http.page.parts.actions import what_it_does
from alertmanager.receiver.http.page.parts.words import LABELS, STATES
from alertmanager.receiver.http.page.render import document
from alertmanager.receiver.http.page.sessions import Session
from canary.report.markup import Markup, join, tag
from canary.rollout.commands.verbs import Verb
from canary.rollout.state import Rollout


def sign_in(after: str, fault: str = "") -> str:
    """The form that asks for the operator's token."""
    return document(
        "Sign in",
        tag(
            "main",
            tag("h1", "Sign in"),
            _fault(fault),
            tag(
                "form",
                tag("input", type="hidden", name="after", value=after),
                _field("name", "Your name, for the journal", autocomplete="username", required=True, maxlength="100"),
                _field(
                    "token", "The operator's token", type="password", autocomplete="current-password", required=True
                ),
                _send("Sign in", ""),
                method="post",
                action="page/sign-in",
            ),
        ),
    )


def confirm(verb: Verb, rollout: answers.Rollout, session: Session, fault: str = "") -> str:
    """The form that asks for the reason of a command, and says what it will do."""
    must = verb is Verb.ROLLBACK
    return document(
        LABELS[verb],
        tag(
            "main",
            tag("h1", LABELS[verb]),
            tag("p", what_it_does(verb, rollout)),
            tag("p", f"Rollout {rollout['id']}, now {STATES[rollout['state']].lower()}.", class_="quiet"),
            _fault(fault),
            tag(
                "form",
                tag("input", type="hidden", name="form_key", value=session.form_key),
                tag("input", type="hidden", name="seen", value=rollout["seen"]),
                _field("reason", "Reason, for those who read the journal", required=must, maxlength="1000"),
                _ways(verb, rollout),
                _force(verb),
                _send(f"Yes, {LABELS[verb].lower()}", verb.value),
                method="post",
                action=f"page/{verb.value}",
            ),
        ),
    )


def lower(rollout: Rollout, token: str, root: str) -> str:
    """The form of a link that rolls back."""
    return document(
        "Roll back",
        tag(
            "main",
            tag("h1", f"Roll back {rollout.canary}?"),
            tag("p", f"All customers go back to {rollout.stable}, at once. This link works once."),
            tag("p", f"Rollout {rollout.id}.", class_="quiet"),
            tag(
                "form",
                _field("reason", "Reason, for those who read the journal", maxlength="1000"),
                _send("Yes, roll back", "rollback"),
                method="post",
                action=f"page/lower/{quote(token, safe='~')}",
            ),
        ),
        root=root,
    )


def errand(wanted: Errand, session: Session, fault: str = "") -> str:
    """The form that asks for something that moves no traffic."""
    field = _field("reason", wanted.asks, required=True, maxlength="1000") if wanted.asks else None
    return document(
        wanted.title,
        tag(
            "main",
            tag("h1", wanted.title),
            tag("p", wanted.does),
            _fault(fault),
            tag(
                "form",
                tag("input", type="hidden", name="form_key", value=session.form_key),
                field,
                _send(wanted.title, ""),
                method="post",
                action=f"page/{wanted.name}",
            ),
        ),
    )


def message(title: str, text: str, root: str = "../") -> str:
    """A page that says one thing; *root* as in `document`."""
    back = tag("p", tag("a", "Back", href="./"))
    return document(title, tag("main", tag("h1", title), tag("p", text), back), root=root)


def _fault(text: str) -> Markup | None:
    return tag("p", text, class_="fault", role="alert") if text else None


def _field(name: str, label: str, **attributes: str | bool) -> Markup:
    return tag("p", tag("label", label, for_=name), tag("input", id=name, name=name, **attributes))


def _ways(verb: Verb, rollout: answers.Rollout) -> Markup | None:
    """How to finish: while that is going on there are two ways, and going on is none of them."""
    if verb is not Verb.FINISH or rollout["stable_slot"]:
        return None
    under_way = rollout["finishing"] is not None
    ways = {"": "in the policy's steps", "now": "at once", "back": "not at all: everybody to the canary's servers"}
    offered = ("back", "now") if under_way else ("", "now")
    options = [tag("option", ways[way], value=way) for way in offered]
    return tag("p", tag("label", "How", for_="how"), tag("select", *options, id="how", name="how"))


def _force(verb: Verb) -> Markup | None:
    if verb not in (Verb.ADVANCE, Verb.PROMOTE, Verb.FINISH):
        return None
    box = tag("input", type="checkbox", id="force", name="force", value="yes")
    return tag("p", box, " ", tag("label", "even if Prometheus objects or is unreachable", for_="force"), class_="tick")


def _send(text: str, verb: str) -> Markup:
    button = tag("button", text, type="submit", class_=f"button {verb}".strip())
    return join(tag("p", button, " ", tag("a", "Cancel", href="./", class_="button plain")))
