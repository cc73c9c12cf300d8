"""How the page says what several of its sections say: states, commands, moments."""

from collections.abc import Mapping
from datetime import datetime

from canary.report.markup import Markup, tag
from canary.rollout.commands.verbs import Verb
from canary.timing.times import from_text, to_text

LABELS: Mapping[Verb, str] = {
    Verb.HOLD: "Hold",
    Verb.RESUME: "Resume",
    Verb.ADVANCE: "Advance",
    Verb.PROMOTE: "Promote",
    Verb.FINISH: "Finish",
    Verb.ROLLBACK: "Roll back",
}
"""The commands that the page offers; a rollout is started where its version is built."""

STATES: Mapping[str, str] = {
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

RUNNING = ("phase", "baking", "holding")
"""States in which customers are on a canary that is being judged."""


def moment(at: datetime | str, *, seconds: bool = False) -> Markup:
    """A moment in UTC; `sections` tells it in the shop's zone as well, and the page's script adds the reader's own."""
    when = from_text(at) if isinstance(at, str) else at
    form = "%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M"
    return tag("time", f"{when:{form}} UTC", datetime=to_text(when), title=f"{when:%Y-%m-%d %H:%M:%S} UTC")


def link(text: str, url: str) -> Markup | None:
    """A link out of the page, when it is one that a browser may follow: what an alert says is not ours."""
    if not url.startswith(("https://", "http://")):
        return None
    return tag("a", text, href=url, rel="noreferrer")


def about(seconds: float) -> str:
    """A time that is left, as precise as it matters, so that a page that is live need not change every second."""
    if seconds <= 0:
        return "0s"
    if seconds < 120:
        return f"{max(5, round(seconds / 5) * 5)}s"
    minutes = round(seconds / 60)
    return f"{minutes}m" if minutes < 120 else f"{minutes // 60}h {minutes % 60}m"
