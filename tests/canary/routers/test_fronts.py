"""What stands before a shop, on HAProxy and nginx: HTTPS, IPv6, the PROXY protocol, names, weights, one's own lines."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from canary.errors import PolicyError
from canary.policy import load_policy, release
from canary.policy.release import Upstreams
from canary.policy.routers.sections import HaproxyRouter, NginxRouter
from canary.policy.routers.shared import Server, Tls
from canary.process.program import run
from canary.routers import Split, routers_of
from canary.routers.haproxy.config import render as haproxy_text
from canary.routers.nginx.config import render as nginx_text
from tests.support.documents.pages import DOCS, blocks_of
from tests.support.programs.envoy import Envoy
from tests.support.programs.haproxy import HAProxy
from tests.support.programs.nginx import Nginx
from tests.support.programs.ports import free_port
from tests.support.programs.traefik import Traefik
from tests.support.web.certificates import Authority
from tests.support.web.traffic import Upstream
from tests.support.web.webserver import served

Make = Callable[..., HAProxy] | Callable[..., Nginx]


@pytest.fixture(params=["haproxy", "nginx"])
def make(request: pytest.FixtureRequest, make_haproxy: Make, make_nginx: Make) -> Make:
    """Makes the router that the test is about."""
    return make_haproxy if request.param == "haproxy" else make_nginx


def both_in_one(make: Make) -> bool:
    """Whether it is HAProxy, which reads certificate and key from one file."""
    return make.__qualname__.startswith("make_haproxy")


async def raw(port: int, text: str, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> tuple[str, str]:
    """What comes back for what is sent, and the protocol that TLS has agreed on."""
    reader, writer = await asyncio.open_connection(host, port, ssl=tls, server_hostname="localhost" if tls else None)
    writer.write(text.encode())
    answer = await reader.readuntil(b"\r\n\r\n")
    agreed = writer.get_extra_info("ssl_object").selected_alpn_protocol() if tls else ""
    writer.close()
    return answer.decode().lower(), agreed


REQUEST = "GET /shop HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def test_https_with_http2_and_a_redirect(make: Make, tmp_path: Path, stable: Upstream) -> None:
    """Plain HTTP is sent on; HTTP/2 is offered; the shop learns of HTTPS, and the cookie is for HTTPS alone."""
    authority = Authority(tmp_path / "authority")
    certificate, key = authority.issue("shop")
    both = tmp_path / "both.pem"
    both.write_text(certificate.read_text() + key.read_text())
    port = free_port()
    tls = Tls(
        listen=f"127.0.0.1:{port}",
        certificate=str(both),
        key=None if both_in_one(make) else str(key),
    )
    own = "http-response set-header" if both_in_one(make) else "add_header"
    front = make(tls=tls, extra=(f"{own} X-Own-Line 1{'' if both_in_one(make) else ';'}",))
    await front.start()
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.set_alpn_protocols(["http/1.1"])
    asking = ("curl", "--silent", "--include", "--http2", "--cacert", str(authority.certificate))

    sent_on, _ = await raw(front.port, REQUEST)
    answered, agreed = await raw(port, REQUEST, tls=context)
    await front.router.set_weight(Split("r-7", 1))
    switched = await run((*asking, f"https://localhost:{port}/shop"), timeout_seconds=60)

    assert sent_on.startswith("http/1.1 308")
    assert "location: https://localhost/shop" in sent_on
    assert answered.startswith("http/1.1 200")
    assert "; secure" in answered
    assert agreed == "http/1.1"
    assert switched.output.startswith("HTTP/2 200"), switched.output
    assert "x-version: canary" in switched.output
    assert "x-own-line: 1" in switched.output
    assert stable.arrivals[-1].headers["x-forwarded-proto"] == "https"


async def test_the_proxy_protocol_tells_the_customers_address(make: Make, stable: Upstream) -> None:
    """Behind a balancer that speaks it, customers are told apart by their own addresses."""
    front = make(sticky="address", proxy_protocol=("127.0.0.0/8",))
    await front.start()

    for address in ("203.0.113.9", "203.0.113.10"):
        answer, _ = await raw(front.port, f"PROXY TCP4 {address} 127.0.0.1 5 {front.port}\r\n{REQUEST}")
        assert answer.startswith("http/1.1 200")
        assert stable.arrivals[-1].headers["x-canary-user"] == address


async def test_ipv6_before_and_behind(make: Make, canary: Upstream) -> None:
    """One address to listen on serves both kinds of customer; a server may have an address of either."""
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "::1") as server:
        port, own = free_port(), server.sockets[0].getsockname()[1]
        upstreams = Upstreams(stable=(f"[::1]:{own}",), canary=(canary.address,))
        front = make(listen=f"[::]:{port}", upstreams=upstreams, sticky="address")
        front.port = port
        await front.start()
        answers = [await raw(port, REQUEST, host) for host in ("::1", "127.0.0.1")]
        front.stop()

    assert [answer.startswith("http/1.1 200") for answer, _ in answers] == [True, True]
    users = [text for text in seen if "x-canary-user: " in text]
    assert "x-canary-user: ::1\r" in users[0]
    assert "x-canary-user: 127.0.0.1\r" in users[1].replace("::ffff:", "")


@pytest.fixture(params=["haproxy", "nginx", "envoy", "traefik"])
def makes(
    request: pytest.FixtureRequest,
    make_haproxy: Make,
    make_nginx: Make,
    tmp_path: Path,
    stable: Upstream,
    canary: Upstream,
) -> Iterator[Callable[[release.Testers], HAProxy | Nginx | Envoy | Traefik]]:
    """Makes a router of each kind that knows where a request comes from."""
    started: list[Envoy | Traefik] = []

    def make(testers: release.Testers) -> HAProxy | Nginx | Envoy | Traefik:
        if request.param in ("haproxy", "nginx"):
            return (make_haproxy if request.param == "haproxy" else make_nginx)(testers=testers)
        program = Envoy if request.param == "envoy" else Traefik
        front = program(tmp_path / request.param, stable.address, canary.address, testers=testers)
        started.append(front)
        return front

    yield make
    for front in started:
        front.stop()


async def test_testers_networks_reach_the_receivers_metrics(
    makes: Callable[[release.Testers], HAProxy | Nginx | Envoy | Traefik], stable: Upstream
) -> None:
    """`/api/metrics` is the receiver's for testers, below its prefix, without a cookie; the shop's for all others.

    The receiver learns who asks from the router, and not from the question.
    """
    asked: list[tuple[str, str, set[str]]] = []

    async def metrics(request: web.Request) -> web.Response:
        asked.append((request.path, request.host, set(request.headers.getall("X-Forwarded-For", []))))
        return web.json_response({"error_rate": 0.25})

    async with served(web.get("/services/shop/api/metrics", metrics)) as receiver:
        testers = release.Testers(networks=("127.0.0.2/32",), metrics=f"http://{receiver}/services/shop")
        front = makes(testers)
        await front.start()

        async def ask(address: str, path: str) -> str:
            reader, writer = await asyncio.open_connection("127.0.0.1", front.port, local_addr=(address, 0))
            headers = "Host: shop.example\r\nConnection: close\r\nX-Forwarded-For: 192.0.2.1"
            writer.write(f"GET {path} HTTP/1.1\r\n{headers}\r\n\r\n".encode())
            answer = (await reader.read()).decode().lower()
            writer.close()
            return answer

        answered = await ask("127.0.0.2", "/api/metrics")
        before = len(stable.arrivals)
        others = [await ask("127.0.0.1", "/api/metrics"), await ask("127.0.0.2", "/shop")]
        hidden = await ask("127.0.0.1", "/.canary-receiver")

    assert answered.startswith("http/1.1 200")
    assert '"error_rate": 0.25' in answered
    assert "set-cookie" not in answered
    assert asked == [("/services/shop/api/metrics", receiver, {"127.0.0.2"})]
    assert len(stable.arrivals) >= before + 2
    assert not any("error_rate" in answer for answer in (*others, hidden))


def test_nginx_is_not_kept_from_starting_by_the_receivers_name() -> None:
    """A name that is not known would; without networks, and with an empty address, nobody is handed on."""
    testers = release.Testers(networks=("10.0.1.0/24",), metrics="http://receiver.example:9878")
    assert "proxy_pass http://receiver" not in nginx_text(NginxRouter(kind="nginx", testers=testers))
    assert "server receiver receiver.example:9878 init-addr" in haproxy_text(
        HaproxyRouter(kind="haproxy", testers=testers)
    )
    for none in (
        release.Testers(networks=("10.0.1.0/24",), metrics=""),
        release.Testers(metrics="http://127.0.0.1:9878"),
    ):
        assert "receiver" not in haproxy_text(HaproxyRouter(kind="haproxy", testers=none)).partition("global")[2]
        assert "canary-receiver" not in nginx_text(NginxRouter(kind="nginx", testers=none))


NAMES = ("shop.example", "www.shop.example")
UPSTREAMS = Upstreams(stable=("10.0.1.10:5000", "10.0.1.11:5000"), canary=("10.0.1.20:5000",))


def test_the_strategys_weights_and_lines_of_ones_own() -> None:
    """What the policy says of a server stands on each of its lines; what it adds stands in the front, as written."""
    stable = {"10.0.1.10:5000": Server(weight=90)}
    haproxy = haproxy_text(
        HaproxyRouter(
            kind="haproxy",
            server_names=NAMES,
            upstreams=UPSTREAMS,
            servers={**stable, "10.0.1.20:5000": Server(weight=10, options="maxconn 100")},
            extra=("http-request deny if FALSE",),
        )
    )
    nginx = nginx_text(
        NginxRouter(
            kind="nginx",
            server_names=NAMES,
            upstreams=UPSTREAMS,
            servers={**stable, "10.0.1.20:5000": Server(weight=10, options="max_conns=100")},
            extra=("client_max_body_size 20m;",),
        )
    )

    assert haproxy.count("10.0.1.10:5000 weight 90 ") == 2
    assert "server canary1 10.0.1.20:5000 weight 10 maxconn 100 check" in haproxy
    assert "\n    http-request deny if FALSE\n" in haproxy
    assert "-m str shop.example www.shop.example }" in haproxy
    assert nginx.count("server 10.0.1.10:5000 weight=90") == 2
    assert "server 10.0.1.20:5000 weight=10 max_conns=100 max_fails" in nginx
    assert "\n    client_max_body_size 20m;\n" in nginx
    assert "server_name shop.example www.shop.example;" in nginx


async def test_haproxy_answers_for_its_names_alone(make_haproxy: Callable[..., HAProxy]) -> None:
    """Whoever asks for another host is misdirected."""
    front = make_haproxy(server_names=("localhost",), extra=("http-request set-header X-Own 1",))
    await front.start()
    await front.router.set_weight(Split("r-7", 0.05))

    ours, _ = await raw(front.port, REQUEST.replace("localhost", "LOCALHOST:80"))
    other, _ = await raw(front.port, REQUEST.replace("localhost", "elsewhere"))

    assert ours.startswith("http/1.1 200")
    assert other.startswith("http/1.1 421")


async def test_the_pages_front_is_one_that_haproxy_runs(tmp_path: Path) -> None:
    """The policy of docs/routers-front.md, with files and addresses of this machine, and Debian's user for HAProxy."""
    certificate, key = Authority(tmp_path / "authority").issue("shop")
    (tmp_path / "both.pem").write_text(certificate.read_text() + key.read_text())
    [text] = [block.text for block in blocks_of(DOCS / "routers-front.md") if block.language == "yaml"]
    for page, here in (
        ("/etc/haproxy/sastabazar.pem", f"{tmp_path}/both.pem"),
        ("kind: haproxy\n", f"kind: haproxy\n  user: haproxy\n  map: {tmp_path}/canary.map\n"),
    ):
        assert page in text
        text = text.replace(page, here)
    (tmp_path / "canary.yaml").write_text(text)
    [router] = routers_of(load_policy(tmp_path / "canary.yaml"))
    for name, content in router.snippet().items():
        (tmp_path / name).write_text(content)

    checked = await run(("haproxy", "-c", "-f", str(tmp_path / "haproxy.cfg")), timeout_seconds=60)

    assert checked.fault == "", checked.output
    assert "global\n    user haproxy\n    group haproxy\n" in router.snippet()["haproxy.cfg"]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("kind: haproxy\n  servers: {'10.0.0.9:1': {weight: 2}}", "10.0.0.9:1 is no server of `upstreams`"),
        ("kind: haproxy\n  tls: {certificate: /a, key: /b}", "HAProxy reads certificate and key from one file"),
        ("kind: nginx\n  tls: {certificate: /a}", "names no `key`"),
        ("kind: nginx\n  sticky: header\n  key: X-User\n  tag_header: x-user", "tag_header: is `key` too"),
        ('kind: nginx\n  extra: ["a;\\nb;"]', "router.extra"),
        ("kind: nginx\n  servers: {'10.0.0.9:1': {options: 'a; b'}}", "options"),
        ("kind: nginx\n  servers: {'10.0.0.9:1': {weight: 0}}", "weight"),
    ],
)
def test_what_cannot_be_written_is_the_policys_fault(tmp_path: Path, keys: str, said: str) -> None:
    """With the key, before anything is generated."""
    (tmp_path / "canary.yaml").write_text(f"service: s\nrouter:\n  {keys}\n")

    with pytest.raises(PolicyError) as refused:
        load_policy(tmp_path / "canary.yaml")
    assert said in str(refused.value)
