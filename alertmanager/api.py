"""The receiver's HTTP side: Alertmanager's webhook, the rollout's API, the strategy's `/api/metrics`."""

import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib.resources import files
from typing import Any, Protocol

from aiohttp import web

from alertmanager.authority import Authority, Role, local_name
from alertmanager.commands import Request
from alertmanager.status import entry_data
from alertmanager.webhook import Notification, clean, parse
from canary.commands import Seen, Verb
from canary.entries import Entry
from canary.errors import CanaryError, JournalError, PayloadError, RefusedError, UnseenError
from canary.names import API_PREFIX, WEBHOOK_PATH

_TEXT_LIMIT = 1000

_FLAGS = ("force", "give_up")


class Receiver(Protocol):
    """What the handlers need of the receiver."""

    async def notify(self, notification: Notification) -> bool:
        """Decide and persist; False when something decided is not in the journal."""
        ...

    async def submit(self, request: Request) -> Entry:
        """Carry out a person's order."""
        ...

    async def status(self) -> dict[str, Any]:
        """Where everything stands."""
        ...

    async def history(self, rollout: str | None) -> list[Entry]:
        """The journal."""
        ...

    async def shop_metrics(self) -> dict[str, Any]:
        """Traffic split, error rate and payment success by role."""
        ...


def routes(receiver: Receiver, authority: Callable[[], Authority]) -> list[web.RouteDef]:
    """All routes of the receiver."""
    guarded = partial(guarded_by, authority)
    return [
        web.post(WEBHOOK_PATH, guarded(Role.WEBHOOK, partial(_webhook, receiver))),
        web.get("/api/metrics", partial(_metrics, receiver)),
        web.get(f"{API_PREFIX}/status", partial(_status, receiver)),
        web.get(f"{API_PREFIX}/history", partial(_history, receiver)),
        web.get(f"{API_PREFIX}/openapi.json", _openapi),
        *(web.post(f"{API_PREFIX}/{verb}", guarded(Role.OPERATOR, partial(_order, receiver, verb))) for verb in Verb),
    ]


def own_authentication() -> list[str]:
    """Paths that check bearer tokens themselves, so that basic authentication must leave them alone."""
    return [WEBHOOK_PATH, *(f"{API_PREFIX}/{verb}" for verb in Verb)]


def guarded_by(
    authority: Callable[[], Authority], role: Role, handler: Callable[[web.Request], Awaitable[web.Response]]
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """The handler, for those only who have a token of the role."""

    async def checked(request: web.Request) -> web.Response:
        # Flags may be asked for through a proxy of the shop's; they order nothing.
        if role is not Role.FLAGS and authority().allows(role, None) and not local_name(request.host):
            return fault(403, f"without a token of the {role.value}, ask by this machine's own address")
        if not authority().allows(role, request.headers.get("Authorization")):
            return fault(401, f"a bearer token of the {role.value} is needed", {"WWW-Authenticate": "Bearer"})
        return await handler(request)

    return checked


async def _webhook(receiver: Receiver, request: web.Request) -> web.Response:
    body = await request.read()
    try:
        notification = parse(body)
    except PayloadError as error:
        return fault(400, str(error))
    if not await receiver.notify(notification):
        # Alertmanager keeps what it could not deliver and sends it again: until the disk is back, it is our journal.
        return fault(503, "acting, but the journal cannot be written; send it again")
    return web.json_response({"status": "accepted"}, status=202)


async def _order(receiver: Receiver, verb: str, request: web.Request) -> web.Response:
    # Browsers send other types across sites without asking first.
    if request.content_type != "application/json":
        return fault(415, f"expected Content-Type application/json, found {request.content_type}")
    try:
        entry = await receiver.submit(_read_order(verb, request, await request.read()))
    except PayloadError as error:
        return fault(400, str(error))
    except UnseenError as error:
        return fault(428, str(error))
    except RefusedError as error:
        return fault(409, str(error))
    except JournalError as error:
        return fault(503, str(error))
    return web.json_response(entry_data(entry))


def _read_order(verb: str, request: web.Request, body: bytes) -> Request:
    try:
        data = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise PayloadError(f"{verb}: expected JSON") from error
    if not isinstance(data, dict):
        raise PayloadError(f"{verb}: expected a JSON object")
    texts = ("actor", "reason", "canary", "stable", "seen")
    for name, value in data.items():
        if name not in (*texts, *_FLAGS):
            raise PayloadError(f"{verb}: unknown key {name[:40]!a}; known are {', '.join((*texts, *_FLAGS))}")
        if not isinstance(value, bool if name in _FLAGS else str):
            raise PayloadError(f"{verb}: {name}: expected {'true or false' if name in _FLAGS else 'a text'}")
        if isinstance(value, str) and len(value) > _TEXT_LIMIT:
            raise PayloadError(f"{verb}: {name}: expected at most {_TEXT_LIMIT} characters, found {len(value)}")
    if verb == "rollback" and not data.get("reason"):
        raise PayloadError("rollback: reason: is required; those who read the journal later will ask")
    seen = request.headers.get("If-Match") or data.get("seen")
    return Request(
        verb,
        actor=clean(data.get("actor", "unknown")),
        reason=clean(data.get("reason", "")),
        canary=clean(data.get("canary", "")),
        stable=clean(data.get("stable", "")),
        force=data.get("force", False),
        give_up=data.get("give_up", False),
        seen=Seen.read(seen) if seen else None,
        key=clean(request.headers.get("Idempotency-Key", ""))[:200],
    )


async def _status(receiver: Receiver, _request: web.Request) -> web.Response:
    return await _answer(receiver.status())


async def _metrics(receiver: Receiver, _request: web.Request) -> web.Response:
    return await _answer(receiver.shop_metrics())


async def _history(receiver: Receiver, request: web.Request) -> web.Response:
    try:
        entries = await receiver.history(request.query.get("rollout"))
    except CanaryError as error:
        return fault(503, str(error))
    return web.json_response([entry_data(entry) for entry in entries])


async def _answer(work: Awaitable[dict[str, Any]]) -> web.Response:
    try:
        return web.json_response(await work)
    except CanaryError as error:
        return fault(503, str(error))


async def _openapi(_request: web.Request) -> web.Response:
    text = files("alertmanager").joinpath("openapi.json").read_text(encoding="utf-8")
    return web.Response(text=text, content_type="application/json")


def fault(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer that says what is wrong."""
    return web.json_response({"error": text}, status=status, headers=headers)
