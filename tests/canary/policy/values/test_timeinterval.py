"""Alertmanager's time intervals: what is within, and when a stretch of them ends."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.policy.values.timeinterval import TimeInterval, ends

MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))  # noqa: DTZ001  # given a zone right after


def spans(least: int, most: int) -> st.SearchStrategy[tuple[tuple[int, int], ...]]:
    """Some ranges between two numbers."""
    one = st.tuples(st.integers(least, most), st.integers(least, most)).map(lambda pair: (min(pair), max(pair)))
    return st.lists(one, max_size=2).map(tuple)


INTERVALS = st.builds(
    TimeInterval,
    times=spans(0, 1440).map(lambda found: tuple(span for span in found if span[0] < span[1])),
    weekdays=spans(0, 6),
    days_of_month=spans(1, 31),
    months=spans(1, 12),
    location=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns"]),
)


def at(text: str, zone: str = "UTC") -> datetime:
    """A moment by the clocks of a place."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("interval", "within", "outside"),
    [
        (TimeInterval(times=((1080, 1440),)), "2026-03-02 23:59", "2026-03-03 00:00"),
        (TimeInterval(weekdays=((6, 6),)), "2026-03-07 12:00", "2026-03-08 12:00"),
        (TimeInterval(days_of_month=((-3, -1),)), "2026-02-26 12:00", "2026-02-25 12:00"),
        (TimeInterval(days_of_month=((31, 31),)), "2026-03-31 12:00", "2026-04-30 12:00"),
        (TimeInterval(months=((11, 12),), years=((2026, 2026),)), "2026-12-31 23:59", "2027-12-31 23:59"),
    ],
)
def test_the_parts_are_alertmanagers(interval: TimeInterval, within: str, outside: str) -> None:
    """Ends of days and ranges, Sunday as the first day, days that count from the month's end, short months."""
    assert interval.contains(at(within))
    assert not interval.contains(at(outside))


def test_a_zone_moves_with_its_summer_time() -> None:
    """`18:00` in Berlin is 17:00 UTC in winter and 16:00 UTC in summer."""
    evening = TimeInterval(times=((1080, 1440),), location="Europe/Berlin")

    assert [evening.contains(at(text)) for text in ("2026-01-15 16:59", "2026-01-15 17:00")] == [False, True]
    assert [evening.contains(at(text)) for text in ("2026-07-15 15:59", "2026-07-15 16:00")] == [False, True]


def test_a_stretch_goes_over_several_intervals() -> None:
    """A night that ends at midnight, the week-end after it, and the night that follows end together."""
    freezes = (TimeInterval(times=((1080, 1440),)), TimeInterval(weekdays=((6, 6),)), TimeInterval(weekdays=((0, 0),)))

    assert ends(freezes, at("2026-03-06 20:00")) == at("2026-03-09 00:00")


def test_what_does_not_end_within_a_year_has_no_end() -> None:
    """Nobody waits for it."""
    assert ends([TimeInterval(years=((2026, 2030),))], at("2026-03-06 20:00")) is None


@given(moment=MOMENTS, intervals=st.lists(INTERVALS, min_size=1, max_size=2))
def test_a_stretch_ends_where_no_interval_goes_on(moment: datetime, intervals: list[TimeInterval]) -> None:
    """Before its end every minute is within one of them; at its end none."""
    end = ends(intervals, moment)

    def within(when: datetime) -> bool:
        return any(one.contains(when) for one in intervals)

    if end is not None and within(moment):
        assert not within(end)
        assert within(end - timedelta(seconds=1))
        assert all(within(moment + (end - moment) * part / 50) for part in range(50))
