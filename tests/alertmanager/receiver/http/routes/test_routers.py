"""A real Envoy asks a real receiver over TLS: no admin interface, no port of Envoy's but the shop's."""

import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from alertmanager.receiver.http.authority import Authority as Tokens
from alertmanager.receiver.http.routes.routers import DISCOVERY_PATH
from canary.errors import SecretError
from canary.routers import router_of
from canary.routers.envoy.section import EnvoyRouter
from tests.canary.routers.conftest import canary, stable
from tests.support.programs.envoy import PROGRAM
from tests.support.programs.ports import free_port
from tests.support.programs.processes import Program, eventually, listens
from tests.support.receiving.receiver import OPERATOR_TOKEN, Setting, order, receiving, until
from tests.support.web.certificates import Authority
from tests.support.web.traffic import Customer, Upstream, load

__all__ = ["canary", "stable"]  # fixtures

TOKEN = "token-of-the-routers"
PHASES = [{"traffic": "50%", "duration": "1h"}, {"traffic": "100%", "duration": "1h"}]


class AskingEnvoy:
    """An Envoy with the configuration that `canary generate` writes, and the receiver's policy that belongs to it."""

    def __init__(self, folder: Path, stable: Upstream, canary: Upstream) -> None:
        folder.mkdir()
        (folder / "token").write_text(f"{TOKEN}\n")
        self.port = free_port()
        receiver_port = free_port()
        authority = Authority(folder / "tls")
        certificate, key = authority.issue("receiver")
        self.web_config = folder / "web.yml"
        self.web_config.write_text(f"tls_server_config: {{cert_file: {certificate}, key_file: {key}}}\n")
        url = f"https://localhost:{receiver_port}"
        keys = {
            "kind": "envoy",
            "instances": ["edge1"],
            "receivers": [url],
            "ca_file": str(authority.certificate),
            "token_file": str(folder / "token"),
            "listen": f"127.0.0.1:{self.port}",
            "upstreams": {"stable": [stable.address], "canary": [canary.address]},
        }
        receiver = {"url": url, "ca_file": str(authority.certificate), "router_token_file": str(folder / "token")}
        self.setting = Setting(folder / "receiver", [keys], {"phases": PHASES, "receiver": receiver}, receiver_port)
        [section] = self.setting.policy.router
        assert isinstance(section, EnvoyRouter)
        [(name, text)] = router_of(section).snippet().items()
        (folder / name).write_text(text)
        options = ["--concurrency", "1", "--log-level", "warn", "--disable-hot-restart"]
        self.program = Program([PROGRAM, "-c", folder / name, *options], folder / "envoy.log")

    async def start(self) -> None:
        """Start it and wait until the shop answers through it."""
        await self.program.start(lambda: listens(self.port))


@pytest.fixture
def envoy(tmp_path: Path, stable: Upstream, canary: Upstream) -> Any:
    """One that is stopped in the end."""
    made = AskingEnvoy(tmp_path / "edge", stable, canary)
    yield made
    made.program.stop()


def follows(found: dict[str, Any], weight: float) -> bool:
    """Whether the receiver's status says that the router follows."""
    [router] = found["routers"]
    return bool(router["weight_ratio"] == weight and found["settled"])


async def test_a_rollout_through_an_envoy_that_asks(envoy: AskingEnvoy) -> None:
    """Up and back without a failed request, though the receiver ends meanwhile; a restarted Envoy asks and follows."""
    users = [f"u{number}" for number in range(30)]
    async with receiving(envoy.setting, web_config=envoy.web_config):
        await envoy.start()
        await order(envoy.setting, "start", canary="v2.0", stable="v1.0", force=True)
        await until(envoy.setting, "half of the customers", lambda found: follows(found, 0.5))
    async with load(envoy.port, users) as answers:
        assert {answer.version for answer in answers} == {"stable", "canary"}
        async with receiving(envoy.setting, web_config=envoy.web_config):
            await until(envoy.setting, "it is read back from Envoy", lambda found: follows(found, 0.5))
            await order(envoy.setting, "rollback", reason="test")
            await until(envoy.setting, "nobody on the canary", lambda found: follows(found, 0))
            seen = len(answers)
            await eventually(lambda: len(answers) > seen + 60, "answers after the rollback")
    assert [answer.failure for answer in answers if answer.failure] == []
    assert {answer.version for answer in answers[seen + 30 :]} == {"stable"}


async def test_a_restarted_envoy_asks_and_follows(envoy: AskingEnvoy) -> None:
    """It begins on stable, and has the rollout's weight before it takes its first request."""
    async with receiving(envoy.setting, web_config=envoy.web_config):
        await envoy.start()
        await order(envoy.setting, "start", canary="v2.0", stable="v1.0", force=True)
        await until(envoy.setting, "half of the customers", lambda found: follows(found, 0.5))
        envoy.program.stop(signal.SIGKILL)
        await envoy.start()
        versions = {(await Customer(envoy.port, f"u{number}").ask()).version for number in range(30)}
    assert versions == {"stable", "canary"}


async def test_only_a_router_with_its_token_is_answered(tmp_path: Path) -> None:
    """Not an operator, not a stranger; who asks for what there is not, or in another form, is told what is wrong."""
    question = {"node": {"id": "edge1"}, "resource_names": ["envoy"]}
    asked: list[tuple[int, str]] = []
    (tmp_path / "token").write_text(TOKEN)
    changes = {"receiver": {"router_token_file": str(tmp_path / "token")}}
    setting = Setting(tmp_path / "receiver", [{"kind": "envoy", "instances": ["edge1"]}], changes)
    async with receiving(setting), aiohttp.ClientSession(setting.url) as http:
        for token, body in (
            ("", question),
            (OPERATOR_TOKEN, question),
            (TOKEN, {**question, "node": {"id": "edge2"}}),
            (TOKEN, {**question, "resource_names": ["haproxy"]}),
            (TOKEN, {**question, "resource_names": []}),
            (TOKEN, {**question, "version_info": "x" * 2000}),
            (TOKEN, {**question, "node": []}),
        ):
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            async with http.post(DISCOVERY_PATH, json=body, headers=headers) as answer:
                asked.append((answer.status, (await answer.json())["error"]))
    assert [status for status, _ in asked] == [401, 401, 404, 404, 400, 400, 400]
    assert "start Envoy with --service-node and one of: edge1" in asked[2][1]


async def test_without_a_token_only_this_machine_asks(tmp_path: Path) -> None:
    """A receiver that others reach does not start, and a page of another site cannot speak as a router."""
    router = {"kind": "envoy", "instances": ["edge1"]}
    setting = Setting(tmp_path, [router])
    with pytest.raises(SecretError, match=r"set receiver\.router_token_file in the policy"):
        Tokens.of(setting.policy).require_closed(["0.0.0.0:9878"])
    async with receiving(setting), aiohttp.ClientSession(setting.url) as http:
        headers = {"Host": "shop.example"}
        async with http.post(DISCOVERY_PATH, json={}, headers=headers) as answer:
            assert answer.status == 403
