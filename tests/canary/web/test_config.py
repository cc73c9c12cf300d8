"""web.config.yml: what the exporter-toolkit's format allows, what is refused, and that it is obeyed on the wire."""

import asyncio
import base64
import ssl
import subprocess
from pathlib import Path

import aiohttp
import bcrypt
import pytest
from aiohttp import web

from canary.errors import WebConfigError
from canary.web.config import load_web_config
from canary.web.options import WebOptions
from canary.web.routes.table import Call, Role, Route
from canary.web.service import Service
from tests.support.programs.processes import eventually

_HASH = bcrypt.hashpw(b"sesame", bcrypt.gensalt(4)).decode()


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def _certificate(folder: Path, name: str, authority: str | None = None) -> None:
    """A key and a certificate for 127.0.0.1, signed by itself or by *authority*.

    Python 3.13 and newer verify strictly: who signs must have been given the right to.
    """
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    signing: list[str | Path] = (
        ["-CA", folder / f"{authority}.pem", "-CAkey", folder / f"{authority}.key"] if authority else []
    )
    _openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", f"/CN={name}", "-addext", f"subjectAltName=IP:127.0.0.1,DNS:{name}",
        "-addext", "keyUsage=digitalSignature,keyCertSign", "-keyout", key, "-out", certificate, *signing,
    )  # fmt: skip


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority, a server's, a client's and a stranger's certificate."""
    folder = tmp_path_factory.mktemp("tls")
    _certificate(folder, "authority")
    for name in ("server", "client"):
        _certificate(folder, name, "authority")
    _certificate(folder, "stranger")
    return folder


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def _tls(folder: Path, more: str = "", server: str = "server") -> str:
    return f"tls_server_config:\n  cert_file: {folder}/{server}.pem\n  key_file: {folder}/{server}.key\n{more}"


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _service(config: Path) -> Service:
    return Service(name="exporter", options=WebOptions(config_file=config))


def _trusting(folder: Path, client: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "authority.pem"))
    if client is not None:
        context.load_cert_chain(folder / f"{client}.pem", folder / f"{client}.key")
    return context


async def test_tls_is_spoken(certificates: Path, tmp_path: Path) -> None:
    """With a certificate the service answers over TLS, and not without."""
    config = _write(tmp_path / "web.yml", _tls(certificates))
    async with _service(config).serving() as urls, aiohttp.ClientSession(urls[0]) as client:
        async with client.get("/-/healthy", ssl=_trusting(certificates)) as answer:
            status = answer.status
        with pytest.raises(aiohttp.ClientError):
            await client.get(urls[0].replace("https", "http") + "/-/healthy")

    assert urls[0].startswith("https://")
    assert status == 200


async def test_client_certificates_are_verified(certificates: Path, tmp_path: Path) -> None:
    """Only who shows a certificate of the named authority gets in, and only under an allowed name."""
    more = f"  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: {certificates}/authority.pem\n"
    strict = _write(tmp_path / "strict.yml", _tls(certificates, more))
    named = _write(tmp_path / "named.yml", _tls(certificates, f"{more}  client_allowed_sans: [server]\n"))

    async def ask(config: Path, client: str | None) -> int:
        async with (
            _service(config).serving() as urls,
            aiohttp.ClientSession(urls[0]) as session,
            session.get("/-/healthy", ssl=_trusting(certificates, client)) as answer,
        ):
            return answer.status

    assert await ask(strict, "client") == 200
    assert await ask(named, "client") == 403
    assert await ask(named, "server") == 200
    for intruder in (None, "stranger"):
        with pytest.raises(aiohttp.ClientError):
            await ask(strict, intruder)


async def test_basic_authentication_guards_every_path(tmp_path: Path) -> None:
    """Without the right user and password every path answers 401; with them the page, also the second time."""
    config = _write(tmp_path / "web.yml", f"basic_auth_users:\n  prometheus: {_HASH}\n")
    right = _basic("prometheus", "sesame")
    statuses = []
    async with _service(config).serving() as urls, aiohttp.ClientSession(urls[0]) as client:
        for path in ("/metrics", "/", "/-/healthy", "/nowhere"):
            async with client.get(path) as answer:
                statuses.append(answer.status)
        headers = [
            _basic("prometheus", "wrong"),
            _basic("somebody", "sesame"),
            "Basic !!!",
            "Basic " + base64.b64encode(b"no colon").decode(),
            "Bearer sesame",
            right,
            right,
        ]
        for header in headers:
            async with client.get("/metrics", headers={"Authorization": header}) as answer:
                statuses.append(answer.status)

    assert statuses == [401, 401, 401, 401, 401, 401, 401, 401, 401, 200, 200]


async def test_a_route_with_a_token_of_its_own_asks_for_no_password(tmp_path: Path) -> None:
    """A webhook authenticates by its bearer token; the one `Authorization` header cannot hold a password too."""

    class Anybody:
        def refusal(self, _route: Route, _request: web.Request) -> None:
            return None

        def open(self, _route: Route) -> bool:
            return True

        def reads(self, _request: web.Request) -> bool:
            return False

        def wrote(self, _request: web.Request, _form_key: str) -> bool:
            return False

    async def take(_call: Call) -> web.Response:
        return web.Response()

    config = _write(tmp_path / "web.yml", f"basic_auth_users:\n  prometheus: {_HASH}\n")
    service = Service(
        name="receiver",
        options=WebOptions(config_file=config),
        routes=[
            Route(method="GET", path="/hook", handler=take, role=Role.WEBHOOK),
            Route(method="GET", path="/read", handler=take),
        ],
        access=Anybody(),
    )
    statuses = []
    async with service.serving() as urls, aiohttp.ClientSession(urls[0]) as client:
        for path in ("/hook", "/read"):
            async with client.get(path) as answer:
                statuses.append(answer.status)

    assert statuses == [200, 401]


async def test_headers_are_added_to_every_answer(tmp_path: Path) -> None:
    """Configured headers come with good and bad answers alike."""
    config = _write(tmp_path / "web.yml", "http_server_config:\n  headers:\n    X-Frame-Options: deny\n")
    async with _service(config).serving() as urls, aiohttp.ClientSession(urls[0]) as client:
        for path in ("/-/healthy", "/nowhere"):
            async with client.get(path) as answer:
                assert answer.headers["X-Frame-Options"] == "deny"


async def test_a_changed_password_is_taken_over_and_a_broken_file_is_not(tmp_path: Path) -> None:
    """The file is read again when it changes, without a restart; a faulty one leaves everything as it was."""
    config = _write(tmp_path / "web.yml", f"basic_auth_users:\n  prometheus: {_HASH}\n")
    changed = bcrypt.hashpw(b"other", bcrypt.gensalt(4)).decode()
    async with _service(config).serving() as urls, aiohttp.ClientSession(urls[0]) as client:

        async def let_in(password: str) -> bool:
            header = _basic("prometheus", password)
            async with client.get("/-/healthy", headers={"Authorization": header}) as answer:
                return answer.status == 200

        before = await let_in("sesame")
        _write(config, f"basic_auth_users:\n  prometheus: {changed}\n")
        await eventually(lambda: let_in("other"), "the new password")
        old = await let_in("sesame")
        _write(config, "basic_auth_users: {prometheus: plain}\n")
        await asyncio.sleep(1.5)
        kept = await let_in("other")

    assert (before, old, kept) == (True, False, True)


async def test_a_renewed_certificate_is_taken_over(certificates: Path, tmp_path: Path) -> None:
    """When the certificate's file is replaced, new connections see the new one, on the same port."""
    for kind in ("pem", "key"):
        _write(tmp_path / f"live.{kind}", (certificates / f"stranger.{kind}").read_text())
    config = _write(tmp_path / "web.yml", _tls(tmp_path, server="live"))
    async with _service(config).serving() as urls, aiohttp.ClientSession(urls[0]) as client:

        async def trusted() -> bool:
            try:
                async with client.get("/-/healthy", ssl=_trusting(certificates)) as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

        before = await trusted()
        for kind in ("pem", "key"):
            _write(tmp_path / f"live.{kind}", (certificates / f"server.{kind}").read_text())
        await eventually(trusted, "the renewed certificate")

    assert not before


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("tls_server_confg: {}", "tls_server_confg: unknown key"),
        ("rate_limit: {interval: 1s}", "rate_limit: not supported"),
        ("http_server_config: {http2: true}", "HTTP/1.1 only"),
        ("http_server_config: {headers: {X-Powered-By: us}}", "X-Powered-By: not allowed"),
        ("basic_auth_users: {me: plaintext}", "basic_auth_users.me: expected a bcrypt hash"),
        ("tls_server_config: {cert_file: a}", "expected exactly one of key and key_file"),
        ("tls_server_config: {cert_file: a, key_file: b, min_version: SSL3}", "min_version: expected one of"),
        ("tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequestClientCert}", "client_auth_type"),
        ("tls_server_config: {cert_file: a, key_file: b, client_ca_file: c}", "no certificate is asked for"),
        ("tls_server_config: {cert_file: a, key_file: b, curve_preferences: [P1]}", "curve_preferences"),
        ("tls_server_config: {cert_file: nowhere, key_file: b}", "nowhere cannot be read (No such file or directory)"),
        ("a: [", "web.yml:1: not YAML"),
        ("a: 2026-99-99", "web.yml:1: not YAML"),
        pytest.param("[" * 5000, "web.yml:1: not YAML", id="deep"),
        ("[]", "expected a section"),
    ],
)
def test_what_cannot_be_obeyed_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    """Unknown, unsupported or impossible settings are refused by name, not ignored."""
    with pytest.raises(WebConfigError) as caught:
        load_web_config(_write(tmp_path / "web.yml", text))

    assert fault in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "basic_auth_users: {me: hunter2}",
        "basic_auth_users: {me: [hunter2]}",
        "basic_auth_users: {me: 'hunter2}\n",
        "basic_auth_users: {me: hunter2\n",
        "basic_auth_users: {me: !hunter2 x}",
        "basic_auth_users: *hunter2\n",
    ],
)
def test_a_fault_never_quotes_a_secret(tmp_path: Path, text: str) -> None:
    """What stands where a hash should be may be a password; it is not printed, also of a file that is no YAML."""
    with pytest.raises(WebConfigError) as caught:
        load_web_config(_write(tmp_path / "web.yml", text))

    assert "hunter2" not in str(caught.value)


def test_ciphers_are_written_as_go_writes_them(certificates: Path, tmp_path: Path) -> None:
    """The toolkit's names of cipher suites are understood."""
    suites = "[TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256]"
    more = f"  max_version: TLS12\n  curve_preferences: [CurveP256]\n  cipher_suites: {suites}\n"
    config = load_web_config(_write(tmp_path / "web.yml", _tls(certificates, more)))

    assert config.tls is not None
    offered = {cipher["name"] for cipher in config.tls.get_ciphers()}
    assert {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305"} <= offered
    assert "ECDHE-ECDSA-AES256-GCM-SHA384" not in offered


def test_certificates_may_stand_in_the_file(certificates: Path, tmp_path: Path) -> None:
    """Certificate and key may be given as text."""
    text = "tls_server_config:\n"
    for key, name in (("cert", "server.pem"), ("key", "server.key")):
        block = "".join(f"    {line}\n" for line in (certificates / name).read_text().splitlines())
        text += f"  {key}: |\n{block}"

    assert load_web_config(_write(tmp_path / "web.yml", text)).tls is not None


def test_an_empty_file_asks_for_nothing(tmp_path: Path) -> None:
    """Plain HTTP without authentication is what an empty file means."""
    config = load_web_config(_write(tmp_path / "web.yml", ""))

    assert config.tls is None
    assert not config.users
