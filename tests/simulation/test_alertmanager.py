"""The model of Alertmanager next to the real one, with the generated configuration: who is notified of what."""

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from alertmanager.config.configuration import alertmanager_file
from canary import names
from canary.policy.model import Policy
from canary.policy.release import Receiver
from canary.prometheus import Alertmanager
from canary.testing.alertmanager import MemoryAlertmanager
from simulation.stories.story import SERVICE
from simulation.surroundings.monitoring import inhibitions, routes
from tests.support.programs.alertmanager import Alertmanager as Server
from tests.support.programs.processes import eventually
from tests.support.web.webserver import served

_PATIENCE_SECONDS = 120.0


def _alert(name: str, action: str, rollout: str, **labels: str) -> dict[str, str]:
    about = {names.ROLLOUT: rollout} if rollout else {}
    return {"alertname": name, names.SERVICE: SERVICE, names.ACTION: action, **about, **labels}


# An advance that nothing forbids, one that a rollback inhibits, one that a hold inhibits, a KPI that nobody can trust
# while the exporter is away, and two reasons for the same rollback.
ALERTS = (
    _alert(names.WATCHDOG, "none", ""),
    _alert(names.PHASE_COMPLETE, "advance", "free", phase="0"),
    _alert(names.PHASE_COMPLETE, "advance", "bad", phase="1"),
    _alert("CanaryHighErrorRate", "rollback", "bad"),
    _alert("CanaryConversionDegraded", "rollback", "bad"),
    _alert(names.PHASE_COMPLETE, "advance", "blind", phase="1"),
    _alert("CanaryConversionDegraded", "rollback", "blind"),
    _alert(names.BLIND_ALERT, "hold", "blind", reason="exporter"),
)

Told = frozenset[tuple[tuple[str, str], ...]]


def _set(alerts: list[Mapping[str, str]]) -> Told:
    return frozenset(tuple(sorted(labels.items())) for labels in alerts)


@pytest.mark.timeout(600)
async def test_the_same_groups_are_told_and_the_same_alerts_suppressed() -> None:  # long: one real server, three looks
    """Routes, grouping, inhibition and silences, as the generated file has them and as the model has them."""
    told: set[Told] = set()

    async def take(request: web.Request) -> web.Response:
        body: dict[str, Any] = await request.json()
        told.add(_set([alert["labels"] for alert in body["alerts"]]))
        return web.Response()

    async with served(web.post(names.WEBHOOK_PATH, take)) as address, aiohttp.ClientSession() as session:
        policy = Policy(service=SERVICE, receiver=Receiver(url=f"http://{address}"))
        now = [0.0]
        model = MemoryAlertmanager(lambda: now[0], routes(policy.receiver.repeat), inhibitions())
        with await asyncio.to_thread(Server(alertmanager_file(policy)).__enter__) as server:
            real = Alertmanager(session, server.url)

            async def agree() -> bool:
                async with session.get(f"{server.url}/api/v2/alerts", params={"active": "false"}) as answer:
                    return _set([one["labels"] for one in await answer.json()]) == _set(list(model.suppressed()))

            # What inhibits is known before what is inhibited, as in one evaluation of the rules.
            await real.post([{"labels": labels} for labels in ALERTS])
            model.take(ALERTS)
            await eventually(agree, "the same alerts are inhibited", _PATIENCE_SECONDS)
            assert len(model.suppressed()) == 3
            expected = {_set([labels for labels, _, _ in notification]) for notification in model.due()}

            async def all_told() -> bool:
                return expected <= told

            await eventually(all_told, "every group of the model is told by the real one", _PATIENCE_SECONDS)

            # What is silenced itself inhibits nevertheless.
            for action in ("advance", "hold"):
                silence = {
                    "matchers": [{"name": names.ACTION, "value": action, "isRegex": False, "isEqual": True}],
                    "startsAt": "2020-01-01T00:00:00Z",
                    "endsAt": "2120-01-01T00:00:00Z",
                    "createdBy": "ann",
                    "comment": "pause",
                }
                async with session.post(f"{server.url}/api/v2/silences", json=silence) as answer:
                    assert answer.status == 200
                model.silence({names.ACTION: action}, 3600.0)
            await eventually(agree, "the same alerts are silenced", _PATIENCE_SECONDS)
            assert len(model.suppressed()) == 5


def test_what_fires_is_told_again_after_its_time() -> None:
    """At once, not before the group's interval, then with each repetition; what ended is told once."""
    now = [0.0]
    model = MemoryAlertmanager(lambda: now[0], routes(20.0), inhibitions())
    rollback = _alert("CanaryHighErrorRate", "rollback", "bad")

    def told(at: float, *firing: dict[str, str]) -> list[list[bool]]:
        now[0] = at
        model.take(firing)
        return [[is_firing for _, is_firing, _ in notification] for notification in model.due()]

    assert told(0.0, rollback) == [[True]]
    assert told(5.0, rollback) == []
    assert told(15.0, rollback) == []
    assert told(25.0, rollback) == [[True]]
    assert told(36.0) == [[False]]
    assert told(50.0) == []
