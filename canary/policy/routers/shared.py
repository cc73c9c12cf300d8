"""Keys that several kinds of router have, with what the reference says of them, each said once.

They are types rather than a common base: pydantic takes a key's help from the class that it stands in, so that of an
inherited key nothing would be said.
"""

from typing import Annotated, Literal

from pydantic import Field

from canary.policy.finish import Probe
from canary.policy.values.types import (
    ConfigWords,
    HostName,
    ListenAddress,
    Network,
    RequestKey,
    ServerWeight,
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


Sticky = Literal["cookie", "header", "address"]
UserKey = Annotated[RequestKey, Field(description="Name of the cookie or header that identifies a user.")]
Listen = Annotated[ListenAddress, Field(description="Address for the generated configuration.")]
ServerNames = Annotated[
    tuple[HostName, ...], Field(description="Hosts that the generated configuration answers for; any when missing.")
]
Servers = Annotated[
    dict[Upstream, Server], Field(description="By address, what is said of a server of `upstreams` besides.")
]
ProxyProtocol = Annotated[
    tuple[Network, ...],
    Field(description="Balancers in front that tell the customer's address by the PROXY protocol."),
]
Tagged = Annotated[
    TagHeader | None,
    Field(
        description="Header behind whose value the generated configuration writes which side serves the request, for "
        "an event's `tag`: one that the shop's platform stores, such as `user-agent`."
    ),
]
Probed = Annotated[
    Probe | None,
    Field(
        description="How each server is asked which version it runs; when missing, the version label of its series "
        "tells."
    ),
]
