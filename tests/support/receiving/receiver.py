"""A receiver under test: in this process, or as the program that users start and that may be killed."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from alertmanager.receiver.opening import open_receiver
from alertmanager.receiver.receiver import Receiver
from alertmanager.receiver.service import web_service
from canary import names
from canary.policy.load import load_policy
from canary.policy.model import Policy
from canary.policy.release import Receiver as ReceiverSection
from canary.rollout.entries import Entry
from canary.rollout.journal.journal import Journal
from canary.rollout.state import Rollout
from canary.timing.clock import Clock
from canary.timing.times import to_text
from canary.web.client import Client
from canary.web.metrics import service_registry
from canary.web.options import WebOptions
from canary.web.place import AT_ROOT, Place
from tests.support.programs.envoy import Envoy
from tests.support.programs.haproxy import HAProxy
from tests.support.programs.nginx import Nginx
from tests.support.programs.ports import free_port
from tests.support.programs.processes import Program, eventually
from tests.support.web.webserver import served

SERVICE = "shop"
WEBHOOK_TOKEN = "webhook-token"
OPERATOR_TOKEN = "operator-token"
# Tests wait for a look.
_HASTY = {"poll": "200ms", "reconcile": "200ms"}
AS_SHIPPED = {key: f"{getattr(ReceiverSection(), key):g}s" for key in _HASTY}
"""How often a receiver looks whose policy says nothing: for what it costs, or how soon it acts, at a user's."""


def router_section(front: HAProxy | Nginx | Envoy) -> dict[str, Any]:
    """The policy's `router` entry that drives a front under test."""
    section = front.section
    if isinstance(front, Envoy):
        return {"kind": "envoy", "admins": list(front.section.admins)}
    if isinstance(front, HAProxy):
        return {"kind": "haproxy", "sockets": list(section.sockets), "map": section.map}  # type: ignore[union-attr]  # its own section
    return {"kind": "nginx", "directories": list(section.directories), "configuration": section.configuration}  # type: ignore[union-attr]  # its own section


@dataclass
class Setting:
    """A policy in a folder of its own, with tokens, a canary process made of files, and what to change in it."""

    folder: Path
    routers: Sequence[Mapping[str, Any]] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        """Write everything."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.policy_file = self.folder / "canary.yaml"
        self.stops = self.folder / "stops"
        (self.folder / "webhook-token").write_text(f"{WEBHOOK_TOKEN}\n")
        (self.folder / "previous-token").write_text(f"previous-{WEBHOOK_TOKEN}\n")
        (self.folder / "operator-token").write_text(f"{OPERATOR_TOKEN}\n")
        stop = ["sh", "-c", f"echo stopped >> {self.stops}"]
        policy: dict[str, Any] = {
            "service": SERVICE,
            "state": {"url": "sqlite:///state.db", "rollback_log": "rollbacks.log"},
            "router": list(self.routers),
            "process": {"kind": "command", "stop": stop, "drain": "50ms"},
            "phases": [
                {"traffic": "5%", "duration": "1s"},
                {"traffic": "50%", "duration": "1s"},
                {"traffic": "100%", "duration": "1s"},
            ],
            "receiver": {
                "url": self.url,
                "token_file": "webhook-token",
                "previous_token_file": "previous-token",
                "operator_token_file": "operator-token",
                # Nothing listens on port 1: Prometheus and Alertmanager are down unless a test brings its own.
                "prometheus": "http://127.0.0.1:1",
                "alertmanager": "http://127.0.0.1:1",
                **_HASTY,
            },
        }
        for section, keys in self.changes.items():
            old = policy.get(section)
            policy[section] = {**old, **keys} if isinstance(old, dict) else keys
        self.policy_file.write_text(yaml.safe_dump(policy))

    @property
    def url(self) -> str:
        """Where the receiver listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def policy(self) -> Policy:
        """The policy as read."""
        return load_policy(self.policy_file)

    def stopped(self) -> int:
        """How often the canary's process has been stopped."""
        return len(self.stops.read_text().splitlines()) if self.stops.exists() else 0

    async def journal(self) -> list[Entry]:
        """What the journal says, read as another program would."""
        async with Journal.open(self.policy) as journal:
            return list(await journal.entries())


@asynccontextmanager
async def receiving(
    setting: Setting, clock: Clock | None = None, place: Place = AT_ROOT, web_config: Path | None = None
) -> AsyncIterator[Receiver]:
    """The receiver in this process, listening."""
    registry = service_registry()
    options = WebOptions((f"127.0.0.1:{setting.port}",), place=place, config_file=web_config)
    async with (
        open_receiver(setting.policy, registry, clock) as receiver,
        web_service(receiver, registry, options, setting.policy_file).serving(),
    ):
        yield receiver


class ReceiverProgram:
    """`canary receiver` as a process of its own."""

    def __init__(self, setting: Setting, environment: Mapping[str, str] | None = None) -> None:
        self._setting = setting
        argv: list[str | Path] = [Path(sys.executable).with_name("canary"), "receiver"]
        argv.append(f"--config.file={setting.policy_file}")
        argv.append(f"--web.listen-address=127.0.0.1:{setting.port}")
        self.program = Program(argv, setting.folder / "receiver.log", environment)

    async def start(self) -> None:
        """Start it and wait until it answers."""
        await self.program.start(self._answers)

    async def _answers(self) -> bool:
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{self._setting.url}/-/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False


async def order(setting: Setting, verb: str, **keys: Any) -> dict[str, Any]:
    """Give a command through the API, as the command line does."""
    async with Client.of(setting.policy) as client:
        return await client.command(verb, **keys)


async def status(setting: Setting) -> dict[str, Any]:
    """What `canary status --json` prints."""
    async with Client.of(setting.policy) as client:
        answer = await client.get("status")
    assert isinstance(answer, dict)
    return answer


def alert(
    name: str,
    action: str,
    rollout: str | Rollout,
    *,
    status: str = "firing",
    starts_at: datetime | None = None,
    **labels: str,
) -> dict[str, Any]:
    """One alert as Alertmanager's payload has it."""
    return {
        "status": status,
        "labels": {
            "alertname": name,
            names.SERVICE: SERVICE,
            names.ACTION: action,
            names.ROLLOUT: rollout if isinstance(rollout, str) else rollout.id,
            **labels,
        },
        "annotations": {"description": f"{name} of the canary"},
        "startsAt": to_text(starts_at or datetime.now(UTC)),
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": "0123456789abcdef",
    }


def payload(*alerts: Mapping[str, Any], **keys: object) -> dict[str, Any]:
    """A notification as Alertmanager sends it."""
    firing = any(one["status"] == "firing" for one in alerts)
    return {
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
        "status": "firing" if firing else "resolved",
        "receiver": "canary",
        "alerts": list(alerts),
        **keys,
    }


async def post(
    setting: Setting, body: object, *, token: str | None = WEBHOOK_TOKEN, session: aiohttp.ClientSession | None = None
) -> int:
    """Send a webhook; gives the status."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    async with contextlib.AsyncExitStack() as stack:
        if session is None:
            session = await stack.enter_async_context(aiohttp.ClientSession())
        async with session.post(f"{setting.url}{names.WEBHOOK_PATH}", data=data, headers=headers) as answer:
            await answer.read()
            return answer.status


@dataclass
class Team:
    """Where messages arrive: a webhook for apprise' `json://`, which may be down for a while."""

    port: int = field(default_factory=free_port)
    messages: list[dict[str, Any]] = field(default_factory=list)
    refusing: bool = False
    delay_seconds: float = 0.0

    @property
    def url(self) -> str:
        """The apprise URL."""
        return f"json://127.0.0.1:{self.port}/team"

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Team"]:
        """Take messages while the block runs."""

        async def take(request: web.Request) -> web.Response:
            message = await request.json()
            await asyncio.sleep(self.delay_seconds)
            if self.refusing:
                return web.Response(status=503)
            self.messages.append(message)
            return web.Response()

        async with served(web.post("/team", take), port=self.port):
            yield self


async def until(setting: Setting, what: str, holds: Callable[[dict[str, Any]], bool], seconds: float = 20.0) -> None:
    """Wait until the receiver's status is as wanted."""

    async def look() -> bool:
        return holds(await status(setting))

    await eventually(look, what, seconds)


def in_state(state: str) -> Callable[[dict[str, Any]], bool]:
    """Whether a status shows the newest rollout in a state."""
    return lambda status: bool(status["rollout"] and status["rollout"]["state"] == state)
