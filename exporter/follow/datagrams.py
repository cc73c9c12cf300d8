"""Syslog datagrams, by UDP or a unix socket, with those counted that nobody could take.

Lines wait in memory while the store is away, up to a bound; beyond it they are dropped, and counted, because a log that
held up its router would be worse than a log with a gap. The kernel drops too when this process is too slow, and says of
a UDP socket how many (`SO_RXQ_OVFL`), with the next datagram that it delivers. A unix socket that is full loses nothing
here: its router then counts what it could not send (`DroppedLogs` in HAProxy's `show info`).
"""

import asyncio
import contextlib
import socket
import stat
import struct
from collections import deque
from pathlib import Path

from canary.errors import CanaryError
from exporter.follow.lines import LONGEST_BYTES

_SO_RXQ_OVFL = 40  # not in Python's socket module
_KERNEL_BYTES = 8 * 1024 * 1024
"""Asked of the kernel, which gives at most net.core.rmem_max: some seconds of a busy shop."""
_WAITING = 200_000
"""Lines that wait for the store: 40 seconds at 5,000 lines a second, 60 MB."""
_AT_ONCE = 2000
"""Datagrams taken before others get a turn on the event loop."""


class ListenError(CanaryError):
    """An address on which no datagrams can be taken."""


class Datagrams:
    """One socket and the lines that wait.

    Attributes:
        dropped: lines that were lost because this process was too slow, or its store away.
    """

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._socket: socket.socket | None = None
        self._path: Path | None = None
        self._kernel_dropped = 0
        self.dropped = 0

    def listen_udp(self, host: str, port: int) -> None:
        """Take datagrams on an address.

        Raises:
            ListenError: it is not to be had.
        """
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            self._take(socket.socket(family, kind, protocol), address)
        except OSError as error:
            raise ListenError(f"cannot be listened on ({error.strerror})", place=f"udp {host}:{port}") from error

    def listen_unix(self, path: Path) -> None:
        """Take datagrams on a unix socket, in the place of one that a former process has left.

        Raises:
            ListenError: it is not to be had.
        """
        try:
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISSOCK(path.stat().st_mode):
                    path.unlink()
            self._take(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), str(path))
            path.chmod(0o660)
            self._path = path
        except OSError as error:
            raise ListenError(f"cannot be listened on ({error.strerror})", place=f"socket {path}") from error

    async def lines(self, most: int, wait_seconds: float) -> list[bytes]:
        """Lines that have come, at most so many; none when none came within the time."""
        if not self._waiting:
            self._arrived.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await self._arrived.wait()
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    def close(self) -> None:
        """Take no more."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _take(self, opened: socket.socket, address: object) -> None:
        self._socket = opened
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _KERNEL_BYTES)
        with contextlib.suppress(OSError):  # not of every family
            opened.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
        opened.bind(address)  # type: ignore[arg-type]  # an address of the socket's own family
        asyncio.get_running_loop().add_reader(opened, self._readable)

    def _readable(self) -> None:
        assert self._socket is not None
        for _ in range(_AT_ONCE):
            try:
                data, ancillary, _, _ = self._socket.recvmsg(LONGEST_BYTES, 64)
            except OSError:  # nothing more for now
                break
            for level, kind, value in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, _SO_RXQ_OVFL):
                    count = struct.unpack("I", value[:4])[0]
                    self.dropped += (count - self._kernel_dropped) % 2**32
                    self._kernel_dropped = count
            if len(self._waiting) < _WAITING:
                self._waiting.append(data)
            else:
                self.dropped += 1
        self._arrived.set()
