"""Drives Envoy: sets runtime values through the admin interface of every instance, and reads them back.

The routes (`routes`) take their weights from these values, which change without a new configuration, so that no
connection is closed. They live in the process alone: an Envoy that is restarted begins with everybody on stable, and
the receiver, which finds its values gone, sets them again. (A layer of files would survive; but what a restart brings
back then may be a canary that was rolled back while Envoy was down.)
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from canary.errors import RouterError
from canary.finding import Finding, failed, warning
from canary.routers.base import FINEST_RATIO, Observation, Reading, Split
from canary.routers.envoy import config, routes
from canary.routers.envoy.admin import Admin
from canary.routers.envoy.ring import CLUSTERS, Arc
from canary.routers.envoy.section import EnvoyRouter
from canary.routers.envoy.values import reading_of, values_of
from canary.units import format_ratio

_GENERATED: Final = "start Envoy with the generated envoy.yaml, or take over its runtime layer and routes"


class EnvoyRuntimeRouter:
    """Drives one or several Envoys that have the same configuration.

    Args:
        section: The policy's `router` section of kind `envoy`.

    Raises:
        RouterError: an admin interface's address is none.
    """

    finest_ratio = FINEST_RATIO

    def __init__(self, section: EnvoyRouter) -> None:
        self.name = section.name
        self._section = section
        self._admins = [Admin(address, section.timeout, f"router {section.name}") for address in section.admins]

    async def set_weight(self, split: Split) -> None:
        """Set the values on every Envoy, and read them back.

        Raises:
            RouterError: an Envoy does not have the split in force.
        """
        outcomes = await asyncio.gather(*(self._put(admin, split) for admin in self._admins), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, RouterError):
                raise outcome
        if faults := [str(outcome) for outcome in outcomes if outcome is not None]:
            raise RouterError("; ".join(faults), place=f"router {self.name}")

    async def read(self) -> Observation:
        """What each Envoy's runtime values say."""
        return Observation(tuple(await asyncio.gather(*(self._reading(admin) for admin in self._admins))))

    async def check(self) -> list[Finding]:
        """An admin interface that is unreachable or open to others; routes that do not look at the values."""
        by_admin = await asyncio.gather(*(self._check(admin) for admin in self._admins))
        return [finding for findings in by_admin for finding in findings]

    async def unhealthy(self) -> Mapping[str, str]:
        """The stable servers that an Envoy takes for down.

        Raises:
            RouterError: an Envoy is unreachable.
        """
        by_admin = await asyncio.gather(*(admin.hosts("stable") for admin in self._admins))
        return {
            host.address: f"Envoy says {', '.join(host.faults)}" for hosts in by_admin for host in hosts if host.faults
        }

    async def sessions(self, lasting_seconds: float) -> int | None:
        """Requests that are under way to the canary's servers; a websocket is one as long as it lasts.

        None for an Envoy that began less than *lasting_seconds* ago: after a hot restart the old process serves on.

        Raises:
            RouterError: an Envoy is unreachable.
        """
        counts = await asyncio.gather(*(self._sessions(admin, lasting_seconds) for admin in self._admins))
        return None if None in counts else sum(count or 0 for count in counts)

    def is_canary(self, user_id: str, split: Split) -> bool:
        """Whether *split* sends this user, who is no tester, to the canary."""
        return Arc.of(split).holds(user_id)

    def snippet(self) -> Mapping[str, str]:
        """`envoy.yaml` (or `NAME.yaml`), which begins with everybody on stable."""
        return {f"{self.name}.yaml": config.render(self._section)}

    async def _put(self, admin: Admin, split: Split) -> None:
        await admin.modify(values_of(split))
        reading = await self._reading(admin)
        if not Observation((reading,)).agrees(split):
            wanted = format_ratio(split.weight_ratio)
            raise RouterError(f"expected {wanted}, found {Observation((reading,)).detail}", remedy=_GENERATED)

    async def _reading(self, admin: Admin) -> Reading:
        try:
            values, loaded_at = await asyncio.gather(admin.runtime(), admin.loaded_at())
            return reading_of(admin.address, values, loaded_at)
        except (RouterError, ValueError) as error:
            return Reading(admin.address, None, error=str(error))

    async def _check(self, admin: Admin) -> list[Finding]:
        where = f"router {self.name}: {admin.address}"
        try:
            loaded = await admin.configuration()
        except RouterError as error:
            return [failed(where, error.what, f"{error.remedy}; until it answers, its weight cannot be changed")]
        findings = []
        if not any("admin_layer" in found for found in loaded):
            findings.append(failed(where, "has no runtime layer that its admin interface may change", _GENERATED))
        if not any(_is_ours(found) for found in loaded):
            what = f"no route divides traffic by the runtime values `{routes.PREFIX}.*` and a hash of the user"
            findings.append(failed(where, what, _GENERATED))
        if (seen := (await self._reading(admin)).error) and not findings:
            findings.append(warning(where, seen, "the receiver sets them when a rollout begins, or at its next look"))
        if admin.remote:
            what = "Envoy's admin interface asks for no password, and can end Envoy"
            findings.append(warning(where, what, "let only this host reach the port, or use a unix socket"))
        return findings

    async def _sessions(self, admin: Admin, lasting_seconds: float) -> int | None:
        uptime_seconds, hosts = await asyncio.gather(admin.uptime_seconds(), admin.hosts("canary"))
        return None if uptime_seconds < lasting_seconds else sum(host.under_way for host in hosts)


def _is_ours(found: Mapping[str, Any]) -> bool:
    """Whether it is the weighted clusters of the generated routes."""
    clusters = found.get("clusters")
    ours = found.get("runtime_key_prefix") == routes.PREFIX and found.get("use_hash_policy")
    if not ours or not isinstance(clusters, list):
        return False
    return tuple(cluster.get("name") for cluster in clusters if isinstance(cluster, dict)) == CLUSTERS
