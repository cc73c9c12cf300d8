"""The policy's sections for HAProxy, nginx, and any other router by the user's own programs."""

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field

from canary.policy.finish import Probe
from canary.policy.release import Testers, Upstreams
from canary.policy.routers.slots import Slots
from canary.policy.routers.withoutcustomer import WithoutCustomer
from canary.policy.values.types import (
    Argv,
    ConfigLine,
    ConfigWords,
    HostName,
    Identifier,
    ListenAddress,
    Network,
    RequestKey,
    RouterTimeout,
    ServerWeight,
    SocketAddress,
    TagHeader,
    Text,
    Upstream,
    section,
)


@section
class Server:
    """What the generated configuration says of one server, besides its address."""

    weight: ServerWeight | None = None
    """Its part of its version's requests, against that of the version's other servers."""
    options: ConfigWords | None = None
    """Further words for its line, such as `maxconn 100` (HAProxy) or `max_conns=100` (nginx)."""


@section
class Tls:
    """HTTPS, for the generated configuration."""

    listen: ListenAddress = ":443"
    certificate: Text
    """File with the certificate and its chain; for HAProxy with the key too."""
    key: Text | None = None
    """File with the key, for nginx."""
    redirect: bool = True
    """Whether plain HTTP is sent to HTTPS, and cookies are for HTTPS alone."""
    http2: bool = True


@section
class HaproxyRouter:
    """HAProxy, by its runtime socket."""

    kind: Literal["haproxy"]
    name: Identifier = "haproxy"
    sockets: Annotated[tuple[SocketAddress, ...], Field(min_length=1)] = ("/run/haproxy/canary.sock",)
    """Runtime sockets, one per instance: a path, or `tcp:host:port`."""
    map: Text = "/etc/haproxy/canary.map"
    """The map file; also written on disk, so that a reload or restart keeps the weight."""
    user: Identifier | None = None
    """The user, with the group of the same name, that HAProxy becomes when root starts it by the generated
    configuration: Debian's is `haproxy`. Without it HAProxy stays who starts it."""
    write_map: bool = True
    """No when HAProxy runs on another host: its file then stays at 0, and a restart there begins on stable."""
    sticky: Literal["cookie", "header", "address"] = "cookie"
    key: RequestKey = "user_id"
    """Name of the cookie or header that identifies a user."""
    listen: ListenAddress = ":80"
    """Address for the generated configuration."""
    server_names: tuple[HostName, ...] = ()
    """Hosts that the generated configuration answers for; any when missing."""
    servers: dict[Upstream, Server] = field(default_factory=dict)
    """By address, what is said of a server of `upstreams` besides."""
    tls: Tls | None = None
    proxy_protocol: tuple[Network, ...] = ()
    """Balancers in front that tell the customer's address by the PROXY protocol."""
    extra: tuple[ConfigLine, ...] = ()
    """Lines of your own for the generated frontend."""
    log: Text | None = None
    """Where the generated configuration logs each request for `canary assignments`: `host:port`, or the path of a unix
    socket."""
    tag_header: TagHeader | None = None
    """Header behind whose value the generated configuration writes which side serves the request, for an event's `tag`:
    one that the shop's platform stores, such as `user-agent`."""
    upstreams: Upstreams = Upstreams()
    slots: Slots | None = None
    """Instead of `upstreams`: two equal groups that change roles when a release is finished."""
    probe: Probe | None = None
    """How each server is asked which version it runs; when missing, the version label of its series tells."""
    testers: Testers = Testers()
    without_customer: WithoutCustomer = WithoutCustomer()
    timeout: RouterTimeout = 2


@section
class NginxRouter:
    """nginx, by marker files."""

    kind: Literal["nginx"]
    name: Identifier = "nginx"
    directories: Annotated[tuple[Text, ...], Field(min_length=1)] = ("/run/kpi-canary/nginx",)
    """Marker directories, one per nginx host (shared or pushed)."""
    sticky: Literal["cookie", "header", "address"] = "cookie"
    key: RequestKey = "user_id"
    listen: ListenAddress = "80"
    """Address for the generated configuration."""
    server_names: tuple[HostName, ...] = ()
    """Hosts that the generated configuration answers for; any when missing."""
    servers: dict[Upstream, Server] = field(default_factory=dict)
    """By address, what is said of a server of `upstreams` besides."""
    tls: Tls | None = None
    proxy_protocol: tuple[Network, ...] = ()
    """Balancers in front that tell the customer's address by the PROXY protocol."""
    extra: tuple[ConfigLine, ...] = ()
    """Lines of your own for the generated server block."""
    log: Text | None = None
    """Where the generated configuration logs each request for `canary assignments`: a file, or
    `syslog:server=host:port`, or `syslog:server=unix:/path`."""
    tag_header: TagHeader | None = None
    """Header behind whose value the generated configuration writes which side serves the request, for an event's `tag`:
    one that the shop's platform stores, such as `user-agent`."""
    upstreams: Upstreams = Upstreams()
    slots: Slots | None = None
    """Instead of `upstreams`; the directories must then survive a reboot."""
    probe: Probe | None = None
    testers: Testers = Testers()
    without_customer: WithoutCustomer = WithoutCustomer()
    configuration: Text | None = None
    """nginx's main configuration file, for `canary check` (nginx's own default when missing)."""
    timeout: RouterTimeout = 2


@section
class CommandRouter:
    """Any other router, by the user's own programs."""

    kind: Literal["command"]
    name: Identifier = "command"
    set: Argv
    """Program and arguments; gets the split as JSON on standard input."""
    read: Argv
    """Program and arguments; prints `{"weight": 0.05}`; with `slots`, `{"slot_b": 0.05, "stable": "a"}`. It may print
    `sessions` too: what is still being served on the canary's servers."""
    upstreams: Upstreams = Upstreams()
    """Addresses of the two versions, which `probe` asks."""
    slots: Slots | None = None
    """Instead of `upstreams`."""
    probe: Probe | None = None
    timeout: RouterTimeout = 10
    testers: Testers = Testers()
