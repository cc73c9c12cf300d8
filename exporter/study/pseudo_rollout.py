"""Pseudo-rollouts: customers of the past drawn onto two equal versions, or onto one that loses a share of something.

The rows stay what they are; only which version wrote them is drawn anew, customer by customer, as a router would have
done it. What is put in as harm is what a broken version does to rows: orders that do not come, payments that fail,
values that are smaller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from canary.policy.kpis import Conversion, Kpi, Mean, Success
from canary.policy.model import Policy
from canary.rollout.state import Rollout, State, Weight
from exporter.evidence.exact.redraw import splitmix64
from exporter.evidence.judge import RolloutEvidence
from exporter.judge.joins import JoinedRows
from exporter.judge.rollout import JudgedRollout
from exporter.judge.shop.dispersion import nameless, over_dispersion, units_told
from exporter.ledger.rows import FAILED_CODE, SUCCEEDED_CODE, Bools, Codes, EventRows, Floats, Ints

_PLACES = float(1 << 53)
_STABLE, _CANARY = "equal (stable)", "equal (canary)"


def planned_seconds(policy: Policy) -> float:
    """How long the versions are compared when everything goes as planned."""
    return sum(phase.duration for phase in policy.phases if 0.0 < phase.traffic < 1.0)


def pseudo_rollout(
    policy: Policy, joined: JoinedRows, versions: Codes, began: float, rng: np.random.Generator, name: str, harm: float
) -> RolloutEvidence:
    """One that *began* then (seconds since the epoch), judged as at the end of its plan.

    Args:
        joined: the past's rows, of more than the rollout's time.
        name: the rollout's id; the exact half draws by it.
        harm: what share the canary loses of everything that a KPI counts; 0 for equal versions.
    """
    rollout = _rollout(policy, began, name)
    ended = began + planned_seconds(policy)
    early = began - policy.database.window
    rows = {event: table.where((table.time >= early) & (table.entered < ended)) for event, table in joined.rows.items()}
    plain = JoinedRows(joined.events, rows)
    places = _Places(int(rng.integers(0, 1 << 62)), [(one.since.timestamp(), one.ratio) for one in rollout.weights])
    stable, canary = versions.code(_STABLE), versions.code(_CANARY)
    tables = {}
    together = _Clumps.of(policy, plain)
    for event, table in rows.items():
        chosen = places.on_canary(together.first_of(plain.origin(event).unit), table.entered)
        tables[event] = replace(table, version=np.where(chosen, canary, stable))
    if harm:
        tables = _harmed(policy.kpis, tables, canary, harm, rng)
    # Trusted, or what has no customers could never fail.
    judged = JudgedRollout.of(policy, rollout, trusted=policy.kpis, only_proofs=True)
    return judged.look(JoinedRows(joined.events, tables), versions, rollout, ended, {})


def _harmed(
    kpis: Mapping[str, Kpi], tables: Mapping[str, EventRows], canary: int, harm: float, rng: np.random.Generator
) -> dict[str, EventRows]:
    """The rows had the canary lost a share *harm* of what each KPI counts."""
    harmed = dict(tables)

    def hit(table: EventRows) -> Bools:
        chosen: Bools = (table.version == canary) & (rng.random(len(table)) < harm)
        return chosen

    for event in sorted({kpi.to for kpi in kpis.values() if isinstance(kpi, Conversion)} & harmed.keys()):
        harmed[event] = harmed[event].where(~hit(harmed[event]))
    for kpi in kpis.values():
        if isinstance(kpi, Success) and kpi.of in harmed:
            table = harmed[kpi.of]
            failed = hit(table) & (table.outcome == SUCCEEDED_CODE)
            harmed[kpi.of] = replace(table, outcome=np.where(failed, FAILED_CODE, table.outcome))
        elif isinstance(kpi, Mean) and kpi.since is None and kpi.of in harmed:
            table = harmed[kpi.of]
            worse = 1.0 - harm if kpi.better == "higher" else 1.0 + harm
            harmed[kpi.of] = replace(table, value=np.where(table.version == canary, worse * table.value, table.value))
    return harmed


@dataclass(frozen=True)
class _Clumps:
    """Rows that are drawn together, as nobody knows their customers: as many as the over-dispersion says.

    Drawn one by one, rows would be independent by construction, and any test of them would look as good as its theory.

    Attributes:
        units: sorted.
        first: of each of them, the one whose place it shares.
    """

    units: Ints
    first: Ints

    @classmethod
    def of(cls, policy: Policy, joined: JoinedRows) -> _Clumps:
        """Of the policy's KPIs: the rarer outcome in order of time, by so many."""
        units, first = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        for kpi in policy.kpis.values():
            if not nameless(kpi, joined, -np.inf).any():
                continue
            told = units_told(kpi, joined, -np.inf, np.inf)
            size = round(over_dispersion(told.counted, told.keys, told.entered))
            common = np.median(told.counted) if len(told.counted) and not isinstance(kpi, Mean) else np.nan
            keys = told.keys[(told.counted != common) & ~told.named]
            units.append(keys)
            first.append(keys[np.arange(len(keys)) // size * size])
        every, at = np.unique(np.concatenate(units), return_index=True)
        return cls(every, np.concatenate(first)[at])

    def first_of(self, units: Ints) -> Ints:
        """Each unit's own number, or that of the one whose place it shares."""
        if not len(self.units):
            return units
        at = np.minimum(np.searchsorted(self.units, units), len(self.units) - 1)
        found: Ints = np.where(self.units[at] == units, self.first[at], units)
        return found


@dataclass(frozen=True)
class _Places:
    """Where each customer stands at a router with this salt."""

    salt: int
    weights: Sequence[tuple[float, float]]

    def on_canary(self, units: Ints, times: Floats) -> Bools:
        """Whether each of *units* meets the canary at each of *times*."""
        hashed = splitmix64(splitmix64(units.view(np.uint64)) ^ np.uint64(self.salt))
        place = (hashed >> np.uint64(11)).astype(np.float64) / _PLACES
        at = np.searchsorted([time for time, _ in self.weights], times, side="right") - 1
        share = np.where(at >= 0, np.asarray([ratio for _, ratio in self.weights])[np.maximum(at, 0)], 0.0)
        found: Bools = place < share
        return found


def _rollout(policy: Policy, began: float, name: str) -> Rollout:
    phases = [phase for phase in policy.phases if 0.0 < phase.traffic < 1.0]
    starts = began + np.cumsum([0.0, *(phase.duration for phase in phases[:-1])])
    moments = [datetime.fromtimestamp(float(start), UTC) for start in starts]
    return Rollout(
        id=name,
        stable=_STABLE,
        canary=_CANARY,
        traffic=tuple(phase.traffic for phase in phases),
        durations_seconds=tuple(phase.duration for phase in phases),
        state=State.PHASE,
        started_at=moments[0],
        phase=len(phases) - 1,
        phase_started_at=moments[-1],
        weights=tuple(Weight(moment, phase.traffic) for moment, phase in zip(moments, phases, strict=True)),
    )
