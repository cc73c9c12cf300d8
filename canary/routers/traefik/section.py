"""The policy's section of kind `traefik`."""

from typing import Annotated, Literal

from pydantic import Field

from canary.policy.release import Testers, Upstreams
from canary.policy.routers.shared import Listen, Probed
from canary.policy.routers.withoutcustomer import WithoutCustomer
from canary.policy.values.types import HttpUrl, Identifier, RouterTimeout, Text, section


@section
class TraefikRouter:
    """Traefik, by its file provider or its HTTP provider; customers are told apart by their address."""

    kind: Literal["traefik"]
    name: Identifier = "traefik"
    file: Text = "/etc/traefik/dynamic/canary.yml"
    """The dynamic configuration that Traefik's file provider watches. The receiver writes it; with `receiver`, it is
    installed once and sends everybody to stable."""
    receiver: HttpUrl | None = None
    """Instead of writing `file`: where Traefik's HTTP provider reaches the receiver, and asks for its configuration."""
    ca_file: Text | None = None
    """File on Traefik's host with the authorities for a `receiver` with https; the system's when missing."""
    apis: Annotated[tuple[HttpUrl, ...], Field(min_length=1)] = ("http://127.0.0.1:8080",)
    """Traefik's API, one per instance, by which the weight in force is read back."""
    listen: Listen = ":80"
    rule: Text = "PathPrefix(`/`)"
    """Which requests are the shop's, as a rule of Traefik's."""
    upstreams: Upstreams = Upstreams()
    probe: Probed = None
    testers: Testers = Testers()
    without_customer: WithoutCustomer = WithoutCustomer()
    timeout: RouterTimeout = 5
    """How long Traefik may take to have a new configuration in force."""
