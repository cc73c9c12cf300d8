"""The policy's section of kind `envoy`."""

from typing import Annotated, Final, Literal

from pydantic import Field

from canary.policy.release import Testers, Upstreams
from canary.policy.routers.shared import Listen, Probed, Sticky, UserKey
from canary.policy.routers.withoutcustomer import WithoutCustomer
from canary.policy.values.types import (
    HttpUrl,
    Identifier,
    RouterTimeout,
    SocketAddress,
    Text,
    section,
)

DEFAULT_ADMINS: Final = ("tcp:127.0.0.1:9901",)
"""Envoy's own."""


@section
class EnvoyRouter:
    """Envoy, by runtime values: changed through its admin interface, or asked for by Envoy itself (`instances`)."""

    kind: Literal["envoy"]
    name: Identifier = "envoy"
    admins: Annotated[tuple[SocketAddress, ...], Field(min_length=1)] = DEFAULT_ADMINS
    """Admin interfaces, one per instance: `tcp:host:port`, or the path of a unix socket."""
    instances: Annotated[tuple[Identifier, ...], Field(max_length=100)] = ()
    """Instead of `admins`: names of Envoys that ask the receiver for their runtime values (RTDS), `node.id` in their
    configuration."""
    receivers: Annotated[tuple[HttpUrl, ...], Field(min_length=1)] = ("http://127.0.0.1:9878",)
    """Where Envoys with `instances` reach the receiver; every one of several receivers."""
    token_file: Text | None = None
    """File on Envoy's host with a token of `receiver.router_token_file`, for Envoys with `instances`."""
    ca_file: Text | None = None
    """File on Envoy's host with the authorities for `receivers` with https; the system's when missing."""
    sticky: Sticky = "cookie"
    key: UserKey = "user_id"
    listen: Listen = ":80"
    upstreams: Upstreams = Upstreams()
    probe: Probed = None
    testers: Testers = Testers()
    without_customer: WithoutCustomer = WithoutCustomer()
    timeout: RouterTimeout = 2
    """How long an admin interface may take to answer, or an Envoy to take new values over."""
