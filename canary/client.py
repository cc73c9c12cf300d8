"""The receiver's API, as the command line calls it."""

import asyncio
import getpass
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import aiohttp

from canary.commands import Verb
from canary.errors import JournalError, PayloadError, RefusedError, RemoteError, SecretError
from canary.names import API_PREFIX
from canary.policy.model import Policy
from canary.secrets import read_secret

# `start` waits for the canary's process, and for every router to be looked at.
_TIMEOUT_SECONDS = 60.0

_ERRORS = {400: PayloadError, 409: RefusedError, 503: JournalError}


class Client:
    """Talks to one receiver, with the operator's token."""

    def __init__(self, url: str, token: str | None, session: aiohttp.ClientSession) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session = session

    @classmethod
    @asynccontextmanager
    async def of(cls, policy: Policy) -> AsyncIterator[Self]:
        """The client that a policy's `receiver` section describes.

        Raises:
            SecretError: the operator's token is named but cannot be read.
        """
        receiver = policy.receiver
        text = read_secret(
            "receiver.operator_token",
            file=receiver.operator_token_file,
            env=receiver.operator_token_env,
            base=policy.base,
        )
        token = text.split()[0] if text else None
        async with aiohttp.ClientSession() as session:
            yield cls(receiver.url, token, session)

    async def get(self, path: str, **params: str) -> Any:
        """What the API answers to a question.

        Raises:
            RemoteError: the receiver does not answer as expected.
            JournalError: it cannot read its journal.
        """
        return await self._ask("GET", path, params=params)

    async def order(self, verb: str, **order: object) -> dict[str, Any]:
        """Give an order under the name of the person who runs this process; gives the journal entry.

        Raises:
            RefusedError: it does not fit the rollout's state.
            SecretError: the token is missing or wrong.
            RemoteError: the receiver does not answer as expected.
        """
        if verb in set(Verb):
            order = {"seen": (await self.get("status"))["seen"], **order}
        entry = await self._ask("POST", verb, json={"actor": person(), **order})
        assert isinstance(entry, dict)
        return entry

    async def _ask(self, method: str, path: str, **options: Any) -> Any:
        url = f"{self._url}{API_PREFIX}/{path}"
        try:
            async with (
                asyncio.timeout(_TIMEOUT_SECONDS),
                self._session.request(method, url, headers=self._headers, **options) as answer,
            ):
                body = await answer.json(content_type=None) if answer.content_type == "application/json" else None
        except TimeoutError as error:
            raise RemoteError(f"receiver {url}: expected an answer within {_TIMEOUT_SECONDS:g}s, found none") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise RemoteError(
                f"receiver {url}: cannot be asked ({error}); does `canary receiver` run, "
                "and is receiver.url in the policy right?"
            ) from error
        if answer.status == 200:
            return body
        fault = body.get("error", "") if isinstance(body, dict) else ""
        if answer.status == 401:
            raise SecretError(f"receiver {url}: {fault}; set receiver.operator_token_file as the receiver has it")
        if answer.status in _ERRORS:
            raise _ERRORS[answer.status](fault)
        raise RemoteError(f"receiver {url}: expected status 200, found {answer.status}: {fault}")


def person() -> str:
    """Who runs this process, as `name@machine`."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "unknown"
    return f"{name}@{socket.gethostname()}"
