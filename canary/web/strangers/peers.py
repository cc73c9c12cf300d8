"""Who asks, and by which name: the client's address behind trusted proxies, and host names that lead here on purpose.

**Addresses.** `X-Forwarded-For` is written by whoever sends it. It counts only as far as it was written by proxies that
`--web.trusted-proxies` names: the address is the last one in it that none of them has. Otherwise a stranger would put
somebody else's address there, and guess tokens until that one is locked out.

**Names.** What needs no token can be read by any page in a visitor's browser whose name is made to lead to this machine
(DNS rebinding); the page cannot choose the name that it is asked by. So what is open is answered only under names that
no stranger can own: addresses, `localhost`, this machine's name, names without a dot or below a domain that is never
sold, and those that the policy or `--web.allowed-host` has.
"""

import ipaddress
import socket
from collections.abc import Callable, Collection

from aiohttp import web

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Domains that are reserved for inside use (RFC 6761, 6762, 8375; ICANN's `internal`) or are a cluster's own.
_INSIDE = ("localhost", "local", "internal", "svc", "test")


class Peers:
    """Knows clients' addresses and the names that this service has.

    Args:
        trusted: networks of proxies whose `X-Forwarded-For` counts.
        names: the policy's own hosts; a reload changes them.
        allowed: more names; `*` allows all.
    """

    def __init__(
        self, trusted: Collection[Network], names: Callable[[], Collection[str]], allowed: Collection[str]
    ) -> None:
        self._trusted = tuple(trusted)
        self._names = names
        self._allowed = frozenset(name.lower() for name in allowed)
        self._machine = socket.gethostname().lower()

    def address(self, request: web.Request) -> str:
        """The client's address."""
        peer = request.remote or ""
        if not self._trusted or not self._is_proxy(peer):
            return peer
        forwarded = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
        for hop in (hop.strip() for hop in reversed(forwarded)):
            if not hop:
                break
            if not self._is_proxy(hop):
                return hop
            peer = hop
        return peer

    def knows(self, host: str) -> bool:
        """Whether a request's `Host` is a name of this service that no stranger can own."""
        if "*" in self._allowed:
            return True
        name = host_of(host)
        if _is_address(name) or "." not in name or name.rpartition(".")[2] in _INSIDE or name.endswith(".home.arpa"):
            return True
        return name in self._allowed or name == self._machine or name in {one.lower() for one in self._names()}

    def _is_proxy(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return any((mapped or address) in network for network in self._trusted)


def host_of(host: str) -> str:
    """The name in a `Host` header, without port and brackets, in lower case."""
    name, _, port = host.rpartition(":")
    return (name if name and port.isdigit() else host).strip("[]").rstrip(".").lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
