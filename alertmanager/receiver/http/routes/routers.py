"""The part of the table of routes that routers call: Envoy's runtime discovery (RTDS, over REST), Traefik's provider.

Envoy's path is its own. What is asked and answered is described by Envoy's `service.discovery.v3`; of a question only
three things are read: who asks, for which router's values, and what is in force there.

Traefik's HTTP provider asks by a plain GET, and says nothing. What it has is what its connection was last told.
"""

import asyncio
import json
import weakref
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, StringConstraints

from canary.errors import PayloadError, RefusedError, RouterError
from canary.routers.asking import Question
from canary.routers.traefik.config import PATH
from canary.web.routes.table import JSON, Call, Refusal, Role, Route, Table, as_json

DISCOVERY_PATH = "/v3/discovery:runtime"

# An Envoy lists all its extensions in every question, some 50 kB.
_MOST_BYTES = 512 * 1024

AnswerRouter = Callable[[str, Question], Awaitable[Mapping[str, Any] | None]]

_Short = Annotated[str, StringConstraints(max_length=1000)]


class _Node(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: _Short = ""


class DiscoveryRequest(BaseModel):
    """An Envoy's question."""

    model_config = ConfigDict(extra="ignore")

    node: _Node = _Node()
    version_info: _Short = ""
    resource_names: list[_Short] = []


def router_routes(answer: AnswerRouter) -> Table:
    """Where Envoys and Traefiks ask.

    Args:
        answer: gives what an instance of a router is to have in force, once it is something else than it has.
    """
    return (_envoys(answer), _traefiks(answer))


def _envoys(answer: AnswerRouter) -> Route:
    async def discover(call: Call) -> web.Response:
        asked: DiscoveryRequest = call.body
        if len(asked.resource_names) != 1:
            raise PayloadError("expected one name, the router's", place="resource_names")
        try:
            found = await answer(asked.resource_names[0], Question(asked.node.id, asked.version_info))
        except RefusedError:
            # Nothing to say, and at once: the Envoy asks the next receiver. A refusal would be a line in its log.
            found = None
        except RouterError as error:
            raise _unknown(error) from error
        return web.Response(status=HTTPStatus.NOT_MODIFIED) if found is None else web.json_response(found)

    return Route(
        method="POST",
        path=DISCOVERY_PATH,
        handler=discover,
        role=Role.ROUTER,
        own_name=Role.ROUTER,
        body=DiscoveryRequest,
        types=(JSON,),
        most_bytes=_MOST_BYTES,
        fixed=True,
        render=as_json,
    )


def _traefiks(answer: AnswerRouter) -> Route:
    # By connection and router: what stands between may ask for several routers on one connection.
    told: weakref.WeakKeyDictionary[asyncio.BaseTransport, dict[str, str]] = weakref.WeakKeyDictionary()

    async def configure(call: Call) -> web.Response:
        connection, name = call.request.transport, call.request.match_info["name"]
        by_name = {} if connection is None else told.setdefault(connection, {})
        before = by_name.get(name, "")
        try:
            found = await answer(name, Question("", before))
        except RefusedError as error:
            # No conflict to a balancer that looks for the receiver that leads: this one cannot be used now.
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.what, place=error.place) from error
        except RouterError as error:
            raise _unknown(error) from error
        text = before if found is None else json.dumps(found)
        if not text:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "what is wanted is not known yet", place="router")
        by_name[name] = text
        return web.Response(text=text, content_type=JSON)

    return Route(method="GET", path=PATH, handler=configure, role=Role.ROUTER, own_name=Role.ROUTER, render=as_json)


def _unknown(error: RouterError) -> Refusal:
    return Refusal(HTTPStatus.NOT_FOUND, error.what, place=error.place, remedy=error.remedy)
