"""A web server of a test's own."""

import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from tests.support.programs.ports import free_port


@contextlib.asynccontextmanager
async def served(*routes: web.RouteDef, port: int = 0) -> AsyncIterator[str]:
    """The `host:port` of a server with these routes, on a free port where none is given."""
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app)
    await runner.setup()
    port = port or free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await runner.cleanup()
