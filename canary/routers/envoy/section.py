"""The policy's section of kind `envoy`."""

from typing import Annotated, Literal

from pydantic import Field

from canary.policy.finish import Probe
from canary.policy.release import Testers, Upstreams
from canary.policy.routers.withoutcustomer import WithoutCustomer
from canary.policy.values.types import Identifier, ListenAddress, RequestKey, RouterTimeout, SocketAddress, section


@section
class EnvoyRouter:
    """Envoy, by the runtime values that its admin interface changes."""

    kind: Literal["envoy"]
    name: Identifier = "envoy"
    admins: Annotated[tuple[SocketAddress, ...], Field(min_length=1)] = ("tcp:127.0.0.1:9901",)
    """Admin interfaces, one per instance: `tcp:host:port`, or the path of a unix socket."""
    sticky: Literal["cookie", "header", "address"] = "cookie"
    key: RequestKey = "user_id"
    """Name of the cookie or header that identifies a user."""
    listen: ListenAddress = ":80"
    """Address for the generated configuration."""
    upstreams: Upstreams = Upstreams()
    probe: Probe | None = None
    """How each server is asked which version it runs; when missing, the version label of its series tells."""
    testers: Testers = Testers()
    without_customer: WithoutCustomer = WithoutCustomer()
    timeout: RouterTimeout = 2
    """How long an admin interface may take to answer."""
