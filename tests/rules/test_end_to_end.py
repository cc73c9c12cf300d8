"""Real Prometheus and Alertmanager evaluate the generated files against scraped series, for every alert at once."""

import asyncio
import dataclasses
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from alertmanager.config import alertmanager_file
from canary import names
from canary.policy import Policy
from rules.generate import ALERTS_FILE, prometheus_files, rule_groups
from rules.promtool import files as promtool_files
from rules.promtool.case import Case, Trial
from tests.support import golden
from tests.support.alertmanager import Alertmanager
from tests.support.ports import free_port
from tests.support.processes import eventually
from tests.support.prometheus import Prometheus

_SCENE = "scene-0"
_PATIENCE_SECONDS = 90.0

# Descriptions that cannot be filled in: Go's templates say so in their own words.
_UNFILLED = ("error expanding", "<no value>", "?", "NaN", "%!")


def _policy() -> Policy:
    """The strategy's policy with every optional part, and waiting times of seconds."""
    policy = golden.policy("strategy")
    tiers = {
        name: dataclasses.replace(getattr(policy.signals, name), hold_for=2) for name in ("critical", "warning", "info")
    }
    signals = dataclasses.replace(
        policy.signals,
        window=6,
        long_window=12,
        scrape_interval=1,
        evaluation_interval=1,
        selector=f'scene="{_SCENE}"',
        node_selector=f'scene="{_SCENE}"',
        **tiers,
    )
    return dataclasses.replace(
        policy,
        service=_SCENE,
        signals=signals,
        database=dataclasses.replace(policy.database, replica=golden.policy("custom").database.replica),
        receiver=dataclasses.replace(policy.receiver, drill_max_age=3600, token_file=None),
        rollback=dataclasses.replace(policy.rollback, converge=2),
    )


def _lenient(policy: Policy) -> Policy:
    """The same with limits that are reached well before the series reach those of the policy itself.

    Real scrapes come a few milliseconds early or late, so that no rate is exact.
    """
    signals = policy.signals
    critical = dataclasses.replace(
        signals.critical, error_rate=0.05, response_time=5, memory=0.7, database_connection_failures=2
    )
    warning = dataclasses.replace(signals.warning, error_rate=0.02, response_time=2)
    info = dataclasses.replace(signals.info, error_rate=0.02, response_time=1, cpu=0.6, memory=0.6, disk=0.6)
    return dataclasses.replace(
        policy,
        signals=dataclasses.replace(signals, minimum_requests=20, critical=critical, warning=warning, info=info),
    )


class _Target:
    """Serves the series of all scenes as one scrape target; time runs as fast as it does."""

    def __init__(self, trials: list[Trial]) -> None:
        self._trials = trials
        self._started = time.time()

    async def metrics(self, _request: web.Request) -> web.Response:
        lines = [line for number, trial in enumerate(self._trials) for line in self._lines(number, trial)]
        return web.Response(text="\n".join(lines) + "\n")

    def _lines(self, number: int, trial: Trial) -> Iterator[str]:
        world = trial.world
        index = min(int((time.time() - self._started) / world.step), world.count - 1)
        for (metric, labels), values in world.series.items():
            value = values[index]
            if not isinstance(value, float | int):
                continue
            if metric.endswith("_timestamp_seconds"):
                value += self._started + (60 if metric == names.ROLLOUT_EVENT_TIMESTAMP_SECONDS else 0)
            text = ",".join(f'{key}="{self._relabelled(label, number)}"' for key, label in labels)
            yield f"{metric}{{{text}}} {value!r}"

    @staticmethod
    def _relabelled(value: str, number: int) -> str:
        return f"scene-{number}" if value == _SCENE else value


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
def trials(monkeypatch: pytest.MonkeyPatch) -> list[Trial]:
    """The worlds in which the alerts of each scene fire, with all their series, long enough to be seen."""
    monkeypatch.setattr(promtool_files, "_read_by", lambda *_: None)
    monkeypatch.setattr(promtool_files, "_MARGIN", 200)
    policy = _policy()
    rules = [rule for group in rule_groups(_lenient(policy))["alerts"]["groups"] for rule in group["rules"]]
    return [trial for trial in promtool_files.tests(policy, rules) if trial.name.endswith(": beyond")]


@pytest.fixture
async def served(trials: list[Trial]) -> AsyncIterator[tuple[str, _Webhook]]:
    """Address of a server with the scenes' metrics and a webhook, and what the webhook got."""
    target, webhook = _Target(trials), _Webhook()
    app = web.Application()
    app.add_routes([web.get("/metrics", target.metrics), web.post(names.WEBHOOK_PATH, webhook.take)])
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"127.0.0.1:{port}", webhook
    await runner.cleanup()


@pytest.mark.timeout(300)
async def test_every_alert_fires_for_real(trials: list[Trial], served: tuple[str, _Webhook], tmp_path: Path) -> None:
    """Each alert fires in Prometheus and reaches whom it must through Alertmanager, with every word filled in."""
    address, webhook = served
    lenient = _lenient(_policy())
    lenient = dataclasses.replace(lenient, receiver=dataclasses.replace(lenient.receiver, url=f"http://{address}"))
    text = prometheus_files(lenient)[f"rules/{ALERTS_FILE}"]
    alertmanager = tmp_path / "alertmanager.yml"
    alertmanager.write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    for number in range(len(trials)):
        (tmp_path / f"scene-{number}.yml").write_text(text.replace(_SCENE, f"scene-{number}"))
        one = dataclasses.replace(lenient, service=f"scene-{number}")
        alertmanager.write_text(alertmanager_file(one, alertmanager))

    with Alertmanager(alertmanager.read_text()) as routed:
        configuration = (
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            f"rule_files: ['{tmp_path}/scene-*.yml']\n"
            f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{routed.port}']}}]}}]}}\n"
            f"scrape_configs: [{{job_name: all, honor_labels: true, static_configs: [{{targets: ['{address}']}}]}}]\n"
        )
        with await asyncio.to_thread(Prometheus(configuration).__enter__) as prometheus:
            wanted = [
                (number, case) for number, trial in enumerate(trials) for case in trial.cases if case.kind == "fires"
            ]
            async with aiohttp.ClientSession() as session:
                await _eventually_firing(session, prometheus.url, wanted)
            await eventually(
                lambda: not _untold(webhook, wanted), f"told: {_untold(webhook, wanted)}", _PATIENCE_SECONDS
            )

    assert {case.rule["alert"] for _, case in wanted} == names.ALERTS
    told = [alert for alerts in webhook.alerts.values() for alert in alerts]
    unfilled = {
        alert["labels"]["alertname"]: text
        for alert in told
        for text in alert["annotations"].values()
        if any(sign in text.replace("?var-service", "") for sign in _UNFILLED) and not _experiment(alert)
    }
    assert unfilled == {}


def _experiment(alert: dict[str, Any]) -> bool:
    """Whether an alert is about an experiment, whose figures these worlds do not have."""
    return names.EXPERIMENT in alert["labels"]


async def _eventually_firing(session: aiohttp.ClientSession, url: str, wanted: list[tuple[int, Case]]) -> None:
    """Wait until every wanted alert has fired, each at any time."""
    missing = dict.fromkeys(range(len(wanted)))

    async def nothing_is_missing() -> bool:
        async with session.get(f"{url}/api/v1/query", params={"query": 'ALERTS{alertstate="firing"}'}) as response:
            firing = [one["metric"] for one in (await response.json())["data"]["result"]]
        for position in list(missing):
            number, case = wanted[position]
            if any(_is(labels, number, case) for labels in firing):
                del missing[position]
        return not missing

    try:
        await eventually(nothing_is_missing, "all fire", _PATIENCE_SECONDS)
    except AssertionError:
        names_of = [f"{wanted[position][1].rule['alert']} {wanted[position][1].rule['labels']}" for position in missing]
        raise AssertionError(f"never fired: {names_of}") from None


def _is(labels: dict[str, str], number: int, case: Case) -> bool:
    rule = {**case.rule["labels"], names.SERVICE: f"scene-{number}"}
    return labels["alertname"] == case.rule["alert"] and rule.items() <= labels.items()


def _untold(webhook: _Webhook, wanted: list[tuple[int, Case]]) -> list[str]:
    """Alerts that act, and that Alertmanager has not told the receiver yet."""
    return [
        case.rule["alert"]
        for number, case in wanted
        if (case.rule["labels"][names.ACTION] != "none" or case.rule["alert"] == names.WATCHDOG)
        and not any(_is(alert["labels"], number, case) for alert in webhook.alerts[f"scene-{number}"])
    ]
