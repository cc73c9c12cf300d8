"""What happened, and what people recorded about it."""

from collections.abc import Sequence

from alertmanager.receiver.http.page.parts.sources import sources
from alertmanager.receiver.http.page.parts.words import moment
from alertmanager.receiver.http.page.view import View
from canary.report.markup import Markup, join, tag
from canary.rollout.entries import Entry

# As many as a person reads; a pipeline may write hundreds, and all of them would be sent again with each.
_NOTES = 25


def events(view: View) -> Markup:
    """The section."""
    items = [
        tag(
            "li",
            moment(entry.at, seconds=True),
            " ",
            tag("strong", entry.kind.value.replace("_", " ")),
            f" by {entry.actor}",
            f": {entry.reason}" if entry.reason else None,
        )
        for entry in view.events
    ]
    return join(
        tag("h2", "What happened", id="events-title"),
        tag("ol", *items) if items else tag("p", "Nothing yet.", class_="quiet"),
        _notes(view.notes),
        sources("events", view.status["service"], view.rollout_id),
    )


def _notes(notes: Sequence[Entry]) -> Markup | None:
    if not notes:
        return None
    older = max(0, len(notes) - _NOTES)
    more = f"And {older} older; `canary history --rollout latest` has all."
    items = (tag("li", moment(note.at, seconds=True), f" {note.actor}: {note.reason}") for note in notes[:_NOTES])
    return join(tag("h3", "Notes"), tag("ol", *items), tag("p", more, class_="quiet") if older else None)
