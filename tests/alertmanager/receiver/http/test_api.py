"""The receiver's HTTP side, asked as Alertmanager, a person, a stranger and somebody careless would."""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alertmanager.receiver.http.bodies import Amend
from alertmanager.receiver.http.ofrep import OFREP_PREFIX
from alertmanager.receiver.receiver import Receiver
from canary.errors import PayloadError, RefusedError, RemoteError, SecretError
from canary.rollout.commands.seen import Seen
from canary.web.client import Client
from tests.support.programs.haproxy import HAProxy
from tests.support.receiving.receiver import (
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
from tests.support.web.webserver import served

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
    before = Seen.of(receiver.store.rollout)

    alerts = payload(alert("CanaryHighErrorRate", "rollback", before.rollout))
    assert await post(alone, alerts, token=token) == 401
    assert Seen.of(receiver.store.rollout) == before


async def test_two_webhook_tokens_are_valid_at_once(alone: Setting, receiver: Receiver) -> None:
    """While a token is replaced, the old one and the new one both open."""
    for token in (WEBHOOK_TOKEN, f"previous-{WEBHOOK_TOKEN}"):
        assert await post(alone, payload(), token=token) == 202


@pytest.mark.parametrize("verb", VERBS)
async def test_commands_need_the_operators_token(alone: Setting, receiver: Receiver, verb: str) -> None:
    """Nobody gives commands without the operator's token, not even with the webhook's."""
    before = Seen.of(receiver.store.rollout)

    for token in (None, "wrong", WEBHOOK_TOKEN):
        code, answer = await _send(alone, f"/api/v1/{verb}", b'{"reason": "x"}', token=token)
        assert (code, "operator" in answer["error"]) == (401, True)
    assert Seen.of(receiver.store.rollout) == before


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
async def test_bodies_are_judged(alone: Setting, receiver: Receiver, body: bytes, code: int) -> None:
    """What is no payload is refused, what is new in it is ignored, and the receiver keeps serving."""
    assert await post(alone, body) == code
    assert await post(alone, payload()) == 202


def test_a_reason_of_blanks_is_none() -> None:
    """Where a reason is needed, by the command itself, blanks do not pass for one."""
    assert Amend.model_validate({"reason": " \t"}).reason == ""
    assert Amend.model_validate({"reason": " we agreed "}).reason == "we agreed"


@pytest.mark.parametrize(
    ("verb", "body", "kind", "code", "words"),
    [
        ("hold", b"{}", "text/plain", 415, "application/json"),
        ("hold", b"nonsense", "application/json", 400, "expected JSON"),
        ("hold", b'"text"', "application/json", 400, "body: expected a JSON object, found 'text'"),
        ("hold", b'{"reasn": "x"}', "application/json", 400, "reasn: unknown key; known are actor, reason, seen"),
        ("hold", b'{"force": true}', "application/json", 400, "force: unknown key"),
        ("hold", b'{"reason": 1}', "application/json", 400, "reason: expected a text, found 1"),
        ("hold", b'{"reason": "%s"}' % (b"x" * 1001), "application/json", 400, "at most 1000 characters, found 1001"),
        ("hold", b'{"reason": "\\ud800"}', "application/json", 400, "reason: expected a text in Unicode"),
        ("hold", b'{"seen": "v2.0"}', "application/json", 400, "seen: expected a text that matches"),
        ("hold", b'{"seen": "v1.9-1/3"}', "application/json", 409, "rollout v1.9-1 is not the present one"),
        ("advance", b'{"force": "yes"}', "application/json", 400, "force: expected true or false, found 'yes'"),
        ("rollback", b"{}", "application/json", 400, "reason: is required"),
        ("rollback", b'{"reason": " "}', "application/json", 400, "reason: expected a text, found ' '"),
        ("rollback", b'{"reason": "x", "give_up": true}', "application/json", 428, "send `seen`"),
        ("start", b'{"stable": "v1"}', "application/json", 400, "canary: is required"),
        ("start", b'{"canary": "v3", "stable": "v1"}', "application/json", 428, "send `seen`"),
        ("start", b'{"canary": "v3", "stable": "v1", "seen": SEEN}', "application/json", 409, "cannot start another"),
        (
            "start",
            b'{"canary": "v3", "stable": "v1", "seen": "none/0"}',
            "application/json",
            409,
            "cannot start another",
        ),
        ("start", b'{"canary": "../../etc", "stable": "v1"}', "application/json", 409, "expected a version"),
        ("resume", b"{}", "application/json", 428, "send `seen`"),
        ("resume", b'{"seen": SEEN}', "application/json", 409, "is in phase 1"),
        ("advance", b'{"force": true}', "application/json", 428, "send `seen`"),
        ("advance", b'{"seen": SEEN}', "application/json", 409, "add --force"),
        ("promote", b'{"force": true}', "application/json", 428, "send `seen`"),
    ],
)
async def test_commands_are_judged(
    alone: Setting, receiver: Receiver, verb: str, body: bytes, kind: str, code: int, words: str
) -> None:
    """A command that is malformed, does not fit or does not say what it is about changes nothing, and is told why."""
    before = Seen.of(receiver.store.rollout)
    body = body.replace(b"SEEN", json.dumps(str(before)).encode())

    found, answer = await _send(alone, f"/api/v1/{verb}", body, kind=kind)

    assert (found, words in answer["error"]) == (code, True), answer
    assert Seen.of(receiver.store.rollout) == before


async def test_the_client_tells_errors_apart(alone: Setting, receiver: Receiver) -> None:
    """What the API refuses comes out of the client as the error that it is."""
    async with Client.of(alone.policy) as client:
        with pytest.raises(RefusedError, match="cannot resume"):
            await client.command("resume")
        with pytest.raises(PayloadError, match="reason"):
            await client.command("rollback")
        with pytest.raises(RemoteError, match=r"found 404; correct receiver\.url: .* below /services/NAME"):
            await client.get("nowhere")
    async with aiohttp.ClientSession() as session:
        with pytest.raises(SecretError, match="operator_token_file"):
            await Client(alone.url, "wrong", session).command("hold")
        with pytest.raises(RemoteError, match="see that `canary receiver` runs"):
            await Client("http://127.0.0.1:1", None, session).get("status")


async def test_a_person_is_named_in_the_journal(alone: Setting, receiver: Receiver) -> None:
    """Who, when and why stand in the journal for every command."""
    await order(alone, "hold", reason="let me look", actor="ann@office")
    await order(alone, "resume", actor="bob", seen=str(Seen.of(receiver.store.rollout)))
    await order(alone, "rollback", reason="customers complain", actor="ann@office")

    async with Client.of(alone.policy) as client:
        entries = await client.get("history", rollout=receiver.store.rollout.id if receiver.store.rollout else "")
    commands = [(entry["kind"], entry["actor"], entry["reason"]) for entry in entries if entry["actor"] != "receiver"]
    assert commands[1:] == [
        ("held", "ann@office", "let me look"),
        ("resumed", "bob", ""),
        ("rollback", "ann@office", "customers complain"),
    ]


async def test_a_proven_name_counts_for_whatever_is_sent(tmp_path: Path) -> None:
    """Ann's own token writes ann into the journal with every command, whoever the body claims to be."""
    arms = {"control": {"weight": 1}, "treatment": {"weight": 1}}
    setting = Setting(
        tmp_path / "receiver",
        changes={
            "receiver": {"operators": {"ann": {"token_file": "ann-token"}}},
            "experiments": {"flow": {"variants": arms}},
        },
    )
    (setting.folder / "ann-token").write_text("the-token-of-ann-alone\n")
    later = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    bodies: dict[str, dict[str, object]] = {
        "start": {"canary": "v2.0", "stable": "v1.0", "force": True, "seen": "none/0"},
        "note": {"reason": "slow search"},
        "freeze": {"until": later},
        "freeze/lift": {},
        "hold": {},
        "rollback": {"reason": "enough"},
        "experiments/flow/stop": {"reason": "enough"},
    }
    async with receiving(setting), aiohttp.ClientSession() as session:
        client = Client(setting.url, "the-token-of-ann-alone", session)
        wrote = {path: (await client.send(path, {**body, "actor": "bob"}))["actor"] for path, body in bodies.items()}

    assert set(wrote.values()) == {"ann"}, wrote


async def test_what_was_seen_is_compared(alone: Setting, receiver: Receiver) -> None:
    """Two who decide from the same picture cannot both advance; the second is told what has happened meanwhile."""
    seen = str(Seen.of(receiver.store.rollout))
    async with Client.of(alone.policy) as client:
        await client.command("advance", seen=seen, force=True, actor="ann")
        with pytest.raises(RefusedError, match=r"has changed since you looked; it is baking at 100% by ann"):
            await client.command("advance", seen=seen, force=True)

        assert (await client.get("status"))["rollout"]["state"] == "baking"


async def test_of_two_who_type_at_once_one_is_asked_again(alone: Setting, receiver: Receiver) -> None:
    """The command line reads what stands right before it sends; what was seen is somebody else's picture."""
    async with Client.of(alone.policy) as client:
        await client.command("advance", force=True, actor="ann")
        with pytest.raises(RefusedError, match=r"cannot advance: ann decided 1s ago; .* add --seen (\S+)$") as caught:
            await client.command("advance", force=True)
        assert receiver.store.rollout is not None
        assert receiver.store.rollout.state == "baking"
        entry = await client.command("promote", seen=str(caught.value).rpartition(" ")[2], force=True)

    assert entry["kind"] == "promoted"


async def test_a_hold_never_loses_against_an_advance(alone: Setting, receiver: Receiver) -> None:
    """Whoever holds from an old picture is obeyed all the same."""
    seen = str(Seen.of(receiver.store.rollout))
    async with Client.of(alone.policy) as client:
        await client.command("advance", seen=seen, force=True)
        entry = await client.command("hold", seen=seen)

    assert entry["kind"] == "held"


async def test_header_and_body_must_say_the_same(alone: Setting, receiver: Receiver) -> None:
    """`If-Match` and `seen` are two places for one thing."""
    seen = str(Seen.of(receiver.store.rollout))
    header = {"If-Match": f'"{seen}"'}
    async with Client.of(alone.policy) as client:
        with pytest.raises(PayloadError, match="seen: expected as in If-Match"):
            await client.send("advance", {"seen": "none/0", "force": True}, header)
        entry = await client.send("advance", {"seen": seen, "force": True}, header)

    assert entry["kind"] == "advanced"


async def test_a_command_that_is_sent_again_is_answered_with_the_first_result(
    alone: Setting, receiver: Receiver
) -> None:
    """The key makes it one command, however often it arrives; without a key it is another one."""
    seen = {"If-Match": f'"{Seen.of(receiver.store.rollout)}"'}
    async with Client.of(alone.policy) as client:
        first = await client.send("advance", {"force": True}, {**seen, "Idempotency-Key": "k-1"})
        again = await client.send("advance", {"force": True}, {**seen, "Idempotency-Key": '"k-1"'})
        with pytest.raises(RefusedError, match="has changed since you looked"):
            await client.send("advance", {"force": True}, {**seen, "Idempotency-Key": "k-2"})

    assert again == first


def _fits(schemas: Mapping[str, Any], schema: Mapping[str, Any], value: object, at: str) -> None:
    """Whether a value is as an OpenAPI schema says; covers what our own file uses."""
    if "$ref" in schema:
        return _fits(schemas, schemas[schema["$ref"].rsplit("/", 1)[1]], value, at)
    if "anyOf" in schema:
        assert any(_is(schemas, option, value) for option in schema["anyOf"]), f"{at}: {value!r} fits no option"
        return None
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


def _is(schemas: Mapping[str, Any], schema: Mapping[str, Any], value: object) -> bool:
    try:
        _fits(schemas, schema, value, "")
    except AssertionError:
        return False
    return True


async def test_the_openapi_file_tells_the_truth(tmp_path: Path, haproxy: HAProxy, told: dict[str, Any]) -> None:
    """Every path of ours is described and served, and every answer is as its schema says."""
    setting = Setting(tmp_path / "receiver", [router_section(haproxy)], {"notify": told})
    async with receiving(setting), Client.of(setting.policy) as client:
        described = await client.get("openapi.json")
        schemas = described["components"]["schemas"]
        answers = {"status": [await client.get("status")], "history": [await client.get("history")]}
        written = [
            await client.command("start", canary="v2.0", stable="v1.0"),
            await client.command("hold", reason="x"),
        ]
        answers["status"].append(await client.get("status"))
        written.append(await client.command("rollback", reason="y"))
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
        _fits(schemas, schemas["Entry"], entry, "command")


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
        stopped = await client.send("experiments/checkoutFlow/stop", {"reason": "enough seen"})
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
    before = Seen.of(receiver.store.rollout)

    code = await post(alone, body, token=token)

    assert code in ((202, 400) if token == WEBHOOK_TOKEN else (401,))
    assert Seen.of(receiver.store.rollout) == before


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(body=_BODIES, verb=st.sampled_from(VERBS[1:]), token=st.sampled_from([OPERATOR_TOKEN, None]))
async def test_no_command_breaks_the_receiver(
    alone: Setting, receiver: Receiver, body: bytes, verb: str, token: str | None
) -> None:
    """Random commands are answered without a server error; without the token they change nothing."""
    before = Seen.of(receiver.store.rollout)

    code, _ = await _send(alone, f"/api/v1/{verb}", body, token=token)

    assert code in ((200, 400, 409, 428) if token else (401,))
    assert token or Seen.of(receiver.store.rollout) == before


async def test_what_an_alert_says_stays_data(alone: Setting, receiver: Receiver) -> None:
    """Line breaks and control characters in an alert's texts forge no line in the rollback log."""
    rollout = receiver.store.rollout
    assert rollout is not None
    evil = alert("Evil\n$(touch /tmp/x)\x1b[2J", "rollback", rollout)
    evil["annotations"]["description"] = 'first\n{"time": "forged"}\r\nlevel=error msg=forged'

    assert await post(alone, payload(evil)) == 202

    await until(alone, "logged", lambda now: "log" in now["rollout"]["steps"])
    lines = (alone.folder / "rollbacks.log").read_text().split("\n")
    assert (len(lines), lines[3]) == (4, "")
    assert json.loads(lines[0])["reason"].startswith("first\n")


async def test_an_address_that_an_alert_brings_is_not_asked(alone: Setting, receiver: Receiver) -> None:
    """Alertmanager names its own address and Prometheus'; the receiver asks the policy's, whoever sends the webhook."""
    heard: list[str] = []

    async def hear(request: web.Request) -> web.Response:
        heard.append(request.path)
        return web.Response()

    rollout = receiver.store.rollout
    assert rollout is not None
    async with served(web.route("*", "/{path:.*}", hear)) as address:
        url = f"http://{address}/latest/meta-data"
        brought = {
            **alert("Evil", "rollback", rollout, instance=address, url=url, runbook_url=url),
            "generatorURL": url,
        }
        brought["annotations"] |= dict.fromkeys(("runbook_url", "dashboard", "silence_url", "url"), url)
        assert await post(alone, payload(brought, externalURL=url, receiver=url)) == 202
        await until(alone, "logged", lambda now: "log" in now["rollout"]["steps"])

    assert heard == []
