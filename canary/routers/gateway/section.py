"""The policy's section of kind `gateway`."""

from typing import Annotated, Literal

from pydantic import StringConstraints

from canary.policy.finish import Probe
from canary.policy.release import Testers, Upstreams
from canary.policy.values.types import HttpUrl, Identifier, RouterTimeout, Text, section

_Object = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$")]
_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"


@section
class GatewayRouter:
    """An HTTPRoute of Kubernetes' Gateway API, whose weights are drawn for each request."""

    kind: Literal["gateway"]
    name: Identifier = "gateway"
    url: HttpUrl = "https://kubernetes.default.svc"
    """The Kubernetes API."""
    token_file: Text = f"{_FOLDER}/token"
    """File with the bearer token that the API is shown; read anew each time."""
    ca_file: Text | None = f"{_FOLDER}/ca.crt"
    """Authorities that vouch for the API."""
    namespace: _Object = "default"
    route: _Object
    """The HTTPRoute's name."""
    stable: _Object
    """The Service with the stable version, as the route's `backendRefs` name it."""
    canary: _Object
    """The Service with the canary."""
    upstreams: Upstreams = Upstreams()
    """Addresses of the two versions, which `probe` asks."""
    probe: Probe | None = None
    testers: Testers = Testers()
    """Only a header: a route of its own has both Services, and that header in all its `matches`."""
    timeout: RouterTimeout = 10
    """How long the Gateway's controller may take to have a weight in force."""
