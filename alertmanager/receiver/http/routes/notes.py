"""The part of the table of routes for what people know and the receiver does not: notes, and change freezes."""

from collections.abc import Mapping

from alertmanager.receiver import answers
from alertmanager.receiver.http import bodies
from alertmanager.receiver.http.api import Api
from canary.names import API_PREFIX
from canary.web.routes.table import JSON, Answer, Handler, Role, Route, Table, as_json


def note_routes(api: Api) -> Table:
    """Notes about a rollout, and change freezes of the service."""
    return (
        _route(
            "note",
            api.note,
            bodies.Note,
            "Write down an observation about a rollout",
            "During a rollout or after it. It stands in history, report and page, and decides nothing.",
            {409: Answer("There is no such rollout.", answers.Fault)},
        ),
        _route(
            "freeze",
            api.freeze,
            bodies.Freeze,
            "Begin a change freeze",
            "Until it ends nothing is started or advanced without `force`; a rollback and a hold are never touched.",
            {409: Answer("The moment has passed.", answers.Fault)},
        ),
        _route(
            "freeze/lift",
            api.lift_freeze,
            bodies.Command,
            "Lift a change freeze that a person began",
            "Freezes of the policy stay.",
            {409: Answer("No freeze that a person began is in force.", answers.Fault)},
        ),
    )


def _route(
    path: str,
    handler: Handler,
    body: type[bodies.Command],
    summary: str,
    description: str,
    refusals: Mapping[int, Answer],
) -> Route:
    return Route(
        method="POST",
        path=f"{API_PREFIX}/{path}",
        handler=handler,
        role=Role.OPERATOR,
        own_name=Role.OPERATOR,
        body=body,
        types=(JSON,),
        headers=bodies.CommandHeaders,
        render=as_json,
        operation="_".join(reversed(path.split("/"))),
        summary=summary,
        description=description,
        answers={
            200: Answer("The journal entry that was written.", answers.Entry),
            **refusals,
            503: Answer("The journal cannot be written; nothing has changed.", answers.Fault),
        },
    )
