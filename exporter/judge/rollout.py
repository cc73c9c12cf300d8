"""One rollout judged: from the policy to the judge's parameters, from joined rows to its arrays, from both to evidence.

The judge (`exporter.evidence`) knows no shop: it is given arrays of units with their side. Which rows are those units
is decided here. A unit's side is the version of the visit it descends from, because that is what the router decided; a
payment counts by its own version, because one that fails may have no order and so no visit. Means compare one currency
only, the one that most rows had before the rollout; amounts of different currencies have no mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from canary.policy.kpis import Conversion, Kpi, Mean, Success
from canary.policy.model import Policy
from canary.rollout.state import Rollout
from exporter.evidence.judge import (
    Action,
    ConversionRows,
    EntryRows,
    Harm,
    JudgeParameters,
    Kind,
    KpiParameters,
    MeanRows,
    OutcomeRows,
    RolloutEvidence,
    RolloutJudge,
    RolloutRows,
)
from exporter.judge.joins import JoinedRows
from exporter.judge.values import in_currencies
from exporter.ledger.rows import FAILED_CODE, SUCCEEDED_CODE, Bools, Codes, Ints
from exporter.source.mapping import parents_of


@dataclass
class JudgedRollout:
    """The judge of one rollout, fed at every refresh.

    The rows it is given are those since `needs_since`; what is older has become sums.
    """

    policy: Policy
    rollout: str
    parameters: JudgeParameters
    judge: RolloutJudge
    currencies: dict[str, int] = field(default_factory=dict)
    """By KPI, the currency whose values are compared; amounts of different currencies have no mean."""

    @classmethod
    def of(cls, policy: Policy, rollout: Rollout) -> JudgedRollout:
        """A new judge for a rollout."""
        parameters = judge_parameters(policy, rollout.started_at.timestamp())
        return cls(policy, rollout.id, parameters, RolloutJudge(parameters))

    def look(
        self, joined: JoinedRows, versions: Codes, rollout: Rollout, as_of: float, blind: Mapping[str, str]
    ) -> RolloutEvidence:
        """The evidence at *as_of*, seconds since the epoch."""
        sides = (versions.code(rollout.stable), versions.code(rollout.canary))
        rows = _Rows(joined, sides, self.judge.needs_since)
        kpis = {
            kpi.name: found
            for kpi in self.parameters.kpis
            if (found := self._of(kpi.name, self.policy.kpis[kpi.name], rows)) is not None
        }
        entry = entry_event(self.policy)
        entries = rows.entries(entry) if entry is not None and entry in joined.rows else None
        weights = [(weight.since.timestamp(), weight.ratio) for weight in rollout.weights]
        return self.judge.judge(RolloutRows(kpis, entries), weights, as_of, blind)

    def _of(self, name: str, kpi: Kpi, rows: _Rows) -> ConversionRows | OutcomeRows | MeanRows | None:
        held = rows.joined.rows
        if isinstance(kpi, Conversion):
            return rows.conversions(kpi) if kpi.from_ in held and kpi.to in held else None
        if kpi.of not in held:
            return None
        if isinstance(kpi, Success):
            return rows.outcomes(kpi.of)
        if name not in self.currencies and in_currencies(kpi, rows.joined.events):
            found = rows.commonest_currency(kpi.of, self.parameters.started_at)
            if found is not None:
                self.currencies[name] = found
        return rows.means(kpi, self.currencies.get(name, -1))


@dataclass(frozen=True)
class _Rows:
    """Arrays of the rollout's two versions, as far back as the judge needs them."""

    joined: JoinedRows
    sides: tuple[int, int]
    since: float

    def conversions(self, kpi: Conversion) -> ConversionRows:
        table, origin = self.joined.rows[kpi.from_], self.joined.origin(kpi.from_)
        converted = self.joined.converted(kpi.from_, kpi.to)
        wanted = self._ours(origin.version) & ((table.entered >= self.since) | (converted >= self.since))
        return ConversionRows(
            assigned=origin.assigned[wanted],
            entered=table.entered[wanted],
            canary=self._canary(origin.version[wanted]),
            converted=converted[wanted],
        )

    def outcomes(self, event: str) -> OutcomeRows:
        """Payments by their own time and version: one that fails may have no order, so no visit is known for it."""
        table = self.joined.rows[event]
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
        table, origin, values = self.joined.rows[kpi.of], self.joined.origin(kpi.of), self.joined.values(kpi)
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
        table = self.joined.rows[event]
        wanted = self._ours(table.version) & (table.entered >= self.since)
        return EntryRows(entered=table.entered[wanted], canary=self._canary(table.version[wanted]))

    def commonest_currency(self, event: str, until: float) -> int | None:
        """The currency of most rows before the rollout, or of all when there are none before; None without rows."""
        table = self.joined.rows[event]
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


def judge_parameters(policy: Policy, started_at: float) -> JudgeParameters:
    """The judge's parameters for a rollout that began at `started_at` (seconds since the epoch).

    KPIs with `judge: threshold` are left to the windowed rule and take no share of alpha.
    """
    return JudgeParameters(
        started_at=started_at,
        kpis=tuple(
            kpi_parameters(name, kpi, policy.evidence.pending_timeout)
            for name, kpi in policy.kpis.items()
            if kpi.judge == "evidence"
        ),
        alpha=policy.evidence.alpha,
        bucket_seconds=policy.evidence.bucket,
        lateness_seconds=policy.database.lateness,
        mismatch_tolerance=policy.evidence.mismatch,
    )


def kpi_parameters(name: str, kpi: Kpi, pending_timeout_seconds: float) -> KpiParameters:
    """What the judge needs to know about one KPI of the policy."""
    action = Action(kpi.action)
    if isinstance(kpi, Mean):
        harm = Harm.DECREASE if kpi.better == "higher" else Harm.INCREASE
        return KpiParameters(name, Kind.MEAN, tolerance=kpi.tolerance, action=action, harm=harm)
    return KpiParameters(
        name,
        Kind.CONVERSION if isinstance(kpi, Conversion) else Kind.SUCCESS,
        tolerance=kpi.tolerance,
        floor=kpi.floor,
        action=action,
        pending_timeout_seconds=pending_timeout_seconds,
    )
