"""A table of another database than the events it serves: what it says of customers, held in memory.

No statement reaches into another database. So its rows are read as an event's are (`exporter.ledger.reader`): the
newest at every refresh, all within `database.lateness` twelve times in that time, those before once, backwards from the
newest. What is read again takes the place of what was there: a row that comes late, is changed or is deleted meanwhile
is known at the next look, and one that is there twice is one.

While they cannot be read, nobody's version is told: their events then count as unread, are known again from where they
stopped, and no row is counted as unknown because of an hour in which a database was down. So it is while such a
database is left alone between two attempts (`exporter.refresher`).

The memory is bounded: of more rows than fit, the oldest are forgotten, and their customers have no version.
"""

import math
import sys
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from typing import Any

from canary.errors import DatabaseError, DatabaseSourceError, DatabaseTimeoutError, reason
from canary.policy.model import Policy
from exporter.ledger.feed import AHEAD_SECONDS
from exporter.ledger.odd import OddValues, Report
from exporter.ledger.reader import StreamReader
from exporter.source.assignments.routed import LEFT_OUT
from exporter.source.assignments.versions import TRUE
from exporter.source.columns.values import id_number
from exporter.source.columns.zones import Zone
from exporter.source.dialects import Dialect
from exporter.source.sources import ROWS_UNIT, Sources
from exporter.source.streams import COARSE_SECONDS, FINE_SECONDS, FRESH_SECONDS, streams_of

_FORGOTTEN_RATIO = 0.1
"""So much more may be held before the oldest are forgotten, as finding them looks at all."""
_QUICK_ROWS = 50_000
"""A statement that brought fewer rows was quick, and the next one may read twice as many hours."""
_FIRST_HOURS, _MOST_HOURS = 6, 24 * 365
_OLDEST_SECONDS = 20 * 365 * 86_400
"""How far back is looked where some value that is no time hides the oldest one."""
_MOMENT, _VALUE, _MARK = 2, 4, 8
"""Columns of a stream's `rows`: the time, the version, the variant."""

_Given = list[tuple[float, str]]
_Held = dict[int, _Given]


class HeldTable:
    """What a table says of customers from when on; nothing before the first `look`.

    Args:
        policy: with the table as its only event.
        source: where the table is.
        place: the policy's key, for errors.
        sources: with a session there.
        most: rows that are held.
        report: told of odd values.

    Attributes:
        place: the policy's key.
        forgotten: whether some did not fit.
        retry_at: it is left alone until then, monotonic.
    """

    def __init__(
        self, policy: Policy, source: str | None, place: str, sources: Sources, most: int, report: Report
    ) -> None:
        self.place, self.source = place, source
        self.forgotten, self.retry_at = False, -math.inf
        self._most = most
        self._lateness_seconds = policy.database.lateness
        session = sources.sessions[source]
        dialect = Dialect(session.dialect_name)
        (stream,) = streams_of(policy, dialect)
        zone, odd = Zone(policy.database.timezone, dialect), OddValues(place, report)
        self._reader = StreamReader(stream, session, zone, odd, lambda *_: None)
        self._fault: DatabaseError | None = DatabaseSourceError("it was not read yet", place=place)
        self._settled: _Held = {}
        self._recent: _Held = {}
        self._rows, self._first_hour, self._span_hours = 0, 0, _FIRST_HOURS
        self._next_hour: int | None = None
        self._looked_at = self._whole_at = -math.inf
        self._recent_from = 0
        """First bucket of which the rows are recent: what is settled ends before it."""

    async def look(self, now: float) -> None:
        """Read what is new, and the first time everything.

        Raises:
            DatabaseError: it cannot be read; nothing is told until it can.
        """
        try:
            await self._reader.read(lambda: self._look(now))
        except Exception as error:
            self.unread(error)
            raise
        self._fault = None

    def unread(self, error: Exception) -> None:
        """Nothing is told until the next look: whatever went wrong, what was read before is not what it says now."""
        what, remedy = (error.what, error.remedy) if isinstance(error, DatabaseError) else (reason(error), "")
        self._fault = DatabaseSourceError(what, place=self.place, remedy=remedy)

    def known(self, key: Any, moment: float) -> str | None:
        """What is said of a customer at *moment*: last before it, or else first within the lateness after it.

        Raises:
            DatabaseSourceError: it cannot be read now.
        """
        if self._fault is not None:
            raise self._fault
        number = id_number(key) if key is not None else None
        given: _Given = [*self._settled.get(number, ()), *self._recent.get(number, ())] if number is not None else []
        if at := bisect_right(given, moment, key=_time):
            _, last = given[bisect_left(given, given[at - 1][0], key=_time)]  # of several at once the first
            if last:
                return last
        if at < len(given) and given[at][0] <= moment + self._lateness_seconds:
            return given[at][1] or None
        return None

    async def _look(self, now: float) -> None:
        stream, zone = self._reader.stream, self._reader.zone
        whole = now - self._whole_at >= stream.every_seconds
        if whole:
            await self._reader.look_at_newest_times(now)
        back = stream.horizon_seconds if whole else FRESH_SECONDS
        back += max(0.0, now - self._looked_at) if self._looked_at > -math.inf else 0.0
        low = int(zone.horizon(now - back, now)) // FINE_SECONDS
        high = int(zone.ahead(now) + AHEAD_SECONDS) // FINE_SECONDS + 1
        rows = await self._reader.rows(low, high)
        if whole:
            self._settle(zone.moment(low * FINE_SECONDS))
        self._take(self._recent, rows)
        if whole:
            self._whole_at, self._recent_from = now, low
        self._looked_at = now
        await self._read_past(self._recent_from, now)
        if self._rows > self._most * (1 + _FORGOTTEN_RATIO):
            self._forget()

    async def _read_past(self, low: int, now: float) -> None:
        """Read what is older than bucket *low*, backwards, as far as it was not read yet."""
        if self._next_hour is None:
            self._first_hour = await self._oldest_hour(low, now)
            edge = low * FINE_SECONDS // COARSE_SECONDS
            self._take(self._settled, await self._reader.rows(edge * COARSE_SECONDS // FINE_SECONDS, low))
            self._next_hour = edge
        while self._next_hour > self._first_hour and self._rows <= self._most and not self.forgotten:
            first = max(self._first_hour, self._next_hour - self._span_hours)
            buckets = (first * COARSE_SECONDS // FINE_SECONDS, self._next_hour * COARSE_SECONDS // FINE_SECONDS)
            try:
                rows = await self._reader.rows(*buckets)
            except DatabaseTimeoutError:
                if self._span_hours == 1:
                    raise
                self._span_hours = max(1, self._span_hours // 4)
                continue
            self._take(self._settled, rows)
            self._next_hour = first
            if len(rows) < _QUICK_ROWS:
                self._span_hours = min(self._span_hours * 2, _MOST_HOURS)
            elif self._span_hours > 1:
                self._span_hours //= 2
        self.forgotten = self.forgotten or self._next_hour > self._first_hour

    async def _oldest_hour(self, high: int, now: float) -> int:
        farthest = int(now - _OLDEST_SECONDS) // COARSE_SECONDS
        oldest = await self._reader.oldest(farthest * COARSE_SECONDS // FINE_SECONDS, high)
        if oldest is None:
            return high * FINE_SECONDS // COARSE_SECONDS
        # A day more is looked at: texts of mixed forms do not order by time.
        return max(farthest, int(oldest) // COARSE_SECONDS - 24) if math.isfinite(oldest) else farthest

    def _settle(self, low: float) -> None:
        """Nothing changes any more of what was before *low*; what is later was just read again."""
        recent, self._recent = self._recent, {}
        for number, given in recent.items():
            self._rows -= len(given)
            for one in given:
                if one[0] < low:
                    self._keep(self._settled, number, one)

    def _take(self, held: _Held, rows: Iterable[Sequence[Any]]) -> None:
        zone = self._reader.zone
        for row in rows:
            if row[ROWS_UNIT] is not None and row[_MOMENT] is not None:
                said = LEFT_OUT if _text(row[_MARK]).strip().lower() in TRUE else _text(row[_VALUE])
                one = (zone.moment(float(row[_MOMENT])), sys.intern(said))
                self._keep(held, id_number(row[ROWS_UNIT]), one)

    def _keep(self, held: _Held, number: int, one: tuple[float, str]) -> None:
        given = held.setdefault(number, [])
        if one not in given:
            insort(given, one)
            self._rows += 1

    def _forget(self) -> None:
        """Leave out the oldest."""
        self.forgotten = True
        times = sorted(time for given in self._settled.values() for time, _ in given)
        if not times:
            return
        edge = times[min(len(times), self._rows - self._most) - 1]
        self._rows -= bisect_right(times, edge)
        kept = {number: [one for one in given if one[0] > edge] for number, given in self._settled.items()}
        self._settled = {number: given for number, given in kept.items() if given}


def _time(one: tuple[float, str]) -> float:
    return one[0]


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else bytes(value).decode("utf-8", "surrogateescape")
