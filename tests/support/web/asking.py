"""A receiver's answers to routers that ask, without the receiver: a driver alone, behind the receiver's own routes."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiohttp import web

from alertmanager.receiver.http.routes.routers import router_routes
from canary.routers.asking import AskingRouter, Question
from canary.web.routes.table import Call, Refusal, Route
from tests.support.web.webserver import served


async def _leads() -> bool:
    return True


@contextlib.asynccontextmanager
async def answering(router: AskingRouter, port: int) -> AsyncIterator[None]:
    """Answer its instances while the block runs."""
    router.opened()

    async def answer(_name: str, question: Question) -> Mapping[str, Any] | None:
        return await router.answer(question, _leads)

    async with served(*(_plain(route) for route in router_routes(answer)), port=port):
        yield


def _plain(route: Route) -> web.RouteDef:
    async def handle(request: web.Request) -> web.StreamResponse:
        body = None if route.body is None else route.body.model_validate(await request.json())
        try:
            return await route.handler(Call(request, body))
        except Refusal as error:
            return web.Response(status=error.status, text=str(error))

    return web.route(route.method, route.path, handle)
