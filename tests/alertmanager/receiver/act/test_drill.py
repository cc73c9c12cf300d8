"""A drill takes the rollback path through the real Alertmanager and Prometheus, and moves nothing."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from canary import names
from canaryctl.generated import generated_files
from tests.support.programs.alertmanager import Alertmanager
from tests.support.programs.haproxy import HAProxy
from tests.support.programs.ports import free_port
from tests.support.programs.prometheus import Prometheus
from tests.support.receiving.answering import evaluating
from tests.support.receiving.receiver import (
    WEBHOOK_TOKEN,
    Setting,
    alert,
    in_state,
    order,
    payload,
    post,
    receiving,
    router_section,
    status,
    until,
)  # fmt: skip


@pytest.fixture
async def drilled(tmp_path: Path, haproxy: HAProxy, told: dict[str, Any]) -> AsyncIterator[Setting]:
    """A policy whose Alertmanager is to be started on the port it names; Prometheus evaluates the rules."""
    async with evaluating() as prometheus:
        servers = {"alertmanager": f"http://127.0.0.1:{free_port()}", "prometheus": prometheus}
        yield Setting(tmp_path / "receiver", [router_section(haproxy)], {"notify": told, "receiver": servers})


def alertmanager(setting: Setting) -> Alertmanager:
    """The real one, with the generated routes; it reads the token's file whole."""
    (setting.folder / "webhook-token").write_text(f"{WEBHOOK_TOKEN}\n")
    port = int(setting.policy.receiver.alertmanager_server.url.rsplit(":", 1)[1])
    return Alertmanager(generated_files(setting.policy)["alertmanager/alertmanager.yml"], port)


async def drill(setting: Setting, *options: str) -> tuple[int, dict[str, Any]]:
    """Run `canary drill` as a script does; its exit status and report."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("canary")),
        "drill", "--format", "json", "--config.file", str(setting.policy_file), *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, complaint = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads(output) if output else {"error": complaint.decode()}


async def metric(setting: Setting, name: str) -> list[str]:
    """The receiver's samples of one metric."""
    async with aiohttp.ClientSession() as http, http.get(f"{setting.url}/metrics") as answer:
        return [line for line in (await answer.text()).splitlines() if line.startswith(name)]


async def test_a_drill_passes_through_alertmanager_and_moves_nothing(drilled: Setting, haproxy: HAProxy) -> None:
    """During a rollout: every link is named, the share stays, nobody is notified, and the success is published."""
    async with receiving(drilled):
        await order(drilled, "start", canary="v2.0", stable="v1.0")
        await until(drilled, "5 % on the canary", lambda now: now["settled"])
        with alertmanager(drilled) as server:
            code, report = await drill(drilled)
            async with aiohttp.ClientSession() as http, http.get(f"{server.url}/api/v2/alerts") as answer:
                (sent,) = await answer.json()
        published = await metric(drilled, names.DRILL_LAST_SUCCESS_TIMESTAMP_SECONDS)
        state = (await status(drilled))["rollout"]["state"]

    assert code == 0, report
    assert [(link["place"], link["ok"]) for link in report["links"]] == [
        ("alertmanager", True), ("receiver", True), ("router haproxy", True), ("process", True), ("prometheus", True),
        ("journal", True),
    ]  # fmt: skip
    real = alert(
        "CanaryHighErrorRate", "rollback", "", stable="v1.0", canary="v2.0", version="v2.0", severity="critical"
    )
    assert real["labels"].items() - sent["labels"].items() == {("alertname", "CanaryHighErrorRate"), ("rollout", "")}
    assert "would go from 5% to 0%" in report["links"][2]["what"]
    assert (await haproxy.router.read()).weight_ratio == 0.05
    assert state == "phase"
    assert drilled.stopped() == 0
    assert len(published) == 1


async def test_a_router_that_could_not_be_switched_fails_the_drill(drilled: Setting, haproxy: HAProxy) -> None:
    """HAProxy's socket is gone: the alert arrives, the drill fails, and no success is published."""
    async with receiving(drilled):
        haproxy.stop()
        with alertmanager(drilled):
            code, report = await drill(drilled)
        published = await metric(drilled, names.DRILL_LAST_SUCCESS_TIMESTAMP_SECONDS)

    assert code == 1
    assert {link["place"] for link in report["links"] if not link["ok"]} == {"router haproxy"}
    assert published == []


async def test_rules_that_nobody_evaluates_fail_the_drill(tmp_path: Path, haproxy: HAProxy) -> None:
    """Alertmanager would deliver, but the Prometheus that the policy names has no rules: no alert would begin."""
    with Prometheus() as without_rules:
        servers = {"alertmanager": f"http://127.0.0.1:{free_port()}", "prometheus": without_rules.url}
        setting = Setting(tmp_path / "receiver", [router_section(haproxy)], {"receiver": servers})
        async with receiving(setting):
            with alertmanager(setting):
                code, report = await drill(setting)

    assert code == 1
    (broken,) = (link for link in report["links"] if not link["ok"])
    assert broken["place"] == "prometheus"
    assert "does not evaluate the rules of service shop" in broken["what"]


async def test_a_broken_way_fails_the_drill(drilled: Setting) -> None:
    """Alertmanager is down, or does not know the receiver: exit status 4, and the message says what that means."""
    people_only = "route: {receiver: people}\nreceivers: [{name: people}]\n"
    port = int(drilled.policy.receiver.alertmanager_server.url.rsplit(":", 1)[1])
    async with receiving(drilled):
        down, first = await drill(drilled)
        with Alertmanager(people_only, port):
            lost, second = await drill(drilled, "--timeout", "1")

    assert (down, lost) == (4, 4)
    assert "unreachable" in first["error"]
    assert "receiver.alertmanager" in first["error"]
    assert "a real rollback would not have come either" in second["error"]


async def test_a_drill_may_begin_at_a_real_rule(tmp_path: Path, haproxy: HAProxy, told: dict[str, Any]) -> None:
    """Prometheus scrapes the request, its rule fires, Alertmanager delivers: the whole way."""
    port = free_port()
    servers = {"alertmanager": f"http://127.0.0.1:{free_port()}", "prometheus": f"http://127.0.0.1:{port}"}
    changes = {"receiver": servers, "signals": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "notify": told}
    setting = Setting(tmp_path / "receiver", [router_section(haproxy)], changes)
    files = generated_files(setting.policy)
    rules = tmp_path / "rules"
    rules.mkdir()
    for name, text in files.items():
        if name.startswith("prometheus/rules/"):
            (rules / Path(name).name).write_text(text, encoding="utf-8")
    configuration = files["prometheus/prometheus.yml"].replace("rules/*.yml", f"{rules}/*.yml")
    async with receiving(setting):
        configuration = configuration.replace("127.0.0.1:9878", f"127.0.0.1:{setting.port}")
        with alertmanager(setting), Prometheus(configuration, port=port):
            code, report = await drill(setting, "--through-prometheus")
        requested = await metric(setting, names.DRILL_REQUESTED)

    assert code == 0, report
    assert "asks Prometheus to begin drill" in report["links"][0]["what"]
    assert [sample for sample in requested if not sample.endswith(" 1.0")] == requested


async def test_a_success_is_remembered_across_restarts(drilled: Setting) -> None:
    """The journal has it, under an id that is no rollout's."""
    async with receiving(drilled):
        with alertmanager(drilled):
            await drill(drilled)
    async with receiving(drilled):
        published = await metric(drilled, names.DRILL_LAST_SUCCESS_TIMESTAMP_SECONDS)
        rollout = (await status(drilled))["rollout"]

    assert len(published) == 1
    assert rollout is None


@asynccontextmanager
async def running(setting: Setting) -> AsyncIterator[str]:
    """A receiver with a rollout in its first phase; the rollout's id."""
    async with receiving(setting):
        await order(setting, "start", canary="v2.0", stable="v1.0")
        await until(setting, "5 % on the canary", lambda now: now["settled"])
        yield (await status(setting))["rollout"]["id"]


async def test_nothing_that_is_called_a_drill_can_stop_a_real_rollback(setting: Setting) -> None:
    """A notification with a forged drill and a real rollback alert does both; a forged id is taken for none."""
    async with running(setting) as rollout:
        forged = alert(names.DRILL, "rollback", "", drill="../../etc")
        del forged["labels"]["rollout"]
        await post(setting, payload(forged, alert("CanaryHighErrorRate", "rollback", rollout)))
        await until(setting, "rolled back", in_state("rolled_back"))

    assert not [entry for entry in await setting.journal() if entry.rollout.startswith("drill-")]


async def test_only_operators_make_prometheus_begin_one(setting: Setting) -> None:
    """Without the operator's token the request is refused."""
    async with receiving(setting), aiohttp.ClientSession() as http:
        async with http.post(f"{setting.url}{names.API_PREFIX}/drill", json={}) as answer:
            refused = answer.status
        requested = await metric(setting, f"{names.DRILL_REQUESTED}{{")

    assert refused == 401
    assert requested == []
