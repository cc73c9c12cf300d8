"""`/api/metrics` of the shop's own address: the strategy's debugging commands, answered by the receiver.

The strategy's runbook asks `$LOAD_BALANCER_URL/api/metrics`. So the generated configuration of HAProxy, nginx, Envoy
and Traefik hands that one path to the receiver, for the testers' networks alone: figures of the business are for nobody
else. (The Gateway API's routes have no match by the client's address.) Here are the lines of HAProxy and nginx, and
where the receiver is; what Envoy and Traefik need is with their routes. Whoever asks is no customer, and nothing of it
stands in the log that tells who was served by which version. To a receiver that trusts its router
(`--web.trusted-proxies`), the address is the one that the router sees, whatever the question says.

A router must start when the receiver is away. Envoy and Traefik do, and HAProxy is told to; nginx looks a name up when
it starts and refuses to without it, so there the receiver has to be named by an address.
"""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from canary.errors import RouterError
from canary.policy.release import Testers

PATH = "/api/metrics"

_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_UNSAFE = frozenset("\"'\\#$;%{}()")


@dataclass(frozen=True)
class Receiver:
    """Where the answer comes from.

    Attributes:
        host: what it is called in the request.
        address: `host:port`.
        path: of its `/api/metrics`, below whatever prefix it has.
        tls: whether it is asked by HTTPS.
    """

    host: str
    address: str
    path: str
    tls: bool

    @property
    def numeric(self) -> bool:
        """Whether nobody has to look a name up."""
        try:
            ipaddress.ip_address(self.host.strip("[]"))
        except ValueError:
            return self.host == "localhost"
        return True


def _handed_on(testers: Testers) -> bool:
    return bool(testers.networks and testers.metrics)


def receiver_of(testers: Testers, router: str) -> Receiver | None:
    """The receiver that these testers reach; None without networks, or where the policy names none.

    Raises:
        RouterError: its address cannot stand in a router's configuration.
    """
    if not _handed_on(testers):
        return None
    url = str(testers.metrics).rstrip("/")
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else str(parts.hostname)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        port = 0
    if not port or _UNSAFE & set(url):
        raise RouterError(
            f"expected a plain URL, found {testers.metrics!r}",
            place=f"router {router}: testers.metrics",
            remedy="write the receiver's address there, or '' for none",
        )
    return Receiver(host, f"{host}:{port}", f"{parts.path}{PATH}", parts.scheme == "https")


def haproxy_front(testers: Testers) -> str:
    """Lines of HAProxy's frontend that part these questions from customers' requests, before anybody asks who it is."""
    if not _handed_on(testers):
        return ""
    return (
        f"    acl canary_asked path {PATH}\n"
        f"    acl canary_asker src {' '.join(testers.networks)}\n"
        "    http-request set-var(txn.canary_nobody) bool(true) if canary_asked canary_asker\n"
        "    http-request set-log-level silent if canary_asked canary_asker\n"
    )


def haproxy_use(testers: Testers) -> list[str]:
    """The line of HAProxy's frontend that hands these questions on, before any other that chooses a backend."""
    return ["use_backend canary-receiver if canary_asked canary_asker"] if _handed_on(testers) else []


def haproxy_backend(testers: Testers, router: str) -> str:
    """HAProxy's backend that asks the receiver; it starts also where the name of the receiver is not known.

    Raises:
        RouterError: the receiver's address cannot stand in a configuration.
    """
    receiver = receiver_of(testers, router)
    if receiver is None:
        return ""
    tls = f" ssl verify required ca-file {_CERTIFICATES} sni str({receiver.host})" if receiver.tls else ""
    return (
        "\nbackend canary-receiver\n"
        f"    http-request set-path {receiver.path}\n"
        f"    http-request set-header Host {receiver.address}\n"
        "    http-request set-header X-Forwarded-For %[src]\n"
        f"    server receiver {receiver.address}{tls} init-addr last,libc,none\n"
    )


def nginx_map(receiver: Receiver | None) -> str:
    """The map that knows these questions."""
    if receiver is None or not receiver.numeric:
        return ""
    return f'map "$canary_tester_network $uri" $canary_asked {{ default ""; "1 {PATH}" 1; }}\n'


def nginx_location(receiver: Receiver | None) -> str:
    """The part of nginx' server that asks the receiver."""
    if receiver is None:
        return ""
    if not receiver.numeric:
        return f"    # {PATH} is not answered: nginx would not start where {receiver.host} is not known.\n\n"
    tls = (
        f"        proxy_ssl_verify on;\n        proxy_ssl_trusted_certificate {_CERTIFICATES};\n"
        f"        proxy_ssl_server_name on;\n        proxy_ssl_name {receiver.host};\n"
    )
    return (
        "    if ($canary_asked) { rewrite ^ /.canary-receiver last; }\n\n"
        "    location = /.canary-receiver {\n"
        "        internal;\n"
        "        access_log off;\n"
        f"        proxy_pass http{'s' if receiver.tls else ''}://{receiver.address}{receiver.path};\n"
        f"        proxy_set_header Host {receiver.address};\n"
        "        proxy_set_header X-Forwarded-For $remote_addr;\n"
        f"{tls if receiver.tls else ''}"
        "    }\n\n"
    )
