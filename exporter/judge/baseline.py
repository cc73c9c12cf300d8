"""What the shop was like before the rollout: how late orders come, and how large their values are.

Both decide what counts as harm, and must not be learned from the rollout itself: a canary that delays orders would
teach the judge that orders are late. They are taken once, from the rows of `database.window` before the start, which
are read again after a restart, so that it finds the same.
"""

from __future__ import annotations

import numpy as np

from canary.policy.kpis import Conversion, Mean
from exporter.evidence.comparisons.slower import LagShape
from exporter.judge.joins import JoinedRows
from exporter.judge.kpi_units import first_after
from exporter.judge.units import UnitTable
from exporter.judge.values import in_currencies
from exporter.source.columns.values import NO_ID

_CAP = 0.95
"""Amounts of money are capped at this quantile unless the policy says another: with the largest twentieth cut, a loss
of 20 % is found in 92 to 100 % of rollouts instead of 0 to 5 %."""
_LEAST_VALUES = 40
"""A quantile of fewer values would be one order's value."""


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
    converted = first_after(units, np.full(len(units), np.nan), to_origin.unit, to.time)
    return LagShape.of(units["entered"], converted, start, up_to, bucket_seconds)


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
