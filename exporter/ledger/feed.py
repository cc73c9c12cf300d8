"""One stream kept up to date: its ledger filled backwards once, its newest buckets read again and again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from canary.errors import DatabaseTimeoutError
from exporter.ledger.ledger import Ledger, counts_of, counts_of_rows
from exporter.ledger.table import Codes, RowStore, Table
from exporter.source.database import Session
from exporter.source.streams import COARSE_SECONDS, FINE_SECONDS, FRESH_SECONDS, Stream
from exporter.source.zones import Zone

_PER_COARSE = COARSE_SECONDS // FINE_SECONDS
_FINE_HOURS = 2
"""Whole hours that stay fine besides the current one."""
_MOST_ROWS = 20_000
"""Rows that one statement may bring."""
_FEW_ROWS = 500
_FOREVER = 1 << 60
_MOST_HOURS = 24 * 7
"""Hours that one statement of the backfill may count."""
_MANY_ROWS = 100_000
_OFFSET_MARGIN_SECONDS = 3600


@dataclass
class Feed:
    """A stream with everything known of it.

    Times are the database's own (`exporter.source.zones`), in seconds or in numbers of buckets.

    Attributes:
        many_rows: hours with more rows than this are counted one by one.
        rows_from: first bucket whose single rows are wanted; None for none.
        dirty: buckets whose single rows must be read again.
        next_hour: the hour that the backfill counts next; None before it began.
        first_hour: the last one it counts.
        fault: what went wrong at the last refresh.
        retry_at: before this moment it is left alone.
        fill_fault: what went wrong at the last step of the backfill, but for a timeout.
        fill_at: before this moment no step of the backfill is made.
        refreshed_at: when a refresh last worked, seconds since the epoch.
    """

    stream: Stream
    session: Session
    zone: Zone
    versions: Codes
    currencies: Codes
    since: float
    many_rows: int = _MANY_ROWS
    ledger: Ledger = field(default_factory=Ledger)
    store: RowStore = field(init=False)
    rows_from: int | None = None
    dirty: set[int] = field(default_factory=set)
    next_hour: int | None = None
    first_hour: int = 0
    newest_hour: int = 0
    fault: Exception | None = None
    retry_at: float = float("-inf")
    fill_fault: Exception | None = None
    fill_at: float = float("-inf")
    refreshed_at: float | None = None
    _read_whole_at: float = float("-inf")
    _span_hours: int = 6
    _offset_seconds: int = 0
    _fine_from: int = 0
    """First hour whose buckets are kept apart."""

    def __post_init__(self) -> None:
        """Begin without rows."""
        self.store = RowStore(len(self.stream.parents))

    @property
    def filled(self) -> bool:
        """Whether everything since the beginning is counted."""
        return self.next_hour is not None and self.next_hour < self.first_hour

    @property
    def filled_ratio(self) -> float:
        """How much of the time since the beginning is counted, 0 to 1."""
        if self.next_hour is None:
            return 0.0
        hours = self.newest_hour - self.first_hour + 1
        return min(1.0, (self.newest_hour - self.next_hour) / hours) if hours > 0 else 1.0

    @property
    def rows_ready(self) -> bool:
        """Whether all single rows that are wanted are there."""
        if self.rows_from is None or self.next_hour is None:
            return False
        return not self.dirty and (self.filled or (self.next_hour + 1) * _PER_COARSE <= self.rows_from)

    async def refresh(self, now: float, lag_seconds: float) -> None:
        """Read what is new: the newest rows at every refresh, the whole horizon now and then.

        Raises:
            DatabaseError: nothing was changed.
        """
        stream = self.stream
        whole = now - self._read_whole_at >= stream.every_seconds
        if whole and stream.offsets is not None:
            await self._look_at_offsets()
        if whole or stream.fresh:
            back = (stream.horizon_seconds if whole else FRESH_SECONDS) + lag_seconds
            if self.refreshed_at is not None:
                back += max(0.0, now - self.refreshed_at)  # as long as nothing could be read
            low = max(int(self.zone.horizon(now - back, now)) // FINE_SECONDS, self._fine_from * _PER_COARSE)
            if whole or not self._few_since(low):
                self._take(low, None, await self._counts(stream.latest, low * FINE_SECONDS, None))
            else:
                await self._take_newest(low)
        if whole:
            self._read_whole_at = now
            self._close(now)
        await self._read_rows()
        self.refreshed_at = now

    async def fill(self, now: float) -> None:
        """One step of the backfill, from the newest hour backwards.

        Raises:
            DatabaseError: nothing was changed; a step that timed out is smaller the next time.
        """
        if self.next_hour is None:
            await self._begin(now)
        assert self.next_hour is not None
        if self.filled:
            return
        fine = self.next_hour >= self._fine_from
        hours = 1 if fine else min(self._span_hours, self.next_hour - self.first_hour + 1)
        low = self.next_hour - hours + 1
        high = self.next_hour + (2 if self.next_hour == self.newest_hour else 1)
        try:
            if fine:
                counts = await self._counts(self.stream.fine, low * COARSE_SECONDS, high * COARSE_SECONDS)
            else:
                counts = await self._hours(low, high)
        except DatabaseTimeoutError:
            self._span_hours = max(1, self._span_hours // 4)
            raise
        if fine:
            self._take(low * _PER_COARSE, high * _PER_COARSE, counts)
        else:
            self._take_hours(low, high, counts)
            rows = sum(tally.rows for counted in counts.values() for tally in counted.values())
            if rows > self.many_rows * hours:
                self._span_hours = 1
            elif rows < 500_000:
                self._span_hours = min(self._span_hours * 2, _MOST_HOURS)
        self.next_hour = low - 1

    async def reconcile(self, low: int, high: int, now: float) -> int:
        """Compare hours *low* up to *high* with the table; the number of rows that differed and were mended.

        Raises:
            DatabaseError: nothing was changed.
        """
        difference = 0
        if high > self._fine_from:
            difference += await self._reconcile_fine(max(low, self._fine_from), high, now)
        if low < self._fine_from:
            difference += await self._reconcile_coarse(low, min(high, self._fine_from))
        return difference

    async def _reconcile_fine(self, low: int, high: int, now: float) -> int:
        first = low * _PER_COARSE
        edge = int(self.zone.horizon(now - self.stream.horizon_seconds, now)) // FINE_SECONDS
        last = min(high * _PER_COARSE, edge)  # what is younger is read all the time
        if last <= first:
            return 0
        counts = await self._counts(self.stream.fine, first * FINE_SECONDS, last * FINE_SECONDS)
        difference = self.ledger.difference(first, last, counts)
        self._take(first, last, counts)
        return difference

    async def _reconcile_coarse(self, low: int, high: int) -> int:
        counts = await self._hours(low, high)
        difference = 0
        for hour in range(low, high):
            found = self.ledger.replace_coarse(hour, counts.get(hour, {}))
            difference += found
            if found:
                self._want_rows_of(range(hour * _PER_COARSE, (hour + 1) * _PER_COARSE))
        return difference

    def want_rows_from(self, low: int) -> None:
        """Hold single rows from bucket *low* on."""
        held = self.rows_from
        self.rows_from = low
        if held is None or low < held:
            end = held if held is not None else None
            fine = {number for number in self.ledger.fine if number >= low and (end is None or number < end)}
            hours = [hour for hour in self.ledger.coarse if (hour + 1) * _PER_COARSE > low]
            coarse = {number for hour in hours for number in range(hour * _PER_COARSE, (hour + 1) * _PER_COARSE)}
            self._want_rows_of(fine | {number for number in coarse if end is None or number < end})
        elif low > held:
            self.store.forget(low)
            self.dirty = {number for number in self.dirty if number >= low}

    def reconcilable_hours(self, now: float) -> range:
        """The hours that the ledger has counted."""
        if self.next_hour is None:
            return range(0)
        return range(max(self.next_hour + 1, self.first_hour), int(self.zone.stored(now)) // COARSE_SECONDS + 1)

    def fine_hour(self, hour: int) -> bool:
        """Whether an hour's buckets are still kept apart."""
        return hour >= self._fine_from

    async def _begin(self, now: float) -> None:
        """Find out how far back there is anything to count."""
        self.newest_hour = int(self.zone.stored(now)) // COARSE_SECONDS
        self.first_hour = int(self.zone.stored(self.since)) // COARSE_SECONDS
        oldest = (await self.session.rows(self.stream.oldest))[0][0]
        reach = self.newest_hour if oldest is None else int(oldest) // COARSE_SECONDS
        # A day more is looked at: texts of mixed forms do not order by time, and rows may come late.
        self.first_hour = min(max(self.first_hour, reach - 24), self.newest_hour)
        self._fine_from = self.newest_hour - _FINE_HOURS
        self.next_hour = self.newest_hour

    async def _look_at_offsets(self) -> None:
        """Texts with an offset from UTC are looked for further back, as far as they may lie off."""
        assert self.stream.offsets is not None
        endings = [str(row[0]) for row in await self.session.rows(self.stream.offsets) if row[0]]
        found = [abs(_offset_seconds(ending)) for ending in endings]
        self._offset_seconds = max(found) + _OFFSET_MARGIN_SECONDS if any(found) else 0

    async def _hours(self, low: int, high: int) -> Any:
        """The counts of the hours from *low* up to *high*."""
        if high - low > 1:
            return await self._counts(self.stream.coarse, low * COARSE_SECONDS, high * COARSE_SECONDS)
        parameters = self._parameters(low * COARSE_SECONDS, high * COARSE_SECONDS)
        return counts_of((low, *row) for row in await self.session.rows(self.stream.whole, parameters))

    async def _counts(self, statement: Any, low: int, high: int | None) -> Any:
        parameters = self._parameters(low, high)
        return counts_of(map(tuple, await self.session.rows(statement, parameters)))

    def _parameters(self, low: int, high: int | None) -> Mapping[str, Any]:
        return self.zone.dialect.parameters(low, high, offset_seconds=self._offset_seconds)

    def _take(self, low: int, high: int | None, counts: Any) -> None:
        self._want_rows_of(self.ledger.replace_fine(low, high, counts))

    def _few_since(self, low: int) -> bool:
        """Whether the newest rows are so few that reading them is cheaper than counting them first."""
        if self.rows_from is None or low < self.rows_from or self.dirty:
            return False
        newest = (number for number in self.ledger.fine if number >= low)
        return sum(self._expected(number) for number in newest) <= _FEW_ROWS

    async def _take_newest(self, low: int) -> None:
        """Count and keep the newest single rows with one statement."""
        rows = await self.session.rows(self.stream.newest, self._parameters(low * FINE_SECONDS, None))
        self.ledger.replace_fine(low, None, counts_of_rows(rows))
        self._keep(rows, low, _FOREVER)

    def _keep(self, rows: Sequence[Any], low: int, high: int) -> None:
        table = Table.of(rows, len(self.stream.parents), self.versions, self.currencies)
        self.store.replace(low, high, table.shifted(self.zone.to_utc))

    def _take_hours(self, low: int, high: int, counts: Any) -> None:
        for hour in range(low, high):
            found = counts.get(hour)
            self.ledger.replace_coarse(hour, found or {})
            if found and self.rows_from is not None:
                self._want_rows_of(range(hour * _PER_COARSE, (hour + 1) * _PER_COARSE))

    def _want_rows_of(self, buckets: Any) -> None:
        if self.rows_from is not None:
            self.dirty.update(number for number in buckets if number >= self.rows_from)

    def _close(self, now: float) -> None:
        before = int(self.zone.stored(now)) // COARSE_SECONDS - _FINE_HOURS
        if self.next_hour is not None and self.next_hour < before - 1 and before > self._fine_from:
            if self.stream.counted:
                self.ledger.close(before)
            else:
                self.ledger.drop(before * _PER_COARSE)
            self._fine_from = before
        self.store.settle(int(self.zone.horizon(now - self.stream.horizon_seconds, now)) // FINE_SECONDS)

    async def _read_rows(self) -> None:
        """Read the single rows of changed buckets, newest first; many are spread over several refreshes."""
        budget = _MOST_ROWS
        while self.dirty and budget > 0:
            low, high, expected = self._next_range()
            rows = await self.session.rows(self.stream.rows, self._parameters(low * FINE_SECONDS, high * FINE_SECONDS))
            self._keep(rows, low, high)
            self.dirty.difference_update(range(low, high))
            budget -= max(len(rows), expected, 500)

    def _next_range(self) -> tuple[int, int, int]:
        """The newest changed buckets, as many as one statement may bring with the unchanged ones between them."""
        wanted = sorted(self.dirty, reverse=True)
        high, low = wanted[0] + 1, wanted[0]
        expected = self._expected(low)
        for number in wanted[1:]:
            more = sum(self._expected(between) for between in range(number, low))
            if high - number > _PER_COARSE or expected + more > _MOST_ROWS:
                break
            low, expected = number, expected + more
        return low, high, expected

    def _expected(self, bucket: int) -> int:
        if bucket in self.ledger.fine:
            return sum(tally.rows for tally in self.ledger.fine[bucket].values())
        hour = self.ledger.coarse.get(bucket // _PER_COARSE, {})
        return sum(tally.rows for tally in hour.values()) // _PER_COARSE


def _offset_seconds(ending: str) -> int:
    """The offset in the last six characters of an ISO text: `+05:30`; 0 where there is none."""
    if len(ending) != 6 or ending[0] not in "+-" or ending[3] != ":" or not (ending[1:3] + ending[4:]).isdigit():
        return 0
    return (int(ending[1:3]) * 60 + int(ending[4:])) * 60 * (1 if ending[0] == "+" else -1)
