"""The client when answers are late, lost or odd: a command is sent once more, and never as another one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from canary.errors import RemoteError, SecretError
from canary.policy.model import Policy
from canary.policy.release import Operator, Receiver
from canary.web.client import Client, UnansweredError, stranger

ENTRY = {"seq": 4, "kind": "advanced"}
Handler = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def answering(handler: Handler, timeout_seconds: float = 20.0) -> AsyncIterator[Client]:
    """A receiver of the test's own, with a rollout that was last decided upon at 3."""

    async def status(_request: web.Request) -> web.Response:
        return web.json_response({"seen": "v2.0-1/3"})

    application = web.Application()
    application.add_routes([web.get("/api/v1/status", status), web.post("/api/v1/{verb}", handler)])
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    keys = iter(["first", "second"])
    try:
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield Client(url, None, session, new_key=lambda: next(keys), timeout_seconds=timeout_seconds)
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("verb", ["advance", "hold"])
async def test_a_command_says_what_was_seen_and_has_a_key(verb: str) -> None:
    """The status is read first; what it says goes with the command."""
    heard: list[tuple[str, str]] = []

    async def take(request: web.Request) -> web.Response:
        heard.append((request.headers["If-Match"], request.headers["Idempotency-Key"]))
        return web.json_response(ENTRY)

    async with answering(take) as client:
        assert await client.command(verb) == ENTRY
        await client.command(verb, seen="v2.0-1/2")

    assert heard == [('"v2.0-1/3"', "first"), ('"v2.0-1/2"', "second")]


@pytest.mark.parametrize("late", [True, False])
async def test_a_lost_answer_is_asked_for_again_with_the_same_key(late: bool) -> None:
    """A time-out and a broken connection alike: the second request is the first one, and the caller gets its answer."""
    heard: list[str] = []
    never = asyncio.Event()

    async def take(request: web.Request) -> web.Response:
        heard.append(request.headers["Idempotency-Key"])
        if len(heard) > 1:
            return web.json_response(ENTRY)
        if late:
            await never.wait()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with answering(take, timeout_seconds=5.0 if late else 20.0) as client:
        assert await client.command("advance") == ENTRY

    assert heard == ["first", "first"]


async def test_a_command_is_sent_twice_at_most() -> None:
    """Then the caller is told that nobody knows whether it was carried out."""
    heard: list[str] = []

    async def take(request: web.Request) -> web.Response:
        heard.append(request.headers["Idempotency-Key"])
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with answering(take) as client:
        with pytest.raises(UnansweredError):
            await client.command("advance")

    assert heard == ["first", "first"]


async def test_a_refused_connection_is_no_lost_answer() -> None:
    """What was never sent is not sent again."""
    async with aiohttp.ClientSession() as session:
        with pytest.raises(RemoteError, match="cannot reach the receiver") as caught:
            await Client("http://127.0.0.1:1", None, session).command("advance")

    assert not isinstance(caught.value, UnansweredError)


async def test_a_hold_needs_no_look() -> None:
    """When the status cannot be read, whoever holds or rolls back is not kept from it."""
    heard: list[str | None] = []

    async def take(request: web.Request) -> web.Response:
        heard.append(request.headers.get("If-Match"))
        return web.json_response(ENTRY)

    async with answering(take) as client:
        client.get = _unreadable  # type: ignore[method-assign,assignment]  # the journal is away
        assert await client.command("hold") == ENTRY
        with pytest.raises(RemoteError):
            await client.command("advance")

    assert heard == [None]


async def _unreadable(_path: str, **_params: str) -> object:
    raise RemoteError("is away", place="journal")


async def test_what_there_may_not_be_is_none() -> None:
    """404 of the API is an answer to `find`; of a path that is not the API's it is none."""

    async def nothing(_request: web.Request) -> web.Response:
        return web.json_response({"error": "no such drill"}, status=404)

    application = web.Application()
    application.router.add_get("/api/v1/drill/x", nothing)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession() as session:
            client = Client(f"http://127.0.0.1:{runner.addresses[0][1]}", None, session)
            assert await client.find("drill/x") is None
            with pytest.raises(RemoteError, match="found 404"):
                await client.find("nowhere")
    finally:
        await runner.cleanup()


async def test_a_chosen_name_that_nobody_has_raises_nothing() -> None:
    """A misspelt operator does not act under the common token, but for what lowers or holds."""
    named = Policy(service="shop", receiver=Receiver(operators={"ann": Operator(token_file="ann-token")}))

    async def handler(_request: web.Request) -> web.Response:
        return web.json_response(ENTRY)

    async with answering(handler) as client:
        client._nobody = stranger(named, {"CANARY_OPERATOR": "anne"})
        with pytest.raises(SecretError, match="did you mean 'ann'"):
            await client.command("advance")
        assert await client.command("rollback", reason="errors") == ENTRY
    assert stranger(named, {"CANARY_OPERATOR": "ann"}) is None
    assert stranger(Policy(service="shop"), {"CANARY_OPERATOR": "anne"}) is None
