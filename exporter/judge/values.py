"""Plain values of KPIs: units counted and divided. Nothing is judged here.

`window_values` is what is published of every version, over the trailing window; `role_values` is what people read next
to the evidence, of stable and canary since the rollout began. They differ from the judge's own sums on purpose: the
judge compares like with like (units of one traffic weight, at one age), a person wants the number the shop knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from canary.policy.database.section import Event
from canary.policy.kpis import Conversion, Kpi, Mean, Success
from canary.rollout.state import Rollout
from exporter.judge.joins import JoinedRows
from exporter.ledger.rows import FAILED_CODE, SUCCEEDED_CODE, Codes, Floats, Ints


@dataclass(frozen=True, slots=True)
class KpiValue:
    """One KPI of one version.

    Attributes:
        currency: empty but for means of events that have one.
        value: a ratio, or a mean in the value's own unit.
        units: how many units it rests on.
    """

    kpi: str
    version: str
    currency: str
    value: float
    units: int


def window_values(
    kpis: Mapping[str, Kpi],
    joined: JoinedRows,
    versions: list[str],
    currencies: list[str],
    *,
    since: float,
    until: float,
    max_currencies: int,
) -> Iterator[KpiValue]:
    """Every KPI of every version with units in the window from *since* to *until*, seconds since the epoch.

    A version without units has no value, rather than zero. Of amounts of money there are means in the *max_currencies*
    most frequent currencies; further ones have none, as amounts of different currencies have no mean together.
    """
    for name, kpi in kpis.items():
        for version, currency, value, units in _values(kpi, joined, since, until, max_currencies):
            yield KpiValue(name, versions[version], currencies[currency] if currency >= 0 else "", value, units)


_Value = tuple[int, int, float, int]


def _values(kpi: Kpi, joined: JoinedRows, since: float, until: float, max_currencies: int) -> Iterator[_Value]:
    if isinstance(kpi, Conversion):
        if kpi.from_ in joined.rows and kpi.to in joined.rows and not joined.unjoined(kpi.from_, kpi.to):
            yield from _conversion(kpi, joined, since, until)
    elif kpi.of in joined.rows:
        if isinstance(kpi, Success):
            yield from _success(kpi, joined, since, until)
        else:
            yield from _mean(kpi, joined, since, until, max_currencies)


def _conversion(kpi: Conversion, joined: JoinedRows, since: float, until: float) -> Iterator[_Value]:
    units = joined.rows[kpi.from_]
    inside = _inside(units.entered, since, until)
    converted = ~np.isnan(joined.converted(kpi.from_, kpi.to)[inside])
    for version, count, share in _shares(units.version[inside], converted.astype(np.float64)):
        yield version, -1, 1.0 - share if kpi.complement else share, count


def _success(kpi: Success, joined: JoinedRows, since: float, until: float) -> Iterator[_Value]:
    units = joined.rows[kpi.of]
    settled = (units.outcome == SUCCEEDED_CODE) | (units.outcome == FAILED_CODE)
    inside = settled & _inside(units.time, since, until)
    succeeded = (units.outcome[inside] == SUCCEEDED_CODE).astype(np.float64)
    for version, count, share in _shares(units.version[inside], succeeded):
        yield version, -1, share, count


def _mean(kpi: Mean, joined: JoinedRows, since: float, until: float, max_currencies: int) -> Iterator[_Value]:
    units = joined.rows[kpi.of]
    values = joined.values(kpi)
    inside = _inside(units.time, since, until) & np.isfinite(values)
    has_currency = in_currencies(kpi, joined.events)
    if not has_currency:
        for version, count, mean in _shares(units.version[inside], values[inside]):
            yield version, -1, mean, count
        return
    # Codes are few and begin at -1, so counting them is far cheaper than sorting them.
    counts = np.bincount(units.currency[inside] + 1)
    most = np.argsort(-counts, kind="stable")[:max_currencies]
    for currency in np.sort(most[counts[most] > 0]) - 1:
        chosen = inside & (units.currency == currency)
        for version, count, mean in _shares(units.version[chosen], values[chosen]):
            yield version, int(currency), mean, count


def in_currencies(kpi: Mean, events: Mapping[str, Event]) -> bool:
    """Whether the mean is an amount of money; amounts of different currencies have no mean."""
    return kpi.since is None and events[kpi.of].currency is not None


def _inside(times: Floats, since: float, until: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    inside: np.ndarray[tuple[int], np.dtype[np.bool_]] = (times >= since) & (times <= until)
    return inside


def _shares(versions: Ints, values: Floats) -> Iterator[tuple[int, int, float]]:
    """For each version its number of units and the mean of their values."""
    counts = np.bincount(versions)
    sums = np.bincount(versions, weights=values)
    for version in np.flatnonzero(counts):
        yield int(version), int(counts[version]), float(sums[version] / counts[version])


def role_values(
    kpis: Mapping[str, Kpi], joined: JoinedRows, versions: Codes, rollout: Rollout, currencies: Mapping[str, int]
) -> dict[str, dict[str, float]]:
    """Each role's plain value since the rollout began, for people to read next to the evidence."""
    since = rollout.started_at.timestamp()
    roles = {versions.code(rollout.stable): "stable", versions.code(rollout.canary): "canary"}
    found: dict[str, dict[str, float]] = {}
    for name, kpi in kpis.items():
        for version, _, value in _shares(*_since(kpi, joined, since, currencies.get(name, -1))):
            if version in roles:
                found.setdefault(name, {})[roles[version]] = value
    return found


def _since(kpi: Kpi, joined: JoinedRows, since: float, currency: int) -> tuple[Ints, Floats]:
    """The version of each unit assigned from *since* on, and what it counts for."""
    event = kpi.from_ if isinstance(kpi, Conversion) else kpi.of
    nothing = np.zeros(0, dtype=np.int64), np.zeros(0)
    if event not in joined.rows or (isinstance(kpi, Conversion) and kpi.to not in joined.rows):
        return nothing
    if isinstance(kpi, Conversion) and joined.unjoined(event, kpi.to):
        return nothing
    table = joined.rows[event]
    if isinstance(kpi, Success):
        settled = (table.outcome == SUCCEEDED_CODE) | (table.outcome == FAILED_CODE)
        ours = settled & (table.entered >= since)
        return table.version[ours], (table.outcome[ours] == SUCCEEDED_CODE).astype(np.float64)
    newest = joined.newest(event, since)  # no row is older than what it descends from
    assigned = newest.origin.assigned >= since
    rows, version = newest.rows[assigned], newest.origin.version[assigned]
    if isinstance(kpi, Conversion):
        open_ = np.isnan(joined.converted(event, kpi.to)[rows])
        return version, (open_ if kpi.complement else ~open_).astype(np.float64)
    values = joined.values(kpi)[rows]
    ours = np.isfinite(values) & ((table.currency[rows] == currency) | (currency < 0))
    return version[ours], values[ours]
