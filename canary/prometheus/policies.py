"""By which policy exporter, receiver and rules go, as Prometheus has it at this moment.

Each of them has read the policy at another time, and the digests that they publish (`canary.policy.pinning.digest`)
are the only thing that all three can be compared by. A part that publishes none is unknown, which is neither the same
policy nor another one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from canary import names
from canary.prometheus.client import Prometheus

_NAMES: Mapping[str, str] = {
    "exporter": "the exporter goes",
    "receiver": "the receiver goes",
    "rules": "the rules in Prometheus go",
}

_REMEDIES: Mapping[str, str] = {
    "exporter": "reload the exporter with this policy",
    "receiver": "reload the receiver with this policy",
    "rules": "run `canary generate` and reload Prometheus",
}


@dataclass(frozen=True)
class Differing:
    """One part that goes by another policy.

    Attributes:
        component: one of `names.COMPONENTS`.
        digest: by which it goes.
        wanted: by which it should.
    """

    component: str
    digest: str
    wanted: str

    def __str__(self) -> str:
        return f"{_NAMES[self.component]} by policy {self.digest}, expected {self.wanted}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return _REMEDIES[self.component]


@dataclass(frozen=True)
class PoliciesInUse:
    """The digests that are published, by component; several where there are several of one."""

    digests: Mapping[str, tuple[str, ...]]

    def differing(self, wanted: str) -> Iterator[Differing]:
        """Every part that publishes a digest other than the wanted one."""
        for component in names.COMPONENTS:
            for digest in self.digests.get(component, ()):
                if digest != wanted:
                    yield Differing(component, digest, wanted)


async def policies_in_use(prometheus: Prometheus, service: str) -> PoliciesInUse:
    """What exporter, receiver and rules of a service publish now.

    Raises:
        RemoteError: Prometheus does not say.
    """
    labels = (names.COMPONENT, names.DIGEST)
    info = f'{names.POLICY_INFO}{{{names.SERVICE}="{service}", {names.COMPONENT}%s"rules"}}'
    # A Prometheus that was restarted while a part was reloaded answers that one's earlier digest for five minutes more.
    # Of rules there may be two files, and what they record ends with them.
    told, rules = info % "!=", info % "="
    of_each = f"ignoring ({names.DIGEST}) group_left () max without ({names.DIGEST}) (timestamp({told}))"
    query = f"max by ({', '.join(labels)}) ({rules} or {told} and timestamp({told}) == {of_each})"
    found: dict[str, list[str]] = {}
    for sample in await prometheus.query(query):
        component, digest = (sample.labels.get(label, "") for label in labels)
        found.setdefault(component, []).append(digest)
    return PoliciesInUse({component: tuple(sorted(digests)) for component, digests in found.items()})
