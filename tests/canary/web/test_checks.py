"""A request passes the checks whole, or not at all."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp import web

from canary.errors import PayloadError
from canary.web.options import WebOptions
from canary.web.routes.bodies import Body
from canary.web.routes.table import FORM, Call, Forgery, Refusal, Role, Route, as_json
from canary.web.service import Service


class Login(Body):
    """A form."""

    token: str = ""
    note: str = ""


async def login(call: Call) -> web.Response:
    """Say what arrived."""
    return web.Response(text=f"{call.body.token} {call.body.note}", status=200 if call.body.token == "right" else 401)


async def fail(_call: Call) -> web.Response:
    """A handler with a fault of ours."""
    raise RuntimeError("secret of this process")


async def refuse(_call: Call) -> web.Response:
    """A handler that refuses."""
    raise PayloadError("expected something else", place="note")


LOGIN = Route(
    method="POST", path="/login", handler=login, body=Login, types=(FORM,), forgery=Forgery.ORIGIN, attempts=True
)


@asynccontextmanager
async def serving(*routes: Route) -> AsyncIterator[aiohttp.ClientSession]:
    """A service with these routes."""
    service = Service(name="exporter", options=WebOptions(), routes=routes)
    async with service.serving() as urls, aiohttp.ClientSession(urls[0]) as client:
        yield client


async def sent(client: aiohttp.ClientSession, *pieces: bytes) -> bytes:
    """The answer to bytes that arrive piece by piece."""
    base = client._base_url  # where the test's own service listens
    assert base is not None
    reader, writer = await asyncio.open_connection(base.host, base.port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


async def test_a_form_that_arrives_in_pieces_is_read_whole() -> None:
    """However the network cuts it, the handler gets all of it."""
    body = urlencode({"token": "right", "note": "x" * 500}).encode()
    head = (
        f"POST /login HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: {FORM}\r\nContent-Length: {len(body)}"
    )
    async with serving(LOGIN) as client:
        answer = await sent(client, f"{head}\r\n\r\n".encode(), body[:7], body[7:200], body[200:])

    assert b" 200 OK" in answer
    assert answer.endswith(b"right " + b"x" * 500)


async def test_guessing_is_stopped_and_others_are_not() -> None:
    """After ten wrong tokens none from that address is looked at; another address goes on."""
    async with serving(LOGIN) as client:
        statuses = []
        for token in [*(f"wrong{number}" for number in range(10)), "right"]:
            async with client.post("/login", data={"token": token}) as answer:
                statuses.append(answer.status)
        elsewhere = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
        async with (
            aiohttp.ClientSession(client._base_url, connector=elsewhere) as other,  # as above
            other.post("/login", data={"token": "right"}) as answer,
        ):
            apart = answer.status

    assert statuses == [401] * 10 + [429]
    assert apart == 200


async def test_a_fault_of_ours_is_logged_in_one_line_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    """What a handler overlooked is for the log; the caller learns nothing about this process."""
    caplog.set_level(logging.INFO)
    async with serving(Route(method="GET", path="/fail", handler=fail)) as client, client.get("/fail") as answer:
        status, text = answer.status, await answer.text()

    assert status == 500
    assert "secret" not in text
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.exc_info is None


@pytest.mark.parametrize(
    "garbage", [b"GARBAGE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"POST /login HTTP/1.1\r\nContent-Length: x\r\n\r\n"]
)
async def test_what_is_no_request_is_logged_in_one_line(garbage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """400, and one line without a traceback, so that a stranger cannot fill the disk with a few bytes."""
    caplog.set_level(logging.INFO)
    async with serving(LOGIN) as client:
        caplog.clear()
        answer = await sent(client, garbage)

    assert b" 400 " in answer
    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(records) <= 1
    assert all(record.exc_info is None for record in records)


async def test_refusals_look_as_their_route_says() -> None:
    """Programs get JSON, administrators text."""
    routes = (
        Route(method="GET", path="/json", handler=refuse, render=as_json),
        Route(method="GET", path="/text", handler=refuse),
    )
    async with serving(*routes) as client:
        async with client.get("/json") as answer:
            program = answer.status, await answer.json()
        async with client.get("/text") as answer:
            person = answer.status, await answer.text()

    assert program == (400, {"error": "note: expected something else"})
    assert person == (400, "note: expected something else\n")


async def test_a_role_that_nobody_has_is_refused() -> None:
    """A service without tokens serves readers only, whatever its table says."""
    route = Route(method="GET", path="/act", handler=login, role=Role.OPERATOR)
    headers = {"Authorization": "Bearer x"}
    async with serving(route) as client, client.get("/act", headers=headers) as answer:
        status = answer.status

    assert status == 403


async def test_a_route_stands_in_the_table_once() -> None:
    """Of two with the same method and path the second would never answer; that is a fault of the table."""
    twice = [Route(method="GET", path=path, handler=login) for path in ("/a/{id}", "/a/{id:[0-9]{1,3}}")]
    with pytest.raises(ValueError, match="stands twice"):
        async with serving(*twice):
            pass


def test_parts_of_a_path_are_told() -> None:
    """A part's expression may itself have braces."""
    route = Route(method="GET", path="/a/{id:[0-9]{1,3}}/{name}", handler=login)

    assert route.plain_path == "/a/{id}/{name}"
    assert route.parts == {"id": "[0-9]{1,3}", "name": ""}


def test_a_refusal_reads_as_every_error_does() -> None:
    """Place, what and remedy in one line."""
    assert str(Refusal(429, "too many", place="sign-in", remedy="wait")) == "sign-in: too many; wait"
