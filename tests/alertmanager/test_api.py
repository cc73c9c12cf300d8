"""The receiver's HTTP side, asked as Alertmanager, a person, a stranger and somebody careless would."""

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alertmanager.api import routes
from alertmanager.drill import drill_routes
from alertmanager.experimentapi import experiment_routes
from alertmanager.experiments import Experiments
from alertmanager.ofrep import OFREP_PREFIX, Ofrep
from alertmanager.receiver import Receiver
from canary.client import Client
from canary.errors import PayloadError, RefusedError, RemoteError, SecretError
from canary.flags import Flags
from canary.policy import Policy
from tests.support.haproxy import HAProxy
from tests.support.receiver import (
    OPERATOR_TOKEN,
    WEBHOOK_TOKEN,
    Setting,
    alert,
    order,
    payload,
    post,
    receiving,
    router_section,
    until,
)

VERBS = ["start", "hold", "resume", "advance", "promote", "rollback"]


@pytest.fixture
def alone(tmp_path: Path) -> Setting:
    """A policy without routers."""
    phases = [{"traffic": "5%", "duration": "1h"}, {"traffic": "100%", "duration": "1h"}]
    return Setting(tmp_path / "receiver", [], {"phases": phases, "process": {"kind": "none"}})


@pytest.fixture
async def receiver(alone: Setting) -> AsyncIterator[Receiver]:
    """A receiver with a running rollout."""
    async with receiving(alone) as running:
        await order(alone, "start", canary="v2.0", stable="v1.0")
        yield running


async def _send(
    setting: Setting, path: str, data: bytes, *, token: str | None = OPERATOR_TOKEN, kind: str = "application/json"
) -> tuple[int, Any]:
    headers = {"Content-Type": kind} | ({"Authorization": f"Bearer {token}"} if token else {})
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{setting.url}{path}", data=data, headers=headers) as answer,
    ):
        text = await answer.text()
        return answer.status, json.loads(text) if "json" in answer.content_type else text


@pytest.mark.parametrize("token", [None, "wrong", f"{WEBHOOK_TOKEN}x", "", OPERATOR_TOKEN, "ä\u2028"])
async def test_webhooks_need_their_token(alone: Setting, receiver: Receiver, token: str | None) -> None:
    """Without the webhook's token nothing is read, and nothing changes; the operator's token is not it."""
    before = receiver.store.rollout
    assert before is not None

    assert await post(alone, payload(alert("CanaryHighErrorRate", "rollback", before)), token=token) == 401
    assert receiver.store.rollout == before


async def test_two_webhook_tokens_are_valid_at_once(alone: Setting, receiver: Receiver) -> None:
    """While a token is replaced, the old one and the new one both open."""
    for token in (WEBHOOK_TOKEN, f"previous-{WEBHOOK_TOKEN}"):
        assert await post(alone, payload(), token=token) == 202


@pytest.mark.parametrize("verb", VERBS)
async def test_orders_need_the_operators_token(alone: Setting, receiver: Receiver, verb: str) -> None:
    """Nobody gives orders without the operator's token, not even with the webhook's."""
    before = receiver.store.rollout

    for token in (None, "wrong", WEBHOOK_TOKEN):
        code, answer = await _send(alone, f"/api/v1/{verb}", b'{"reason": "x"}', token=token)
        assert (code, "operator" in answer["error"]) == (401, True)
    assert receiver.store.rollout == before


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"not json", 400),
        (b"", 400),
        (b"[]", 400),
        (b'{"version": "3", "alerts": []}', 400),
        (b'{"version": "4"}', 400),
        (b'{"version": "4", "alerts": [{"status": "on fire", "labels": {}}]}', 400),
        (b'{"version": "4", "alerts": [{"status": "firing", "labels": {"a": 1}}]}', 400),
        (b'{"version": "4", "alerts": [{"status": "firing", "labels": {}, "startsAt": "yesterday"}]}', 400),
        (b'{"version": "4", "alerts": [], "truncatedAlerts": -1}', 400),
        (b"[" * 100_000, 400),
        (b'{"version": "4", "alerts": [' + b" " * 1024 * 1024 + b"]}", 413),
        (b'{"version": "4", "alerts": [], "routeLabels": {"new": 1}, "notification_reason": "x"}', 202),
        (b'{"version": "4", "alerts": [{"status": "firing", "labels": {"alertname": "\\ud800\\u0000"}}]}', 202),
    ],
)
async def test_bodies_are_checked(alone: Setting, receiver: Receiver, body: bytes, code: int) -> None:
    """What is no payload is refused, what is new in it is ignored, and the receiver keeps serving."""
    assert await post(alone, body) == code
    assert await post(alone, payload()) == 202


@pytest.mark.parametrize(
    ("verb", "body", "kind", "code", "words"),
    [
        ("hold", b"{}", "text/plain", 415, "application/json"),
        ("hold", b"nonsense", "application/json", 400, "expected JSON"),
        ("hold", b'"text"', "application/json", 400, "expected a JSON object"),
        ("hold", b'{"reasn": "x"}', "application/json", 400, "unknown key 'reasn'"),
        ("hold", b'{"reason": 1}', "application/json", 400, "expected a text"),
        ("advance", b'{"force": "yes"}', "application/json", 400, "expected true or false"),
        ("rollback", b"{}", "application/json", 400, "reason: is required"),
        ("start", b'{"canary": "v3", "stable": "v1"}', "application/json", 409, "wait until it is over"),
        ("start", b'{"canary": "../../etc", "stable": "v1"}', "application/json", 409, "expected a version"),
        ("resume", b"{}", "application/json", 409, "is in phase 1"),
        ("advance", b"{}", "application/json", 409, "add --force"),
    ],
)
async def test_commands_are_checked(
    alone: Setting, receiver: Receiver, verb: str, body: bytes, kind: str, code: int, words: str
) -> None:
    """An order that is malformed, or does not fit, changes nothing and is answered with what to do."""
    before = receiver.store.rollout

    found, answer = await _send(alone, f"/api/v1/{verb}", body, kind=kind)

    assert (found, words in answer["error"]) == (code, True), answer
    assert receiver.store.rollout == before


async def test_the_client_tells_errors_apart(alone: Setting, receiver: Receiver) -> None:
    """What the API refuses comes out of the client as the error that it is."""
    async with Client.of(alone.policy) as client:
        with pytest.raises(RefusedError, match="cannot resume"):
            await client.order("resume")
        with pytest.raises(PayloadError, match="reason"):
            await client.order("rollback")
        with pytest.raises(RemoteError, match="found 404"):
            await client.get("nowhere")
    async with aiohttp.ClientSession() as session:
        with pytest.raises(SecretError, match="operator_token_file"):
            await Client(alone.url, "wrong", session).order("hold")
        with pytest.raises(RemoteError, match="does `canary receiver` run"):
            await Client("http://127.0.0.1:1", None, session).get("status")


async def test_a_person_is_named_in_the_journal(alone: Setting, receiver: Receiver) -> None:
    """Who, when and why stand in the journal for every order."""
    await order(alone, "hold", reason="let me look", actor="ann@office")
    await order(alone, "resume", actor="bob")
    await order(alone, "rollback", reason="customers complain", actor="ann@office")

    async with Client.of(alone.policy) as client:
        entries = await client.get("history", rollout=receiver.store.rollout.id if receiver.store.rollout else "")
    orders = [(entry["kind"], entry["actor"], entry["reason"]) for entry in entries if entry["actor"] != "receiver"]
    assert orders[1:] == [
        ("held", "ann@office", "let me look"),
        ("resumed", "bob", ""),
        ("rollback", "ann@office", "customers complain"),
    ]


def _fits(schemas: Mapping[str, Any], schema: Mapping[str, Any], value: object, at: str) -> None:
    """Whether a value is as an OpenAPI schema says; covers what our own file uses."""
    if "$ref" in schema:
        return _fits(schemas, schemas[schema["$ref"].rsplit("/", 1)[1]], value, at)
    if "anyOf" in schema:
        assert value is None or isinstance(value, dict), at
        return _fits(schemas, schema["anyOf"][0], value, at) if value is not None else None
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    python: dict[str, type | tuple[type, ...]] = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "integer": int,
        "number": (int, float),
    }
    if value is None:
        assert "null" in kinds, at
        return None
    assert any(isinstance(value, python[kind]) for kind in kinds if kind != "null"), f"{at}: {value!r} is no {kinds}"
    if "enum" in schema:
        assert value in schema["enum"], at
    if isinstance(value, list):
        for index, item in enumerate(value):
            _fits(schemas, schema["items"], item, f"{at}[{index}]")
    if isinstance(value, dict) and "properties" in schema:
        assert set(schema["required"]) <= set(value) <= set(schema["properties"]), f"{at}: {sorted(value)}"
        for name, item in value.items():
            _fits(schemas, schema["properties"][name], item, f"{at}.{name}")
    return None


async def test_the_openapi_file_tells_the_truth(tmp_path: Path, haproxy: HAProxy, told: dict[str, Any]) -> None:
    """Every path of ours is described and served, and every answer is as its schema says."""
    setting = Setting(tmp_path / "receiver", [router_section(haproxy)], {"notify": told})
    async with receiving(setting), Client.of(setting.policy) as client:
        described = await client.get("openapi.json")
        schemas = described["components"]["schemas"]
        answers = {"status": [await client.get("status")], "history": [await client.get("history")]}
        written = [await client.order("start", canary="v2.0", stable="v1.0"), await client.order("hold", reason="x")]
        answers["status"].append(await client.get("status"))
        written.append(await client.order("rollback", reason="y"))
        answers["status"].append(await client.get("status"))
        answers["history"].append(await client.get("history"))
        async with aiohttp.ClientSession() as session, session.get(f"{setting.url}/api/metrics") as answer:
            answers["../metrics"] = [await answer.json()]

    for path, found in answers.items():
        name = f"/api/v1/{path}" if ".." not in path else "/api/metrics"
        schema = described["paths"][name]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        for one in found:
            _fits(schemas, schema, one, path)
    for entry in written:
        _fits(schemas, schemas["Entry"], entry, "order")


async def test_flags_and_experiments_answer_as_described(tmp_path: Path) -> None:
    """Every answer and every refusal of the flags' protocol and of the experiments is as its schema says."""
    arms = {"control": {"weight": 1}, "treatment": {"weight": 1}}
    flags = {"tenth": {"percentage": "10%"}, "size": {"variants": {"on": 1.5, "off": 1}}}
    setting = Setting(
        tmp_path / "receiver", changes={"flags": flags, "experiments": {"checkoutFlow": {"variants": arms}}}
    )
    questions = [("", "user-1"), ("/tenth", "user-1"), ("/size", "user-1"), ("/tenth", ""), ("/unknown", "user-1")]
    async with receiving(setting), Client.of(setting.policy) as client, aiohttp.ClientSession() as session:
        described = await client.get("openapi.json")
        listed = await client.get("experiments")
        stopped = await client.order("experiments/checkoutFlow/stop", reason="enough seen")
        found = []
        for path, user in questions:
            body = json.dumps({"context": {"targetingKey": user}})
            async with session.post(f"{setting.url}{OFREP_PREFIX}{path}", data=body) as answer:
                found.append((answer.status, await answer.json()))

    schemas = described["components"]["schemas"]
    for one in [*listed, stopped]:
        _fits(schemas, schemas["Experiment"], one, "experiment")
    assert [status for status, _ in found] == [200, 200, 200, 400, 404]
    _fits(schemas, schemas["FlagEvaluations"], found[0][1], "all")
    for status, one in [*found[1:], *((200, flag) for flag in found[0][1]["flags"])]:
        _fits(schemas, schemas["FlagEvaluation" if status == 200 else "FlagFault"], one, "flag")


def test_every_route_is_described() -> None:
    """The OpenAPI file has exactly the API's own paths and methods."""
    described = json.loads((Path(__file__).parents[2] / "alertmanager" / "openapi.json").read_text())
    files = {(path, method.upper()) for path, methods in described["paths"].items() for method in methods}
    policy = Policy(service="shop")
    nothing: Any = None  # only listed
    listed = [
        *routes(nothing, nothing),
        *drill_routes(nothing, nothing),
        *experiment_routes(Experiments(policy, nothing, nothing), nothing),
        *Ofrep(Flags(policy), nothing, nothing, nothing).routes(),
    ]
    served = {(route.path, route.method) for route in listed}

    assert files == served


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=15,
)
_LABELS = st.dictionaries(
    st.sampled_from(["alertname", "service", "action", "rollout", "phase", "dry_run", "kpi"]) | st.text(max_size=8),
    st.sampled_from(["shop", "rollback", "advance", "hold", "CanaryPhaseComplete", "0", "v2.0"]) | st.text(max_size=20),
    max_size=6,
)
_ALERTS = st.fixed_dictionaries(
    {"status": st.sampled_from(["firing", "resolved"]), "labels": _LABELS},
    optional={"annotations": _LABELS, "startsAt": st.datetimes().map(lambda at: at.isoformat() + "Z") | _JSON},
)
_PAYLOADS = st.fixed_dictionaries(
    {"version": st.just("4"), "alerts": st.lists(_ALERTS | _JSON, max_size=4)},
    optional={"truncatedAlerts": st.integers(-1, 3) | _JSON},
)
_BODIES = st.binary(max_size=200) | (_JSON | _PAYLOADS).map(lambda data: json.dumps(data).encode())


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(body=_BODIES, token=st.sampled_from([WEBHOOK_TOKEN, WEBHOOK_TOKEN, None, "x"]))
async def test_no_payload_breaks_the_receiver(
    alone: Setting, receiver: Receiver, body: bytes, token: str | None
) -> None:
    """Whatever arrives is answered with 202, 400 or 401, and what does not name the rollout changes nothing."""
    before = receiver.store.rollout

    code = await post(alone, body, token=token)

    assert code in ((202, 400) if token == WEBHOOK_TOKEN else (401,))
    assert receiver.store.rollout == before


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(body=_BODIES, verb=st.sampled_from(VERBS[1:]), token=st.sampled_from([OPERATOR_TOKEN, None]))
async def test_no_order_breaks_the_receiver(
    alone: Setting, receiver: Receiver, body: bytes, verb: str, token: str | None
) -> None:
    """Random orders are answered without a server error; without the token they change nothing."""
    before = receiver.store.rollout

    code, _ = await _send(alone, f"/api/v1/{verb}", body, token=token)

    assert code in ((200, 400, 409) if token else (401,))
    assert token or receiver.store.rollout == before


async def test_what_an_alert_says_stays_data(alone: Setting, receiver: Receiver) -> None:
    """Line breaks and control characters in an alert's texts forge no line in the rollback log."""
    rollout = receiver.store.rollout
    assert rollout is not None
    evil = alert("Evil\n$(touch /tmp/x)\x1b[2J", "rollback", rollout)
    evil["annotations"]["description"] = 'first\n{"time": "forged"}\r\nlevel=error msg=forged'

    assert await post(alone, payload(evil)) == 202

    await until(alone, "logged", lambda now: "log" in now["rollout"]["steps"])
    lines = (alone.folder / "rollbacks.log").read_text().split("\n")
    assert (len(lines), lines[1]) == (2, "")
    assert json.loads(lines[0])["reason"].startswith("first\n")
