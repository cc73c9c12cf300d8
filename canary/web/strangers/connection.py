"""One accepted connection: what it waits for, and until when.

It stands between the transport and aiohttp's protocol, and hands everything on. aiohttp has no limit for the time that
a head or a body may take, so the checks of requests tell the connection how far its request has come (`Progress`), and
whoever accepted it closes it after its deadline.
"""

import asyncio
import ipaddress
import math
from typing import Protocol

from aiohttp import web

from canary.timing.clock import Clock

# A request from the slowest telephone is here within this; a head that is sent byte by byte is not.
REQUEST_SECONDS = 10.0

# Longer than the longest usual scrape interval of a minute and than Alertmanager keeps its own side open (90 s), so
# that neither has to connect anew each time.
_IDLE_SECONDS = 120.0

_IPV6_NETWORK_BITS = 64  # what one customer of a provider is given


class Progress(Protocol):
    """How far a request has come; what is known of it decides how long its connection is waited for."""

    def began(self) -> None:
        """A request's head is complete."""

    def complete(self) -> None:
        """The whole request is here."""

    def answered(self) -> None:
        """The answer is made."""


class Connection(asyncio.Protocol):
    """One accepted connection: hands everything to the HTTP protocol and knows what it waits for.

    Attributes:
        address: whose it is, as the bounds count.
        deadline: on the monotonic clock, when it is closed unless something happens first.
        served: how many of its requests have been answered.
        answering: whether a request is being answered.
    """

    def __init__(self, inner: asyncio.Protocol, address: str, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock
        self._transport: asyncio.BaseTransport | None = None
        self._task: asyncio.Task[None] | None = None
        self.closed = asyncio.Event()
        self.address = address
        self.served = 0
        self.answering = False
        self.since = clock.monotonic()
        self.deadline = self.since + REQUEST_SECONDS

    def opening(self, task: "asyncio.Task[None]") -> None:
        """Remember the task that carries out the handshake, which ends with the connection."""
        self._task = task

    def began(self) -> None:
        """A request's head is complete; its body must follow in time."""
        self.deadline = self._clock.monotonic() + REQUEST_SECONDS

    def complete(self) -> None:
        """The whole request is here; the answer may take as long as it takes."""
        self.answering = True
        self.deadline = math.inf

    def answered(self) -> None:
        """The answer is made; another request may follow."""
        self.answering = False
        self.served += 1
        self.since = self._clock.monotonic()
        self.deadline = self.since + _IDLE_SECONDS

    def end(self) -> None:
        """Close at once, whatever it is doing."""
        if self._transport is not None:
            self._transport.abort()  # type: ignore[attr-defined]  # every transport of a socket has it
        elif self._task is not None:
            self._task.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake is over."""
        self._transport = transport
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Either side closed it."""
        self.closed.set()
        self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """A part of a request; the first part of a next one begins its time."""
        if not self.answering:
            self.deadline = min(self.deadline, self._clock.monotonic() + REQUEST_SECONDS)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """The other side sends no more."""
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        """The other side reads slower than the answer is written."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The other side has caught up."""
        self._inner.resume_writing()


class _Unwatched:
    """The progress of a request whose connection somebody else accepted, as a test's server does."""

    def began(self) -> None:
        """Nothing waits for it."""

    complete = answered = began


_UNWATCHED = _Unwatched()


def of_request(request: web.Request) -> Progress:
    """The connection that a request came by."""
    transport = request.transport
    protocol = transport.get_protocol() if transport is not None else None
    return protocol if isinstance(protocol, Connection) else _UNWATCHED


def network(address: str) -> str:
    """Whose an address is, as far as bounds care: itself, or of IPv6 its /64 network."""
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv4Address):
        return address
    if known.ipv4_mapped is not None:
        return str(known.ipv4_mapped)
    return str(ipaddress.ip_network((known, _IPV6_NETWORK_BITS), strict=False))
