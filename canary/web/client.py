"""The receiver's API, as the command line calls it.

A command says what its sender saw and carries a key of its own. When the answer is lost, the command is sent once more
with the same key: a receiver that has carried it out gives the first result again instead of doing it twice.
"""

import asyncio
import contextlib
import getpass
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Self

import aiohttp

from canary.certificates import tls_context, untrusted
from canary.errors import (
    CanaryError,
    JournalError,
    PayloadError,
    RefusedError,
    RemoteError,
    SecretError,
    UnseenError,
    reason,
)
from canary.names import API_PREFIX
from canary.policy.model import Policy
from canary.policy.reading.sentences import did_you_mean
from canary.policy.servers import whole
from canary.rollout.commands.verbs import Verb
from canary.secrets import read_secret
from canary.timing.zones import in_zone
from canary.web.recent import require_looked

# `start` waits for the canary's process, and for every router to be looked at.
_TIMEOUT_SECONDS = 60.0

_ERRORS: Mapping[int, type[CanaryError]] = {400: PayloadError, 409: RefusedError, 428: UnseenError, 503: JournalError}

_ABSENT = "see that `canary receiver` runs, and that receiver.url in the policy is right"

CA_KEY = "receiver.ca_file"
"""The policy's key that names whom to believe about the receiver."""

_ELSEWHERE = "correct receiver.url: each of several services has its receiver below /services/NAME, one alone has none"

# What a person may do without having seen anything: it only ever lowers the weight, or leaves it where it is.
_UNSEEN = (Verb.HOLD, Verb.ROLLBACK)


def connector(policy: Policy) -> aiohttp.TCPConnector:
    """Connections to the receiver, checked against `receiver.ca_file` where the policy names one.

    Raises:
        SecretError: the file cannot be used.
    """
    file = policy.receiver.ca_file
    if file is None:
        return aiohttp.TCPConnector()
    try:
        return aiohttp.TCPConnector(ssl=tls_context(whole(policy.base, file)))
    except OSError as error:  # ssl's own errors are one
        what = f"the file {file} cannot be used ({reason(error)})"
        raise SecretError(what, place=CA_KEY) from error


def own_token(policy: Policy) -> str | None:
    """The operator's token of the person who runs this process; None where the policy names none.

    Raises:
        SecretError: it is named but cannot be read.
    """
    receiver, name = policy.receiver, operator()
    key, file, env = "operator_token", receiver.operator_token_file, receiver.operator_token_env
    if (own := receiver.operators.get(name)) is not None:
        key, file, env = f"operators.{name}.token", own.token_file, own.token_env
    text = read_secret(f"receiver.{key}", file=file, env=env, base=policy.base)
    return text.split()[0] if text else None


class UnansweredError(RemoteError):
    """A request was sent and no answer came: it may have been carried out."""


class Client:
    """Talks to one receiver, with the operator's token.

    Args:
        zone: in which the people who read a refusal tell the time.
        new_key: makes the keys by which the receiver knows a command that is sent again.
        timeout_seconds: how long one answer may take.
        nobody: why nobody knows the person; then nothing is raised, and what lowers or holds is done all the same.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        session: aiohttp.ClientSession,
        *,
        zone: str = "UTC",
        new_key: Callable[[], str] = secrets.token_urlsafe,
        timeout_seconds: float = _TIMEOUT_SECONDS,
        nobody: SecretError | None = None,
    ) -> None:
        self._nobody = nobody
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session = session
        self._zone = zone
        self._new_key = new_key
        self._timeout_seconds = timeout_seconds

    @classmethod
    @asynccontextmanager
    async def of(cls, policy: Policy) -> AsyncIterator[Self]:
        """The client that a policy's `receiver` section describes, for the person who runs this process.

        Raises:
            SecretError: the operator's token is named but cannot be read.
        """
        receiver, token = policy.receiver, own_token(policy)
        async with aiohttp.ClientSession(connector=connector(policy)) as session:
            yield cls(receiver.url, token, session, zone=receiver.timezone, nobody=stranger(policy))

    async def get(self, path: str, **params: str) -> Any:
        """What the API answers to a question.

        Raises:
            RemoteError: the receiver does not answer as expected.
            JournalError: it cannot read its journal.
        """
        status, body = await self._ask("GET", path, params=params)
        return self._result(path, status, body)

    async def find(self, path: str) -> Any:
        """As `get`, for what there may not be; None when there is none.

        Raises:
            RemoteError: the receiver does not answer as expected.
        """
        status, body = await self._ask("GET", path)
        return None if status == 404 and isinstance(body, dict) else self._result(path, status, body)

    async def command(self, verb: str, *, seen: str | None = None, **body: object) -> dict[str, Any]:
        """Give a command under the name of the person who runs this process; gives the journal entry.

        Args:
            seen: what the person saw, as the status has it; without it the status is read now, and what raises or
                finishes is refused when another's decision is so fresh that the person cannot have seen it.

        Raises:
            RefusedError: it does not fit the rollout's state, or the rollout is no longer as it was seen.
            SecretError: the token is missing or wrong, or nobody knows the person.
            RemoteError: the receiver does not answer as expected.
        """
        if self._nobody is not None and verb not in _UNSEEN:
            raise self._nobody
        if seen is None:
            with contextlib.suppress(*((CanaryError,) if verb in _UNSEEN else ())):
                status = await self.get("status")
                seen = str(status["seen"])
                if not body.get("back"):
                    require_looked(verb, status, {operator(), person(), body.get("actor")})
        return await self.once(verb, body, {"If-Match": f'"{seen}"'} if seen else {})

    async def once(
        self, path: str, body: Mapping[str, object], headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Post something that is to be done once: sent again with the same key when no answer comes.

        Raises:
            RefusedError: it does not fit.
            SecretError: the token is missing or wrong.
            RemoteError: the receiver does not answer as expected.
        """
        keyed = {"Idempotency-Key": self._new_key(), **(headers or {})}
        try:
            return await self.send(path, body, keyed)
        except UnansweredError:
            return await self.send(path, body, keyed)

    async def send(
        self, path: str, body: Mapping[str, object], headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Post something under the name of the person who runs this process.

        Raises:
            RefusedError: it does not fit.
            SecretError: the token is missing or wrong.
            RemoteError: the receiver does not answer as expected.
        """
        return await self._post(path, {"actor": person(), **body}, headers)

    async def start_drill(self) -> str:
        """Let Prometheus begin a drill; gives its id.

        Raises:
            SecretError: the token is missing or wrong.
            RemoteError: the receiver does not answer as expected.
        """
        return str((await self._post("drill", {}))["id"])

    async def _post(
        self, path: str, body: Mapping[str, object], headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        status, answer = await self._ask("POST", path, json=body, headers=headers)
        result = self._result(path, status, answer)
        assert isinstance(result, dict)
        return result

    def _result(self, path: str, status: int, body: Any) -> Any:
        if status == 200:
            return body
        fault = in_zone(str(body.get("error", "")), self._zone) if isinstance(body, dict) else ""
        if status in _ERRORS:
            raise _ERRORS[status](fault)
        place = f"receiver {self._at(path)}"
        if status == 401:
            raise SecretError(fault, place=place, remedy="set receiver.operator_token_file as the receiver has it")
        found = f"expected status 200, found {status}" + (f": {fault}" if fault else "")
        # What the API lacks it says in JSON; another 404 is of somebody who does not know the path at all.
        elsewhere = status == HTTPStatus.NOT_FOUND and not isinstance(body, dict)
        raise RemoteError(found, place=place, remedy=_ELSEWHERE if elsewhere else "")

    async def _ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        url = self._at(path)
        sent = {**self._headers, **(headers or {})}
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),
                self._session.request(method, url, headers=sent, **options) as answer,
            ):
                body = await answer.json(content_type=None) if answer.content_type == "application/json" else None
                return answer.status, body
        except TimeoutError as error:
            raise UnansweredError(
                f"expected an answer within {self._timeout_seconds:g}s, found none", place=f"receiver {url}"
            ) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            unsent = isinstance(error, aiohttp.ClientConnectorError | aiohttp.InvalidURL)
            raise (RemoteError if unsent else UnansweredError)(
                reason(error),
                place=f"cannot reach the receiver at {url}",
                remedy=untrusted(error, CA_KEY) or _ABSENT,
            ) from error

    def _at(self, path: str) -> str:
        return f"{self._url}{API_PREFIX}/{path}"


def stranger(policy: Policy, environ: Mapping[str, str] = os.environ) -> SecretError | None:
    """What is wrong where a name was chosen that nobody has: what it does would be done under another one."""
    chosen, known = environ.get("CANARY_OPERATOR"), policy.receiver.operators
    if chosen and known and chosen not in known:
        return SecretError(
            f"expected one of the policy's operators, found {chosen!r}",
            place="CANARY_OPERATOR",
            remedy=did_you_mean(chosen, known),
        )
    return None


def operator(environ: Mapping[str, str] = os.environ) -> str:
    """Under whose own token this process asks: `CANARY_OPERATOR`, or the user's name on this machine."""
    return environ.get("CANARY_OPERATOR") or person().partition("@")[0]


def person() -> str:
    """Who runs this process, as `name@machine`."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "unknown"
    return f"{name}@{socket.gethostname()}"
