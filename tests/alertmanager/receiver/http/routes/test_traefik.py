"""A real Traefik's HTTP provider asks a real receiver over TLS: no file of the receiver's on Traefik's host."""

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from alertmanager.receiver.http.routes.routers import router_routes
from canary.routers import Split
from canary.routers.asking import Question
from canary.routers.traefik.config import ALONE, PATH, is_canary
from canary.web.routes.table import Call, Refusal
from tests.canary.routers.conftest import canary, stable
from tests.support.programs.ports import free_port
from tests.support.programs.processes import eventually
from tests.support.programs.traefik import Traefik
from tests.support.receiving.receiver import OPERATOR_TOKEN, Setting, order, receiving, status, until
from tests.support.web.certificates import Authority
from tests.support.web.traffic import AddressCustomer, Upstream, load
from tests.support.web.webserver import served

__all__ = ["canary", "stable"]  # fixtures

TOKEN = "token-of-the-routers"
PHASES = [{"traffic": "50%", "duration": "1h"}, {"traffic": "100%", "duration": "1h"}]
ADDRESSES = [f"127.0.1.{number}" for number in range(1, 31)]


@dataclass
class Asking:
    """A Traefik with the configuration that `canary generate` writes, and the receiver's policy that belongs to it."""

    traefik: Traefik
    setting: Setting
    web_config: Path

    def receiving(self) -> Any:
        """The receiver, while the block runs."""
        return receiving(self.setting, web_config=self.web_config)


@pytest.fixture
async def asking(tmp_path: Path, stable: Upstream, canary: Upstream) -> AsyncIterator[Asking]:
    """One that has everybody on stable, for it has reached nobody yet."""
    port, authority = free_port(), Authority(tmp_path / "tls")
    certificate, key = authority.issue("receiver")
    web_config = tmp_path / "web.yml"
    web_config.write_text(f"tls_server_config: {{cert_file: {certificate}, key_file: {key}}}\n")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    url, trusted = f"https://localhost:{port}", str(authority.certificate)
    made = Traefik(tmp_path / "traefik", stable.address, canary.address, token=TOKEN, receiver=url, ca_file=trusted)
    keys = {
        "kind": "traefik",
        "apis": list(made.section.apis),
        "receiver": url,
        "ca_file": trusted,
        "upstreams": {"stable": [stable.address], "canary": [canary.address]},
    }
    receiver = {"url": url, "ca_file": trusted, "router_token_file": str(tmp_path / "token")}
    setting = Setting(tmp_path / "receiver", [keys], {"phases": PHASES, "receiver": receiver}, port)
    with contextlib.closing(made):
        yield Asking(made, setting, web_config)


# A Traefik that reached no receiver asks again after a pause that grows to some twenty seconds.
LATE_SECONDS = 90.0


def follows(found: dict[str, Any], weight: float) -> bool:
    """Whether the receiver's status says that the router follows."""
    [router] = found["routers"]
    return bool(router["weight_ratio"] == weight and found["settled"])


async def test_a_rollout_through_a_traefik_that_asks(asking: Asking) -> None:
    """Up and back without a failed request, though receiver and Traefik end meanwhile; alone it serves by stable."""
    traefik = asking.traefik
    await traefik.start()
    assert (await AddressCustomer(traefik.port, ADDRESSES[0]).ask()).version == "stable"
    [told_nothing] = await traefik.router.check()
    assert "was told nothing by a receiver yet" in told_nothing.what
    async with asking.receiving():
        await until(asking.setting, "it asks", lambda found: follows(found, 0), LATE_SECONDS)
        await order(asking.setting, "start", canary="v2.0", stable="v1.0", force=True)
        await until(asking.setting, "half of the customers", lambda found: follows(found, 0.5), LATE_SECONDS)
        rollout = (await status(asking.setting))["rollout"]["id"]
        traefik.stop(signal.SIGKILL)
        await traefik.start()
        await until(asking.setting, "half of the customers again", lambda found: follows(found, 0.5), LATE_SECONDS)
    assert await traefik.router.check() == []
    async with load(traefik.port, ADDRESSES, customer_of=AddressCustomer) as answers:
        on_canary = {answer.user for answer in answers if answer.version == "canary"}
        assert on_canary == {address for address in ADDRESSES if is_canary(address, Split(rollout, 0.5))}
        async with asking.receiving():
            await until(asking.setting, "it is read back from Traefik", lambda found: follows(found, 0.5), LATE_SECONDS)
            await order(asking.setting, "rollback", reason="test")
            await until(asking.setting, "nobody on the canary", lambda found: follows(found, 0), LATE_SECONDS)
            since = time.perf_counter()
            await eventually(lambda: sum(a.sent_at > since for a in answers) > 60, "answers after it", LATE_SECONDS)
    assert [answer.failure for answer in answers if answer.failure] == []
    assert {answer.version for answer in answers if answer.sent_at > since} == {"stable"}


async def test_only_a_traefik_with_the_token_is_answered(tmp_path: Path) -> None:
    """At once on a new connection, and later only when something has changed, though never without an answer."""
    (tmp_path / "token").write_text(TOKEN)
    changes = {"receiver": {"router_token_file": str(tmp_path / "token")}}
    api = free_port()
    keys = {"kind": "traefik", "apis": [f"http://127.0.0.1:{api}"], "receiver": "http://127.0.0.1:1", "timeout": "1s"}
    setting = Setting(tmp_path / "receiver", [keys], changes)
    ours = {"Authorization": f"Bearer {TOKEN}"}

    async def alone(_request: web.Request) -> web.Response:
        return web.json_response({"status": "enabled"})

    shown = served(web.get(f"/api/http/routers/{ALONE}@file", alone), port=api)
    async with shown, receiving(setting), aiohttp.ClientSession(setting.url) as http:

        async def asked(name: str, headers: dict[str, str]) -> tuple[int, Any, bool]:
            began = asyncio.get_running_loop().time()
            async with http.get(PATH.format(name=name), headers=headers) as answer:
                found = await answer.json()
            return answer.status, found, asyncio.get_running_loop().time() - began > 1.5

        assert [
            (await asked(name, headers))[0]
            for name, headers in (
                ("traefik", {}),
                ("traefik", {"Authorization": f"Bearer {OPERATOR_TOKEN}"}),
                ("edge9", ours),
            )
        ] == [401, 401, 404]
        first = await asked("traefik", ours)
        again = await asked("traefik", ours)
    assert first[0] == again[0] == 200
    assert first[1] == again[1]
    assert "canary-split" in first[1]["http"]["services"]
    assert again[2]


async def test_routers_that_share_a_connection_are_told_apart() -> None:
    """A proxy asks for both on one: the second, of which nothing is wanted yet, does not get what the first has."""
    wanted = {"edge1": {"http": {"services": "of edge1"}}}

    async def answer(name: str, question: Question) -> Mapping[str, Any] | None:
        found = wanted.get(name)
        return None if found is None or question.in_force == json.dumps(found) else found

    [_, route] = router_routes(answer)

    async def configure(request: web.Request) -> web.StreamResponse:
        try:
            return await route.handler(Call(request))
        except Refusal as refusal:
            return web.Response(status=refusal.status, text=str(refusal))

    async with served(web.get(PATH, configure)) as address, aiohttp.ClientSession(f"http://{address}") as http:
        answers = []
        for name in ("edge1", "edge1", "edge2"):
            async with http.get(PATH.format(name=name)) as found:
                answers.append((found.status, await found.text()))
    assert answers[:2] == [(200, json.dumps(wanted["edge1"]))] * 2
    assert answers[2][0] == 503
