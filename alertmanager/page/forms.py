"""The page's forms: signing in, and confirming an order with a reason."""

from collections.abc import Mapping
from typing import Any

from alertmanager.page.render import LABELS, document
from alertmanager.page.sessions import Session
from canary.markup import Markup, join, tag
from canary.units import format_ratio

_QUESTIONS = {
    "hold": "Freeze the canary's share at {share}?",
    "resume": "Let the rollout go on at {share}?",
    "advance": "Leave phase {phase} and go to the next one now?",
    "promote": "Give {canary} all traffic for good?",
    "rollback": "Take all customers off {canary}, and stop it?",
}


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
                action="/page/sign-in",
            ),
        ),
    )


def confirm(verb: str, rollout: Mapping[str, Any], session: Session, fault: str = "") -> str:
    """The form that asks for the reason of an order, and says what it will do."""
    question = _QUESTIONS[verb].format(
        share=format_ratio(rollout["weight_ratio"]), phase=rollout["phase"] + 1, canary=rollout["canary"]
    )
    must = verb == "rollback"
    return document(
        LABELS[verb],
        tag(
            "main",
            tag("h1", LABELS[verb]),
            tag("p", question),
            tag("p", f"Rollout {rollout['id']}, now {rollout['state'].replace('_', ' ')}.", class_="quiet"),
            _fault(fault),
            tag(
                "form",
                tag("input", type="hidden", name="form_key", value=session.form_key),
                tag("input", type="hidden", name="seen", value=seen(rollout)),
                _field("reason", "Reason, for those who read the journal", required=must, maxlength="1000"),
                _force(verb),
                _send(f"Yes, {LABELS[verb].lower()}", verb),
                method="post",
                action=f"/page/{verb}",
            ),
        ),
    )


def seen(rollout: Mapping[str, Any]) -> str:
    """What the person saw when asked; an order given to something else is refused."""
    return f"{rollout['id']} {rollout['state']} {rollout['phase']}"


def message(title: str, text: str) -> str:
    """A page that says one thing."""
    return document(title, tag("main", tag("h1", title), tag("p", text), tag("p", tag("a", "Back", href="/"))))


def _fault(text: str) -> Markup | None:
    return tag("p", text, class_="fault", role="alert") if text else None


def _field(name: str, label: str, **attributes: str | bool) -> Markup:
    return tag("p", tag("label", label, for_=name), tag("input", id=name, name=name, **attributes))


def _force(verb: str) -> Markup | None:
    if verb not in ("advance", "promote"):
        return None
    box = tag("input", type="checkbox", id="force", name="force", value="yes")
    return tag(
        "p", box, " ", tag("label", "even if Prometheus objects or cannot be asked", for_="force"), class_="tick"
    )


def _send(text: str, verb: str) -> Markup:
    button = tag("button", text, type="submit", class_=f"button {verb}".strip())
    return join(tag("p", button, " ", tag("a", "Cancel", href="/", class_="button plain")))
