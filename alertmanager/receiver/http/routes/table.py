"""The receiver's table of routes: everything that it answers is here, next to what the shell of every service has."""

from typing import Any

from aiohttp import web

from alertmanager.receiver import answers
from alertmanager.receiver.http import bodies, webhook
from alertmanager.receiver.http.api import Api
from alertmanager.receiver.http.ofrep import Ofrep
from alertmanager.receiver.http.page.handlers import Page
from alertmanager.receiver.http.page.routes import page_table
from alertmanager.receiver.http.routes.commands import (
    adopt_route,
    amend_route,
    command_route,
    drill_routes,
    experiment_routes,
    unschedule_route,
)
from alertmanager.receiver.http.routes.flags import flag_routes
from alertmanager.receiver.http.routes.notes import note_routes
from alertmanager.receiver.http.routes.routers import AnswerRouter, router_routes
from canary.names import API_PREFIX, WEBHOOK_PATH
from canary.rollout.commands.verbs import Verb
from canary.web.routes.openapi import Description, Scheme, openapi
from canary.web.routes.table import JSON, Answer, Call, Role, Route, Table, as_json

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


def receiver_table(api: Api, page: Page, ofrep: Ofrep, answer_router: AnswerRouter) -> Table:
    """Every route of the receiver, without the shell's."""
    return (*api_table(api, ofrep), *page_table(page), *router_routes(answer_router))


def api_table(api: Api, ofrep: Ofrep) -> Table:
    """What programs call."""
    described: list[Route] = []

    async def description(_call: Call) -> web.Response:
        return web.json_response(openapi(described, _DESCRIPTION))

    described += [
        _webhook(api),
        *_views(api),
        Route(
            method="GET",
            path=f"{API_PREFIX}/openapi.json",
            handler=description,
            render=as_json,
            operation="openapi",
            summary="This file",
            answers={200: Answer("OpenAPI 3.1.")},
        ),
        *(command_route(api, verb) for verb in Verb),
        adopt_route(api),
        amend_route(api),
        unschedule_route(api),
        *note_routes(api),
        *drill_routes(api),
        *experiment_routes(api),
        *flag_routes(ofrep),
    ]
    return tuple(described)


def description_of(table: Table) -> dict[str, Any]:
    """The OpenAPI file of the described routes of a table."""
    return openapi(table, _DESCRIPTION)


def _views(api: Api) -> Table:
    return (
        Route(
            method="GET",
            path="/api/metrics",
            handler=api.shop_metrics,
            render=as_json,
            operation="metrics",
            summary="Traffic split by role, error rate and payment success of the canary",
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
    )


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
