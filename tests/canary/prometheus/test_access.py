"""Servers that do not let everybody in: real ones with a password, TLS and client certificates."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import bcrypt
import pytest
import yaml
from aiohttp import web

from alertmanager.config.configuration import alertmanager_config
from canary.errors import PolicyError, RemoteError
from canary.policy import Policy, load_policy
from canary.prometheus.alertmanager import Alertmanager
from canary.prometheus.client import Prometheus
from grafana.generate import provisioning
from rules.scrape import scrape_config
from tests.support.documents.pages import DOCS, blocks_of
from tests.support.programs.ports import free_port
from tests.support.programs.processes import Program, eventually, listens
from tests.support.web.certificates import Authority
from tests.support.web.webserver import served

_PASSWORD = "sesame-9-open"


def _policy(folder: Path, receiver: str) -> Policy:
    (folder / "canary.yaml").write_text(f"service: shop\nreceiver:\n{receiver}", encoding="utf-8")
    return load_policy(folder / "canary.yaml")


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Policy]:
    """A policy next to a Prometheus and an Alertmanager that ask for TLS, a client's certificate, and a password."""
    authority = Authority(tmp_path / "tls")
    certificate, key = authority.issue("server")
    authority.issue("client")
    hashed = bcrypt.hashpw(_PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    tls = {"cert_file": str(certificate), "key_file": str(key), "client_auth_type": "RequireAndVerifyClientCert"}
    tls["client_ca_file"] = str(authority.certificate)
    (tmp_path / "web.yml").write_text(yaml.safe_dump({"tls_server_config": tls, "basic_auth_users": {"guard": hashed}}))
    (tmp_path / "password").write_text(f"{_PASSWORD}\n")
    (tmp_path / "prometheus.yml").write_text("global: {scrape_interval: 1h}\n")
    (tmp_path / "alertmanager.yml").write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    ports = {"prometheus": free_port(), "prometheus-alertmanager": free_port()}
    programs = []
    for name, port in ports.items():
        kind = name.rpartition("-")[2]
        argv = [name, f"--config.file={tmp_path}/{kind}.yml", f"--web.config.file={tmp_path}/web.yml"]
        argv += [f"--web.listen-address=127.0.0.1:{port}"]
        argv += [f"--storage.{'tsdb.' if kind == 'prometheus' else ''}path={tmp_path}/{kind}"]
        argv += ["--cluster.listen-address="] if kind == "alertmanager" else []
        programs.append(Program(argv, tmp_path / f"{kind}.log"))
        await programs[-1].start(lambda port=port: listens(port))  # type: ignore[misc]  # bound here on purpose
    shown = (
        "username: guard, password_file: password, ca_file: tls/authority.crt, cert_file: tls/client.crt, "
        "key_file: tls/client.key"
    )
    yield _policy(
        tmp_path,
        f"  prometheus: {{url: 'https://localhost:{ports['prometheus']}', {shown}}}\n"
        f"  alertmanager: {{url: 'https://localhost:{ports['prometheus-alertmanager']}', {shown}}}\n",
    )
    for program in programs:
        program.stop()


async def test_what_the_policy_names_is_shown(guarded: Policy) -> None:
    """Both servers answer; a password that was replaced is in force at the next question, and never in an error."""
    async with aiohttp.ClientSession() as http:
        prometheus, alertmanager = Prometheus.of(guarded, http), Alertmanager.of(guarded, http)
        await eventually(lambda: _answers(prometheus), "Prometheus is ready")
        assert [sample.value for sample in await prometheus.query("1")] == [1]
        assert await alertmanager.silences() == []

        (Path(guarded.base) / "password").write_text("another-one")
        for question in (prometheus.alerts(), alertmanager.silences()):
            with pytest.raises(RemoteError, match="password_file") as caught:
                await question
            assert "another-one" not in str(caught.value)


async def _answers(prometheus: Prometheus) -> bool:
    try:
        await prometheus.time()
    except RemoteError:
        return False
    return True


@pytest.mark.parametrize(
    ("file", "content"),
    [("tls/authority.crt", None), ("tls/authority.crt", "no certificate"), ("tls/client.key", ""), ("password", None)],
)
async def test_a_file_that_cannot_be_used_is_an_error_of_that_question(
    guarded: Policy, file: str, content: str | None
) -> None:
    """Missing, damaged, empty: the error names the policy's key, and the next question looks again."""
    path = Path(guarded.base) / file
    before = path.read_bytes()
    async with aiohttp.ClientSession() as http:
        prometheus = Prometheus.of(guarded, http)
        path.unlink()
        if content is not None:
            path.write_text(content)
        with pytest.raises(RemoteError, match=r"receiver\.prometheus"):
            await prometheus.query("1")
        path.write_bytes(before)
        await eventually(lambda: _answers(prometheus), "it is asked again")


async def test_rules_may_be_evaluated_elsewhere(tmp_path: Path) -> None:
    """Alerts and rules are asked for at `rules`, series at `query`, both with the headers that the policy has."""
    asked: list[tuple[str, str, str | None]] = []

    def answering(server: str) -> web.RouteDef:
        async def answer(request: web.Request) -> web.Response:
            asked.append((server, request.path, request.headers.get("X-Scope-OrgID")))
            data: object = {"resultType": "vector", "result": []}
            if request.path.endswith("/alerts"):
                data = {"alerts": []}
            elif request.path.endswith("/rules"):
                data = {"groups": []}
            return web.json_response({"status": "success", "data": data})

        return web.get("/{path:.*}", answer)

    async with served(answering("query")) as query, served(answering("rules")) as ruler:
        servers = f"query: 'http://{query}/prometheus', rules: 'http://{ruler}', headers: {{X-Scope-OrgID: shop}}"
        policy = _policy(tmp_path, f"  prometheus: {{{servers}}}\n")
        async with aiohttp.ClientSession() as http:
            prometheus = Prometheus.of(policy, http)
            await asyncio.gather(prometheus.query("1"), prometheus.alerts(), prometheus.rules())

    assert sorted(asked) == [
        ("query", "/prometheus/api/v1/query", "shop"),
        ("rules", "/api/v1/alerts", "shop"),
        ("rules", "/api/v1/rules", "shop"),
    ]


def test_what_is_generated_shows_the_same(guarded: Policy, tmp_path: Path) -> None:
    """Prometheus' configuration, the webhook and Grafana's data source name the same files, and no secret."""
    written = scrape_config(guarded)
    (tmp_path / "generated.yml").write_text(yaml.safe_dump(written))
    subprocess.run(["promtool", "check", "config", "--syntax-only", str(tmp_path / "generated.yml")], check=True)
    [alertmanager] = written["alerting"]["alertmanagers"]
    source = provisioning(guarded)["datasources/kpi-canary.yaml"]

    assert alertmanager["basic_auth"] == {"username": "guard", "password_file": f"{tmp_path}/password"}
    assert alertmanager["tls_config"]["ca_file"] == f"{tmp_path}/tls/authority.crt"
    assert f"$__file{{{tmp_path}/password}}" in source
    assert _PASSWORD not in source + str(written)


@pytest.mark.parametrize("page", ["deployment.md", "mimir-thanos-victoriametrics.md"])
def test_what_the_pages_show_is_taken(page: str, tmp_path: Path) -> None:
    """A fragment about the servers that are asked fits into a policy as it stands."""
    fragments = [block.text for block in blocks_of(DOCS / page) if block.language == "yaml" and not block.name]
    assert fragments
    for fragment in fragments:
        (tmp_path / "canary.yaml").write_text(f"service: shop\n{fragment}", encoding="utf-8")

        assert load_policy(tmp_path / "canary.yaml").receiver.prometheus is not None


def test_the_receivers_own_authority_is_passed_on(tmp_path: Path) -> None:
    """Alertmanager and Prometheus check the receiver's certificate against the file that the policy names."""
    policy = _policy(tmp_path, "  url: https://receiver.internal:9878\n  ca_file: ca.crt\n")
    webhook = next(one for one in alertmanager_config(policy)["receivers"] if "webhook_configs" in one)

    assert webhook["webhook_configs"][0]["http_config"]["tls_config"] == {"ca_file": f"{tmp_path}/ca.crt"}
    secured = [job for job in scrape_config(policy)["scrape_configs"] if "tls_config" in job]
    assert [(job["scheme"], job["tls_config"]) for job in secured] == [("https", {"ca_file": f"{tmp_path}/ca.crt"})]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{url: 'http://u:p@h:1'}", "leave user names and passwords out"),
        ("{username: guard}", "names no one address"),
        ("{url: 'http://h:1', query: 'http://h:2'}", "names no one address"),
        ("{url: 'http://h:1', username: guard}", "password_file"),
        ("{url: 'http://h:1', password_file: p}", "username"),
        ("{url: 'http://h:1', username: g, password_file: p, token_file: t}", "remove one"),
        ("{url: 'http://h:1', cert_file: c}", "key_file"),
        ("{url: 'http://h:1', headers: {Authorization: Bearer x}}", "would be a secret"),
    ],
)
def test_what_is_not_whole_is_refused(tmp_path: Path, written: str, expected: str) -> None:
    """Half a credential, two of them, a secret in a header: each is named with its remedy."""
    with pytest.raises(PolicyError, match=r"receiver\.prometheus") as caught:
        _policy(tmp_path, f"  prometheus: {written}\n")

    assert expected in str(caught.value)


async def test_a_proxy_that_wants_a_tenant_says_so_in_its_own_words(tmp_path: Path) -> None:
    """It refuses in plain text, as Mimir does: that is told, with `headers` among what may be missing."""

    async def answer(request: web.Request) -> web.Response:
        if "X-Scope-OrgID" in request.headers:
            return web.json_response([])
        return web.Response(status=401, text="no org id")

    async with served(web.get("/{path:.*}", answer)) as address, aiohttp.ClientSession() as http:
        stranger, tenant = (
            Alertmanager.of(_policy(tmp_path, f"  alertmanager: {{url: 'http://{address}'{headers}}}\n"), http)
            for headers in ("", ", headers: {X-Scope-OrgID: shop}")
        )
        with pytest.raises(RemoteError, match=r"found 401 \(no org id\); give receiver.alertmanager .* `headers`"):
            await stranger.silences()
        assert await tenant.silences() == []
