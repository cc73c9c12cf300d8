"""Which assignments and pairs are in another database than the events they serve, and are looked up in memory.

How such a table is read and held is in `exporter.ledger.held_table`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from canary.policy.database.section import Assignments, Event, Exclude, Identities
from canary.policy.model import Policy
from exporter.ledger.held_table import HeldTable
from exporter.ledger.odd import Report, unreported
from exporter.source.assignments.routed import LEFT_OUT
from exporter.source.sources import Sources
from exporter.source.streams import Stream

MOST_ROWS = 1_000_000
"""Rows of one table that are held, as many as of the router's log by default: some 300 MB."""


class GivenVersions(HeldTable):
    """`database.assignments` of a table or SQL, for events of other databases."""

    def version(self, unit: str | bytes | None, moment: float) -> str | None:
        """As `UnitVersions.version`."""
        return self.known(unit, moment)

    def same_for_all(self, _low: float, _high: float) -> bool:
        """Never: each customer has a version of their own."""
        return False

    def steady(self, _low: float, _high: float) -> bool:
        """Always, as every key brings its row's moment along (`exporter.source.assignments.versions`)."""
        return True


class GivenPairs(HeldTable):
    """One of `database.identities`, for events of other databases."""

    nobody: frozenset[str] = frozenset()
    """Customers who count nowhere."""

    def unit(self, known_as: Any, moment: float) -> str | None:
        """As `Pairs.unit`."""
        unit = self.known(known_as, moment)
        return LEFT_OUT if unit in self.nobody else unit


@dataclass
class Lookups:
    """All tables that are looked up in memory.

    Attributes:
        versions: the assignments; None where the database looks them up, or they come from elsewhere.
        pairs: by identity.
    """

    versions: GivenVersions | None
    pairs: dict[str | None, GivenPairs]

    @classmethod
    def of(
        cls,
        policy: Policy,
        sources: Sources,
        streams: Iterable[Stream],
        report: Report = unreported,
        most: int = MOST_ROWS,
    ) -> "Lookups":
        """Those that these streams need."""
        streams, versions = list(streams), None
        one = policy.database.assignments
        if one is not None and one.from_ is None and any(stream.key == "unit" for stream in streams):
            alone = _alone(policy, one, one.unit, one.version, one.tester)
            versions = GivenVersions(alone, one.source, "database.assignments", sources, most, report)
        pairs: dict[str | None, GivenPairs] = {}
        for name in sorted({stream.identity for stream in streams if stream.identity is not None}):
            given = policy.database.identities[name]  # with a `time`, as the policy is refused without
            alone = _alone(policy, given, given.known_as, given.unit)
            pairs[name] = GivenPairs(alone, given.source, f"database.identities.{name}", sources, most, report)
            pairs[name].nobody = frozenset(policy.database.exclude.units)
        return cls(versions, pairs)

    @property
    def all(self) -> list[HeldTable]:
        """Each of them."""
        return [*([self.versions] if self.versions is not None else []), *self.pairs.values()]


def _alone(policy: Policy, table: Assignments | Identities, key: str, said: str, mark: str | None = None) -> Policy:
    """A policy that has a table as its only event: what is said of whom, and whether they count nowhere."""
    source = policy.database.sources.get(table.source or "")
    zone = source.timezone if source is not None and source.timezone else policy.database.timezone
    names = {name: getattr(table, name) for name in ("table", "sql", "source", "time_unit")}
    event = Event(**names, id=key, unit=key, time=table.time or "time", version=said, variant=mark)
    bare = replace(policy.database, assignments=None, identities={}, exclude=Exclude(), log=None)
    return replace(policy, database=replace(bare, timezone=zone, events={"given": event}), kpis={})
