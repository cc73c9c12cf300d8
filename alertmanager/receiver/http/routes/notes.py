"""The part of the table of routes for what people know and the receiver does not: notes, and change freezes."""

from alertmanager.receiver import answers
from alertmanager.receiver.http import bodies
from alertmanager.receiver.http.api import Api
from alertmanager.receiver.http.routes.commands import journal_route
from canary.web.routes.table import Answer, Table


def note_routes(api: Api) -> Table:
    """Notes about a rollout, and change freezes of the service."""
    return (
        journal_route(
            "note",
            api.note,
            bodies.Note,
            "Write down an observation about a rollout",
            "During a rollout or after it. It stands in history, report and page, and decides nothing.",
            {409: Answer("There is no such rollout.", answers.Fault)},
        ),
        journal_route(
            "freeze",
            api.freeze,
            bodies.Freeze,
            "Begin a change freeze",
            "Until it ends nothing is started or advanced without `force`; a rollback and a hold are never touched.",
            {409: Answer("The moment has passed.", answers.Fault)},
        ),
        journal_route(
            "freeze/lift",
            api.lift_freeze,
            bodies.Command,
            "Lift a change freeze that a person began",
            "Freezes of the policy stay.",
            {409: Answer("No freeze that a person began is in force.", answers.Fault)},
        ),
    )
