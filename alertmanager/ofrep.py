"""The OpenFeature Remote Evaluation Protocol (OFREP 0.3): feature flags for applications, read only."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from aiohttp import web

from alertmanager.authority import Authority, Role
from canary.errors import FlagError
from canary.flags import Evaluation, Flags
from canary.rollout import Rollout

OFREP_PREFIX = "/ofrep/v1/evaluate/flags"

_JSON = "application/json"


class Ofrep:
    """Answers applications' questions about flags.

    Args:
        flags: the policy's flags and experiments.
        rollout: gives the newest rollout, for flags that follow it.
        stopped: gives the experiments that were stopped.
        authority: knows the applications' tokens.
    """

    def __init__(
        self,
        flags: Flags,
        rollout: Callable[[], Rollout | None],
        stopped: Callable[[], Iterable[str]],
        authority: Callable[[], Authority],
    ) -> None:
        self._flags = flags
        self._rollout = rollout
        self._stopped = stopped
        self._authority = authority

    @property
    def paths(self) -> list[str]:
        """Paths that check bearer tokens themselves, so that basic authentication must leave them alone."""
        return [OFREP_PREFIX, *(f"{OFREP_PREFIX}/{key}" for key in self._flags.keys)]

    def routes(self) -> list[web.RouteDef]:
        """The protocol's two routes."""
        return [
            web.post(OFREP_PREFIX, self._checked(self._bulk)),
            web.post(f"{OFREP_PREFIX}/{{key}}", self._checked(self._single)),
        ]

    def _checked(
        self, handler: Callable[[web.Request, Mapping[str, Any]], web.Response]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def checked(request: web.Request) -> web.Response:
            if not self._authority().allows(Role.FLAGS, request.headers.get("Authorization")):
                return _fault(401, "GENERAL", "a bearer token of receiver.flags_token_file is needed", request)
            try:
                return handler(request, _context(await request.read()))
            except FlagError as error:
                status = 404 if error.code == "FLAG_NOT_FOUND" else 400
                return _fault(status, error.code, str(error), request)

        return checked

    def _single(self, request: web.Request, context: Mapping[str, Any]) -> web.Response:
        found = self._flags.evaluate(request.match_info["key"], context, self._rollout(), self._stopped())
        return web.Response(body=_dumps(_answer(found)), content_type=_JSON)

    def _bulk(self, request: web.Request, context: Mapping[str, Any]) -> web.Response:
        rollout, stopped = self._rollout(), frozenset(self._stopped())
        answers = [self._one(key, context, rollout, stopped) for key in self._flags.keys]
        body = _dumps({"flags": answers})
        tag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
        if tag in (known.strip() for known in request.headers.get("If-None-Match", "").split(",")):
            return web.Response(status=304, headers={"ETag": tag})
        return web.Response(body=body, content_type=_JSON, headers={"ETag": tag})

    def _one(
        self, key: str, context: Mapping[str, Any], rollout: Rollout | None, stopped: frozenset[str]
    ) -> dict[str, Any]:
        try:
            return _answer(self._flags.evaluate(key, context, rollout, stopped))
        except FlagError as error:
            return {"key": key, "errorCode": error.code, "errorDetails": str(error)}


def _context(body: bytes) -> Mapping[str, Any]:
    try:
        data = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise FlagError("PARSE_ERROR", 'expected JSON such as {"context": {"targetingKey": "user-1"}}') from error
    context = data.get("context", {}) if isinstance(data, dict) else None
    if not isinstance(context, dict):
        raise FlagError("INVALID_CONTEXT", "context: expected an object")
    return context


def _answer(found: Evaluation) -> dict[str, Any]:
    # Clients in the field read all of these unconditionally.
    return {
        "key": found.key,
        "value": found.value,
        "reason": found.reason.value,
        "variant": found.variant,
        "metadata": dict(found.metadata),
    }


def _fault(status: int, code: str, text: str, request: web.Request) -> web.Response:
    data = {"key": request.match_info.get("key", ""), "errorCode": code, "errorDetails": text}
    return web.Response(body=_dumps(data), status=status, content_type=_JSON)


def _dumps(data: object) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()
