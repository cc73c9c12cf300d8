"""Feature flags by OFREP, asked by the real clients that shops use."""

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

from canary.flags import Flags
from tests.support.programs.haproxy import HAProxy
from tests.support.receiving.receiver import Setting, order, receiving, router_section

TOKEN = "flags-token"
ROOT = Path(__file__).resolve().parents[4]
FLAGS = {
    "newCheckoutFlow": {"percentage": "100%"},
    "newPaymentGateway": {"enabled": False},
    "newRelease": {"follow_rollout": True, "groups": ["staff"]},
    "tenth": {"percentage": "10%"},
}
EXPERIMENTS = {"checkoutFlow": {"variants": {"control": {"weight": 90}, "treatment": {"weight": 10}}}}

MIDDLEWARE = """
import { featureFlags } from "%s";
const middleware = await featureFlags(process.argv[2], process.argv[3]);
const request = { user: { id: "user-1", group: "customers" } };
await middleware(request, {}, () => console.log(JSON.stringify(request.canary)));
process.exit(0);
"""


@pytest.fixture
async def setting(tmp_path: Path, haproxy: HAProxy) -> AsyncIterator[Setting]:
    """A receiver with flags, listening."""
    (tmp_path / "flags-token").write_text(f"{TOKEN}\n")
    changes: dict[str, Any] = {
        "flags": FLAGS,
        "experiments": EXPERIMENTS,
        "receiver": {"flags_token_file": "../flags-token"},
    }
    made = Setting(tmp_path / "receiver", [router_section(haproxy)], changes)
    async with receiving(made):
        yield made


async def ask(setting: Setting, path: str, body: object, **headers: str) -> tuple[int, Any, Any]:
    """The status, JSON body and headers of one question."""
    sent = {"Authorization": f"Bearer {TOKEN}", **headers}
    url = f"{setting.url}/ofrep/v1/evaluate/flags{path}"
    data = body if isinstance(body, str) else json.dumps(body)
    async with aiohttp.ClientSession() as session, session.post(url, data=data, headers=sent) as answer:
        text = await answer.text()
        return answer.status, json.loads(text) if text else None, answer.headers


def python_client(setting: Setting, flag: str, user: str, **attributes: str) -> bool:
    """What the Python SDK with its OFREP provider gets, False by default."""
    provider = OFREPProvider(setting.url, headers_factory=lambda: {"Authorization": f"Bearer {TOKEN}"})
    api.set_provider_and_wait(provider)
    return api.get_client().get_boolean_value(flag, False, EvaluationContext(user, attributes))


async def test_the_python_sdk_sees_flags_and_defaults(setting: Setting) -> None:
    """The Python SDK gets a flag's value, the control of one that is off, and its default for an unknown one."""
    answers = [
        await asyncio.to_thread(python_client, setting, flag, "user-1")
        for flag in ("newCheckoutFlow", "newPaymentGateway", "unknown")
    ]

    assert answers == [True, False, False]


async def test_a_rollback_switches_a_following_flag_off_for_the_sdk(setting: Setting) -> None:
    """The SDK sees a flag that follows the rollout while it runs, and no more with the first question after."""
    await order(setting, "start", canary="v2", stable="v1", actor="ann", force=True)
    during = await asyncio.to_thread(python_client, setting, "newRelease", "user-1", group="staff")
    await order(setting, "rollback", actor="ann", reason="complaints")

    after = await asyncio.to_thread(python_client, setting, "newRelease", "user-1", group="staff")

    assert (during, after) == (True, False)


async def test_without_a_receiver_the_sdk_answers_by_default(tmp_path: Path) -> None:
    """With nobody listening the SDK returns the default that the application names."""
    nobody = Setting(tmp_path / "receiver")

    assert await asyncio.to_thread(python_client, nobody, "newCheckoutFlow", "user-1") is False


@pytest.mark.parametrize(("listening", "expected"), [(True, "true"), (False, "false")])
async def test_the_documented_node_middleware_works(
    setting: Setting, tmp_path: Path, *, listening: bool, expected: str
) -> None:
    """The middleware of the docs, on the real Node SDK, sees the flag, and stable when the receiver is down."""
    node = shutil.which("node")
    assert node is not None, "node is missing; run scripts/debian test"
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    shutil.copy(ROOT / "docs/examples/feature-flags.mjs", folder)
    (folder / "shop.mjs").write_text(MIDDLEWARE % "./feature-flags.mjs")
    url = setting.url if listening else "http://127.0.0.1:1"

    program = await asyncio.create_subprocess_exec(
        node, str(folder / "shop.mjs"), url, TOKEN, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    printed, complaints = await asyncio.wait_for(program.communicate(), 60)

    assert printed.decode().strip() == expected, complaints.decode()


@pytest.mark.parametrize(
    ("listening", "expected"), [(True, "checkout new, variant treatment"), (False, "checkout old, variant control")]
)
async def test_the_documented_python_example_works(setting: Setting, *, listening: bool, expected: str) -> None:
    """The example of the docs, on the real Python SDK, sees flag and experiment, and defaults without a receiver."""
    flags, users = Flags(setting.policy), map(str, range(1000))
    user = next(user for user in users if flags.evaluate("checkoutFlow", {"targetingKey": user}).variant == "treatment")
    environment = {"RECEIVER_URL": setting.url if listening else "http://127.0.0.1:1", "FLAGS_TOKEN": TOKEN}

    program = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "docs/examples/feature_flags.py"),
        user,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, complaints = await asyncio.wait_for(program.communicate(), 60)

    assert printed.decode().strip() == expected, complaints.decode()


async def test_all_flags_at_once_with_a_tag(setting: Setting) -> None:
    """The bulk answer holds every flag and experiment; asked again with its tag it is 304 and empty."""
    context = {"context": {"targetingKey": "user-1"}}

    status, body, headers = await ask(setting, "", context)
    again, nothing, _ = await ask(setting, "", context, **{"If-None-Match": headers["ETag"]})

    assert status == 200
    assert [flag["key"] for flag in body["flags"]] == sorted([*FLAGS, *EXPERIMENTS])
    assert (again, nothing) == (304, None)


async def test_the_bulk_tag_changes_with_the_rollout(setting: Setting) -> None:
    """A rollout that starts makes the old tag stale, so that polling clients take the new answers."""
    context = {"context": {"targetingKey": "user-1", "group": "staff"}}
    _, _, headers = await ask(setting, "", context)
    await order(setting, "start", canary="v2", stable="v1", actor="ann", force=True)

    status, _, _ = await ask(setting, "", context, **{"If-None-Match": headers["ETag"]})

    assert status == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/unknown", {"context": {"targetingKey": "u"}}, 404, "FLAG_NOT_FOUND"),
        ("/tenth", {"context": {}}, 400, "TARGETING_KEY_MISSING"),
        ("/tenth", {"context": {"targetingKey": 7}}, 400, "INVALID_CONTEXT"),
        ("/tenth", {"context": []}, 400, "INVALID_CONTEXT"),
        ("/tenth", "{", 400, "PARSE_ERROR"),
        ("", "{", 400, "PARSE_ERROR"),
    ],
)
async def test_faults_have_the_protocols_codes(
    setting: Setting, path: str, body: object, status: int, code: str
) -> None:
    """Whatever is wrong with a question is said in OFREP's own words."""
    found, answer, _ = await ask(setting, path, body)

    assert (found, answer["errorCode"]) == (status, code)


async def test_strangers_and_other_tokens_are_refused(setting: Setting) -> None:
    """Neither no token nor the webhook's opens the flags."""
    for authorization in ("", "Bearer webhook-token"):
        status, _, _ = await ask(setting, "/tenth", {"context": {"targetingKey": "u"}}, Authorization=authorization)

        assert status == 401


async def test_a_flag_token_gives_no_orders(setting: Setting) -> None:
    """With an application's token nothing can be rolled back or promoted."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    url = f"{setting.url}/api/v1/rollback"
    async with aiohttp.ClientSession() as session, session.post(url, data="{}", headers=headers) as answer:
        assert answer.status == 401
