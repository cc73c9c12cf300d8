"""Moments as people read them: in the shop's own time zone, with UTC next to it.

Whatever is written down, sent or compared is UTC, and sentences are made where something is decided, long before it is
known who reads them. So they name moments in one form, `2026-03-01 12:03 UTC`, and the last step before a person's
eyes, here, tells each of them in the shop's zone as well; the first step after a person's fingers, here too, reads what
they typed in it. Handing the zone to everything that makes a sentence was the
alternative: dozens of signatures, and sentences in the journal that mean another moment once the policy's zone changes.
"""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from canary.timing.times import from_text

# Not followed by an offset, as in `UTC-03`: then it has been told already.
_MOMENT: Final = re.compile(r"\b([0-9]{4}-[0-9]{2}-[0-9]{2}) ([0-9]{2}:[0-9]{2})(:[0-9]{2})? UTC(?![-+\w])")


def moment(at: datetime | str, *, seconds: bool = True) -> str:
    """How a sentence names a moment, given as such or as ISO 8601 text: `2026-01-31 12:00:00 UTC`.

    Raises:
        ValueError: the text is no moment.
    """
    when = from_text(at) if isinstance(at, str) else at.astimezone(UTC)
    return f"{when:%Y-%m-%d %H:%M:%S} UTC" if seconds else f"{when:%Y-%m-%d %H:%M} UTC"


class UnclearMomentError(ValueError):
    """A time of day from which no moment follows; its text says what to write instead."""


def typed(text: str) -> datetime:
    """A moment as people type it: ISO 8601, and perhaps a zone's name after it, `2026-12-24 18:00 Europe/Berlin`.

    Returns:
        the moment; without a zone where the text names none (`settled`).

    Raises:
        UnclearMomentError: no zone is called so, or its clocks never show that time, or twice.
        ValueError: the text is no moment.
    """
    text = text.strip()
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        when, _, zone = text.rpartition(" ")
        if not when or re.search("[A-Za-z]", zone) is None:
            raise
    try:
        return settled(datetime.fromisoformat(when.strip()), zone)
    except (KeyError, OSError) as error:  # what no zone is called
        raise UnclearMomentError(f"no time zone {zone!r}; write one such as Europe/Berlin") from error


def settled(at: datetime, zone: str) -> datetime:
    """What `typed` has read, as a moment: by its own offset, or by the clocks in *zone*.

    Raises:
        UnclearMomentError: these clocks never show that time, or show it twice, where they are set anew.
    """
    if at.tzinfo is not None:
        return at.astimezone(UTC)
    earlier, later = (at.replace(tzinfo=ZoneInfo(zone), fold=fold) for fold in (0, 1))
    if earlier.utcoffset() == later.utcoffset():
        return earlier.astimezone(UTC)
    how_often = "never" if earlier.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) != at else "twice"
    one, other = (f"{at:%Y-%m-%dT%H:%M}{_offset(side)}" for side in (earlier, later))
    raise UnclearMomentError(f"the clocks in {zone} show {at:%Y-%m-%d %H:%M} {how_often}; write {one} or {other}")


def _offset(at: datetime) -> str:
    minutes = (at.utcoffset() or timedelta()) // timedelta(minutes=1)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def in_zone(text: str, zone: str) -> str:
    """The text, with each moment that it names in UTC told in *zone*, and UTC in brackets after it.

    `until 2026-03-01 12:03 UTC` -> `until 2026-03-01 13:03 CET (12:03 UTC)`. Doing it twice is doing it once.
    """
    if zone == "UTC":
        return text
    there = ZoneInfo(zone)
    return _MOMENT.sub(lambda found: _told(found, there), text)


def _told(found: re.Match[str], there: tzinfo) -> str:
    day, minutes, seconds = found[1], found[2], found[3] or ""
    try:
        moment = datetime.fromisoformat(f"{day}T{minutes}{seconds or ':00'}").replace(tzinfo=UTC).astimezone(there)
    except (ValueError, OverflowError):
        return found[0]  # no moment, but somebody's words
    form = "%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M"
    other_day = "" if f"{moment:%Y-%m-%d}" == day else f", {day}"
    return f"{moment:{form}} {zone_name(moment)} ({minutes}{seconds} UTC{other_day})"


def zone_name(moment: datetime) -> str:
    """What the moment's zone is called then: `CET`, or `UTC-03` where it has no name but its offset."""
    name = moment.tzname() or ""
    return name if name.isalpha() else f"UTC{name}"
