"""From joined rows to the judge's arrays, and from the running rollout to its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from canary.policy.kpis import Conversion, Kpi, Mean, Success
from canary.policy.model import Policy
from canary.rollout.state import Rollout
from exporter.evidence.judge import (
    ConversionRows,
    EntryRows,
    JudgePlan,
    MeanRows,
    OutcomeRows,
    RolloutEvidence,
    RolloutJudge,
    RolloutRows,
)
from exporter.judge.kpis import in_currencies
from exporter.judge.plans import judge_plan
from exporter.judge.units import Orders
from exporter.ledger.table import FAILED_CODE, SUCCEEDED_CODE, Bools, Codes, Floats, Ints
from exporter.source.mapping import parents_of


@dataclass
class Judgement:
    """The judge of one rollout, fed at every refresh.

    The rows it is given are those since `needs_since`; what is older has become sums.
    """

    policy: Policy
    rollout: str
    plan: JudgePlan
    judge: RolloutJudge
    currencies: dict[str, int] = field(default_factory=dict)
    """By KPI, the currency whose values are compared; amounts of different currencies have no mean."""

    @classmethod
    def of(cls, policy: Policy, rollout: Rollout) -> Judgement:
        """A new judge for a rollout."""
        plan = judge_plan(policy, rollout.started_at.timestamp())
        return cls(policy, rollout.id, plan, RolloutJudge(plan))

    def look(
        self, orders: Orders, versions: Codes, rollout: Rollout, as_of: float, blind: Mapping[str, str]
    ) -> RolloutEvidence:
        """The evidence at *as_of*, seconds since the epoch."""
        sides = (versions.code(rollout.stable), versions.code(rollout.canary))
        rows = _Rows(orders, sides, self.judge.needs_since)
        kpis = {
            plan.name: found
            for plan in self.plan.kpis
            if (found := self._of(plan.name, self.policy.kpis[plan.name], rows)) is not None
        }
        entry = entry_event(self.policy)
        entries = rows.entries(entry) if entry is not None and entry in orders.tables else None
        weights = [(weight.since.timestamp(), weight.ratio) for weight in rollout.weights]
        return self.judge.judge(RolloutRows(kpis, entries), weights, as_of, blind)

    def _of(self, name: str, kpi: Kpi, rows: _Rows) -> ConversionRows | OutcomeRows | MeanRows | None:
        tables = rows.orders.tables
        if isinstance(kpi, Conversion):
            return rows.conversions(kpi) if kpi.from_ in tables and kpi.to in tables else None
        if kpi.of not in tables:
            return None
        if isinstance(kpi, Success):
            return rows.outcomes(kpi.of)
        if name not in self.currencies and in_currencies(kpi, rows.orders.events):
            found = rows.commonest_currency(kpi.of, self.plan.started_at)
            if found is not None:
                self.currencies[name] = found
        return rows.means(kpi, self.currencies.get(name, -1))


@dataclass(frozen=True)
class _Rows:
    """Arrays of the rollout's two versions, as far back as the judge needs them."""

    orders: Orders
    sides: tuple[int, int]
    since: float

    def conversions(self, kpi: Conversion) -> ConversionRows:
        table, origin = self.orders.tables[kpi.from_], self.orders.origin(kpi.from_)
        converted = self.orders.converted(kpi.from_, kpi.to)
        wanted = self._ours(origin.version) & ((table.entered >= self.since) | (converted >= self.since))
        return ConversionRows(
            assigned=origin.assigned[wanted],
            entered=table.entered[wanted],
            canary=self._canary(origin.version[wanted]),
            converted=converted[wanted],
        )

    def outcomes(self, event: str) -> OutcomeRows:
        """Payments by their own time and version: one that fails may have no order, so no visit is known for it."""
        table = self.orders.tables[event]
        settled = (table.outcome == SUCCEEDED_CODE) | (table.outcome == FAILED_CODE)
        resolved = np.where(settled, table.time, np.nan)
        wanted = self._ours(table.version)
        return OutcomeRows(
            assigned=table.entered[wanted],
            entered=table.entered[wanted],
            canary=self._canary(table.version[wanted]),
            resolved=resolved[wanted],
            failed=table.outcome[wanted] == FAILED_CODE,
        )

    def means(self, kpi: Mean, currency: int) -> MeanRows:
        table, origin, values = self.orders.tables[kpi.of], self.orders.origin(kpi.of), self.orders.values(kpi)
        wanted = self._ours(origin.version) & (table.time >= self.since) & np.isfinite(values)
        if currency >= 0:
            wanted &= table.currency == currency
        return MeanRows(
            assigned=origin.assigned[wanted],
            observed=table.time[wanted],
            canary=self._canary(origin.version[wanted]),
            value=values[wanted],
        )

    def entries(self, event: str) -> EntryRows:
        table = self.orders.tables[event]
        wanted = self._ours(table.version) & (table.entered >= self.since)
        return EntryRows(entered=table.entered[wanted], canary=self._canary(table.version[wanted]))

    def commonest_currency(self, event: str, until: float) -> int | None:
        """The currency of most rows before the rollout, or of all when there are none before; None without rows."""
        table = self.orders.tables[event]
        before = table.currency[table.time < until]
        found = before if len(before) else table.currency
        return int(np.bincount(found).argmax()) if len(found) else None

    def _ours(self, version: Ints) -> Bools:
        ours: Bools = (version == self.sides[0]) | (version == self.sides[1])
        return ours

    def _canary(self, version: Ints) -> Bools:
        canary: Bools = version == self.sides[1]
        return canary


def entry_event(policy: Policy) -> str | None:
    """The event with which a customer comes in: the first that has no parent, when there is one."""
    events = policy.database.events
    starts = [kpi.from_ for kpi in policy.kpis.values() if isinstance(kpi, Conversion)]
    candidates = [*starts, *events]
    return next((name for name in candidates if name in events and not parents_of(events, name)), None)


def role_values(
    kpis: Mapping[str, Kpi], orders: Orders, versions: Codes, rollout: Rollout, currencies: Mapping[str, int]
) -> dict[str, dict[str, float]]:
    """Each role's plain value since the rollout began, for people to read beside the evidence."""
    since = rollout.started_at.timestamp()
    found: dict[str, dict[str, float]] = {}
    for name, kpi in kpis.items():
        for role, version in (("stable", rollout.stable), ("canary", rollout.canary)):
            values = _role(kpi, orders, versions.code(version), since, currencies.get(name, -1))
            if len(values):
                found.setdefault(name, {})[role] = float(np.mean(values))
    return found


def _role(kpi: Kpi, orders: Orders, version: int, since: float, currency: int) -> Floats:
    event = kpi.from_ if isinstance(kpi, Conversion) else kpi.of
    if event not in orders.tables or (isinstance(kpi, Conversion) and kpi.to not in orders.tables):
        return np.zeros(0)
    table, origin = orders.tables[event], orders.origin(event)
    if isinstance(kpi, Success):
        settled = (table.outcome == SUCCEEDED_CODE) | (table.outcome == FAILED_CODE)
        ours = settled & (table.version == version) & (table.entered >= since)
        return np.asarray(table.outcome[ours] == SUCCEEDED_CODE, dtype=np.float64)
    ours = (origin.version == version) & (origin.assigned >= since)
    if isinstance(kpi, Conversion):
        open_ = np.isnan(orders.converted(event, kpi.to)[ours])
        return np.asarray(open_ if kpi.complement else ~open_, dtype=np.float64)
    if currency >= 0:
        ours &= table.currency == currency
    values = orders.values(kpi)
    return np.asarray(values[ours & np.isfinite(values)])
