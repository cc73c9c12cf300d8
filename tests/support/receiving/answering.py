"""A server that answers what a test wants, byte for byte; and Prometheus' answers to begin from."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from canary import names
from tests.support.receiving.receiver import SERVICE
from tests.support.web.webserver import served


def http(body: bytes, status: int = 200, *headers: str) -> bytes:
    """A whole answer, as it goes over the wire."""
    lines = (f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}", "Connection: close", *headers)
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def answering(answer: bytes, *, endless: bool = False) -> AsyncIterator[str]:
    """The URL of a server that answers these bytes to everything, and then closes, or repeats the last of them."""

    giving = set()

    async def give(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        giving.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            while endless:
                writer.write(answer[-1:] * 65536)
                await writer.drain()
            await writer.drain()
        writer.close()
        giving.discard(asyncio.current_task())

    server = await asyncio.start_server(give, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        # Who asked has gone, so that each ends by itself.
        await asyncio.gather(*(task for task in giving if task is not None), return_exceptions=True)


def alerts_answer(*labels: Mapping[str, str]) -> dict[str, Any]:
    """What Prometheus answers to `alerts` when alerts with these labels have just begun to fire."""
    since = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}.999999999Z"
    alerts = [{"labels": dict(one), "annotations": {}, "state": "firing", "activeAt": since} for one in labels]
    return {"status": "success", "data": {"alerts": alerts}}


def watchdog(service: str = SERVICE) -> dict[str, str]:
    """The labels of the alert that always fires."""
    return {"alertname": names.WATCHDOG, names.SERVICE: service, names.ACTION: "none", names.SEVERITY: "info"}


@asynccontextmanager
async def evaluating(*labels: Mapping[str, str]) -> AsyncIterator[str]:
    """The URL of what looks like a Prometheus that evaluates the service's rules; these alerts fire besides."""

    async def alerts(_request: web.Request) -> web.Response:
        return web.json_response(alerts_answer(watchdog(), *labels))

    async with served(web.get("/api/v1/alerts", alerts)) as address:
        yield f"http://{address}"


def text(answer: object) -> bytes:
    """JSON as bytes."""
    return json.dumps(answer).encode()
