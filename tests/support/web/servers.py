"""What the shop's servers run, as a test says."""

from dataclasses import dataclass, field

from alertmanager.receiver.act.effects import Effects
from alertmanager.receiver.decide.departure import Departure
from alertmanager.receiver.decide.finish.servers import Servers
from canary.errors import RemoteError
from canary.prometheus import PoliciesInUse, Silence
from canary.rollout.plan.plans import Plans
from canary.rollout.store.store import RolloutStore
from canary.routers.probe import Served


@dataclass
class KnownServers:
    """Answers for both groups; an empty version is unknown, because nobody could ask, or the server was *silent*."""

    stable_versions: dict[str, str] = field(default_factory=dict)
    canary_versions: dict[str, str] = field(default_factory=dict)
    silent: bool = False
    unwell: dict[str, str] = field(default_factory=dict)
    compatible: bool | RemoteError | None = None

    async def stable(self) -> Servers:
        """The stable servers."""
        return _servers(self.stable_versions, silent=self.silent)

    async def canary(self) -> Servers:
        """The canary's servers."""
        return _servers(self.canary_versions, silent=self.silent)

    async def unhealthy(self) -> dict[str, str]:
        """What routers say against stable servers."""
        return dict(self.unwell)

    async def schema(self) -> bool | None:
        """Whether the database between them has what both versions need, as Prometheus says."""
        if isinstance(self.compatible, RemoteError):
            raise self.compatible
        return self.compatible


def departure(plans: Plans, store: RolloutStore, effects: Effects, servers: KnownServers | None = None) -> Departure:
    """What looks at everything before a start, in a world without Alertmanager and drills."""

    servers = servers or KnownServers()

    async def policies() -> PoliciesInUse:
        return PoliciesInUse({"exporter": ("0123",), "rules": ("0123",)})

    async def silences() -> list[Silence]:
        return []

    return Departure(
        plans,
        store,
        servers,
        starts=effects.process_starts,
        routers=effects.router_names,
        read=effects.read_router,
        policies=policies,
        schema=servers.schema,
        silences=silences,
        drilled_at=lambda: None,
        freeze=str,
    )


def _servers(versions: dict[str, str], *, silent: bool) -> Servers:
    return Servers(
        {
            address: Served(version) if version else Served(fault="is down", silent=silent)
            for address, version in versions.items()
        }
    )
