"""Whatever a router answers is read as JSON of its shape, or is that router's fault, in one line."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from canary.errors import RouterError, shown
from canary.routers.answers import ODD, body_of, json_of
from canary.routers.base import Router, Split
from canary.routers.envoy.admin import Admin
from canary.routers.envoy.driver import EnvoyRuntimeRouter
from canary.routers.envoy.section import EnvoyRouter
from canary.routers.gateway.driver import HttpRouteRouter
from canary.routers.gateway.section import GatewayRouter
from canary.routers.traefik.asked import TraefikHttpRouter
from canary.routers.traefik.driver import TraefikFileRouter
from canary.routers.traefik.section import TraefikRouter
from tests.support.web.webserver import served

TIMEOUT_SECONDS = 0.3

ODD_ANSWERS: tuple[str | bytes, ...] = (
    "[" * 100_000,
    '{"a":' * 150 + "7" + "}" * 150,
    "9" * 5000,
    "NaN",
    "7",
    "[]",
    "{}",
    '"a text"',
    "<html>\x1b[2J",
    b"\xff\xfe",
    *(
        json.dumps({"highestRandomWeight": {"services": services}})
        for services in (
            7,
            [{"name": "a", "weight": math.inf}],
            [{"name": "stable-1", "weight": 10_001}, {"name": "canary-1", "weight": -1}],
        )
    ),
    '{"highestRandomWeight": {"services": [{"name": "a", "weight": 1e999}]}}',
    '{"entries": {"a": 7}, "configs": [], "stats": [{}], "cluster_statuses": [[]]}',
    '{"entries": [], "configs": 7, "stats": [{"value": "soon"}], "cluster_statuses": [7]}',
    '{"metadata": {"generation": 1, "resourceVersion": "1", "annotations": 7}, "spec": {"rules": [7]}}',
    '{"metadata": {"generation": "x"}, "spec": 7, "status": [], "message": {}}',
)


def _envoy(address: str, _folder: Path) -> Router:
    return EnvoyRuntimeRouter(EnvoyRouter(kind="envoy", admins=(f"tcp:{address}",), timeout=TIMEOUT_SECONDS))


def _traefik(address: str, folder: Path) -> Router:
    file = str(folder / "canary.json")
    return TraefikFileRouter(
        TraefikRouter(kind="traefik", apis=(f"http://{address}",), file=file, timeout=TIMEOUT_SECONDS)
    )


def _traefik_that_asks(address: str, _folder: Path) -> Router:
    return TraefikHttpRouter(TraefikRouter(kind="traefik", apis=(f"http://{address}",), timeout=TIMEOUT_SECONDS))


def _gateway(address: str, folder: Path) -> Router:
    token = folder / "token"
    token.write_text("of-the-account\n")
    return HttpRouteRouter(
        GatewayRouter(
            kind="gateway",
            url=f"http://{address}",
            token_file=str(token),
            ca_file=None,
            timeout=TIMEOUT_SECONDS,
            namespace="shop",
            route="shop",
            stable="shop-stable",
            canary="shop-canary",
        )
    )


@pytest.mark.parametrize("make", [_envoy, _traefik, _traefik_that_asks, _gateway])
async def test_an_odd_answer_is_the_routers_error_of_every_kind(
    make: Callable[[str, Path], Router], tmp_path: Path
) -> None:
    """Nobody is believed to be off the canary, the fault is told, and no driver ends in anything but a RouterError."""
    said: str | bytes = ""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=said)

    async with served(web.route("*", "/{path:.*}", answer)) as address:
        router = make(address, tmp_path)
        for odd in ODD_ANSWERS:
            said = odd
            [reading] = (await router.read()).readings
            assert reading.weight_ratio is None, odd
            assert reading.error.isprintable(), odd
            assert await router.check(), odd
            if isinstance(router, EnvoyRuntimeRouter):
                for asked in (router.unhealthy(), router.sessions(0)):
                    with pytest.raises(RouterError):
                        await asked
        with pytest.raises(RouterError):
            await router.set_weight(Split("r-1", 0))


async def test_a_refusal_is_told_in_a_line_that_no_terminal_obeys() -> None:
    """Its status and its beginning, whatever it is made of."""

    async def refuse(_request: web.Request) -> web.Response:
        return web.Response(status=503, text="\x1b[2J" + "no " * 1000)

    async with served(web.get("/runtime", refuse)) as address:
        with pytest.raises(RouterError, match="/runtime answered 503") as caught:
            await Admin(f"tcp:{address}", 5, "router envoy").runtime()

    assert caught.value.what.isprintable()
    assert len(caught.value.what) < 300


async def test_a_download_without_end_is_no_answer() -> None:
    """It is read up to the bound, and not a packed one either, which would be any size."""

    async def endless(request: web.Request) -> web.StreamResponse:
        assert request.headers["Accept-Encoding"] == "identity"
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 2**20)

    async with served(web.get("/runtime", endless)) as address:
        with pytest.raises(RouterError, match="larger than 16384 KiB"):
            await Admin(f"tcp:{address}", 60, "router envoy").runtime()


async def test_an_answer_in_pieces_is_read_whole() -> None:
    """A server may send its JSON in several segments."""

    async def pieces(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in (b'{"version"', b': "v2"}'):
            await response.write(piece)
        return response

    async with (
        served(web.get("/", pieces)) as address,
        aiohttp.ClientSession() as http,
        http.get(f"http://{address}/") as answer,
    ):
        assert json_of(await body_of(answer)) == {"version": "v2"}


@given(st.binary(max_size=300))
def test_json_is_read_or_refused(text: bytes) -> None:
    """By one kind of error, which whoever looks into answers knows."""
    try:
        json_of(text)
    except ODD:
        assert shown(text).isprintable()
