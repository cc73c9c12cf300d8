"""Prometheus and Alertmanager are asked by one client, which gives a proper answer or a RemoteError."""

import asyncio
import contextlib
import copy
import gzip
import math
import socket
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from canary.errors import RemoteError
from canary.prometheus import QUICK, Alert, Alertmanager, Inhibited, Limits, Prometheus
from tests.support.programs.alertmanager import Alertmanager as AlertmanagerServer
from tests.support.programs.ports import free_port
from tests.support.programs.processes import eventually
from tests.support.programs.prometheus import Prometheus as PrometheusServer
from tests.support.receiving.answering import alerts_answer, answering, http, text, watchdog

MOMENT = datetime(2026, 3, 3, 12, tzinfo=UTC)
RULES = """\
groups:
- name: always
  interval: 100ms
  rules:
  - {alert: Always, expr: vector(1), labels: {action: rollback}, annotations: {summary: so it is}}
  - {alert: Pending, expr: vector(1), for: 1h}
  - {record: seven, expr: vector(7)}
"""

VECTOR = {
    "status": "success",
    "data": {"resultType": "vector", "result": [{"metric": {"a": "b"}, "value": [1.5, "7"]}]},
}
MATRIX = {
    "status": "success",
    "data": {"resultType": "matrix", "result": [{"metric": {"a": "b"}, "values": [[1.5, "7"], [2, "NaN"]]}]},
}
SCALAR = {"status": "success", "data": {"resultType": "scalar", "result": [1772539200.1, "1772539200.1"]}}
ALERTS = alerts_answer(watchdog(), {"alertname": "CanaryBlind"})
RULE = {
    "name": "Always",
    "query": "vector(1)",
    "labels": {"a": "b"},
    "duration": 60,
    "lastError": "",
    "type": "alerting",
}
LOADED = {"status": "success", "data": {"groups": [{"name": "always", "rules": [RULE]}]}}
INHIBITED: list[dict[str, Any]] = [
    {
        "labels": {"alertname": "CanaryKpiDegraded", "rollout": "r"},
        "status": {"state": "suppressed", "inhibitedBy": ["b"]},
        "fingerprint": "a",
    },
    {
        "labels": {"alertname": "CanaryBlind", "rollout": "r", "action": "hold"},
        "status": {"state": "active"},
        "fingerprint": "b",
    },
]
MATCHER = {"name": "alertname", "value": "Canary.*", "isRegex": True, "isEqual": True}
SILENCES = [{"matchers": [MATCHER], "endsAt": "2026-03-03T13:00:00.000Z", "status": {"state": "active"}}]
STATUS = {"config": {"original": "route: {}"}}

Ask = Callable[[aiohttp.ClientSession, str], Awaitable[Any]]

# Every question, with an answer to it that is in order.
QUESTIONS: dict[str, tuple[Ask, Any]] = {
    "query": (lambda session, url: Prometheus(session, url).query("a"), VECTOR),
    "recorded": (lambda session, url: Prometheus(session, url).recorded("a[1m]", MOMENT), MATRIX),
    "range": (lambda session, url: Prometheus(session, url).query_range("a", MOMENT, MOMENT, 1), MATRIX),
    "time": (lambda session, url: Prometheus(session, url).time(), SCALAR),
    "alerts": (lambda session, url: Prometheus(session, url).alerts(), ALERTS),
    "rules": (lambda session, url: Prometheus(session, url).rules(), LOADED),
    "inhibited": (lambda session, url: Alertmanager(session, url).inhibited("shop"), INHIBITED),
    "silences": (lambda session, url: Alertmanager(session, url).silences(MOMENT), SILENCES),
    "configuration": (lambda session, url: Alertmanager(session, url).configuration(), STATUS),
}

every_question = pytest.mark.parametrize("question", sorted(QUESTIONS))


async def ask(question: str, answer: bytes) -> Any:
    """The answer to a question when these bytes come back."""
    async with answering(answer) as url, aiohttp.ClientSession() as session:
        return await QUESTIONS[question][0](session, url)


def parts(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every part of a JSON value is."""
    yield path
    if isinstance(data, dict | list):
        for key in data if isinstance(data, dict) else range(len(data)):
            yield from parts(data[key], (*path, key))


def replaced(data: Any, path: tuple[Any, ...], part: Any) -> Any:
    """The value with another part in one place."""
    if not path:
        return part
    changed = copy.deepcopy(data)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = part
    return changed


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["NaN", "1e999", "9" * 5000]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@every_question
async def test_a_proper_answer_is_understood(question: str) -> None:
    """The answers that the tests below spoil are in order as they are."""
    assert await ask(question, http(text(QUESTIONS[question][1])))


@settings(max_examples=300, deadline=None)
@given(question=st.sampled_from(sorted(QUESTIONS)), data=st.data())
def test_a_spoilt_answer_is_a_proper_one_or_unknown(question: str, data: st.DataObject) -> None:
    """Whatever stands anywhere in an answer: it is understood, or a RemoteError says that it is not."""
    proper = QUESTIONS[question][1]
    path = data.draw(st.sampled_from(list(parts(proper))))
    answer = replaced(proper, path, data.draw(JSON))

    with contextlib.suppress(RemoteError):
        found = asyncio.run(ask(question, http(text(answer))))
        assert isinstance(found, list | str | datetime)


@settings(max_examples=100, deadline=None)
@given(question=st.sampled_from(sorted(QUESTIONS)), answer=st.binary(max_size=200), whole=st.booleans())
def test_bytes_that_are_no_answer_are_unknown(question: str, answer: bytes, whole: bool) -> None:
    """Neither bytes that are no JSON nor bytes that are no HTTP give anything but a RemoteError."""
    assume(answer.strip() != b"[]")  # no silence, says Alertmanager
    with pytest.raises(RemoteError):
        asyncio.run(ask(question, http(answer) if whole else answer))


@every_question
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http(b"<!doctype html><title>Sign in</title>"), "expected its API's JSON"),
        (http(b'{"status":"error","errorType":"internal","error":"out of memory"}'), "out of memory"),
        (http(b'{"status":"error","error":"parse error: 1:2"}', 400), r"found 400 \(parse error: 1:2\)"),
        (http(b"", 302, "Location: /login"), "found 302"),
        (http(b"", 500), "found 500"),
        (http(b'{"status":"success","data"', 200)[:-4], "unreachable"),
        (http(b"[" * 100_000), "expected its API's JSON"),
        (http(b'{"error": "\\u001b[31mred"}'), "red"),
        (http(gzip.compress(b"{}", mtime=0)[:-8], 200, "Content-Encoding: gzip"), "Prometheus|Alertmanager"),
        (http(b"garbage", 200, "Content-Encoding: deflate"), "unreachable"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000, "unreachable"),
    ],
)
async def test_what_is_no_answer_is_unknown(question: str, answer: bytes, said: str) -> None:
    """A login page, an error with any status, a redirect, half an answer, nests: each is a RemoteError that says it."""
    with pytest.raises(RemoteError, match=said) as caught:
        await ask(question, answer)

    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "spoilt",
    [
        {**VECTOR, "warnings": ["store 10.0.0.7 is away"]},
        {**VECTOR, "isPartial": True},
    ],
)
async def test_an_answer_about_fewer_series_is_unknown(spoilt: dict[str, Any]) -> None:
    """What Thanos and VictoriaMetrics call partial may lack the very alert."""
    with pytest.raises(RemoteError, match="incomplete"):
        await ask("query", http(text(spoilt)))


async def test_a_note_about_the_expression_is_no_fault() -> None:
    """Prometheus' remarks on an expression do not make its answer incomplete."""
    remark = {**VECTOR, "warnings": ["PromQL warning: quantile value should be between 0 and 1, got NaN"], "infos": []}

    assert await ask("query", http(text(remark)))


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-1", "1e300"])
async def test_a_clock_is_a_moment(value: str) -> None:
    """What is no moment is not taken for Prometheus' time."""
    with pytest.raises(RemoteError):
        await ask("time", http(text(replaced(SCALAR, ("data", "result", 1), value))))


async def test_an_answer_without_end_is_given_up() -> None:
    """A body that does not end is read to the limit, whatever length it claims; a silent server to the time limit."""
    endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n ["
    async with answering(endless, endless=True) as url, aiohttp.ClientSession() as session:
        with pytest.raises(RemoteError, match="larger than 1 MiB"):
            await Prometheus(session, url, limits=Limits(60, 2**20)).query("a")
    silent = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n"
    async with answering(silent) as url, aiohttp.ClientSession() as session:
        with pytest.raises(RemoteError, match="unreachable"):
            await Prometheus(session, url).query("a")


async def test_a_server_that_says_nothing_is_given_up() -> None:
    """It has some seconds, not forever."""
    async with aiohttp.ClientSession() as session:
        with socket.create_server(("127.0.0.1", 0)) as waiting:
            url = f"http://127.0.0.1:{waiting.getsockname()[1]}"
            with pytest.raises(RemoteError, match=r"no answer within 0\.1s"):
                await Prometheus(session, url, limits=Limits(0.1, QUICK.size_bytes)).alerts()


@pytest.mark.parametrize(
    "url", ["http://[::1", "nonsense", "http://", "http://a b/", "http://x:99999", "http://\udcff"]
)
async def test_an_address_that_is_none_is_unreachable(url: str) -> None:
    """Whatever a policy names, the error is the same."""
    async with aiohttp.ClientSession() as session:
        with pytest.raises(RemoteError, match=r"receiver\.prometheus"):
            await Prometheus(session, url).alerts()


async def test_no_error_shows_a_password() -> None:
    """Credentials in an address stay out of messages."""
    async with aiohttp.ClientSession() as session:
        with pytest.raises(RemoteError) as caught:
            await Prometheus(session, f"http://ann:secret@127.0.0.1:{free_port()}/").alerts()

    assert "secret" not in str(caught.value)
    assert caught.value.place.startswith("Prometheus http://127.0.0.1:")
    assert "start it" in caught.value.remedy


async def test_a_real_prometheus_is_understood(tmp_path: Path) -> None:
    """Every question has its answer from the server itself."""
    (tmp_path / "rules.yml").write_text(RULES)
    with PrometheusServer(f"rule_files: ['{tmp_path}/rules.yml']\n") as server:
        async with aiohttp.ClientSession() as session:
            prometheus = Prometheus(session, server.url)

            async def fires() -> bool:
                return any(alert.firing for alert in await prometheus.alerts())

            await eventually(fires, "an alert fires")
            now = await prometheus.time()
            (always,) = (alert for alert in await prometheus.alerts() if alert.firing)
            rules = {rule.name: rule for rule in await prometheus.rules()}
            (seven,) = await prometheus.query("seven")
            recorded = await prometheus.recorded("seven[1m]", now + timedelta(seconds=1))
            ranged = await prometheus.query_range("time()", now - timedelta(seconds=2), now, 1)

            assert (always.name, always.action, always.description) == ("Always", "rollback", "so it is")
            assert always.starts_at is not None
            assert abs((now - always.starts_at).total_seconds()) < 3600
            assert (rules["Pending"].duration_seconds, rules["Always"].expression) == (3600, "vector(1)")
            assert rules["Always"].labels == {"action": "rollback"}
            assert (seven.labels["__name__"], seven.value) == ("seven", 7)
            assert {value for _, value in recorded[0].points} == {7}
            assert len(ranged[0].points) == 3
            assert await prometheus.query("absent_metric") == []
            assert [math.isnan(sample.value) for sample in await prometheus.query("vector(NaN)")] == [True]
            with pytest.raises(RemoteError, match="parse error"):
                await prometheus.query("not a query (")
            with pytest.raises(RemoteError, match="expected a vector"):
                await prometheus.query("seven[1m]")
            with pytest.raises(RemoteError, match="expected a matrix"):
                await prometheus.recorded("seven", now)


_INHIBITING = """\
route: {receiver: people}
receivers: [{name: people}]
inhibit_rules:
- {source_matchers: [alertname="CanaryBlind"], target_matchers: [alertname="CanaryKpiDegraded"]}
- {source_matchers: [alertname="ShopDown"], target_matchers: [alertname="CanaryHighErrorRate"]}
"""


async def test_a_real_alertmanager_is_understood() -> None:  # long: one real server, and all that is asked of it
    """Alerts are taken, a silence and inhibitions are known, and the configuration is the one that runs."""
    with AlertmanagerServer(_INHIBITING) as server:
        async with aiohttp.ClientSession() as session:
            alertmanager = Alertmanager(session, server.url)
            now = datetime.now(UTC)
            silence = {
                "matchers": [{"name": "alertname", "value": "Canary(Blind|Drill)", "isRegex": True}],
                "startsAt": now.isoformat(),
                "endsAt": (now + timedelta(hours=1)).isoformat(),
                "createdBy": "ann",
                "comment": "known",
            }
            async with session.post(f"{server.url}/api/v2/silences", json=silence) as answer:
                assert answer.status == 200
            kpi, blind, errors, down = (
                {"alertname": name, "service": "shop", "rollout": "r", "action": action}
                for name, action in (
                    ("CanaryKpiDegraded", "rollback"),
                    ("CanaryBlind", "hold"),
                    ("CanaryHighErrorRate", "rollback"),
                    ("ShopDown", "none"),
                )
            )
            await alertmanager.post([{"labels": labels} for labels in (kpi, blind, errors, down)])

            async def inhibited() -> bool:
                return await alertmanager.inhibited("shop") == [Inhibited(kpi, blind)]

            await eventually(inhibited, "the verdict without data behind it is kept back, and only that")
            (known,) = await alertmanager.silences(now - timedelta(hours=1))
            assert known.active
            assert (known.author, known.comment, bool(known.id)) == ("ann", "known", True)
            assert known.covers(blind)
            assert not known.covers({"alertname": "CanaryBlindness"})
            assert await alertmanager.inhibited("elsewhere") == []
            assert await alertmanager.kept_back_by(errors) == "ShopDown inhibits it"
            assert await alertmanager.kept_back_by(blind) == "a silence covers it"
            assert await alertmanager.kept_back_by(down) == ""
            assert "people" in await alertmanager.configuration()
            with pytest.raises(RemoteError, match="found 400"):
                await alertmanager.post([{"labels": {}}])


async def test_only_what_lowers_the_same_rollout_keeps_an_alert_back() -> None:
    """Another rollout's hold, an alert that only informs, and an alert of somebody else leave it as it is."""
    target, source = INHIBITED
    others = [
        {**source, "labels": {**source["labels"], "rollout": "earlier"}},
        {**source, "labels": {**source["labels"], "action": "none"}},
        {**source, "fingerprint": "c"},
    ]

    assert await ask("inhibited", http(text(INHIBITED))) == [Inhibited(target["labels"], source["labels"])]
    for other in others:
        assert await ask("inhibited", http(text([target, other]))) == []


async def test_a_silence_that_cannot_be_read_silences_nothing() -> None:
    """A pattern that only Go knows, or a silence without matchers, leaves the others as they are."""
    odd = {**SILENCES[0], "matchers": [{**MATCHER, "value": r"\pN+(?<x"}]}
    empty = {**SILENCES[0], "matchers": []}

    (known,) = await ask("silences", http(text([odd, empty, *SILENCES])))

    assert known.covers({"alertname": "CanaryBlind"})


async def test_ended_silences_count_since_a_moment() -> None:
    """One that is in force counts whatever this machine's clock says; an ended one does by its end."""
    over = {**SILENCES[0], "endsAt": "2026-03-03T11:00:00Z"}
    expired = {**over, "status": {"state": "expired"}}
    pending = {**SILENCES[0], "status": {"state": "pending"}}

    assert len(await ask("silences", http(text([over])))) == 1
    assert len(await ask("silences", http(text([expired, pending])))) == 0


async def test_texts_are_fit_for_every_file() -> None:
    """A NUL in a label reaches neither journal nor log."""
    (alert,) = await ask("alerts", http(text(alerts_answer({"alertname": "Canary\0Blind"}))))

    assert isinstance(alert, Alert)
    assert alert.name == "Canary\ufffdBlind"
