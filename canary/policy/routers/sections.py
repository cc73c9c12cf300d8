"""The policy's sections for HAProxy, nginx, and any other router by the user's own programs."""

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field

from canary.policy.release import Testers, Upstreams
from canary.policy.routers.shared import (
    Listen,
    Probed,
    ProxyProtocol,
    ServerNames,
    Servers,
    Sticky,
    Tagged,
    Tls,
    UserKey,
)
from canary.policy.routers.slots import Slots
from canary.policy.routers.withoutcustomer import WithoutCustomer
from canary.policy.values.types import (
    Argv,
    ConfigLine,
    Identifier,
    RouterTimeout,
    SocketAddress,
    Text,
    section,
)


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
    sticky: Sticky = "cookie"
    key: UserKey = "user_id"
    listen: Listen = ":80"
    server_names: ServerNames = ()
    servers: Servers = field(default_factory=dict)
    tls: Tls | None = None
    proxy_protocol: ProxyProtocol = ()
    extra: tuple[ConfigLine, ...] = ()
    """Lines of your own for the generated frontend."""
    log: Text | None = None
    """Where the generated configuration logs each request for `canary assignments`: `host:port`, or the path of a unix
    socket."""
    tag_header: Tagged = None
    upstreams: Upstreams = Upstreams()
    slots: Slots | None = None
    """Instead of `upstreams`: two equal groups that change roles when a release is finished."""
    probe: Probed = None
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
    sticky: Sticky = "cookie"
    key: UserKey = "user_id"
    listen: Listen = "80"
    server_names: ServerNames = ()
    servers: Servers = field(default_factory=dict)
    tls: Tls | None = None
    proxy_protocol: ProxyProtocol = ()
    extra: tuple[ConfigLine, ...] = ()
    """Lines of your own for the generated server block."""
    log: Text | None = None
    """Where the generated configuration logs each request for `canary assignments`: a file, or
    `syslog:server=host:port`, or `syslog:server=unix:/path`."""
    tag_header: Tagged = None
    upstreams: Upstreams = Upstreams()
    slots: Slots | None = None
    """Instead of `upstreams`; the directories must then survive a reboot."""
    probe: Probed = None
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
    probe: Probed = None
    timeout: RouterTimeout = 10
    testers: Testers = Testers()
