"""How much traffic the shop had in its last days: what `canary plan` reckons with."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np

from canary.policy.kpis import Conversion, Mean, Success
from canary.policy.model import Policy
from exporter.judge.joins import JoinedRows
from exporter.judge.values import in_currencies
from exporter.ledger.rows import Floats
from exporter.source.dialects import FARTHEST_OFFSET_SECONDS
from exporter.source.sources import Sources
from exporter.source.statements import FAILED, SUCCEEDED
from exporter.source.streams import COARSE_SECONDS, fitted
from exporter.study.history import History, needed_events
from exporter.study.power import Rates

_DAY_SECONDS = 86_400
_SAMPLE_UNITS = 50_000
"""Units of the newest rows that lags and spreads are taken from."""
_SHORTEST_SAMPLE_SECONDS = 900.0
"""A large shop fills the sample in less, and the lag of slow conversions would not be in it."""
_LONGEST_SAMPLE_SECONDS = 3 * _DAY_SECONDS
"""A small shop would have weeks of rows read for it."""
MOST_CERTAIN = 0.9999
"""A ratio of one would leave a failure impossible; nobody knows that from a few days."""


_NEAR = 0.25
"""A shop that is so near its floor, as a part of what is left of the ratio, is below it in an ordinary bad hour."""


def near_floor(ratio: float, floor: float) -> bool:
    """Whether a shop with this ratio is below the floor by itself now and then, without any canary."""
    return ratio < floor + _NEAR * min(floor, 1.0 - floor)


@dataclass
class Counted:
    """Rows of one event: how many, by outcome and currency, and over which hours."""

    rows: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    currencies: Counter[str] = field(default_factory=Counter)
    hours: set[int] = field(default_factory=set)


async def rates_of(policy: Policy, sources: Sources, until: float, days: float) -> dict[str, Rates]:
    """Each judged KPI's rates over the `days` before `until` (seconds since the epoch); KPIs without rows are left out.

    Rates are means over all hours from the first to the last with rows, quiet ones included.

    Raises:
        DatabaseError: one of its kinds.
    """
    policy = unversioned(policy)
    counted = await _count(policy, sources, until, days)
    hours = set().union(*(event.hours for event in counted.values()))
    if not hours:
        return {}
    minutes = (max(hours) - min(hours) + 1) * COARSE_SECONDS / 60.0
    busiest = max(event.rows for event in counted.values()) / (minutes * 60.0)
    sample_seconds = min(
        _LONGEST_SAMPLE_SECONDS, days * _DAY_SECONDS, max(_SHORTEST_SAMPLE_SECONDS, _SAMPLE_UNITS / busiest)
    )
    newest = min(until, (max(hours) + 1.0) * COARSE_SECONDS)
    history = History(policy, sources)
    sample = await history.between(newest - sample_seconds, newest)
    found: dict[str, Rates] = {}
    for name, kpi in policy.kpis.items():
        if kpi.judge != "evidence":
            continue
        if isinstance(kpi, Conversion):
            rates = _conversion(counted, sample, kpi, minutes)
        elif isinstance(kpi, Success):
            rates = _success(counted[kpi.of], minutes) if kpi.of in counted else None
        else:
            rates = _mean(counted, sample, history, kpi, minutes)
        if rates is not None:
            found[name] = rates
    return found


def unversioned(policy: Policy) -> Policy:
    """The policy without a word on versions: how much traffic a shop has can be told before it writes any."""
    events = {name: replace(event, version=None, unit=None) for name, event in policy.database.events.items()}
    return replace(policy, database=replace(policy.database, events=events, assignments=None))


async def _count(policy: Policy, sources: Sources, until: float, days: float) -> dict[str, Counted]:
    """The rows of each judged event, by hours since the epoch."""
    wanted, zones = needed_events(policy), sources.zones(policy)
    counted: dict[str, Counted] = {}
    for plain, session in sources.streams(policy):
        if plain.event not in wanted or not plain.counted:
            continue
        stream = await fitted(plain, session)
        zone = zones[plain.source].of(instants=stream.instants)
        last = int(zone.stored(until))
        event = counted.setdefault(stream.event, Counted())
        for low in range(last - round(days * _DAY_SECONDS), last, _DAY_SECONDS):
            bounds = stream.dialect.parameters(
                low, min(low + _DAY_SECONDS, last), offset_seconds=FARTHEST_OFFSET_SECONDS
            )
            for hour, _, currency, outcome, count, _ in await session.rows(stream.coarse, bounds):
                if hour is not None:
                    event.rows += int(count)
                    event.outcomes[outcome or ""] += int(count)
                    event.currencies[currency or ""] += int(count)
                    event.hours.add(int(zone.moment(int(hour) * COARSE_SECONDS) // COARSE_SECONDS))
    return counted


def _conversion(counted: dict[str, Counted], sample: JoinedRows, kpi: Conversion, minutes: float) -> Rates | None:
    units, conversions = counted.get(kpi.from_), counted.get(kpi.to)
    if units is None or conversions is None or not units.rows or not conversions.rows:
        return None
    lags = sample.converted(kpi.from_, kpi.to) - sample.rows[kpi.from_].entered
    lags = lags[np.isfinite(lags)]
    lag_minutes = float(lags.mean()) / 60.0 if lags.size else 0.0
    return Rates(units.rows / minutes, min(conversions.rows / units.rows, MOST_CERTAIN), max(lag_minutes, 0.0))


def _success(event: Counted, minutes: float) -> Rates | None:
    final = event.outcomes[SUCCEEDED] + event.outcomes[FAILED]
    if not event.outcomes[SUCCEEDED]:
        return None
    return Rates(final / minutes, min(event.outcomes[SUCCEEDED] / final, MOST_CERTAIN))


def _mean(counted: dict[str, Counted], sample: JoinedRows, history: History, kpi: Mean, minutes: float) -> Rates | None:
    event = kpi.of
    if event not in counted or not counted[event].rows:
        return None
    table, every = sample.rows[event], sample.values(kpi)
    known = np.isfinite(every)
    currency, rows = counted[event].currencies.most_common(1)[0]
    if currency and in_currencies(kpi, sample.events):
        known &= table.currency == history.currencies.code(currency)
    values: Floats = every[known]
    if values.size < 2 or not values.mean():
        return None
    # As the judge has it: values that never vary are no proof that none will.
    spread = max(float(values.std() / abs(values.mean())), 1.0 / math.sqrt(values.size))
    return Rates(rows / minutes, spread) if math.isfinite(spread) else None
