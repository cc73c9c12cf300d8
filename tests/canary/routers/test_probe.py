"""What a server runs, asked of itself: a version, or unknown and why."""

import aiohttp
import pytest
from aiohttp import web

from canary.policy.finish import Probe
from canary.routers.probe import Served, ask
from tests.support.programs.ports import free_port
from tests.support.web.webserver import served


async def _server(_request: web.Request) -> web.Response:
    return web.json_response({"version": "v2.0", "build": {"tag": 7}}, headers={"X-Version": " v2.0 "})


async def _asked(probe: Probe, address: str = "") -> Served:
    routes = [web.get("/health", _server), web.get("/page", _text)]
    async with served(*routes) as listening, aiohttp.ClientSession() as session:
        return await ask(address or listening, probe, session)


async def _text(_request: web.Request) -> web.Response:
    return web.Response(text="<html>")


@pytest.mark.parametrize(
    ("probe", "version"),
    [
        (Probe(path="/health", header="x-version"), "v2.0"),
        (Probe(path="health", json="version"), "v2.0"),
        (Probe(path="/health", json="build.tag"), "7"),
    ],
)
async def test_a_version_is_read_from_header_or_field(probe: Probe, version: str) -> None:
    """By the header's name in any case, or by the way to a field; blanks around it are none of its own."""
    assert await _asked(probe) == Served(version)


@pytest.mark.parametrize(
    ("probe", "fault"),
    [
        (Probe(path="/gone", header="X-Version"), "answered 404 at /gone"),
        (Probe(path="/page", json="version"), "expected JSON"),
        (Probe(path="/health", json="build"), "no field build"),
        (Probe(path="/health", json="version.minor"), "no field version.minor"),
        (Probe(path="/health", header="X-Other"), "no header X-Other"),
    ],
)
async def test_any_other_answer_is_unknown(probe: Probe, fault: str) -> None:
    """It is no version, and says what was expected."""
    found = await _asked(probe)

    assert found.version is None
    assert found.silent
    assert fault in found.fault


async def test_a_server_that_is_down_is_silent_and_a_socket_is_not_asked() -> None:
    """The first may be in trouble; of the second nobody can tell."""
    probe = Probe(path="/health", header="X-Version")

    down = await _asked(probe, f"127.0.0.1:{free_port()}")
    assert down.silent
    assert "cannot be reached" in down.fault
    assert not (await _asked(probe, "unix:/run/shop.sock")).silent
