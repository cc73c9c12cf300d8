"""What the rows in memory say: the window's KPIs, the running rollout's evidence, the experiments."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from canary.clock import Clock
from canary.policy.model import Policy
from canary.rollout.state import Rollout, State
from canary.threads import Threads
from exporter.evidence.judge import RolloutEvidence
from exporter.judge.experiments import Arm, Experiments
from exporter.judge.judgement import Judgement, role_values
from exporter.judge.kpis import KpiValue, kpi_values
from exporter.judge.units import Orders, merged
from exporter.ledger.feed import Feed
from exporter.ledger.table import Codes, Table

_EXPERIMENTS_SECONDS = 10
_SHARE = 0.25
"""Joining and judging may take this share of the time; in a large shop they run less often than the counting."""

Blind = Mapping[str, str]
"""KPIs that must not be relied on, with the reason."""


@dataclass
class Assessor:
    """Joins, counts the window and judges, in a thread.

    Attributes:
        kpis: of the window; None while they are not known.
        evidence: on the watched rollout; None when there is none.
        roles: by KPI, each role's plain value since the rollout began.
        arms: the experiments' treatments.
    """

    policy: Policy
    feeds: Sequence[Feed]
    versions: Codes
    currencies: Codes
    experiments: Experiments
    clock: Clock
    threads: Threads
    kpis: list[KpiValue] | None = None
    evidence: RolloutEvidence | None = None
    roles: dict[str, dict[str, float]] = field(default_factory=dict)
    arms: tuple[Arm, ...] = ()
    _judgement: Judgement | None = None
    _arms_at: float = float("-inf")
    _not_before: float = float("-inf")

    @property
    def ready(self) -> bool:
        """Whether every single row that is wanted is there, of the events that can be read."""
        wanted = [feed for feed in self.feeds if feed.rows_from is not None and feed.fault is None]
        return bool(wanted) and all(feed.rows_ready for feed in wanted)

    @property
    def judged_rollout(self) -> str:
        """The id of the rollout that evidence and roles are about; empty when there is no evidence."""
        return self._judgement.rollout if self._judgement is not None and self.evidence is not None else ""

    def has_judged(self, rollout: Rollout) -> bool:
        """Whether the rollout's rows were looked at from its beginning."""
        return self.judged_rollout == rollout.id

    async def assess(self, now: float, rollout: Rollout | None, blind: Blind, rows_from: int) -> None:
        """Look at the rows again, unless the last look took so long that the next one is not due."""
        if now < self._not_before or not self.ready:
            return
        began = self.clock.monotonic()
        tables = dict(self._tables())
        await self.threads.run(lambda: self._work_out(tables, now, rollout, blind, rows_from))
        took = self.clock.monotonic() - began
        self._not_before = now + (took / _SHARE if took > self.policy.database.refresh * _SHARE else 0.0)

    def without_database(self, rollout: Rollout | None, blind: Blind) -> None:
        """Without new rows the evidence stays as it is, but once it is too old nobody may rely on it."""
        self.kpis = None
        if not blind or self._judgement is None or rollout is None or self.evidence is None:
            return
        if self._judgement.rollout != rollout.id:
            # Another rollout has begun while nothing could be read: what was known of the last says nothing about it.
            self._judgement = self.evidence = None
            self.roles = {}
            return
        orders = Orders(self.policy.database.events, {})
        self.evidence = self._judgement.look(orders, self.versions, rollout, self.evidence.as_of, blind)
        self.roles = {}

    def forget(self) -> None:
        """Nothing is known any more; the next look judges all rows anew."""
        self.kpis = self.evidence = self._judgement = None
        self.roles, self.arms = {}, ()

    def _tables(self) -> Iterator[tuple[str, Table]]:
        """One table per event that can be read; an event whose feed is at fault has none."""
        by_event: dict[str, list[Feed]] = {}
        for feed in self.feeds:
            if feed.rows_from is not None:
                by_event.setdefault(feed.stream.event, []).append(feed)
        for event, feeds in by_event.items():
            if any(feed.fault is not None for feed in feeds):
                continue
            tables = {feed.stream.kind: feed.store.table() for feed in feeds}
            if "rows" in tables:
                yield event, tables["rows"]
                continue
            empty = Table.empty(len(feeds[0].stream.parents))
            yield event, merged(*(tables.get(kind, empty) for kind in ("settled", "unsettled", "pending")))

    def _work_out(
        self, tables: Mapping[str, Table], now: float, rollout: Rollout | None, blind: Blind, rows_from: int
    ) -> None:
        policy = self.policy
        healthy = (feed for feed in self.feeds if feed.rows_from is not None and feed.fault is None)
        as_of = min((feed.refreshed_at or now for feed in healthy), default=now)
        if self.experiments.since is not None:
            if now - self._arms_at >= _EXPERIMENTS_SECONDS:
                self.experiments.rollout = rollout
                self.arms = self.experiments.look(tables, self.versions, as_of, blind)
                self._arms_at = now
            # Days of an experiment's rows must not slow down what protects customers.
            tables = {name: table.where(table.bucket >= rows_from) for name, table in tables.items()}
        orders = Orders(policy.database.events, tables)
        since, until = now - policy.database.window, now + policy.database.lateness
        texts = (self.versions.texts, self.currencies.texts)
        self.kpis = list(kpi_values(policy.kpis, orders, *texts, since=since, until=until))
        if rollout is None or not watched(rollout, policy, now):
            self._judgement = self.evidence = None
            self.roles = {}
            return
        if self._judgement is None or self._judgement.rollout != rollout.id:
            self._judgement = Judgement.of(policy, rollout)
        self.evidence = self._judgement.look(orders, self.versions, rollout, as_of, blind)
        self.roles = role_values(policy.kpis, orders, self.versions, rollout, self._judgement.currencies)


def watched(rollout: Rollout, policy: Policy, now: float) -> bool:
    """Whether a rollout is judged: while it runs, and after promotion for as long as the floors stay watched."""
    if rollout.running:
        return True
    ended = rollout.ended_at
    return rollout.state is State.PROMOTED and ended is not None and now - ended.timestamp() < policy.rollback.watch
