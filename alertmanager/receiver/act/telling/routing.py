"""Who hears of what: by occasion and audience, and the owner of a KPI of whatever is decided because of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from alertmanager.receiver.act.telling.messages import OCCASIONS, occasion
from canary.policy.model import Policy
from canary.rollout.entries import Entry, Held, RollbackDecided


@dataclass(frozen=True)
class Routing:
    """The policy's `notify`, asked about one entry at a time.

    Attributes:
        occasions: by audience, what they hear of; the empty one is everybody who belongs to none.
        owned: by KPI, the audience that owns it.
    """

    occasions: Mapping[str, frozenset[str]]
    owned: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, policy: Policy) -> Self:
        """What a policy says."""
        notify = policy.notify
        occasions = {"": notify.on, **{name: one.on for name, one in notify.audiences.items()}}
        return cls({name: frozenset(on) & OCCASIONS for name, on in occasions.items()}, policy.owners)

    def wants(self, audience: str, entry: Entry) -> bool:
        """Whether an audience hears of an entry; one that the policy does not know hears of nothing."""
        kpi = entry.kpi if isinstance(entry, Held | RollbackDecided) else ""
        owns = bool(kpi) and self.owned.get(kpi) == audience
        return occasion(entry) in self.occasions.get(audience, frozenset()) or (owns and audience in self.occasions)

    def anybody(self, entry: Entry) -> bool:
        """Whether there is an audience that hears of an entry."""
        return any(self.wants(audience, entry) for audience in self.occasions)
