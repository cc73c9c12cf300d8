"""The shop's daily rhythm: how far a KPI usually falls at this hour, by the same hours of the days before.

Stable is held against the shop before the start, and every shop converts worse at three in the night than in the
evening. Held against the hour before alone, each rollout that runs into the evening looks as if it hurt everybody. So
the level before is taken down as far as it fell at these hours on the worst of the last seven days. Counts of whole
hours tell it, which the ledger has anyway for the counters: orders of all visits, successes of all payments.

Where no two days are known, the steepest rhythm that is usual stands in for them. A harm as large as the rhythm itself
is not seen then; the comparison of the two versions does not depend on any of this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from canary.policy.kpis import Conversion, Kpi, Mean, Success
from exporter.ledger.feed import Feed
from exporter.ledger.ledger import BUCKETS_PER_HOUR

HourCount = Callable[[str, float, str], int]
"""How many rows of an event, with an outcome (empty: any), came in the clock's hour of a moment."""

Counted = Callable[[float], bool]
"""Whether all rows since a moment are counted."""

_HOUR_SECONDS = 3600.0
_DAY_SECONDS = 86_400.0
_DAYS = 7
"""A week has every kind of day; what the worst of it did is no surprise on an eighth."""
_LEAST_DAYS = 2
_LEAST_UNITS = 100
"""A share of fewer units in an hour would be chance, and the worst of seven days the unluckiest one."""
_STEEPEST_FALL = 0.15
"""Of conversion in an hour, where nothing is known: one that swings by half of its mean over the day falls by 13 %."""
_FARTHEST_FALL = 0.6


class Rhythm:
    """How far the shop's KPIs fall over the day.

    Args:
        count: the shop's counts by hour.
        counted: since when they are whole. The past is counted after a start, a table at a time, and an hour with its
            visits and not yet its orders is no level.
    """

    def __init__(self, kpis: Mapping[str, Kpi], count: HourCount, counted: Counted = lambda _: True) -> None:
        self._kpis = kpis
        self._count = count
        self._counted = counted
        self._known: dict[tuple[str, float, int], float] = {}

    @classmethod
    def of(cls, kpis: Mapping[str, Kpi], feeds: Sequence[Feed]) -> Rhythm:
        """That of the ledgers' counts."""

        def count(event: str, moment: float, outcome: str) -> int:
            ours = (feed for feed in feeds if feed.stream.event == event and feed.stream.counted)
            return sum(_rows(feed, moment, outcome) for feed in ours)

        def counted(since: float) -> bool:
            return all(_has_counted(feed, since) for feed in feeds if feed.stream.counted)

        return cls(kpis, count, counted)

    def usual_level(self, kpi: str, started_at: float, now: float) -> float:
        """The lowest level that is usual from a rollout's start to now, relative to the hours before it; at most 1.

        Args:
            started_at, now: seconds since the epoch.
        """
        hours = int((now - started_at) // _HOUR_SECONDS) + 1
        key = kpi, started_at, hours
        if key not in self._known:
            if not self._counted(started_at - _DAYS * _DAY_SECONDS - _HOUR_SECONDS):
                return _unknown(self._kpis[kpi], hours)
            self._known[key] = self._usual(self._kpis[kpi], started_at, hours)
        return self._known[key]

    def _usual(self, kpi: Kpi, started_at: float, hours: int) -> float:
        falls = [self._on(kpi, started_at - day * _DAY_SECONDS, hours) for day in range(1, _DAYS + 1)]
        known = [fall for fall in falls if fall is not None]
        if len(known) >= _LEAST_DAYS:
            return min(1.0, *known)
        return _unknown(kpi, hours)

    def _on(self, kpi: Kpi, start: float, hours: int) -> float | None:
        """The same on one day; None where an hour had too few units."""
        before = [self._level(kpi, start + hour * _HOUR_SECONDS) for hour in (-1, 0)]
        # A rollout that starts within an hour sees the next but one before it is over. After a whole day there is no
        # hour left to see: on the day before the start, the next one would be the rollout's own first.
        after = [self._level(kpi, start + hour * _HOUR_SECONDS) for hour in range(min(hours + 1, 24))]
        usual = max((level for level in before if level is not None), default=0.0)
        if usual <= 0.0 or None in before or None in after:
            return None
        return min(level for level in after if level is not None) / usual

    def _level(self, kpi: Kpi, moment: float) -> float | None:
        if isinstance(kpi, Mean):
            return None
        if isinstance(kpi, Success):
            good, bad = (self._count(kpi.of, moment, outcome) for outcome in ("succeeded", "failed"))
            units = good + bad
        else:
            good, units = self._count(kpi.to, moment, ""), self._count(kpi.from_, moment, "")
        return good / units if units >= _LEAST_UNITS else None


def _unknown(kpi: Kpi, hours: int) -> float:
    return max(1.0 - _FARTHEST_FALL, 1.0 - _STEEPEST_FALL * (hours + 1)) if isinstance(kpi, Conversion) else 1.0


def _hour(feed: Feed, moment: float) -> int:
    return feed.bucket(moment) // BUCKETS_PER_HOUR


def _has_counted(feed: Feed, since: float) -> bool:
    return feed.filled or (feed.next_hour is not None and feed.next_hour < _hour(feed, since))


def _rows(feed: Feed, moment: float, outcome: str) -> int:
    hour = _hour(feed, moment)
    fine = (
        feed.ledger.fine.get(number, {}) for number in range(hour * BUCKETS_PER_HOUR, (hour + 1) * BUCKETS_PER_HOUR)
    )
    return sum(
        tally.rows
        for counts in (feed.ledger.coarse.get(hour, {}), *fine)
        for key, tally in counts.items()
        if not outcome or key.outcome == outcome
    )
