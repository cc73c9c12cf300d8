"""TLS on both sides: what our listeners take, and whom our clients believe."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from alertmanager.receiver.decide.promotion.gate import objection
from canary.certificates import tls_context
from canary.errors import RemoteError
from canary.policy.gates import UrlGate
from canary.policy.load import load_policy
from canary.policy.model import Policy
from canary.prometheus.alertmanager import Alertmanager
from canary.prometheus.client import Prometheus
from canary.web.client import Client
from canary.web.options import WebOptions
from canary.web.service import Service
from canaryctl.check.receiver import check_receiver
from tests.support.web.certificates import Authority


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates for `localhost`: good, expired, not yet valid, and of an authority that nobody named."""
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    authority.issue("good")
    authority.issue("expired")
    authority.expire("expired")
    authority.issue("future")
    authority.postpone("future")
    certificate, key = Authority(folder / "stranger").issue("strange")
    certificate.rename(folder / "strange.crt")
    key.rename(folder / "strange.key")
    return folder


@asynccontextmanager
async def _server(folder: Path, name: str, **versions: ssl.TLSVersion) -> AsyncIterator[int]:
    """A server with that certificate, which answers every question with `[]`; gives its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    for key, version in versions.items():
        setattr(context, key, version)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _prometheus(folder: Path, url: str) -> str:
    policy = _policy(folder, f"prometheus: {{url: '{url}', ca_file: authority.crt}}")
    async with aiohttp.ClientSession() as http:
        return await _said(lambda: Prometheus.of(policy, http).alerts())


async def _alertmanager(folder: Path, url: str) -> str:
    policy = _policy(folder, f"alertmanager: {{url: '{url}', ca_file: authority.crt}}")
    async with aiohttp.ClientSession() as http:
        return await _said(lambda: Alertmanager.of(policy, http).silences())


async def _receiver(folder: Path, url: str) -> str:
    async with Client.of(_policy(folder, f"url: '{url}', ca_file: authority.crt")) as client:
        return await _said(lambda: client.get("status"))


async def _check(folder: Path, url: str) -> str:
    (finding,) = await check_receiver(_policy(folder, f"url: '{url}', ca_file: authority.crt"))
    return f"{finding.what}; {finding.remedy}"


async def _gate(folder: Path, url: str) -> str:
    connector = aiohttp.TCPConnector(ssl=tls_context(folder / "authority.crt"))  # stands for the machine's own
    async with aiohttp.ClientSession(connector=connector) as http:
        return await objection(UrlGate(url=url), http)


async def _said(ask: Callable[[], Awaitable[object]]) -> str:
    try:
        await ask()
    except RemoteError as error:
        return str(error)
    return ""


def _policy(folder: Path, receiver: str) -> Policy:
    (folder / "canary.yaml").write_text(f"service: shop\nreceiver: {{{receiver}}}\n", encoding="utf-8")
    return load_policy(folder / "canary.yaml")


CLIENTS = [_prometheus, _alertmanager, _receiver, _gate]


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_server_is_believed_by_its_certificate_only(
    client: Callable[[Path, str], Awaitable[str]], folder: Path
) -> None:
    """Expired, of another name, of a stranger's authority, or with a version before 1.2: nothing is asked there."""
    old = {"minimum_version": ssl.TLSVersion.TLSv1, "maximum_version": ssl.TLSVersion.TLSv1_1}
    refused = {}
    for what, name, host, versions in (
        ("expired", "expired", "localhost", {}),
        ("name", "good", "127.0.0.1", {}),
        ("authority", "strange", "localhost", {}),
        ("version", "good", "localhost", old),
    ):
        async with _server(folder, name, **versions) as port:
            refused[what] = await client(folder, f"https://{host}:{port}")
    async with _server(folder, "good") as port:
        taken = await client(folder, f"https://localhost:{port}")

    assert "certificate" not in taken
    assert "certificate has expired" in refused["expired"]
    assert "mismatch" in refused["name"]
    assert "unable to get local issuer" in refused["authority"] or "self" in refused["authority"]
    assert refused["version"]


@pytest.mark.parametrize(
    ("client", "key"),
    [
        (_prometheus, "receiver.prometheus.ca_file"),
        (_alertmanager, "receiver.alertmanager.ca_file"),
        (_receiver, "receiver.ca_file"),
        (_check, "receiver.ca_file"),
    ],
)
async def test_what_is_wrong_with_a_certificate_has_its_own_remedy(
    client: Callable[[Path, str], Awaitable[str]], key: str, folder: Path
) -> None:
    """The remedy is not to start a server that answers: what is to be done is about its certificate, or the clocks."""
    said = {}
    for what, name, host in (
        ("expired", "expired", "localhost"),
        ("not yet valid", "future", "localhost"),
        ("mismatch", "good", "127.0.0.1"),
        ("trusted", "strange", "localhost"),
    ):
        async with _server(folder, name) as port:
            said[what] = await client(folder, f"https://{host}:{port}")

    assert all(what in text for what, text in said.items())
    assert "give the server a new certificate" in said["expired"]
    assert "see that the clocks of both machines are right" in said["not yet valid"]
    assert "ask by a name that is in it" in said["mismatch"]
    assert f"name the authority that signed it in {key}" in said["trusted"]
    assert not re.search("start (it|`canary)", "".join(said.values()))


async def test_a_listener_takes_no_old_version_and_no_expired_client(folder: Path) -> None:
    """TLS 1.2 and 1.3 are spoken; a client of 1.1 gets in by no certificate, and none by one that has expired."""
    tls = (
        f"cert_file: {folder}/good.crt, key_file: {folder}/good.key, client_ca_file: {folder}/authority.crt, "
        "client_auth_type: RequireAndVerifyClientCert"
    )
    config = folder / "web.yml"
    config.write_text(f"tls_server_config: {{{tls}}}\n", encoding="utf-8")
    service = Service(name="exporter", options=WebOptions(config_file=config))

    async def asked(url: str, client: str, version: ssl.TLSVersion) -> int:
        context = ssl.create_default_context(cafile=str(folder / "authority.crt"))
        context.load_cert_chain(folder / f"{client}.crt", folder / f"{client}.key")
        context.minimum_version = context.maximum_version = version
        if version < ssl.TLSVersion.TLSv1_2:
            context.set_ciphers("ALL:@SECLEVEL=0")  # so that the client itself would speak it
        async with aiohttp.ClientSession() as http, http.get(f"{url}/-/healthy", ssl=context) as answer:
            return answer.status

    async with service.serving() as urls:
        url = urls[0].replace("127.0.0.1", "localhost")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            assert await asked(url, "good", version) == 200
        for client, version in (("good", ssl.TLSVersion.TLSv1_1), ("expired", ssl.TLSVersion.TLSv1_2)):
            with pytest.raises(aiohttp.ClientError):
                await asked(url, client, version)
