"""Sockets that a service listens on."""

import contextlib
import socket

from canary.errors import WebConfigError
from canary.web.options import split_address


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
