"""No alert is an answer only where the service's rules are evaluated."""

from pathlib import Path

import aiohttp
import pytest

from canary import names
from canary.errors import RemoteError
from canary.prometheus import Alert, Prometheus, Sample, ServiceAlerts, UnevaluatedError
from tests.support.programs.processes import eventually
from tests.support.programs.prometheus import Prometheus as PrometheusServer
from tests.support.receiving.answering import watchdog

BLIND = {"alertname": "CanaryBlind", "service": "shop", "rollout": "v2-1", "action": "hold"}
HARM = {"alertname": "CanaryExperimentHarm", "service": "shop", "action": "stop", "experiment": "checkout"}
ERRORS = {"alertname": "CanaryHighErrorRate", "service": "shop", "rollout": "v2-1", "action": "rollback"}

RULES = """\
groups:
- name: shop
  interval: 100ms
  rules:
  - {alert: CanaryWatchdog, expr: vector(1), labels: {service: SERVICE, action: none}}
  - {alert: CanaryHighErrorRate, expr: vector(1), labels: {service: SERVICE, rollout: v2-1, action: rollback}}
"""


class Told:
    """A Prometheus with these alerts, now and in its history."""

    def __init__(self, *alerts: Alert, history: list[Sample] | None = None) -> None:
        self._alerts = list(alerts)
        self._history = history or []

    async def alerts(self) -> list[Alert]:
        """What fires or is pending."""
        return self._alerts

    async def query(self, expression: str) -> list[Sample]:
        """The history, whatever is asked."""
        return self._history

    @property
    def place(self) -> str:
        """Its name in messages."""
        return "Prometheus"


def firing(labels: dict[str, str]) -> Alert:
    """An alert that fires."""
    return Alert(labels, {}, firing=True)


@pytest.mark.parametrize(
    "alerts",
    [
        [],
        [firing(BLIND)],
        [firing(watchdog("elsewhere"))],
        [Alert(watchdog(), {}, firing=False)],
        [firing({**watchdog(), "alertname": "Watchdog"})],
    ],
    ids=["nothing", "no watchdog", "another service's", "pending", "another name"],
)
async def test_a_list_without_the_watchdog_is_no_answer(alerts: list[Alert]) -> None:
    """Only this service's own watchdog, firing, makes a list of alerts an answer."""
    asked = ServiceAlerts(Told(*alerts), "shop")

    for question in (asked.firing(), asked.about("v2-1"), asked.stopping()):
        with pytest.raises(RemoteError, match="answers, but does not evaluate the rules of service shop") as caught:
            await question
        assert "receiver.prometheus" in caught.value.remedy


async def test_what_such_a_list_shows_is_there_all_the_same() -> None:
    """An alert needs no watchdog next to it to be one; it comes with the error, for what lowers."""
    asked = ServiceAlerts(Told(firing(BLIND), firing(HARM)), "shop")

    with pytest.raises(UnevaluatedError) as about:
        await asked.about("v2-1")
    with pytest.raises(UnevaluatedError) as stopping:
        await asked.stopping()

    assert [alert.labels for alert in about.value.alerts] == [BLIND]
    assert [alert.labels for alert in stopping.value.alerts] == [HARM]


async def test_with_the_watchdog_the_rest_is_believed() -> None:
    """Alerts are told apart by service, rollout and action."""
    foreign = {**BLIND, "service": "elsewhere"}
    pending = Alert(ERRORS, {}, firing=False)
    asked = ServiceAlerts(Told(*map(firing, (watchdog(), BLIND, HARM, foreign)), pending), "shop")

    assert [alert.name for alert in await asked.firing()] == [names.WATCHDOG, "CanaryBlind", "CanaryExperimentHarm"]
    assert [alert.labels for alert in await asked.about("v2-1")] == [BLIND]
    assert await asked.about("v2-2") == []
    assert [alert.labels for alert in await asked.stopping()] == [HARM]


async def test_an_empty_history_is_believed_of_a_server_that_records() -> None:
    """Where even the watchdog has left no trace, that there was no other alert says nothing."""
    recorded = Sample({**watchdog(), "alertstate": "firing"}, 1.0)
    past = Sample({**ERRORS, "alertstate": "firing"}, 1.0)

    with pytest.raises(RemoteError, match="has no history of the alerts of service shop"):
        await ServiceAlerts(Told(), "shop").fired("v2-1", 60)
    assert await ServiceAlerts(Told(history=[recorded]), "shop").fired("v2-1", 60) == []
    assert [one.labels for one in await ServiceAlerts(Told(history=[past]), "shop").fired("v2-1", 60)] == [ERRORS]


async def test_a_real_prometheus_with_the_rules_and_without(tmp_path: Path) -> None:
    """The server that evaluates tells what fires and fired; one without rules, or with another shop's, is unknown."""
    for service in ("shop", "elsewhere"):
        (tmp_path / f"{service}.yml").write_text(RULES.replace("SERVICE", service))
    async with aiohttp.ClientSession() as session:
        with PrometheusServer(f"rule_files: ['{tmp_path}/shop.yml']\n") as server:
            asked = ServiceAlerts(Prometheus(session, server.url), "shop")

            async def recorded() -> bool:
                return len(server.query('ALERTS{alertstate="firing"}')) == 2

            await eventually(recorded, "both alerts are recorded")
            assert [alert.name for alert in await asked.about("v2-1")] == ["CanaryHighErrorRate"]
            assert [alert.name for alert in await asked.fired("v2-1", 60)] == ["CanaryHighErrorRate"]
            assert await asked.about("v2-2") == []
            assert await asked.fired("v2-2", 15 * 86400) == []
        for configuration in ("global: {}\n", f"rule_files: ['{tmp_path}/elsewhere.yml']\n"):
            with PrometheusServer(configuration) as server:
                asked = ServiceAlerts(Prometheus(session, server.url), "shop")
                with pytest.raises(RemoteError, match="does not evaluate"):
                    await asked.about("v2-1")
                with pytest.raises(RemoteError, match="no history"):
                    await asked.fired("v2-1", 60)
