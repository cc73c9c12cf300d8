"""Every hour of the past is compared with the table again and again, without ever making one refresh slow."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exporter.ledger.reconciler import LedgerReconciler
from tests.support.clock import FakeClock

PERIOD = 3600.0


@dataclass
class Feed:
    """What the reconciler asks of a feed: hours, how full they are, and a comparison."""

    hours: range
    rows: dict[int, int] = field(default_factory=dict)
    differing: dict[int, int] = field(default_factory=dict)
    filled: bool = True
    counted: bool = True
    fine_from: int = 10**9
    compared: list[int] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)

    @property
    def stream(self) -> Any:
        """An event of this name."""
        return SimpleNamespace(event="visits", counted=self.counted)

    @property
    def ledger(self) -> Any:
        """How many rows each hour holds."""
        return SimpleNamespace(rows_of=lambda hour: self.rows.get(hour, 0))

    def reconcilable_hours(self, now: float) -> range:
        """All of them."""
        return self.hours

    def fine_hour(self, hour: int) -> bool:
        """Whether buckets are still apart."""
        return hour >= self.fine_from

    async def reconcile(self, low: int, high: int, now: float) -> int:
        """Remember what was compared; rows that differed are put right."""
        self.spans.append((low, high))
        self.compared += range(low, high)
        return sum(self.differing.pop(hour, 0) for hour in range(low, high))


async def _rounds(feed: Feed, rounds: int, looks: int = 8) -> LedgerReconciler:
    """Let the reconciler work through whole rounds, *looks* times in each."""
    feeds: Any = [feed]
    reconciler = LedgerReconciler(feeds, PERIOD, FakeClock())
    await reconciler.work(0.0)
    for number in range(1, rounds + 1):
        for look in range(looks + 1):
            await reconciler.work(number * PERIOD + look * PERIOD / looks * 0.999999)
    await reconciler.work((rounds + 1) * PERIOD - 1e-6)
    return reconciler


@given(length=st.integers(1, 300))
async def test_the_last_day_in_each_round_and_all_hours_within_a_days_rounds(length: int) -> None:
    """What is young is looked at most often, and no hour is never looked at."""
    feed = Feed(range(1000, 1000 + length))

    await _rounds(feed, 24, looks=1)

    day = set(feed.hours[-24:])
    assert set(feed.compared) == set(feed.hours)
    assert all(feed.compared.count(hour) >= 24 for hour in day)


async def test_a_round_is_spread_over_its_period() -> None:
    """After half the time about half the comparisons were made; a refresh never carries a whole round."""
    feed = Feed(range(24), rows=dict.fromkeys(range(24), 50_000))
    feeds: Any = [feed]
    reconciler = LedgerReconciler(feeds, PERIOD, FakeClock())
    await reconciler.work(0.0)
    await reconciler.work(PERIOD)

    await reconciler.work(PERIOD * 1.5)

    assert 10 <= len(feed.spans) <= 14


@given(st.lists(st.integers(0, 60_000), min_size=1, max_size=24), st.integers(0, 24))
async def test_one_comparison_is_never_too_large(rows: list[int], fine_from: int) -> None:
    """Neighbouring hours go together up to 50,000 rows, and never across the border between open and closed hours."""
    feed = Feed(range(len(rows)), rows=dict(enumerate(rows)), fine_from=fine_from)

    await _rounds(feed, 1)

    for low, high in feed.spans:
        assert high - low == 1 or sum(rows[low:high]) <= 50_000
        assert not low < fine_from < high


async def test_what_differed_is_told_once_and_remembered() -> None:
    """Rows that were put right are told with their event, and added up for the metric."""
    feed = Feed(range(24), differing={3: 2, 20: 1})

    reconciler = await _rounds(feed, 2)

    assert reconciler.mended == {"visits": 3}


async def test_what_is_not_counted_yet_is_not_compared() -> None:
    """A feed whose past is still being counted, or that counts nothing, has nothing to compare."""
    for feed in (Feed(range(24), filled=False), Feed(range(24), counted=False)):
        await _rounds(feed, 1)

        assert feed.compared == []
