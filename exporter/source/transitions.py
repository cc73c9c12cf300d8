"""When a zone's clock is changed, and by how much it is ahead of UTC then.

Databases keep no such list that could be relied on: SQLite has none, MariaDB's and MySQL's are empty until somebody
loads them. Where a statement needs to know, it is told (`exporter.source.dialects`).
"""

from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

_FIRST, _LAST = 1_262_304_000, 2_524_608_000
"""2010 and 2050: nobody asks what a shop's clock showed before, and rows from later have not happened."""
_STEP = 7 * 86400
"""No clock is changed twice in a week; where one is, for Ramadan, weeks lie between."""


@lru_cache(maxsize=65536)
def offset_at(zone: str, moment: int) -> int:
    """Seconds by which the zone's clock is ahead of UTC at a moment; 0 where no calendar reaches."""
    try:
        offset = datetime.fromtimestamp(moment, ZoneInfo(zone)).utcoffset()
    except (ValueError, OverflowError, OSError):
        return 0
    return 0 if offset is None else int(offset.total_seconds())


@lru_cache(maxsize=64)
def transitions(zone: str) -> tuple[tuple[int, int], ...]:
    """Moments from which on the zone's clock is ahead of UTC by so many seconds, newest first."""
    found = [(_FIRST, offset_at(zone, _FIRST))]
    for before in range(_FIRST, _LAST, _STEP):
        after = before + _STEP
        if offset_at(zone, after) != found[-1][1]:
            found.append((_change(zone, before, after), offset_at(zone, after)))
    return tuple(reversed(found))


def _change(zone: str, before: int, after: int) -> int:
    """The moment between these two at which the zone's clock is changed."""
    changed = offset_at(zone, after)
    while after - before > 1:
        middle = (before + after) // 2
        if offset_at(zone, middle) == changed:
            after = middle
        else:
            before = middle
    return after
