"""The receiver's table of routes, walked whole: every wrong host, token, type, method and size; and nothing besides."""

import gzip
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from alertmanager.receiver.opening import open_receiver
from alertmanager.receiver.receiver import Receiver
from alertmanager.receiver.service import web_service
from canary.web.metrics import service_registry
from canary.web.options import WebOptions
from canary.web.routes.table import FORM, JSON, Forgery, Role, Route
from tests.support.receiving.receiver import OPERATOR_TOKEN, WEBHOOK_TOKEN, Setting, order

FLAGS_TOKEN = "flags-token"
ROUTER_TOKEN = "router-token"
TOKENS = {
    Role.WEBHOOK: WEBHOOK_TOKEN,
    Role.OPERATOR: OPERATOR_TOKEN,
    Role.FLAGS: FLAGS_TOKEN,
    Role.ROUTER: ROUTER_TOKEN,
}
_TOKEN_FILES = {"flags_token_file": "flags-token", "router_token_file": "router-token"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
PARTS = {
    "rest": "no-such-page",
    "rollout": "r1",
    "id": "abc123",
    "name": "checkoutFlow",
    "key": "tenth",
    "token": "r1~1~1~00",
}
CHANGES: dict[str, Any] = {
    "process": {"kind": "none"},
    "phases": [{"traffic": "5%", "duration": "1h"}, {"traffic": "100%", "duration": "1h"}],
    "flags": {"tenth": {"percentage": "10%"}},
    "experiments": {"checkoutFlow": {"variants": {"control": {"weight": 1}, "treatment": {"weight": 1}}}},
}


@dataclass
class Served:
    """A receiver with a running rollout, and its table."""

    setting: Setting
    receiver: Receiver
    table: list[Route]
    http: aiohttp.ClientSession

    def url(self, route: Route) -> str:
        """Where a route is."""
        path = route.plain_path
        for name, value in PARTS.items():
            path = path.replace(f"{{{name}}}", value)
        assert "{" not in path, f"`PARTS` has no value for {path}"
        return f"{self.setting.url}{path}"

    async def status(self, route: Route, method: str | None = None, data: bytes = b"{}", **headers: str) -> int:
        """The status of one request, with the right credential and type unless told otherwise."""
        token = {"Authorization": f"Bearer {TOKENS[route.role]}"} if route.role in TOKENS else {}
        kind = {"Content-Type": route.types[0]} if route.types else {}
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        sent = {key: value for key, value in {**token, **kind, **named}.items() if value}
        method = method or route.method
        body = data if route.takes_body and method not in ("GET", "HEAD") else None
        async with self.http.request(
            method, self.url(route), data=body, headers=sent, allow_redirects=False, skip_auto_headers=["Content-Type"]
        ) as answer:
            return answer.status

    async def state(self) -> object:
        """Everything that a request could change."""
        return (
            [entry for entry in await self.setting.journal() if entry.decides],
            dict(self.receiver.trials.trials),
            # The page is what answers at `/`.
            [len(route.handler.__self__.sessions) for route in self.table if route.path == "/"],  # type: ignore[attr-defined]  # a method
            [line for line in await self._metrics() if "drill" in line],
        )

    async def _metrics(self) -> list[str]:
        async with self.http.get(f"{self.setting.url}/metrics") as answer:
            return (await answer.text()).splitlines()


@asynccontextmanager
async def serving(folder: Path, receiver_keys: Mapping[str, object]) -> AsyncIterator[Served]:
    """A receiver with a running rollout, a flag and an experiment."""
    setting = Setting(folder, [], {**CHANGES, "receiver": {**_TOKEN_FILES, **receiver_keys}})
    (folder / "flags-token").write_text(FLAGS_TOKEN)
    (folder / "router-token").write_text(ROUTER_TOKEN)
    registry = service_registry()
    options = WebOptions((f"127.0.0.1:{setting.port}",))
    async with open_receiver(setting.policy, registry) as receiver:
        service = web_service(receiver, registry, options, setting.policy_file)
        # A connection each: a server may close one after an answer, and the next request would be lost on it.
        client = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), connector=aiohttp.TCPConnector(force_close=True)
        )
        async with service.serving(), client as http:
            await order(setting, "start", canary="v2.0", stable="v1.0")
            yield Served(setting, receiver, list(service.table()), http)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A receiver with a token for every role."""
    async with serving(tmp_path / "receiver", {}) as made:
        yield made


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Served]:
    """A receiver without tokens, which listens on this machine only."""
    keys = ("token_file", "previous_token_file", "operator_token_file", *_TOKEN_FILES)
    none = dict.fromkeys(keys)
    async with serving(tmp_path / "open", none) as made:
        yield made


async def test_every_route_with_a_role_refuses_every_other_token(served: Served) -> None:
    """No token, a wrong one, another role's, one with something before or after it, another scheme: 401, no change."""
    before = await served.state()
    for route in [route for route in served.table if route.role in TOKENS]:
        right = TOKENS[route.role]
        others = [f"Bearer {token}" for role, token in TOKENS.items() if role is not route.role]
        wrong = ["", "Bearer", "Bearer wrong", f"Bearer x{right}", f"Bearer {right}x", f"Basic {right}", right, *others]
        for header in [*wrong, f"Bearer {right[:-1]}", f"Bearer {right} {right}", f"Bearer {right}, Bearer {right}"]:
            found = await served.status(route, Authorization=header)
            assert found == 401, (route.method, route.path, header)
    assert await served.state() == before


async def test_every_route_of_the_page_that_acts_needs_a_session(served: Served) -> None:
    """Without a session's cookie the way leads to the sign-in; a token in a header is no session."""
    before = await served.state()
    for route in [route for route in served.table if route.role is Role.PERSON]:
        for header in ("", f"Bearer {OPERATOR_TOKEN}"):
            for cookie in ("", "canary_session=guessed"):
                found = await served.status(route, Authorization=header, Cookie=cookie, data=b"form_key=x&seen=none/0")
                assert found == 303, (route.method, route.path)
    assert await served.state() == before


async def test_every_form_refuses_another_site(served: Served) -> None:
    """What browsers say about where a form comes from is believed, session or not."""
    before = await served.state()
    for route in [route for route in served.table if route.forgery is not Forgery.TYPE and route.role is Role.READER]:
        for headers in ({"Origin": "http://evil.example"}, {"Sec_Fetch_Site": "cross-site"}, {"Origin": "null"}):
            found = await served.status(route, **headers, data=b"name=Eve&token=operator-token")
            assert found == 403, (route.method, route.path, headers)
    assert await served.state() == before


async def test_whatever_changes_something_is_out_of_other_sites_reach(served: Served) -> None:
    """Every POST, PUT or DELETE takes a type that browsers ask for first, a method of that kind, or checks the origin.

    Asking for flags is the exception: it changes nothing, and its answer cannot be read across sites.
    """
    simple = {FORM, "multipart/form-data", "text/plain"}
    for route in served.table:
        if route.method == "POST" and route.role is not Role.FLAGS:
            closed = route.forgery is not Forgery.TYPE or (route.types and not simple & set(route.types))
            assert closed, (route.method, route.path)


@pytest.mark.parametrize("host", ["rebound.example", "127.0.0.1.rebound.example", "10.0.1.5:9878", "[::ffff]", "x y"])
async def test_every_open_route_that_acts_refuses_strange_hosts(opened: Served, host: str) -> None:
    """Without tokens whatever acts answers to this machine's own names only."""
    before = await opened.state()
    for route in [route for route in opened.table if route.method != "GET" and route.path != "/-/reload"]:
        if route.role is Role.FLAGS:
            continue  # asked for through the shop's own proxy; it changes nothing
        found = await opened.status(route, Host=host, Authorization="")
        assert found in (400, 403), (route.method, route.path, found)
    assert await opened.state() == before


async def test_every_route_with_a_body_refuses_every_other_type(served: Served) -> None:
    """415 for types that the table does not name, also with parameters and without a type, and no change."""
    before = await served.state()
    kinds = ["text/plain", "text/plain; a=application/json", "multipart/form-data", "application/xml", "*/*", "x", ""]
    for route in [route for route in served.table if route.types and route.role is not Role.PERSON]:
        for kind in [*kinds, FORM if JSON in route.types else JSON]:
            found = await served.status(route, Content_Type=kind, data=b'{"reason": "x"}')
            assert found == 415, (route.method, route.path, kind, found)
    assert await served.state() == before


async def test_every_route_with_a_body_refuses_what_is_too_large(served: Served) -> None:
    """413, whether the length is said or only found, and also when it is large only once it is unpacked."""
    before = await served.state()
    for route in [route for route in served.table if route.takes_body and route.role is not Role.PERSON]:
        most = route.most_bytes or served.receiver.policy.receiver.max_body
        assert await served.status(route, data=b" " * (most + 1)) == 413, route.path

        async def pieces(size: int = most) -> AsyncIterator[bytes]:
            for _ in range(size // 65_536 + 2):
                yield b" " * 65_536

        found = await served.status(route, data=pieces())  # type: ignore[arg-type]  # aiohttp takes both
        assert found == 413, route.path
    assert await served.state() == before


async def test_every_route_with_a_body_survives_what_is_not_packed_as_it_says(served: Served) -> None:
    """Garbage in place of a packed body is a fault of the sender: 400, never 500."""
    before = await served.state()
    for route in [route for route in served.table if route.takes_body and route.role is not Role.PERSON]:
        for packing in ("deflate", "gzip"):
            found = await served.status(route, Content_Encoding=packing, data=b"garbage")
            assert found == 400, (route.path, packing, found)
    assert await served.state() == before


async def test_what_a_stranger_packs_is_not_unpacked(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte of zeros' zeros is a gigabyte, and takes seconds in which nothing else is done."""

    def refuse(*_arguments: object, **_keys: object) -> bytes:
        raise AssertionError("a stranger's body is unpacked")

    monkeypatch.setattr(aiohttp.compression_utils.ZLibDecompressor, "decompress_sync", refuse)
    monkeypatch.setattr("canary.web.routes.bodies.unpacked", refuse)
    bomb = gzip.compress(b"0" * 1_000_000)
    for route in [route for route in served.table if route.role in TOKENS]:
        found = await served.status(route, Authorization="Bearer wrong", Content_Encoding="gzip", data=bomb)
        assert found == 401, route.path


async def test_nothing_answers_that_is_not_in_the_table(served: Served) -> None:
    """Every other method of every path is refused, for people who look for a page by one that leads back; no change."""
    before = await served.state()
    known = {(route.method, served.url(route)) for route in served.table}
    known |= {("HEAD", url) for method, url in known if method == "GET"}
    for route in served.table:
        for method in METHODS:
            if (method, served.url(route)) not in known:
                looks_for_page = method in ("GET", "HEAD") and route.path.startswith("/page/")
                expected = 404 if looks_for_page else 405
                assert await served.status(route, method=method) == expected, (method, route.path)
    assert await served.state() == before


_SEGMENTS = st.sampled_from(
    [
        "api",
        "v1",
        "v2",
        "page",
        "-",
        "metrics",
        "status",
        "hold",
        "drill",
        "experiments",
        "..",
        "%2e%2e",
        "ofrep",
        "flags",
    ]
) | st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="?#/\\%"), min_size=1, max_size=8)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(segments=st.lists(_SEGMENTS, max_size=5), tail=st.sampled_from(["", "/", "//"]), method=st.sampled_from(METHODS))
async def test_no_path_leads_around_the_table(served: Served, segments: list[str], tail: str, method: str) -> None:
    """Whatever path is asked for without a token: it is in the table, or it is not found, or it is refused."""
    target = URL(f"{served.setting.url}/{'/'.join(segments)}{tail}", encoded=True)
    async with served.http.request(method, target, allow_redirects=False) as answer:
        found, path = answer.status, answer.url.path

    readable = {route.path for route in served.table if route.role is Role.READER and route.method == "GET"}
    if found < 300:
        assert method in ("GET", "HEAD")
        assert path in readable
    else:
        assert found in (303, 400, 401, 403, 404, 405, 415)


async def test_the_description_is_the_table(served: Served) -> None:
    """The API describes every route of programs, with every key that its body takes, and no other."""
    async with served.http.get(f"{served.setting.url}/api/v1/openapi.json") as answer:
        described = await answer.json()

    listed = {(path, method.upper()) for path, methods in described["paths"].items() for method in methods}
    programs = {
        (route.plain_path, route.method)
        for route in served.table
        if route.path.startswith(("/api/", "/ofrep/")) or route.role is Role.WEBHOOK
    }
    assert listed == programs
    assert json.loads((Path(__file__).parents[5] / "docs" / "openapi.json").read_text()) == described
