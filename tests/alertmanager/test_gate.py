"""The user's own check before a phase may end, on a real HTTP server."""

import asyncio

import aiohttp
import pytest
from aiohttp import web

from alertmanager.gate import objection
from canary.policy.release import UrlGate


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (200, ""),
        (204, ""),
        (302, "the gate answered 302"),
        (404, "the gate answered 404"),
        (503, "the gate answered 503"),
    ],
)
async def test_only_2xx_opens(status: int, said: str) -> None:
    """A redirect is not followed, and nothing but 2xx lets the rollout go on."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async def elsewhere(_request: web.Request) -> web.Response:
        raise AssertionError("followed")

    application = web.Application()
    application.router.add_get("/gate", answer)
    application.router.add_get("/elsewhere", elsewhere)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        async with aiohttp.ClientSession() as session:
            assert await objection(UrlGate(url=f"http://127.0.0.1:{port}/gate"), session) == said
    finally:
        await runner.cleanup()


async def test_no_answer_keeps_it_closed() -> None:
    """A gate that hangs, is not there, or is no URL, is closed, and says why."""
    hanging = await asyncio.start_server(lambda *_: asyncio.sleep(30), "127.0.0.1", 0)
    port = hanging.sockets[0].getsockname()[1]
    async with aiohttp.ClientSession() as session:
        slow = await objection(UrlGate(url=f"http://127.0.0.1:{port}/", timeout=0.1), session)
        gone = await objection(UrlGate(url="http://127.0.0.1:1/"), session)
        nonsense = await objection(UrlGate(url="nonsense"), session)
    hanging.close()

    assert slow == "the gate did not answer within 0.1s"
    assert "cannot be asked" in gone
    assert "cannot be asked" in nonsense
