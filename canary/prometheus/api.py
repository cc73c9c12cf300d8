"""JSON over HTTP: one question, one answer of a known shape within known limits, or one kind of error.

Everything that can go wrong between two machines is translated here, once: no connection, a name that does not resolve,
a redirect (never followed: it would lead the question, and later its credentials, to a place that the policy does not
name), a login page with status 200, an answer cut off in the middle, one that does not end, JSON of another shape. The
caller gets a `RemoteError` and needs no other `except`; before, five clients each forgot some of these, and a worker
broke on the rest.

Answers are parsed and checked in one step by pydantic's parser, which bounds nesting as well, so that no code after it
meets a key that is missing or a number that is none.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

import aiohttp
from pydantic import BaseModel, TypeAdapter, ValidationError

from canary.certificates import untrusted
from canary.errors import RemoteError, SecretError, reason, shown
from canary.prometheus.access import Access

T = TypeVar("T")

# As much as one read of a socket gives; the size is checked after each.
_CHUNK_BYTES = 64 * 2**10

# What a server says about a question that it refuses is for people: its beginning is enough.
_COMPLAINT_BYTES = 16 * 2**10

# What is answered to whoever does not show what is wanted.
_LET_IN = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)

_CREDENTIALS = re.compile(r"//[^/@]*@")


@dataclass(frozen=True, slots=True)
class Limits:
    """What an answer may take.

    Attributes:
        seconds: until its last byte.
        size_bytes: of its body, unpacked; it is held in memory, and parsed while nothing else runs in the process.
    """

    seconds: float
    size_bytes: int


QUICK = Limits(seconds=4.0, size_bytes=8 * 2**20)
"""For the receiver, which decides on answers no older than five seconds and must never be kept from a rollback.

8 MiB are some 14,000 alerts that fire at once; parsing them takes about a tenth of a second."""

PATIENT = Limits(seconds=30.0, size_bytes=64 * 2**20)
"""For commands, in whose process nothing else waits: all rules of a large Prometheus that others share."""


class _Complaint(BaseModel):
    """How Prometheus words an error."""

    error: str


class JsonApi:
    """One server's API.

    Args:
        http: through which it is asked; the caller closes it.
        subject: what the server is called in messages: `Prometheus`.
        url: where it is, from the policy only.
        key: the policy's key that names the address.
        access: what the server is shown; None for one that lets everybody in.
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        subject: str,
        url: str,
        *,
        key: str,
        limits: Limits,
        access: Access | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.place = f"{subject} {_CREDENTIALS.sub('//', self.url)}"
        self._http = http
        self._key = key
        self._limits = limits
        self._access = access

    async def get(self, path: str, shape: TypeAdapter[T], parameters: Sequence[tuple[str, str]] = ()) -> T:
        """What a path answers, of the shape that is expected.

        Raises:
            RemoteError: there is no such answer within the limits.
        """
        body = await self._ask("GET", path, params=parameters)
        try:
            return shape.validate_json(body)
        except ValidationError as error:
            raise self.error(path, f"expected its API's JSON, found something else ({_first(body, error)})") from error

    async def post(self, path: str, data: object) -> None:
        """Hand the server JSON.

        Raises:
            RemoteError: it did not take it.
        """
        await self._ask("POST", path, json=data)

    def error(self, path: str, what: str, remedy: str | None = None) -> RemoteError:
        """An error about a path of this server; without a remedy of its own, the address is to be looked at."""
        usual = f"check that {self._key} in the policy names the right server"
        return RemoteError(what, place=f"{self.place}{path}", remedy=usual if remedy is None else remedy)

    async def _ask(self, method: str, path: str, **options: Any) -> bytes:
        # Unpacked, a small answer may be any size; and what is asked is near.
        headers = {"Accept-Encoding": "identity"}
        start = f"start it, or correct {self._key} in the policy"
        try:
            async with asyncio.timeout(self._limits.seconds):
                shown_too, tls = await self._access.credentials() if self._access else ({}, True)
                async with self._http.request(
                    method, self.url + path, headers={**headers, **shown_too}, ssl=tls, allow_redirects=False, **options
                ) as answer:
                    if answer.status == HTTPStatus.OK:
                        return await self._body(path, answer)
                    beginning = await _beginning(answer, _COMPLAINT_BYTES)
                    complaint = _complaint(beginning)
                    if not complaint and answer.status in _LET_IN and answer.content_type == "text/plain":
                        complaint = shown(beginning)  # Mimir's "no org id"; a page would be for browsers
        except SecretError as error:
            raise self.error(path, f"{error.place}: {error.what}", error.remedy) from error
        except TimeoutError as error:
            raise self.error(path, f"no answer within {self._limits.seconds:g}s", start) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            remedy = untrusted(error, f"{self._key}.ca_file") or start
            raise self.error(path, f"unreachable ({_cause(error)})", remedy) from error
        what = f"expected status 200, found {answer.status}" + (f" ({complaint})" if complaint else "")
        if answer.status in _LET_IN:
            raise self.error(
                path,
                what,
                f"give {self._key} the `username` and `password_file`, the `token_file`, or the `headers` (a tenant's) "
                "that it wants",
            )
        # It was understood and refused: then the address is right, and its own words say what is wrong.
        raise self.error(path, what, "" if complaint else None)

    async def _body(self, path: str, answer: aiohttp.ClientResponse) -> bytes:
        limit = self._limits.size_bytes
        body = await _beginning(answer, limit + 1)
        if len(body) > limit:
            raise self.error(path, f"the answer is larger than {limit // 2**20} MiB")
        return body


async def _beginning(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body, or as much of it as shows that it is larger than the limit."""
    body = bytearray()
    async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) >= limit:
            break
    return bytes(body[:limit])


def _first(body: bytes, error: ValidationError) -> str:
    """What the server says that is wrong, or else the first thing that does not fit."""
    if complaint := _complaint(body):
        return complaint
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in fault["loc"])
    return shown(f"{where}: {fault['msg']}" if where else fault["msg"])


def _complaint(body: bytes) -> str:
    try:
        return shown(_Complaint.model_validate_json(body).error)
    except ValidationError:
        return ""


def _cause(error: Exception) -> str:
    connecting = isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientSSLError)
    found = shown(_CREDENTIALS.sub("//", reason(error)))
    return f"cannot connect: {found}" if connecting else found
