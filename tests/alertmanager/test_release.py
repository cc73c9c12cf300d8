"""Release after release on real routers: promoted, finished, and the next one begins on what the last one left."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from canary import names
from canary.errors import CanaryError, RefusedError
from canary.rollout.entries import FinishStepped
from canary.rollout.kinds import Kind
from canary.testing.clock import EPOCH
from canary.timing.times import to_text
from canary.web.client import Client
from tests.support.receiving.crashing import Mortal
from tests.support.receiving.receiver import SERVICE, Setting, in_state, order, receiving, router_section, until
from tests.support.web.traffic import Upstream
from tests.support.web.webserver import served

_PHASES = [{"traffic": "5%", "duration": "1h"}, {"traffic": "100%", "duration": "1h"}]


@pytest.fixture(params=["haproxy", "nginx"])
def front(request: pytest.FixtureRequest) -> Any:
    """A running front: the test runs once with HAProxy and once with nginx."""
    return request.getfixturevalue(request.param)


@pytest.fixture
async def prometheus() -> AsyncIterator[str]:
    """The address of a Prometheus in which all is well."""

    async def alerts(_request: web.Request) -> web.Response:
        labels = {"alertname": names.WATCHDOG, names.SERVICE: SERVICE, names.ACTION: "none"}
        watchdog = {"labels": labels, "annotations": {}, "state": "firing", "activeAt": to_text(EPOCH), "value": "1"}
        return web.json_response({"status": "success", "data": {"alerts": [watchdog]}})

    async def query(_request: web.Request) -> web.Response:
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": []}})

    routes = [web.get("/api/v1/alerts", alerts), *(verb("/api/v1/query", query) for verb in (web.get, web.post))]
    async with served(*routes) as address:
        yield f"http://{address}"


def setting_of(folder: Path, front: Any, prometheus: str, stable: Upstream, canary: Upstream) -> Setting:
    """A policy whose servers tell their version in a header, and that finishes quickly."""
    section = router_section(front) | {
        "upstreams": {"stable": [stable.address], "canary": [canary.address]},
        "probe": {"path": "/", "header": "X-Version"},
    }
    changes = {
        "phases": _PHASES,
        "receiver": {"prometheus": prometheus},
        "finish": {"steps": ["50%", "100%"], "duration": "200ms"},
    }
    return Setting(folder / "receiver", [section], changes)


async def deploy(server: Upstream, version: str) -> None:
    """A server is replaced by one of another version at the same address."""
    port = server.port
    await server.stop()
    server.version = version
    await server.start(port)


async def test_two_releases_in_a_row(
    tmp_path: Path, front: Any, prometheus: str, stable: Upstream, canary: Upstream
) -> None:
    """v1 -> v2 is finished, v2 -> v3 begins: at no moment is a customer given a version that was left behind."""
    setting = setting_of(tmp_path, front, prometheus, stable, canary)
    await deploy(stable, "v1.0")
    async with receiving(setting):
        for old, new in (("v1.0", "v2.0"), ("v2.0", "v3.0")):
            await deploy(canary, new)
            await order(setting, "start", canary=new, stable=old)
            await order(setting, "promote", force=True)
            await until(setting, "everybody on the canary", lambda now: now["settled"])
            with pytest.raises(RefusedError, match=f"runs {old}"):
                await order(setting, "finish")
            with pytest.raises(RefusedError, match="not finished"):
                await order(setting, "start", canary="v9.0", stable=new)

            await stable.stop()
            with pytest.raises(RefusedError, match="cannot be reached"):
                await order(setting, "finish", force=True)

            stable.version = new
            await stable.start(stable.port)
            await order(setting, "finish")
            await until(setting, "finished", in_state("finished"))
            assert (await front.router.read()).weight_ratio == 0

    entries = await setting.journal()
    assert [entry.rollout[:4] for entry in entries if entry.kind is Kind.FINISHED] == ["v2.0", "v3.0"]
    assert Kind.ROLLBACK not in {entry.kind for entry in entries}
    assert setting.stopped() == 2


@pytest.mark.timeout(400)  # a dozen lives of a receiver, each with a death
async def test_a_finish_survives_kills_at_its_steps(
    tmp_path: Path, front: Any, prometheus: str, stable: Upstream, canary: Upstream
) -> None:
    """Killed again and again between its journal writes and what they are about, it takes each step once, in order."""
    setting = setting_of(tmp_path, front, prometheus, stable, canary)
    await deploy(stable, "v1.0")
    await deploy(canary, "v2.0")
    async with receiving(setting):
        await order(setting, "start", canary="v2.0", stable="v1.0")
        await order(setting, "promote", force=True)
        await until(setting, "everybody on the canary", lambda now: now["settled"])
        await deploy(stable, "v2.0")
        await order(setting, "finish")
    lives, weights = random.Random(23), []
    with Mortal(setting) as receiver:
        state = ""
        for _ in range(60):
            receiver.begin(lives.randint(4, 9))
            # Each life ends by itself, but for one that finds nothing left to do.
            while receiver.alive() and state != "finished":
                async with Client.of(setting.policy) as client:
                    try:
                        state = (await client.get("status"))["rollout"]["state"]
                    except (CanaryError, TypeError):
                        await asyncio.sleep(0.02)
                weights.append((await front.router.read()).weight_ratio)
            if state == "finished":
                break
        receiver.end()

    steps = [entry for entry in await setting.journal() if isinstance(entry, FinishStepped)]
    assert state == "finished"
    assert [entry.step for entry in steps] == [0, 1]
    assert weights == sorted(weights, reverse=True)
    assert setting.stopped() >= 1
