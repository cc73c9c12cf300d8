"""History for Prometheus: what the exporter would have published, had it run all the time, as OpenMetrics text.

`promtool tsdb create-blocks-from openmetrics FILE DATA` turns it into blocks, so that rules over days and dashboards
have something to show on the first day. The series carry the job `kpi-canary-backfill` and so never mix with live ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TextIO

import numpy as np

from canary import names
from canary.policy import Policy
from exporter.judge.joins import JoinedRows
from exporter.judge.values import window_values
from exporter.ledger.rows import FAILED_CODE, SUCCEEDED_CODE, EventRows, Floats
from exporter.publish.counters import has_value, value_total
from exporter.source.sources import Sources
from exporter.source.statements import OUTCOMES
from exporter.study.history import History

JOB = "kpi-canary-backfill"
"""Another job than the exporter's, so that invented history and live series never mix."""

_STRETCH_SECONDS = 86_400
"""So much is read and counted at a time: a day of rows fits in memory, a year may not."""

Labels = tuple[tuple[str, str], ...]


@dataclass
class Backfill:
    """The samples of every series, one per step; nan where there is none.

    Attributes:
        moments: seconds since the epoch.
        series: by metric and labels.
    """

    moments: Floats
    series: dict[tuple[str, Labels], Floats] = field(default_factory=dict)

    def put(self, metric: str, labels: dict[str, str], position: int, value: float) -> None:
        """One sample."""
        self._values(metric, labels)[position] = value

    def add(self, metric: str, labels: dict[str, str], increments: Floats) -> None:
        """Let a counter grow by these increments, one per step."""
        values = self._values(metric, labels)
        values[:] = np.nan_to_num(values) + np.cumsum(increments)

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return int(sum(np.count_nonzero(~np.isnan(values)) for values in self.series.values()))

    def _values(self, metric: str, labels: dict[str, str]) -> Floats:
        key = (metric, tuple(sorted(labels.items())))
        if key not in self.series:
            self.series[key] = np.full(len(self.moments), np.nan)
        return self.series[key]

    def write(self, file: TextIO) -> None:
        """Write everything as OpenMetrics text, metric by metric."""
        families: dict[str, list[Labels]] = {}
        for metric, labels in self.series:
            families.setdefault(metric, []).append(labels)
        for metric, members in sorted(families.items()):
            kind = "counter" if metric.endswith("_total") else "gauge"
            file.write(f"# TYPE {metric.removesuffix('_total')} {kind}\n")
            for labels in sorted(members):
                text = ",".join(f'{key}="{_escaped(value)}"' for key, value in labels)
                values = self.series[metric, labels]
                known = np.flatnonzero(~np.isnan(values))
                file.writelines(f"{metric}{{{text}}} {values[one]:.12g} {self.moments[one]:.0f}\n" for one in known)
        file.write("# EOF\n")


async def backfill(policy: Policy, sources: Sources, *, since: float, until: float, step: float) -> Backfill:
    """The counters and KPIs from *since* to *until* (seconds since the epoch), one sample every *step* seconds.

    Counters begin at 0 with *since*. A KPI is that of the trailing `database.window` of each moment, from what is
    known today: a payment that failed later counts as failed at once.

    Raises:
        DatabaseError: the order database could not be read.
    """
    first = math.ceil(since / step) * step
    moments = np.arange(first, until + 1e-6, step)
    found = Backfill(moments)
    history = History(policy, sources)
    for low, high in _stretches(moments):
        low_moment, high_moment = float(moments[low]), float(moments[high - 1])
        begin = since if low == 0 else float(moments[low - 1])
        joined = await history.between(min(begin, low_moment - policy.database.window), high_moment + 1)
        _count(found, policy, history, joined, begin=begin, until=high_moment)
        _measure(found, policy, history, joined, low, high)
    return found


def _stretches(moments: Floats) -> Iterator[tuple[int, int]]:
    """Positions of the moments in stretches of a day."""
    low = 0
    while low < len(moments):
        high = int(np.searchsorted(moments, moments[low] + _STRETCH_SECONDS))
        yield low, high
        low = high


def _count(
    found: Backfill, policy: Policy, history: History, joined: JoinedRows, *, begin: float, until: float
) -> None:
    for event, table in joined.rows.items():
        mapping = policy.database.events[event]
        inside = (table.time > begin) & (table.time <= until)
        rows = table.where(inside)
        settled = rows.where((rows.outcome == SUCCEEDED_CODE) | (rows.outcome == FAILED_CODE))
        for version, text in enumerate(history.versions.texts):
            labels = {names.VERSION: text}
            if mapping.outcome is None:
                _grow(found, policy, names.event_total(event), labels, rows.where(rows.version == version))
            else:
                for outcome, code in zip(OUTCOMES, (SUCCEEDED_CODE, FAILED_CODE), strict=True):
                    of_outcome = settled.where((settled.version == version) & (settled.outcome == code))
                    _grow(found, policy, names.event_total(event), labels | {names.OUTCOME: outcome}, of_outcome)
            if has_value(mapping):
                sold = rows.where((rows.version == version) & (rows.outcome != FAILED_CODE) & np.isfinite(rows.value))
                for currency in np.unique(sold.currency):
                    of_currency = sold.where(sold.currency == currency)
                    code_text = history.currencies.texts[int(currency)] if currency >= 0 else names.OTHER
                    of_this = labels | {names.CURRENCY: code_text}
                    _grow(found, policy, value_total(event), of_this, of_currency, of_currency.value)


def _grow(
    found: Backfill, policy: Policy, metric: str, labels: dict[str, str], rows: EventRows, amounts: Floats | None = None
) -> None:
    if not len(rows):
        return
    positions = np.searchsorted(found.moments, rows.time, side="left")
    within = positions < len(found.moments)
    weights = None if amounts is None else amounts[within]
    increments = np.bincount(positions[within], weights=weights, minlength=len(found.moments)).astype(np.float64)
    found.add(metric, _own(policy) | labels, increments)


def _measure(found: Backfill, policy: Policy, history: History, joined: JoinedRows, low: int, high: int) -> None:
    for position in range(low, high):
        moment = float(found.moments[position])
        values = window_values(
            policy.kpis,
            joined,
            history.versions.texts,
            history.currencies.texts,
            since=moment - policy.database.window,
            until=moment,
            max_currencies=policy.database.max_currencies,
        )
        for value in values:
            labels = _own(policy) | {names.VERSION: value.version}
            if value.currency:
                labels[names.CURRENCY] = value.currency
            found.put(names.kpi_gauge(value.kpi), labels, position, value.value)


def _own(policy: Policy) -> dict[str, str]:
    return {names.SERVICE: policy.service, "job": JOB}


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
