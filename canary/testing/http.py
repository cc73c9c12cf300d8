"""HTTP without a network: questions of a client reach servers that are objects of the same program."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from canary.testing.hooks import Hook, calm

Parameters = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """A status and a body; bytes are sent as they are, everything else as JSON."""

    status: int = 200
    body: object = b""


Server = Callable[[str, Parameters], Awaitable[Answer]]
"""Answers a path with its query."""


class _Content:
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self, _size: int = -1) -> bytes:
        return self._body

    async def iter_chunked(self, _size: int) -> AsyncIterator[bytes]:
        yield self._body


class _Response:
    def __init__(self, answer: Answer) -> None:
        self.status = answer.status
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.content = _Content(body)


class MemoryHttp:
    """What the services use of an `aiohttp.ClientSession`, leading to servers in memory.

    Args:
        servers: by host name.
        before: told the host before a question arrives; raises an `OSError` when it cannot.
        after: told the host between the answer and its arrival.
    """

    def __init__(self, servers: Mapping[str, Server], *, before: Hook = calm, after: Hook = calm) -> None:
        self._servers = servers
        self._before = before
        self._after = after

    def request(
        self, _method: str, url: str, *, params: Parameters = (), **_options: Any
    ) -> AbstractAsyncContextManager[_Response]:
        """Ask a server."""
        return self._ask(url, params)

    def get(self, url: str, **_options: Any) -> AbstractAsyncContextManager[_Response]:
        """Ask a server."""
        return self._ask(url, ())

    @asynccontextmanager
    async def _ask(self, url: str, parameters: Parameters) -> AsyncIterator[_Response]:
        parts = urlsplit(url)
        host = parts.hostname or ""
        await self._before(host)
        if host not in self._servers:
            raise aiohttp.ClientConnectionError(f"no server {host}")
        answer = await self._servers[host](parts.path, parameters)
        await self._after(host)
        yield _Response(answer)
