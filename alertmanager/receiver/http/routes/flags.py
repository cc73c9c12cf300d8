"""The part of the table of routes that applications call: feature flags by OFREP."""

from alertmanager.receiver import answers
from alertmanager.receiver.http import bodies
from alertmanager.receiver.http.ofrep import OFREP_PREFIX, Ofrep, ofrep_refusal
from canary.web.routes.table import Answer, Role, Route, Table


def flag_routes(ofrep: Ofrep) -> Table:
    """All flags, and one flag, for one user."""
    wrong = Answer("Not JSON, a context that is none, or without the user's id where it is needed.", answers.FlagFault)
    stranger = Answer("No token, or a wrong one.", answers.FlagFault)
    return (
        Route(
            method="POST",
            path=OFREP_PREFIX,
            handler=ofrep.bulk,
            role=Role.FLAGS,
            body=bodies.FlagQuestion,
            render=ofrep_refusal,
            operation="flags",
            summary="All feature flags for one user",
            description="OFREP's bulk evaluation. Clients that poll send the last answer's `ETag` as `If-None-Match`.",
            answers={
                200: Answer("Every flag and experiment, evaluated or with what is wrong.", answers.FlagEvaluations),
                304: Answer("Nothing has changed since the answer with this tag."),
                400: wrong,
                401: stranger,
            },
        ),
        Route(
            method="POST",
            path=f"{OFREP_PREFIX}/{{key}}",
            handler=ofrep.single,
            role=Role.FLAGS,
            body=bodies.FlagQuestion,
            render=ofrep_refusal,
            operation="flag",
            summary="One feature flag for one user",
            description="OFREP's single evaluation.",
            answers={
                200: Answer("The user's variant.", answers.FlagEvaluation),
                400: wrong,
                401: stranger,
                404: Answer("There is no such flag.", answers.FlagFault),
            },
        ),
    )
