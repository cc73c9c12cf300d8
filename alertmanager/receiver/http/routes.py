"""The receiver's table of routes: everything that it answers is here, beside what the shell of every service has."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from aiohttp import web

from alertmanager.receiver import answers
from alertmanager.receiver.http import bodies, webhook
from alertmanager.receiver.http.api import Api
from alertmanager.receiver.http.ofrep import OFREP_PREFIX, Ofrep, ofrep_refusal
from alertmanager.receiver.http.page.handlers import Page, as_page
from canary.names import API_PREFIX, WEBHOOK_PATH
from canary.rollout.commands import Verb
from canary.web.openapi import Description, Scheme, openapi
from canary.web.routes import FORM, JSON, Answer, Call, Forgery, Role, Route, Table, as_json

# Ids are made by `canary drill` or by the receiver; both write hexadecimal digits.
_DRILL_ID = "{id:[a-z0-9]{1,32}}"

# A form has a reason of up to a thousand characters, which may take twelve bytes each when they are sent.
_FORM_BYTES = 16 * 1024

_NO_JOURNAL = Answer("The journal cannot be read.", answers.Fault)

_DESCRIPTION = Description(
    title="kpi-canary receiver",
    description="The rollout by hand, and where it stands. Times are UTC, shares are ratios, durations are seconds.",
    server="http://127.0.0.1:9878",
    fault=answers.Fault,
    limit="`receiver.max_body`",
    schemes={
        Role.WEBHOOK: Scheme("webhook", "A token of `receiver.token_file`."),
        Role.OPERATOR: Scheme("operator", "A token of `receiver.operator_token_file`."),
        Role.FLAGS: Scheme("application", "A token of `receiver.flags_token_file`."),
    },
)

_COMMANDS: Mapping[Verb, tuple[type[bodies.Command], str, str]] = {
    Verb.START: (
        bodies.Start,
        "Begin a rollout",
        "Refused while another rollout is not over, and while a router has faults that would hinder a rollback.",
    ),
    Verb.HOLD: (bodies.Command, "Freeze the canary's share", "Only `resume` lifts it. Cancels a countdown."),
    Verb.RESUME: (
        bodies.Command,
        "Let a held rollout go on",
        "Cancels a countdown; its cause is forgiven for the rest of the phase.",
    ),
    Verb.ADVANCE: (
        bodies.Forcible,
        "Go to the next phase",
        "A person is one key; Prometheus, showing no alert that asks for a rollback or a hold, is the other.",
    ),
    Verb.PROMOTE: (bodies.Forcible, "Give the canary all customers", "As `advance`, whatever phase it is in."),
    Verb.ROLLBACK: (bodies.RollBack, "Take all customers off the canary", "One key is enough."),
}


def receiver_table(api: Api, page: Page, ofrep: Ofrep) -> Table:
    """Every route of the receiver, without the shell's."""
    return (*api_table(api, ofrep), *page_table(page))


def api_table(api: Api, ofrep: Ofrep) -> Table:
    """What programs call."""
    described: list[Route] = []

    async def description(_call: Call) -> web.Response:
        return web.json_response(openapi(described, _DESCRIPTION))

    described += [
        _webhook(api),
        Route(
            method="GET",
            path="/api/metrics",
            handler=api.shop_metrics,
            render=as_json,
            operation="metrics",
            summary="Traffic split, error rate and payment success by role",
            description="The strategy's debugging commands. What is not known is null.",
            answers={200: Answer("As Prometheus and the routers have it.", answers.ShopMetrics)},
        ),
        Route(
            method="GET",
            path=f"{API_PREFIX}/status",
            handler=api.status,
            render=as_json,
            operation="status",
            summary="Where everything stands",
            answers={200: Answer("Now.", answers.Status)},
        ),
        Route(
            method="GET",
            path=f"{API_PREFIX}/history",
            handler=api.history,
            query=bodies.HistoryQuery,
            render=as_json,
            operation="history",
            summary="The journal, oldest first",
            answers={200: Answer("Every entry.", list[answers.Entry]), 503: _NO_JOURNAL},
        ),
        Route(
            method="GET",
            path=f"{API_PREFIX}/openapi.json",
            handler=description,
            render=as_json,
            operation="openapi",
            summary="This file",
            answers={200: Answer("OpenAPI 3.1.")},
        ),
        *(_command(api, verb) for verb in Verb),
        *_drills(api),
        *_experiments(api),
        *_flags(ofrep),
    ]
    return tuple(described)


def description_of(table: Table) -> dict[str, Any]:
    """The OpenAPI file of the described routes of a table."""
    return openapi(table, _DESCRIPTION)


def _webhook(api: Api) -> Route:
    return Route(
        method="POST",
        path=WEBHOOK_PATH,
        handler=api.webhook,
        role=Role.WEBHOOK,
        own_name=Role.WEBHOOK,
        body=bodies.Notification,
        read=webhook.parse,
        types=(JSON,),
        render=as_json,
        operation="webhook",
        summary="Alertmanager's webhook",
        description="Payload version 4. Unknown keys are ignored. Alerts that do not belong to the running rollout "
        "change nothing, are counted and answered with 202 all the same: Alertmanager would repeat everything else.",
        answers={
            202: Answer("Decided and written down.", answers.Accepted),
            400: Answer("Not JSON, or not a payload of version 4.", answers.Fault),
            503: Answer("Acted upon, but the journal cannot be written: send it again.", answers.Fault),
        },
    )


def _command(api: Api, verb: Verb) -> Route:
    body, summary, description = _COMMANDS[verb]
    raises = verb is not Verb.HOLD
    unseen = Answer("A command that raises traffic does not say what its sender saw.", answers.Fault)
    return Route(
        method="POST",
        path=f"{API_PREFIX}/{verb.value}",
        handler=partial(api.command, verb),
        role=Role.OPERATOR,
        own_name=Role.OPERATOR,
        body=body,
        types=(JSON,),
        headers=bodies.CommandHeaders,
        render=as_json,
        operation=verb.value,
        summary=summary,
        description=description,
        answers={
            200: Answer("The journal entry that was written.", answers.Entry),
            409: Answer(
                "It does not fit the rollout's state, or the rollout is no longer as the sender saw it; "
                "the text says why.",
                answers.Fault,
            ),
            **({428: unseen} if raises else {}),
            503: Answer(
                "The journal cannot be written; a rollback and a hold are acted upon nevertheless.", answers.Fault
            ),
        },
    )


def _drills(api: Api) -> Table:
    return (
        Route(
            method="POST",
            path=f"{API_PREFIX}/drill",
            handler=api.start_drill,
            role=Role.OPERATOR,
            own_name=Role.OPERATOR,
            body=bodies.Nothing,
            types=(JSON,),
            render=as_json,
            operation="drill",
            summary="Let a rule of Prometheus begin a drill",
            description="What `canary drill --through-prometheus` calls. Moves no traffic.",
            answers={200: Answer("The drill's id.", answers.DrillStarted)},
        ),
        Route(
            method="GET",
            path=f"{API_PREFIX}/drill/{_DRILL_ID}",
            handler=api.drill,
            render=as_json,
            operation="drill_report",
            summary="What became of a drill",
            answers={
                200: Answer("What was found at each place that a rollback would touch.", answers.Drill),
                404: Answer("No alert of this drill has arrived.", answers.Fault),
            },
        ),
    )


def _experiments(api: Api) -> Table:
    path = f"{API_PREFIX}/experiments"
    listed = Route(
        method="GET",
        path=path,
        handler=api.experiments,
        render=as_json,
        operation="experiments",
        summary="Where the experiments stand",
        answers={200: Answer("Every experiment that has begun.", list[answers.Experiment])},
    )
    changes = (
        ("stop", api.stop_experiment, "Stop an experiment", "Everybody gets the control with the next question."),
        ("start", api.start_experiment, "Begin a stopped experiment anew", "With fresh evidence."),
    )
    return (
        listed,
        *(
            Route(
                method="POST",
                path=f"{path}/{{name}}/{verb}",
                handler=handler,
                role=Role.OPERATOR,
                own_name=Role.OPERATOR,
                body=bodies.ExperimentCommand,
                types=(JSON,),
                render=as_json,
                operation=f"{verb}_experiment",
                summary=summary,
                description=description,
                answers={
                    200: Answer("Where the experiment stands now.", answers.Experiment),
                    409: Answer(
                        "There is no such experiment, or it is so already; the text says which.", answers.Fault
                    ),
                    503: Answer("The journal cannot be written; nothing has changed.", answers.Fault),
                },
            )
            for verb, handler, summary, description in changes
        ),
    )


def _flags(ofrep: Ofrep) -> Table:
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


def page_table(page: Page) -> Table:
    """What people look at and click."""
    read = partial(Route, method="GET", render=as_page)
    form = partial(
        Route,
        method="POST",
        types=(FORM,),
        most_bytes=_FORM_BYTES,
        own_name=Role.OPERATOR,
        render=as_page,
    )
    return (
        read(path="/", handler=page.home),
        read(path="/page/style.css", handler=page.style),
        read(path="/page/live.js", handler=page.script),
        read(path="/page/live", handler=page.live),
        read(path="/page/sign-in", handler=page.ask_token, query=bodies.SignInQuery),
        form(path="/page/sign-in", handler=page.sign_in, body=bodies.SignIn, forgery=Forgery.ORIGIN, attempts=True),
        form(path="/page/sign-out", handler=page.sign_out, body=bodies.SignOut, forgery=Forgery.ORIGIN),
        *(
            read(
                path=f"/page/{verb.value}",
                handler=partial(page.ask, verb),
                role=Role.PERSON,
                own_name=Role.OPERATOR,
            )
            for verb in page.verbs
        ),
        *(
            form(
                path=f"/page/{verb.value}",
                handler=partial(page.act, verb),
                role=Role.PERSON,
                body=bodies.Confirmation,
                forgery=Forgery.FORM_KEY,
            )
            for verb in page.verbs
        ),
    )
