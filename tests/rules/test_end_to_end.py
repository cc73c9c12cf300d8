"""Real Prometheus and Alertmanager evaluate the generated files against scraped series, for every alert at once."""

import asyncio
import dataclasses
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from alertmanager.config.configuration import alertmanager_file
from canary import names
from rules.generate import rule_groups
from rules.promtool.scenes import Question, Scenario
from scripts import golden
from tests.support.programs.alertmanager import Alertmanager
from tests.support.programs.processes import eventually
from tests.support.programs.prometheus import Prometheus
from tests.support.stories.scenes import (
    PATIENCE_SECONDS,
    SCENE,
    SceneTarget,
    eventually_firing,
    hasty,
    is_about,
    limited,
    unfolding,
)
from tests.support.web.webserver import served

# Descriptions that cannot be filled in: Go's templates say so in their own words.
_UNFILLED = ("error expanding", "<no value>", "?", "NaN", "%!")

_STRATEGY = golden.policy("strategy")
_POLICY = hasty(
    dataclasses.replace(
        _STRATEGY,
        database=dataclasses.replace(
            _STRATEGY.database,
            replica=golden.policy("custom").database.replica,
            primary=golden.policy("custom").database.primary,
            log=golden.policy("custom").database.log,
        ),
        signals=dataclasses.replace(
            _STRATEGY.signals,
            query_duration="database_query_duration_seconds",
            critical=dataclasses.replace(_STRATEGY.signals.critical, query_time=1),
        ),
        receiver=dataclasses.replace(_STRATEGY.receiver, drill_max_age=3600, token_file=None),
        rollback=dataclasses.replace(_STRATEGY.rollback, converge=2),
    )
)

_LENIENT = limited(_POLICY, 0.5)


class _Webhook:
    """Keeps every firing alert that Alertmanager tells, by service."""

    def __init__(self) -> None:
        self.alerts: dict[str, list[dict[str, Any]]] = defaultdict(list)

    async def take(self, request: web.Request) -> web.Response:
        for alert in (await request.json())["alerts"]:
            if alert["status"] == "firing":
                self.alerts[alert["labels"].get("service", "")].append(alert)
        return web.Response(status=202)


@pytest.fixture
def worlds() -> list[Scenario]:
    """The worlds in which the alerts of each scene fire."""
    return [scenario for scenario in unfolding(_POLICY, _LENIENT) if scenario.name.endswith(": beyond")]


@pytest.fixture
async def told(worlds: list[Scenario]) -> AsyncIterator[tuple[str, _Webhook]]:
    """Address of a server with the scenes' metrics and a webhook, and what the webhook got."""
    target, webhook = SceneTarget(worlds), _Webhook()
    routes = [web.get("/metrics", target.metrics), web.post(names.WEBHOOK_PATH, webhook.take)]
    async with served(*routes) as address:
        yield address, webhook


@pytest.mark.timeout(900)
async def test_every_alert_fires_for_real(worlds: list[Scenario], told: tuple[str, _Webhook], tmp_path: Path) -> None:
    """Each alert fires in Prometheus and reaches whom it must through Alertmanager, with every word filled in."""
    address, webhook = told
    lenient = dataclasses.replace(_LENIENT, receiver=dataclasses.replace(_LENIENT.receiver, url=f"http://{address}"))
    groups = rule_groups(lenient)["alerts"]["groups"]
    alertmanager = tmp_path / "alertmanager.yml"
    alertmanager.write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    for number, world in enumerate(worlds):
        (tmp_path / f"scene-{number}.yml").write_text(_asked(groups, world).replace(SCENE, f"scene-{number}"))
    policies = (dataclasses.replace(lenient, service=f"scene-{number}") for number in range(len(worlds)))
    alertmanager.write_text(alertmanager_file(*policies, merge=alertmanager))

    with Alertmanager(alertmanager.read_text()) as routed:
        configuration = (
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            f"rule_files: ['{tmp_path}/scene-*.yml']\n"
            f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{routed.port}']}}]}}]}}\n"
            f"scrape_configs: [{{job_name: all, honor_labels: true, static_configs: [{{targets: ['{address}']}}]}}]\n"
        )
        with await asyncio.to_thread(Prometheus(configuration).__enter__) as prometheus:
            wanted = [
                (number, case)
                for number, scenario in enumerate(worlds)
                for case in scenario.questions
                if case.kind == "fires"
            ]
            await eventually_firing(prometheus.url, wanted)
            await eventually(
                lambda: not _untold(webhook, wanted), f"told: {_untold(webhook, wanted)}", PATIENCE_SECONDS
            )

    assert {case.rule["alert"] for _, case in wanted} == names.ALERTS
    received = [alert for alerts in webhook.alerts.values() for alert in alerts]
    unfilled = {
        alert["labels"]["alertname"]: text
        for alert in received
        for text in alert["annotations"].values()
        if any(sign in text.replace("?var-service", "") for sign in _UNFILLED) and not _experiment(alert)
    }
    assert unfilled == {}


def _asked(groups: list[dict[str, Any]], world: Scenario) -> str:
    """The rules that a world is about, with all that are recorded: every alert in each of the ninety worlds is more
    than a small machine evaluates in a second."""
    alerts = {None, *(case.rule["alert"] for case in world.questions)}
    kept = [{**group, "rules": [rule for rule in group["rules"] if rule.get("alert") in alerts]} for group in groups]
    return json.dumps({"groups": kept})


def _experiment(alert: dict[str, Any]) -> bool:
    """Whether an alert is about an experiment, whose figures these worlds do not have."""
    return names.EXPERIMENT in alert["labels"]


def _untold(webhook: _Webhook, wanted: list[tuple[int, Question]]) -> list[str]:
    """Alerts that act, and that Alertmanager has not told the receiver yet."""
    return [
        case.rule["alert"]
        for number, case in wanted
        if (case.rule["labels"][names.ACTION] != "none" or case.rule["alert"] == names.WATCHDOG)
        and not any(is_about(alert["labels"], number, case) for alert in webhook.alerts[f"scene-{number}"])
    ]
