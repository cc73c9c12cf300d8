"""The grammar of a change freeze: Alertmanager's own time intervals, and the short form of earlier versions.

A freeze is read here when the policy is loaded, by Alertmanager's rules: what it would refuse is refused with file and
line before anything is generated, and what it takes means the same to the receiver, which waits by itself. So one list
says when nothing advances, to both.

The short form, `mon-fri 18:00-24:00`, is days of the week, and perhaps a time of day, in the shop's zone.
"""

import re
from typing import Final

from canary.policy.values.scalars import UnfitError, shown
from canary.policy.values.timeinterval import Span, TimeInterval

WEEKDAYS: Final = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
"""In the order of Alertmanager's week."""
MONTHS: Final = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip

_SHORT_DAYS = tuple(day[:3] for day in WEEKDAYS)


def _any_case(names: tuple[str, ...]) -> str:
    return "(?:" + "|".join("".join(f"[{letter}{letter.upper()}]" for letter in name) for name in names) + ")"


def _range_of(one: str) -> str:
    return rf"{one}(?: *: *{one})?"


CLOCK_PATTERN: Final = r"(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00)"
WEEKDAYS_PATTERN: Final = _range_of(_any_case(WEEKDAYS))
DAYS_PATTERN: Final = _range_of(r"-?[0-9]{1,2}")
MONTHS_PATTERN: Final = _range_of(rf"(?:{_any_case(MONTHS)}|[0-9]{{1,2}})")
YEARS_PATTERN: Final = _range_of("[0-9]{4}")

_DAY = _any_case(_SHORT_DAYS)
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
SHORT_PATTERN: Final = rf"{_DAY}(?:-{_DAY})?(?:,{_DAY}(?:-{_DAY})?)*(?: {_TIME}-(?:{_TIME}|24:00))?"

# A month of 30 days is what Alertmanager compares by when a range counts from the end: it finds what can never be.
_MONTH_DAYS = 30


def parse_clock(text: str) -> int:
    """Minutes of the day in `18:00`; `24:00` is the day's end."""
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)


def parse_weekdays(text: str) -> Span:
    """The days of `monday:friday`, counted from Sunday, 0.

    Raises:
        UnfitError: it ends before it begins.
    """
    first, last = map(WEEKDAYS.index, _parts(text))
    return _ordered(text, first, last, "the week begins on Sunday")


def parse_months(text: str) -> Span:
    """The months of `november:december` or `11:12`, counted from 1.

    Raises:
        UnfitError: there is no such month, or it ends before it begins.
    """
    first, last = (int(part) if part.isdigit() else MONTHS.index(part) + 1 for part in _parts(text))
    if not (1 <= first <= 12 and 1 <= last <= 12):
        raise UnfitError(f"expected months from 1 to 12, found {shown(text)}")
    return _ordered(text, first, last, "the year begins in January")


def parse_years(text: str) -> Span:
    """The years of `2026:2027`.

    Raises:
        UnfitError: it ends before it begins.
    """
    first, last = map(int, _parts(text))
    return _ordered(text, first, last, "")


def parse_days(text: str) -> Span:
    """The days of the month in `1:5` or `-3:-1`; negative ones count from its end.

    Raises:
        UnfitError: there is no such day, or it ends before it begins.
    """
    first, last = map(int, _parts(text))
    if not all(1 <= abs(day) <= 31 for day in (first, last)):
        raise UnfitError(f"expected days from 1 to 31, or from -31 to -1, found {shown(text)}")
    if first < 0 < last:
        raise UnfitError(f"expected an end that counts from the month's end too, found {shown(text)}", "such as -3:-1")
    from_start = [day if day > 0 else _MONTH_DAYS + day for day in (first, last)]
    if from_start[0] > from_start[1]:
        raise UnfitError(f"expected a start before its end, found {shown(text)}")
    return first, last


def parse_short(text: str, location: str = "UTC") -> TimeInterval:
    """The times that a freeze in the short form names.

    Raises:
        UnfitError: it cannot be read, or ends before it starts.
    """
    if re.fullmatch(SHORT_PATTERN, text) is None:
        raise UnfitError(
            f"expected days and perhaps times, such as `sat,sun` or `mon-fri 18:00-24:00`, found {shown(text)}"
        )
    days, _, times = text.lower().partition(" ")
    start, _, end = times.partition("-")
    if times and start >= end:
        raise UnfitError(
            f"expected a start before its end within a day, found {shown(text)}", "write a night as two freezes"
        )
    ranges = tuple(span for part in days.split(",") for span in _short_days(part))
    clocks = ((parse_clock(start), parse_clock(end)),) if times else ()
    return TimeInterval(times=clocks, weekdays=ranges, location=location)


def _short_days(text: str) -> tuple[Span, ...]:
    """`fri-mon` goes over its week's end, and becomes two ranges."""
    first, _, last = text.partition("-")
    begin, end = _SHORT_DAYS.index(first), _SHORT_DAYS.index(last or first)
    return ((begin, end),) if begin <= end else ((begin, 6), (0, end))


def _parts(text: str) -> tuple[str, str]:
    first, _, last = (part.strip() for part in text.lower().partition(":"))
    return first, last or first


def _ordered(text: str, first: int, last: int, why: str) -> Span:
    if first > last:
        reason = f" ({why})" if why else ""
        raise UnfitError(f"expected a start before its end{reason}, found {shown(text)}", "write it as two ranges")
    return first, last
