"""The user's own check before a phase may end, on a real HTTP server."""

import asyncio
import socket

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from alertmanager.receiver.decide.promotion.gate import objection
from canary.policy.gates import UrlGate
from tests.support.programs.ports import free_port
from tests.support.receiving.answering import answering
from tests.support.web.webserver import served


async def asked(url: str, timeout_seconds: float = 60.0) -> str:
    """What keeps the gate closed."""
    async with aiohttp.ClientSession() as session:
        return await objection(UrlGate(url=url, timeout=timeout_seconds), session)


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
    followed = []

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async def elsewhere(_request: web.Request) -> web.Response:
        followed.append("followed")
        return web.Response()

    async with served(web.get("/gate", answer), web.get("/elsewhere", elsewhere)) as address:
        assert await asked(f"http://{address}/gate") == said
    assert followed == []


async def test_a_gate_that_hangs_is_closed() -> None:
    """A server that takes the question and says nothing is given the gate's own time."""
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        said = await asked(f"http://127.0.0.1:{hanging.getsockname()[1]}/", 0.1)

    assert said == "the gate did not answer within 0.1s"


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/", "nonsense", "http://", "http://[::1", "http://a b/"])
async def test_a_gate_that_is_not_there_is_closed(url: str) -> None:
    """Nothing listens, or it is no URL: it stays closed, and says why."""
    assert "the gate is unreachable" in await asked(url.format(port=free_port()))


async def test_an_endless_answer_is_not_read() -> None:
    """Only the status counts; a body that does not end keeps nobody waiting."""
    async with answering(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n ", endless=True) as url:
        assert await asked(url) == ""
    async with answering(b"HTTP/1.1 500 Broken\r\nConnection: close\r\n\r\n ", endless=True) as url:
        assert await asked(url) == "the gate answered 500"


@settings(max_examples=100, deadline=None)
@given(answer=st.binary(max_size=100))
def test_bytes_that_are_no_http_keep_it_closed(answer: bytes) -> None:
    """Whatever comes back, there is a reason, and nothing breaks."""

    async def ask() -> str:
        async with answering(answer) as url:
            return await asked(url)

    assert asyncio.run(ask()).startswith("the gate ")


async def test_a_gate_is_told_nothing() -> None:
    """It is asked by a GET without credentials, cookies or a body: who listens there learns nothing of it."""
    heard: list[tuple[str, bool, set[str]]] = []

    async def answer(request: web.Request) -> web.Response:
        heard.append((request.method, request.can_read_body, {name.lower() for name in request.headers}))
        return web.Response(headers={"Set-Cookie": "known=1"})

    async with served(web.route("*", "/", answer)) as address, aiohttp.ClientSession() as session:
        for _ in range(2):
            assert await objection(UrlGate(url=f"http://{address}/"), session) == ""

    assert heard[0] == ("GET", False, {"host", "accept", "accept-encoding", "user-agent"})
