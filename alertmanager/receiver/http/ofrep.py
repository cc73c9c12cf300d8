"""The OpenFeature Remote Evaluation Protocol (OFREP 0.3): feature flags for applications, read only."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web

from canary.errors import CanaryError, FlagError, PayloadError
from canary.flags import Evaluation, Flags
from canary.rollout.state import Rollout
from canary.web.routes.bodies import MalformedError
from canary.web.routes.table import JSON, Call

OFREP_PREFIX = "/ofrep/v1/evaluate/flags"


class Ofrep:
    """Answers applications' questions about flags.

    Args:
        flags: the policy's flags and experiments.
        rollout: gives the newest rollout, for flags that follow it.
        stopped: gives the experiments that were stopped.
    """

    def __init__(
        self, flags: Flags, rollout: Callable[[], Rollout | None], stopped: Callable[[], Iterable[str]]
    ) -> None:
        self._flags = flags
        self._rollout = rollout
        self._stopped = stopped

    async def single(self, call: Call) -> web.Response:
        """One flag for one user."""
        key = call.request.match_info["key"]
        try:
            found = self._flags.evaluate(key, call.body.context, self._rollout(), self._stopped())
        except FlagError as error:
            status = HTTPStatus.NOT_FOUND if error.code == "FLAG_NOT_FOUND" else HTTPStatus.BAD_REQUEST
            return ofrep_refusal(call.request, status, error)
        return web.Response(body=_dumps(_answer(found)), content_type=JSON)

    async def bulk(self, call: Call) -> web.Response:
        """Every flag for one user."""
        rollout, stopped, context = self._rollout(), frozenset(self._stopped()), call.body.context
        body = _dumps({"flags": [self._one(key, context, rollout, stopped) for key in self._flags.keys]})
        tag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
        if tag in (known.strip() for known in call.request.headers.get("If-None-Match", "").split(",")):
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag})
        return web.Response(body=body, content_type=JSON, headers={"ETag": tag})

    def _one(
        self, key: str, context: Mapping[str, Any], rollout: Rollout | None, stopped: frozenset[str]
    ) -> dict[str, Any]:
        try:
            return _answer(self._flags.evaluate(key, context, rollout, stopped))
        except FlagError as error:
            return {"key": key, "errorCode": error.code, "errorDetails": str(error)}


def _answer(found: Evaluation) -> dict[str, Any]:
    # Clients in the field read all of these unconditionally.
    return {
        "key": found.key,
        "value": found.value,
        "reason": found.reason.value,
        "variant": found.variant,
        "metadata": dict(found.metadata),
    }


def ofrep_refusal(request: web.Request, status: int, error: CanaryError) -> web.Response:
    """A refusal in the protocol's own words."""
    match error:
        case FlagError():
            code = error.code
        case MalformedError():
            code = "PARSE_ERROR"
        case PayloadError():
            code = "INVALID_CONTEXT"
        case _:
            code = "GENERAL"
    data = {"key": request.match_info.get("key", ""), "errorCode": code, "errorDetails": str(error)}
    return web.Response(body=_dumps(data), status=status, content_type=JSON)


def _dumps(data: object) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()
