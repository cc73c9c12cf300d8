"""The live page: what has changed is sent to whoever watches, and rendered once for all of them.

Two hundred people may look at a release that goes wrong, on the machine that is to roll it back. So a rendering is
shared: it is made at most once a second, or when the journal has a new entry, and each connection compares only the
marks of what it has sent. A section that is as it was costs nothing on the wire.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from alertmanager.receiver.http.page.headers import HEADERS
from alertmanager.receiver.wakeup import WakeUp
from canary.errors import CanaryError
from canary.timing.clock import Clock
from canary.web.routes.table import Refusal

# Each open page holds a connection for as long as it is open. One browser has a handful of tabs, one office a hundred
# people who only look, and all pages together leave room among the service's connections for those who act.
_STREAMS_PER_SESSION = 10
_STREAMS_PER_ADDRESS = 100
_STREAMS = 300

# The page is rendered anew at most this often, once for everybody: a person sees a second as at once.
_LOOK_SECONDS = 1.0

# So often a connection on which nothing changes is proven to be alive, on both sides.
_ALIVE_SECONDS = 10.0

# Who takes no event for this long has stopped reading, and only holds a connection.
_TAKE_SECONDS = 10.0

# nginx keeps what a server sends until a buffer is full, unless that server asks it not to.
_STREAM = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}

# An event, and no comment of the stream: the page's script must hear it, to know a connection that died without a word.
_STILL_HERE = b"event: alive\ndata: {}\n\n"  # one without data is none for browsers


@dataclass(frozen=True)
class Part:
    """One section as it is sent.

    Attributes:
        number: another one for another text.
        sent: its name and text, as they stand in an event.
    """

    number: int
    text: str
    sent: bytes


class Live:
    """Everybody who watches.

    Args:
        render: gives the parts by the id of their element.
    """

    def __init__(self, render: Callable[[], Awaitable[Mapping[str, str]]], clock: Clock) -> None:
        self._render = render
        self._clock = clock
        self._parts: dict[str, Part] = {}
        self._fault = ""
        self._number = 0
        self._due_at = 0.0
        self._stale = True
        self._rendering = asyncio.Lock()
        self._wake_ups: dict[WakeUp, str] = {}  # with whose it is
        self._closing = False

    def wake(self) -> None:
        """Something has been decided: everybody is to see it now."""
        self._stale = True
        for wake_up in self._wake_ups:
            wake_up.set()

    def close(self) -> None:
        """End all connections."""
        self._closing = True
        self.wake()

    async def stream(self, request: web.Request, viewer: str, *, signed_in: bool) -> web.StreamResponse:
        """Send what changes until the browser goes.

        Raises:
            Refusal: the viewer, or all together, have as many pages open as they may.
        """
        self._admit(viewer, _STREAMS_PER_SESSION if signed_in else _STREAMS_PER_ADDRESS)
        response = web.StreamResponse(headers={**HEADERS, **_STREAM})
        wake_up = WakeUp(self._clock)
        self._wake_ups[wake_up] = viewer
        sent: dict[str, int] = {}
        written_at = self._clock.monotonic()
        try:
            await response.prepare(request)
            while not self._closing:
                event = await self._event(sent)
                now = self._clock.monotonic()
                if event or now - written_at >= _ALIVE_SECONDS:
                    written_at = now
                    async with asyncio.timeout(_TAKE_SECONDS):
                        await response.write(event or _STILL_HERE)
                await wake_up.wait(_LOOK_SECONDS)
        except (ConnectionError, TimeoutError):
            return response  # the browser has gone
        finally:
            del self._wake_ups[wake_up]
        return response

    def _admit(self, viewer: str, most: int) -> None:
        if list(self._wake_ups.values()).count(viewer) >= most:
            raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, f"{most} pages are open already; close one")
        if len(self._wake_ups) >= _STREAMS:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many pages are open")

    async def _event(self, sent: dict[str, int]) -> bytes:
        """The parts that differ from what has been sent, as one event; empty when none does."""
        await self._renew()
        if self._fault:
            sent.clear()
            return f"event: fault\ndata: {json.dumps(self._fault)}\n\n".encode()
        changed = {name: part for name, part in self._parts.items() if sent.get(name) != part.number}
        sent.update({name: part.number for name, part in changed.items()})
        return b"data: {" + b",".join(part.sent for part in changed.values()) + b"}\n\n" if changed else b""

    async def _renew(self) -> None:
        """Render, unless somebody has just done so."""
        async with self._rendering:
            if not self._stale and self._clock.monotonic() < self._due_at:
                return
            self._stale = False
            # A little less than everybody's wait, so that who wakes first renders for all.
            self._due_at = self._clock.monotonic() + 0.9 * _LOOK_SECONDS
            try:
                texts = await self._render()
            except CanaryError as error:
                self._fault = str(error)
                return
            self._fault = ""
            for name, text in texts.items():
                if name not in self._parts or self._parts[name].text != text:
                    self._number += 1
                    self._parts[name] = Part(self._number, text, f"{json.dumps(name)}:{json.dumps(text)}".encode())
