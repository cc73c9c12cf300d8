"""Alertmanager's time intervals: whether a moment is within one, and when a stretch of them ends.

A wall clock is what people mean by `saturday` or `24 December`, so that this is the one place in which the receiver's
decides anything; all it ever decides is that traffic is not raised.
"""

import calendar
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

Span = tuple[int, int]
"""First and last, both within; of times of day the last is not."""

# A stretch that goes on for longer is told without an end: nobody waits for it.
_LOOKS_AHEAD_DAYS = 400


@dataclass(frozen=True)
class TimeInterval:
    """When something is so: at a moment that fits every part; a part without ranges fits always.

    Attributes:
        times: minutes of the day; the last minute is outside.
        weekdays: counted from Sunday, 0.
        days_of_month: from 1; negative ones count from the month's end.
        months: from 1.
        location: the time zone's name.
    """

    times: tuple[Span, ...] = ()
    weekdays: tuple[Span, ...] = ()
    days_of_month: tuple[Span, ...] = ()
    months: tuple[Span, ...] = ()
    years: tuple[Span, ...] = ()
    location: str = "UTC"

    def contains(self, moment: datetime) -> bool:
        """Whether a moment is within."""
        local = moment.astimezone(ZoneInfo(self.location))
        minute = local.hour * 60 + local.minute
        return self._has_day(local.date()) and (
            not self.times or any(first <= minute < last for first, last in self.times)
        )

    def _has_day(self, day: date) -> bool:
        length = calendar.monthrange(day.year, day.month)[1]
        # As Alertmanager does: a range that begins after a short month's end is not in that month.
        days = tuple(
            (first if first > 0 else length + first + 1, last if last > 0 else length + last + 1)
            for first, last in self.days_of_month
        )
        fits = (
            (day.isoweekday() % 7, self.weekdays),
            (day.day, days),
            (day.month, self.months),
            (day.year, self.years),
        )
        return all(not spans or any(first <= value <= last for first, last in spans) for value, spans in fits)

    def changes(self, moment: datetime) -> Iterator[datetime]:
        """Every moment after *moment*, oldest first, at which it may begin or end, as far as anybody looks ahead."""
        zone = ZoneInfo(self.location)
        today = moment.astimezone(zone).date()
        minutes = sorted({0, *(minute for span in self.times for minute in span if minute < 24 * 60)})
        for ahead in range(_LOOKS_AHEAD_DAYS):
            day = today + timedelta(days=ahead)
            for minute in minutes:
                change = datetime.combine(day, time(minute // 60, minute % 60), zone).astimezone(UTC)
                if change > moment:
                    yield change


def ends(intervals: Sequence[TimeInterval], moment: datetime) -> datetime | None:
    """When the stretch of intervals around a moment is over; None when that is not within a year."""
    changes = sorted({change for interval in intervals for change in interval.changes(moment)})
    return next((change for change in changes if not any(one.contains(change) for one in intervals)), None)
