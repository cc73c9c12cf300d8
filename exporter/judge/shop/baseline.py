"""What the shop was like before the rollout: how late orders come, how many customers buy, how large values are.

All of it decides what counts as harm, and must not be learned from the rollout itself: a canary that delays orders
would teach the judge that orders are late. It is taken once, from the rows of `database.window` before the start, which
are read again after a restart, so that it finds the same.
"""

from __future__ import annotations

import numpy as np

from canary.policy.kpis import Conversion, Mean, Success
from exporter.evidence.comparisons.level import CONVERTS_SECONDS
from exporter.evidence.comparisons.slower import LagShape
from exporter.judge.joins import JoinedRows
from exporter.judge.kpi_units import first_after
from exporter.judge.units import UnitTable, with_their_visit
from exporter.judge.values import in_currencies
from exporter.ledger.rows import PENDING_CODE, SUCCEEDED_CODE
from exporter.source.columns.values import NO_ID

_CAP = 0.95
"""Amounts of money are capped at this quantile unless the policy says another: with the largest twentieth cut, a loss
of 20 % is found in 92 to 100 % of rollouts instead of 0 to 5 %."""
_LEAST_VALUES = 40
"""A quantile of fewer values would be one order's value, and a share of fewer customers chance."""
_PARTS = 4
"""The lowest of so many parts of the window stands for the shop's level: one part is chance, ten are too few units."""


def lags_before(
    kpi: Conversion, joined: JoinedRows, window: tuple[float, float], *, up_to: float, bucket_seconds: float
) -> LagShape:
    """How soon a conversion's customers converted within the window before the start."""
    low, start = window
    table, origin = joined.rows[kpi.from_], joined.origin(kpi.from_)
    rows = np.flatnonzero((table.entered >= low) & (table.entered < start) & (origin.unit != NO_ID))
    order = np.lexsort((table.entered[rows], origin.unit[rows]))
    rows = rows[order]
    keys, first = np.unique(origin.unit[rows], return_index=True)
    units = UnitTable(keys, {"entered": table.entered[rows[first]]})
    to, to_origin = joined.rows[kpi.to], joined.origin(kpi.to)
    times = with_their_visit(to.time, to_origin.assigned)
    converted = first_after(units, np.full(len(units), np.nan), to_origin.unit, times)
    return LagShape.of(units["entered"], converted, start, up_to, bucket_seconds)


def level_before(
    kpi: Conversion | Success, joined: JoinedRows, window: tuple[float, float], pending_timeout_seconds: float
) -> float | None:
    """The lowest share of units that succeeded, or converted, in a quarter of the window before the start.

    Units are what the rollout will count: customers, or each attempt where the policy says so.

    None where a quarter has too few customers, or the window is too short to know what became of them. Quarters differ
    as hours do; the lowest of them is no proof of what is normal, but spares a shop with an uneven hour false alarms.
    """
    low, start = window
    conversion = isinstance(kpi, Conversion)
    event = kpi.from_ if isinstance(kpi, Conversion) else kpi.of
    patience = CONVERTS_SECONDS if conversion else pending_timeout_seconds
    if event not in joined.rows or start - patience - low < (start - low) / 2.0:
        return None
    table, origin = joined.rows[event], joined.origin(event)
    rows = np.flatnonzero((table.entered >= low) & (table.entered < start - patience) & (origin.unit != NO_ID))
    rows = rows[table.outcome[rows] != PENDING_CODE]  # neither good nor bad
    rows = rows[np.lexsort((table.entered[rows], origin.unit[rows]))]
    if not (isinstance(kpi, Success) and kpi.attempts == "each"):
        rows = rows[np.unique(origin.unit[rows], return_index=True)[1]]
    entered = table.entered[rows]
    in_time = np.inf if not conversion and joined.events[event].pending else patience  # as within the rollout
    if isinstance(kpi, Success) and kpi.attempts != "last":
        good = (table.outcome[rows] == SUCCEEDED_CODE) & (table.time[rows] - entered <= in_time)
    else:
        units = UnitTable(origin.unit[rows], {"entered": entered})
        to = kpi.to if isinstance(kpi, Conversion) else kpi.of
        counts = np.ones(len(joined.rows[to]), dtype=np.bool_) if conversion else table.outcome == SUCCEEDED_CODE
        time = with_their_visit(joined.rows[to].time, joined.origin(to).assigned)
        found = first_after(units, np.full(len(units), np.nan), joined.origin(to).unit[counts], time[counts])
        good = found - entered <= in_time
    quarter = np.minimum((entered - low) / (start - patience - low) * _PARTS, _PARTS - 1).astype(np.int64)
    count = np.bincount(quarter, minlength=_PARTS)
    if count.min() < _LEAST_VALUES:
        return None
    return float((np.bincount(quarter, weights=good, minlength=_PARTS) / count).min())


def cap_before(kpi: Mean, joined: JoinedRows, window: tuple[float, float], currency: int) -> float:
    """The value above which a mean's values count as much as that; infinity where they are not capped."""
    quantile = kpi.cap if kpi.cap is not None else _CAP if in_currencies(kpi, joined.events) else "none"
    if quantile == "none":
        return np.inf
    low, start = window
    table, values = joined.rows[kpi.of], joined.values(kpi)
    wanted = (table.time >= low) & (table.time < start) & np.isfinite(values)
    if currency >= 0:
        wanted &= table.currency == currency
    return float(np.quantile(values[wanted], quantile)) if wanted.sum() >= _LEAST_VALUES else np.inf
