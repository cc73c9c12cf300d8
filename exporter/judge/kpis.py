"""The published KPIs: each version's units of the trailing window, counted and divided. Nothing is judged here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from canary.policy.kpis import Conversion, Kpi, Mean, Success
from canary.policy.orders import Event
from exporter.judge.units import Orders
from exporter.ledger.table import FAILED_CODE, SUCCEEDED_CODE, Floats, Ints


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


def kpi_values(
    kpis: Mapping[str, Kpi], orders: Orders, versions: list[str], currencies: list[str], *, since: float, until: float
) -> Iterator[KpiValue]:
    """Every KPI of every version with units in the window from *since* to *until*, seconds since the epoch.

    A version without units has no value, rather than zero.
    """
    for name, kpi in kpis.items():
        for version, currency, value, units in _values(kpi, orders, since, until):
            yield KpiValue(name, versions[version], currencies[currency] if currency >= 0 else "", value, units)


_Value = tuple[int, int, float, int]


def _values(kpi: Kpi, orders: Orders, since: float, until: float) -> Iterator[_Value]:
    if isinstance(kpi, Conversion):
        if kpi.from_ in orders.tables and kpi.to in orders.tables:
            yield from _conversion(kpi, orders, since, until)
    elif kpi.of in orders.tables:
        yield from _success(kpi, orders, since, until) if isinstance(kpi, Success) else _mean(kpi, orders, since, until)


def _conversion(kpi: Conversion, orders: Orders, since: float, until: float) -> Iterator[_Value]:
    units = orders.tables[kpi.from_]
    inside = _inside(units.entered, since, until)
    converted = ~np.isnan(orders.converted(kpi.from_, kpi.to)[inside])
    for version, count, share in _shares(units.version[inside], converted.astype(np.float64)):
        yield version, -1, 1.0 - share if kpi.complement else share, count


def _success(kpi: Success, orders: Orders, since: float, until: float) -> Iterator[_Value]:
    units = orders.tables[kpi.of]
    settled = (units.outcome == SUCCEEDED_CODE) | (units.outcome == FAILED_CODE)
    inside = settled & _inside(units.time, since, until)
    succeeded = (units.outcome[inside] == SUCCEEDED_CODE).astype(np.float64)
    for version, count, share in _shares(units.version[inside], succeeded):
        yield version, -1, share, count


def _mean(kpi: Mean, orders: Orders, since: float, until: float) -> Iterator[_Value]:
    units = orders.tables[kpi.of]
    values = orders.values(kpi)
    inside = _inside(units.time, since, until) & np.isfinite(values)
    has_currency = in_currencies(kpi, orders.events)
    if not has_currency:
        for version, count, mean in _shares(units.version[inside], values[inside]):
            yield version, -1, mean, count
        return
    # Codes are few and begin at -1, so counting them is far cheaper than sorting them.
    for currency in np.flatnonzero(np.bincount(units.currency[inside] + 1)) - 1:
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
