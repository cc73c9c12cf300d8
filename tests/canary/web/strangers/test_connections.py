"""Connections within bounds: who may come, who has to go, and how long a request is waited for."""

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from canary import names
from canary.testing.clock import FakeClock
from canary.web.options import WebOptions
from canary.web.routes.table import Call, Route
from canary.web.service import Service
from canary.web.strangers.connection import network
from tests.support.programs.processes import eventually

_ASK = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n"

Pipe = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Server:
    """A service on a clock that the test moves, and its clients on addresses of this machine."""

    def __init__(self, most: int) -> None:
        self.clock = FakeClock()
        self.registry = CollectorRegistry()
        self.release = asyncio.Event()
        self.at_work = 0
        self._service = Service(
            name="receiver",
            options=WebOptions(max_connections=most),
            registry=self.registry,
            routes=(Route(method="GET", path="/slow", handler=self._slow),),
            clock=self.clock,
        )
        self._port = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def _slow(self, _call: Call) -> web.Response:
        self.at_work += 1
        await self.release.wait()
        return web.Response(text="done")

    @asynccontextmanager
    async def running(self) -> AsyncIterator["_Server"]:
        async with self._service.serving() as urls:
            self._port = int(urls[0].rpartition(":")[2])
            yield self
            for writer in self._writers:
                writer.close()

    async def open(self, address: str = "127.0.0.1") -> Pipe:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(address, 0))
        self._writers.append(writer)
        return reader, writer

    async def open_many(self, count: int, address: str = "127.0.0.1") -> list[Pipe]:
        """Silent connections that the server has seen, oldest first."""
        before, found = self.opened, []
        for _ in range(count):
            found.append(await self.open(address))
            await eventually(lambda: self.opened == before + len(found), "a connection is accepted")
        return found

    @property
    def opened(self) -> float:
        return self.registry.get_sample_value(names.WEB_CONNECTIONS) or 0.0

    def ended(self, cause: str) -> float:
        return self.registry.get_sample_value(names.WEB_CONNECTIONS_ENDED_TOTAL, {"cause": cause}) or 0.0


async def _answer(pipe: Pipe, request: bytes = _ASK) -> bytes:
    reader, writer = pipe
    writer.write(request)
    return await reader.readuntil(b"\r\n")


async def _is_over(pipe: Pipe) -> bytes:
    """What is still to be read of a connection that the server closes."""
    with contextlib.suppress(ConnectionError):
        return await pipe[0].read()
    return b""


async def test_silent_connections_of_an_address_give_way_to_a_newcomer_of_the_same() -> None:
    """Whoever really asks is answered although the same address holds all that it may."""
    async with _Server(8).running() as server:
        silent = await server.open_many(4)

        assert await _answer(await server.open()) == b"HTTP/1.1 200 OK\r\n"
        assert await _is_over(silent[0]) == b""
        assert await _answer(silent[3]) == b"HTTP/1.1 200 OK\r\n"
    assert server.ended("crowded") == 1


async def test_an_address_holds_at_most_half() -> None:
    """However many one address opens, another finds room without anybody giving way."""
    async with _Server(8).running() as server:
        for _ in range(20):
            await server.open()
        await eventually(lambda: server.ended("crowded") == 16, "the first ones are closed")

        assert server.opened == 4
        assert await _answer(await server.open("127.0.0.2")) == b"HTTP/1.1 200 OK\r\n"
        assert server.ended("crowded") == 16


async def test_the_address_that_holds_the_most_gives_way_when_all_is_taken() -> None:
    """Many addresses together fill the server; the newcomer takes the place of the one with the most."""
    async with _Server(8).running() as server:
        many = await server.open_many(4, "127.0.0.2")
        few = [*await server.open_many(2, "127.0.0.3"), *await server.open_many(2, "127.0.0.4")]

        assert await _answer(await server.open("127.0.0.5")) == b"HTTP/1.1 200 OK\r\n"
        assert await _is_over(many[0]) == b""
        for pipe in few:
            assert await _answer(pipe) == b"HTTP/1.1 200 OK\r\n"


async def test_a_request_that_is_being_answered_never_gives_way() -> None:
    """What is at work stays; when everything is, the newcomer is refused and counted."""
    async with _Server(8).running() as server:
        working = await server.open_many(4)
        for _, writer in working:
            writer.write(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await eventually(lambda: server.at_work == 4, "every request has begun")
        refused = await server.open()
        assert await _is_over(refused) == b""

        server.release.set()
        assert [await pipe[0].readuntil(b"\r\n") for pipe in working] == [b"HTTP/1.1 200 OK\r\n"] * 4


async def test_who_has_asked_before_stays_longer_than_who_never_did() -> None:
    """Alertmanager's connection between two notifications is not the one that gives way to a silent one."""
    async with _Server(8).running() as server:
        kept = await server.open()
        assert await _answer(kept) == b"HTTP/1.1 200 OK\r\n"
        await kept[0].readuntil(b"healthy.\n")
        await server.open_many(3)
        await server.open()
        await eventually(lambda: server.ended("crowded") == 1, "one gives way")

        assert await _answer(kept) == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(b"", id="silence"),
        pytest.param(b"GET /-/healthy HTTP/1.1\r\nHost: loc", id="half a head"),
        pytest.param(b"GET /slow HTTP/1.1\r\nHost: l\r\nX-A: 1\r\n", id="a head without its end"),
    ],
)
async def test_a_request_that_does_not_come_is_not_waited_for(part: bytes) -> None:
    """A head must be complete in time; each further byte does not buy more of it."""
    async with _Server(8).running() as server:
        pipe = await server.open()
        pipe[1].write(part)
        await eventually(lambda: server.opened == 1, "it is accepted")
        server.clock.advance(9)
        pipe[1].write(b"a" * bool(part))
        await asyncio.sleep(0.01)
        server.clock.advance(2)

        await _is_over(pipe)
        assert server.ended("slow") == 1


async def test_an_idle_connection_is_closed_after_two_minutes() -> None:
    """A client that keeps its connection keeps it for the usual intervals, not for ever."""
    async with _Server(8).running() as server:
        pipe = await server.open()
        await _answer(pipe)
        await pipe[0].readuntil(b"healthy.\n")
        server.clock.advance(100)
        await _answer(pipe)
        await pipe[0].readuntil(b"healthy.\n")
        assert server.opened == 1
        server.clock.advance(121)

        await _is_over(pipe)
        assert server.ended("idle") == 1


async def test_descriptors_stay_free_for_routers_and_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a low limit of open files fewer connections are allowed than asked for, never all of them."""
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (512, 512))
    async with _Server(500).running() as server:
        assert server.registry.get_sample_value(names.WEB_CONNECTIONS_LIMIT) == 512 - 256


def test_networks_are_counted_as_a_customer_of_a_provider_has_them() -> None:
    """IPv4 by address, also where it is mapped; IPv6 by its /64; a zone is no part of an address."""
    assert network("192.0.2.7") == "192.0.2.7"
    assert network("::ffff:192.0.2.7") == "192.0.2.7"
    assert network("2001:db8::1") == network("2001:db8::ffff") == "2001:db8::/64"
    assert network("fe80::1%eth0") == "fe80::/64"
