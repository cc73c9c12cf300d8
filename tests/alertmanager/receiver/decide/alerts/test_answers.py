"""Answers that the poller cannot use: what is wrong acts all the same, and knowing nothing is not seeing nothing."""

import aiohttp
import pytest

from canary.errors import RemoteError
from canary.prometheus import Alert, Alertmanager, Inhibited, Prometheus, ServiceAlerts, UnevaluatedError
from canary.rollout.state import State
from tests.support.receiving.answering import answering, http
from tests.support.receiving.polling import UNKNOWN, Scene, scene
from tests.support.receiving.receiver import SERVICE


@pytest.mark.parametrize("unknown", ["now", "past"])
async def test_one_answer_is_enough_to_lower(unknown: str) -> None:
    """What one question shows acts although the other was not answered; the look counts as failed."""
    async with scene() as now:
        now.prometheus.now = now.prometheus.past = [now.errors]
        setattr(now.prometheus, unknown, UNKNOWN)

        assert await now.looks() is State.ROLLING_BACK
        assert now.poller.error == str(UNKNOWN)
        assert now.poller.looked_at is None


async def test_an_alert_without_the_watchdog_lowers_and_opens_nothing() -> None:
    """A list without the watchdog: what asks for less traffic acts; that a phase is complete is not passed on."""
    async with scene() as now:
        now.prometheus.now = UnevaluatedError(SERVICE, "Prometheus", [now.no_data, now.complete])
        assert await now.looks() is State.HOLDING
        assert now.poller.error == str(now.prometheus.now)
        now.alertmanager.inhibitions = [Inhibited(now.no_data.labels, now.errors.labels)]
        assert await now.looks(5) is State.HOLDING
        assert now.completed == []
        assert now.poller.firing == ()


async def test_without_alertmanager_every_alert_counts() -> None:
    """When nobody can say what is silent, nothing is."""
    async with scene() as now:
        now.prometheus.now = [now.errors]
        now.alertmanager.inhibitions = now.alertmanager.rules = RemoteError("unreachable", place="Alertmanager")

        assert await now.looks() is State.ROLLING_BACK


GARBAGE = [
    http(b"<html>Sign in</html>"),
    http(b"[]"),
    http(b'"success"'),
    http(b'{"status":"success","data":null}'),
    http(b'{"status":"success","data":{"alerts":{}}}'),
    http(b'{"status":"success","data":{"alerts":[null]}}'),
    http(b'{"status":"success","data":{"alerts":[{"labels":[],"annotations":7,"state":"firing"}]}}'),
    http(b'{"status":"success","data":{"alerts":[{"labels":{"phase":"x"},"state":{},"activeAt":"yesterday"}]}}'),
    http(b'{"status":"success","data":{"resultType":"vector","result":[{"metric":7,"value":[0,"NaN"]}]}}'),
    http(b'{"status":"success","data":{"alerts":[]}}'),
    http(b"\xff\xfe"),
    http(b"", 204),
    b"no HTTP",
    b"",
]


@pytest.mark.parametrize("answer", GARBAGE, ids=range(len(GARBAGE)))
async def test_no_answer_breaks_the_poller_or_lifts_a_hold(answer: bytes) -> None:
    """Whatever Prometheus and Alertmanager send back over real connections, the hold stays, and the error says why."""
    async with scene() as now, answering(answer) as url, aiohttp.ClientSession() as session:
        await now.held()
        real = Scene(now.deciding, ServiceAlerts(Prometheus(session, url), SERVICE), Alertmanager(session, url))

        assert await real.looks(4) is State.HOLDING
        assert real.poller.error
        assert await real.objections.to(now.deciding.rollout)


async def test_trouble_with_prometheus_is_logged_when_it_begins(caplog: pytest.LogCaptureFixture) -> None:
    """Not at every look, and again when it comes back."""
    async with scene() as now:
        answers: list[list[Alert] | RemoteError] = [UNKNOWN, UNKNOWN, [], UNKNOWN]
        for answer in answers:
            now.prometheus.now = answer
            await now.looks()
        told = [record for record in caplog.records if record.name == "canary.alerts"]
        said = ("WARNING", "Prometheus gives no usable answer", str(UNKNOWN))
        assert [(record.levelname, record.getMessage(), vars(record)["canary_fields"]["error"]) for record in told] == [
            said,
            said,
        ]


async def test_what_was_wrong_with_the_answer_is_over_with_the_rollout() -> None:
    """Nobody is left to wonder about an answer that is no longer needed."""
    async with scene() as now:
        now.prometheus.now = UNKNOWN
        await now.looks()
        await now.deciding.order("rollback")
        await now.looks()
        assert now.poller.error == ""
