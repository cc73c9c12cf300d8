"""Accepting connections within bounds, so that strangers can never take what a rollback needs.

Every connection is a file descriptor, and descriptors end: with 1,024 silent connections open, a rollback that has been
journalled cannot open the router's socket. So this service accepts its connections itself, instead of leaving it to the
event loop's server, which accepts whatever comes and waits for it without an end:

* **A number.** At most `--web.max-connections` are open, and at least `_RESERVED_DESCRIPTORS` stay below the process's
  limit for routers, journal, log and database. An address (of IPv6 a /64 network) holds at most half of the number.
* **The newcomer gets in.** When a bound is reached, the connection of the address that holds the most which has waited
  the longest without a request is closed, never one whose request is being answered. Refusing the newcomer was tried:
  it lets silent connections lock Alertmanager out until their time is over.
* **A time.** A request's head and its body must be there within `REQUEST_SECONDS`, a TLS handshake too; a connection
  without a request is closed after a while (`connection`). One look a second at all of them costs less than
  a timer for each request, of which a shop that asks for feature flags sends thousands a second.
"""

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator

from canary.logs import Log
from canary.timing.clock import Clock
from canary.web.strangers.connection import REQUEST_SECONDS, Connection, network
from canary.web.strangers.descriptors import raise_limit
from canary.web.strangers.rarely import Rarely

# What the rest of the process opens at its busiest: a connection for each router, Prometheus and Alertmanager, the
# pools of two databases, SQLite's three files, files being written, pipes of commands, and as much again.
_RESERVED_DESCRIPTORS = 256

# How often waiting connections are looked at.
_LOOK_SECONDS = 1.0

# How long accepting pauses when the system has no descriptor or memory left for another connection.
_PAUSE_SECONDS = 0.1

# Why a connection is closed by this side before its client is done: others need its place, its request or its handshake
# took too long, nothing was asked any more.
ENDED = ("crowded", "slow", "idle", "handshake")


class Connections:
    """All connections of one service.

    Args:
        most: how many may be open; fewer when the process's limit of descriptors leaves less.
        make: makes the HTTP protocol of a new connection.
        tls: what a new connection is encrypted with; asked each time, so that a renewed certificate is in force.

    Attributes:
        ended: how many were closed by this side before their time, by cause, of `ENDED`.
    """

    def __init__(
        self,
        most: int,
        make: Callable[[], asyncio.Protocol],
        tls: Callable[[], ssl.SSLContext | None],
        clock: Clock,
        log: Log,
    ) -> None:
        allowed = raise_limit() - _RESERVED_DESCRIPTORS
        self.most = max(1, min(most, allowed))
        if self.most < most:
            log.warn("fewer connections than asked for: raise the limit of open files", most=self.most, asked=most)
        self._make = make
        self._tls = tls
        self._clock = clock
        self._log = log
        self._rarely = Rarely(clock)
        self._open: dict[Connection, None] = {}  # in the order in which they came
        self._held: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self.ended: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    @contextlib.contextmanager
    def accepting(self, listening: list[socket.socket]) -> Iterator[None]:
        """Accept from sockets while the block runs; what is open stays open afterwards."""
        works = [self._sweep(), *(self._accept(one) for one in listening)]
        tasks = [asyncio.ensure_future(work) for work in works]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for connection in [one for one in self._open if not one.answering and not one.served]:
                connection.end()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        listening.setblocking(False)
        while True:
            try:
                accepted, peer = await loop.sock_accept(listening)
            except OSError as error:
                if (unsaid := self._rarely.due("accept")) is not None:
                    self._log.error("cannot accept a connection", exception=error, unsaid=unsaid)
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            address = network(peer[0])
            if self._make_room(address):
                connection = Connection(self._make(), address, self._clock)
                self._open[connection] = None
                self._held[address] += 1
                connection.opening(self._in_background(self._serve(accepted, connection)))
            else:
                accepted.close()
                self._end("crowded", address)
            await asyncio.sleep(0)  # a queue of newcomers is accepted without a pause, and nobody else would run

    def _in_background(self, work: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _make_room(self, address: str) -> bool:
        """Whether one more connection of an address may come, after closing one that waits if there must be."""
        if self._held[address] >= max(1, self.most // 2):
            crowded = address
        elif len(self._open) >= self.most:
            crowded = self._held.most_common(1)[0][0]
        else:
            return True
        waiting = [one for one in self._open if one.address == crowded and not one.answering]
        if not waiting:
            return False
        # Who never asked anything first: a client that keeps its connection between two requests has a use for it.
        victim = min(waiting, key=lambda one: (one.served > 0, one.since))
        self._end("crowded", crowded)
        self._forget(victim)
        victim.end()
        return True

    async def _serve(self, accepted: socket.socket, connection: Connection) -> None:
        tls = self._tls()
        limit = {"ssl_handshake_timeout": REQUEST_SECONDS} if tls else {}
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, accepted, ssl=tls, **limit)
            await connection.closed.wait()
        except OSError:  # no TLS, a handshake that takes too long, a peer that has gone: nothing that we can repair
            self.ended["handshake"] += 1
        finally:
            accepted.close()
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        if connection not in self._open:
            return
        del self._open[connection]
        self._held[connection.address] -= 1
        if not self._held[connection.address]:
            del self._held[connection.address]

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = self._clock.monotonic()
            for connection in [one for one in self._open if one.deadline <= now]:
                self.ended["idle" if connection.served else "slow"] += 1
                connection.end()

    def _end(self, cause: str, address: str) -> None:
        self.ended[cause] += 1
        if (unsaid := self._rarely.due(cause)) is not None:
            self._log.warn(
                "too many connections; one that waited was closed",
                address=address,
                its=self._held[address],
                open=len(self._open),
                most=self.most,
                unsaid=unsaid,
            )
