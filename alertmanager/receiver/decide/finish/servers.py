"""What the shop's servers run, and whether they are well: server by server, by role.

Two sources tell a version. `router.probe` asks the server itself. Without one, Prometheus' series of that server tell
by their version label, for whichever server the scraped `instance` is recognized. What neither tells is unknown: never
taken for the old version, nor for the new one.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp

from alertmanager.receiver.act.effects import Effects
from canary.errors import RemoteError
from canary.policy.routers.slots import ROLES, Role, servers_of
from canary.prometheus import Prometheus
from canary.rollout.plan.plans import Plans
from canary.routers import probe
from canary.routers.probe import Served

Group = Mapping[str, Served]
"""By address, what the servers of one group run."""


@dataclass(frozen=True)
class Servers:
    """What all servers of one group run.

    Attributes:
        served: by address; empty where the policy names no servers.
    """

    served: Group = field(default_factory=dict)

    def running(self, version: str) -> bool:
        """Whether every server is known to run this version."""
        return bool(self.served) and all(one.version == version for one in self.served.values())

    def others(self, version: str) -> str:
        """The servers known to run another version, and which; empty when there are none."""
        wrong = ((address, one) for address, one in self.served.items() if one.version not in (None, version))
        return ", ".join(f"{address} runs {one}" for address, one in wrong)

    @property
    def silent(self) -> str:
        """The servers that were asked and did not say what they run; they may be down."""
        return ", ".join(f"{address}: {one.fault}" for address, one in self.served.items() if one.silent)

    @property
    def all_silent(self) -> bool:
        """Whether servers were asked and none of them said what it runs."""
        return bool(self.served) and all(one.silent for one in self.served.values())

    @property
    def unknown(self) -> str:
        """Why it is not known of some server, or of all, what it runs; empty when it is known of all."""
        if not self.served:
            return "the policy names no servers in `router.upstreams` or `router.slots`"
        return ", ".join(f"{address}: {one}" for address, one in self.served.items() if one.version is None)

    @property
    def told(self) -> dict[str, str]:
        """By address, the version or why it is unknown, for people and the journal."""
        return {address: one.version or f"unknown: {one.fault}" for address, one in self.served.items()}


class Inspector:
    """Asks servers, and the routers about them."""

    def __init__(self, plans: Plans, session: aiohttp.ClientSession, prometheus: Prometheus, effects: Effects) -> None:
        self._plans = plans
        self._session = session
        self._prometheus = prometheus
        self._effects = effects

    async def stable(self) -> Servers:
        """What the stable servers run."""
        return await self._group("stable")

    async def canary(self) -> Servers:
        """What the canary's servers run."""
        return await self._group("canary")

    async def unhealthy(self) -> Mapping[str, str]:
        """By address, what the routers' own checks say against a stable server."""
        found = await asyncio.gather(*map(self._effects.unhealthy_servers, self._effects.router_names))
        return {address: fault for faults in found for address, fault in faults.items()}

    async def _group(self, role: Role) -> Servers:
        stable = self._effects.stable_slot
        routers = self._plans.file.router
        probed = {address: one.probe for one in routers for address in servers_of(one, role, stable)}
        series = {} if all(probed.values()) else await self._by_series()
        found = await asyncio.gather(
            *(
                probe.ask(address, how, self._session) if how is not None else _told(address, series, self._hosts)
                for address, how in probed.items()
            )
        )
        return Servers(dict(zip(probed, found, strict=True)))

    @property
    def _hosts(self) -> Counter[str]:
        """How many of the policy's servers each host has, both groups together."""
        routers = self._plans.file.router
        addresses = {address for one in routers for role in ROLES for address in servers_of(one, role, None)}
        return Counter(_host(address) for address in addresses)

    async def _by_series(self) -> Mapping[str, set[str]] | str:
        """By scraped instance, the versions in its series; or why Prometheus does not tell."""
        signals = self._plans.file.signals
        if signals.preset != "application":
            return "neither a `probe` nor series with a version tell what it runs"
        matchers = self._plans.file.shop_selector
        selector = f"{{{matchers}}}" if matchers else ""
        expression = f"count by (instance, {signals.version_label}) ({signals.requests}{selector})"
        try:
            samples = await self._prometheus.query(expression)
        except RemoteError as error:
            return f"there is no `probe`, and Prometheus could not be asked ({error})"
        versions: dict[str, set[str]] = {}
        for labels, _ in samples:
            if labels.get("instance") and labels.get(signals.version_label):
                versions.setdefault(labels["instance"], set()).add(labels[signals.version_label])
        return versions


async def _told(address: str, series: Mapping[str, set[str]] | str, hosts: Mapping[str, int]) -> Served:
    """What the series of one server tell: those of its address, or of its host.

    A host's series are its server's only where it has one: of two on one host, the one that no customer has reached yet
    has no series, and the other's would be taken for its.
    """
    if isinstance(series, str):
        return Served(fault=series)
    of_host = [versions for instance, versions in series.items() if _host(instance) == _host(address)]
    alone = hosts[_host(address)] == 1 and len(of_host) == 1
    found = series.get(address) or (of_host[0] if alone else set())
    if not found:
        return Served(fault="there is no `probe`, and no series with its address tells its version")
    return (
        Served(next(iter(found))) if len(found) == 1 else Served(fault=f"its series tell {' and '.join(sorted(found))}")
    )


def _host(address: str) -> str:
    return address.rpartition(":")[0]
