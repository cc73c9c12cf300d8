"""What the HTTP server of a service listens on, and what it logs about requests that it cannot read.

aiohttp logs a traceback for every malformed request. Whoever reaches the port can send as many of those as they like; a
traceback each fills the disk that the journal is on. So `ServerLog` makes one short line of many.
"""

import contextlib
import socket

from canary.errors import WebConfigError
from canary.logs import Log
from canary.timing.clock import Clock
from canary.web.options import split_address
from canary.web.strangers.rarely import Rarely

# What a stranger sends is quoted in the reason; this much of it tells what it was.
_MOST_CHARACTERS = 200


class ServerLog:
    """Stands in for the logger of aiohttp's server."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._log = log
        self._rarely = Rarely(clock)

    def debug(self, message: str, *arguments: object, **_options: object) -> None:
        """What helps to understand the server."""
        self._log.debug(message % arguments if arguments else message)

    def exception(self, message: str, *arguments: object, exc_info: object = None) -> None:
        """A request that could not be read or answered."""
        if (unsaid := self._rarely.due(message)) is None:
            return
        reason = " ".join(str(exc_info).split())[:_MOST_CHARACTERS] or type(exc_info).__name__
        self._log.warn(message % arguments if arguments else message, reason=reason, unsaid=unsaid)


def listen(address: str) -> socket.socket:
    """A socket that listens; without a host on every address of this machine, with port 0 on a free one.

    Raises:
        WebConfigError: it cannot be listened on.
    """
    host, port = split_address(address)
    try:
        if not host and socket.has_dualstack_ipv6():
            with contextlib.suppress(OSError):  # a kernel that knows IPv6 may have no address of it
                return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128)
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, where = min(found, key=lambda one: one[0] != socket.AF_INET)
        return socket.create_server(where[:2], family=family, backlog=128)
    except OSError as error:
        raise WebConfigError(f"--web.listen-address {address}: cannot listen ({error.strerror or error})") from error


def host_port(listening: socket.socket) -> str:
    """Where the socket can be reached from this machine, as URLs have it."""
    host, port = listening.getsockname()[:2]
    if host in ("::", "0.0.0.0"):
        host = "localhost"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
