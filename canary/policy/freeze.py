"""Change freezes in the policy, and what they mean: as sections of the file, and as intervals of time.

Who generates Alertmanager's configuration from them and the receiver, which waits by itself, read the same list.
"""

from collections.abc import Sequence

from canary.policy.values import freezegrammar as grammar
from canary.policy.values.timeinterval import TimeInterval
from canary.policy.values.types import ClockTime, MonthDays, Months, Text, TimeZone, Weekdays, Years, section


@section
class ClockRange:
    """A part of every day."""

    start_time: ClockTime
    end_time: ClockTime
    """No longer within; `24:00` is the day's end. A night is two ranges."""


@section
class Freeze:
    """A change freeze as Alertmanager writes a time interval: whatever fits all that is given here."""

    name: Text | None = None
    """What people read, such as `Black Friday`."""
    times: tuple[ClockRange, ...] = ()
    weekdays: tuple[Weekdays, ...] = ()
    """Days of the week, such as `saturday` or `monday:friday`; the week begins on Sunday."""
    days_of_month: tuple[MonthDays, ...] = ()
    """Days of the month, such as `1:5`; negative ones count from its end, `-3:-1`."""
    months: tuple[Months, ...] = ()
    """Months, such as `december`, `november:december` or `11:12`."""
    years: tuple[Years, ...] = ()
    """Years, such as `2026` or `2026:2027`."""
    location: TimeZone | None = None
    """Time zone in which it is meant, such as `Europe/Berlin`; the shop's (`receiver.timezone`) when missing."""


def zone_of(freeze: str | Freeze, shops: str) -> str:
    """The time zone in which a freeze is meant: the shop's own where it names none."""
    return shops if isinstance(freeze, str) or freeze.location is None else freeze.location


def interval(freeze: str | Freeze, shops: str) -> TimeInterval:
    """What a freeze means, in either form, in a shop of that zone."""
    if isinstance(freeze, str):
        return grammar.parse_short(freeze, shops)
    return TimeInterval(
        times=tuple((grammar.parse_clock(one.start_time), grammar.parse_clock(one.end_time)) for one in freeze.times),
        weekdays=tuple(map(grammar.parse_weekdays, freeze.weekdays)),
        days_of_month=tuple(map(grammar.parse_days, freeze.days_of_month)),
        months=tuple(map(grammar.parse_months, freeze.months)),
        years=tuple(map(grammar.parse_years, freeze.years)),
        location=zone_of(freeze, shops),
    )


def title(freeze: str | Freeze, shops: str) -> str:
    """What people read of it: its name, or what it says, and in which zone."""
    if isinstance(freeze, str):
        return f"{freeze} ({shops})"
    times = [f"{one.start_time}-{one.end_time}" for one in freeze.times]
    parts = (freeze.weekdays, freeze.days_of_month, freeze.months, freeze.years, times)
    return freeze.name or f"{' '.join(','.join(part) for part in parts if part)} ({zone_of(freeze, shops)})"


def faults(freezes: Sequence[str | Freeze]) -> list[tuple[tuple[int | str, ...], str, str]]:
    """What no single value can say is wrong: where in the list, what, what to do."""
    found: list[tuple[tuple[int | str, ...], str, str]] = []
    for index, freeze in enumerate(freezes):
        if isinstance(freeze, str):
            continue
        if not (freeze.times or freeze.weekdays or freeze.days_of_month or freeze.months or freeze.years):
            found.append(
                ((index,), "would freeze for ever", "say when: times, weekdays, days_of_month, months or years")
            )
        found += [
            ((index, "times", at, "end_time"), "must be later than `start_time`", "write a night as two ranges")
            for at, one in enumerate(freeze.times)
            if grammar.parse_clock(one.start_time) >= grammar.parse_clock(one.end_time)
        ]
    return found
