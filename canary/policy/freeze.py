"""The grammar of a change freeze: days of the week, and perhaps a time of day, such as `mon-fri 18:00-24:00`.

It is read when the policy is loaded, not when Alertmanager's configuration is made from it: a freeze that nobody can
read would otherwise be found by whoever generates next, and a service that was reloaded meanwhile would have advanced
a canary through it.
"""

import re
from dataclasses import dataclass
from typing import Final

from canary.policy.scalars import UnfitError, shown

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_DAY = "(?:" + "|".join("".join(f"[{letter}{letter.upper()}]" for letter in day) for day in DAYS) + ")"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_DAYS_PATTERN = rf"{_DAY}(?:-{_DAY})?(?:,{_DAY}(?:-{_DAY})?)*"
FREEZE_PATTERN: Final = rf"{_DAYS_PATTERN}(?: {_CLOCK}-(?:{_CLOCK}|24:00))?"


@dataclass(frozen=True, slots=True)
class FreezeTimes:
    """When no canary advances.

    Attributes:
        days: ranges of days, first and last; both the same for a single day. A range may go over the week's end.
        start, end: times of day in UTC, `18:00` and `24:00`; both empty when the whole day is meant.
    """

    days: tuple[tuple[str, str], ...]
    start: str = ""
    end: str = ""


def parse_freeze(text: str) -> FreezeTimes:
    """The times that a freeze names.

    Raises:
        UnfitError: it cannot be read, or ends before it starts.
    """
    if re.fullmatch(FREEZE_PATTERN, text) is None:
        raise UnfitError(
            f"expected days and perhaps times, such as `sat,sun` or `mon-fri 18:00-24:00`, found {shown(text)}"
        )
    days, _, times = text.lower().partition(" ")
    ranges = tuple((first, last or first) for first, _, last in (part.partition("-") for part in days.split(",")))
    start, _, end = times.partition("-")
    if times and start >= end:
        raise UnfitError(
            f"expected a start before its end within a day, found {shown(text)}", "write a night as two freezes"
        )
    return FreezeTimes(ranges, start, end)
