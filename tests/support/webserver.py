"""A web server of a test's own, on a free port."""

import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from tests.support.ports import free_port


@contextlib.asynccontextmanager
async def served(*routes: web.RouteDef) -> AsyncIterator[str]:
    """The `host:port` of a server with these routes."""
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"127.0.0.1:{port}"
    await runner.cleanup()
