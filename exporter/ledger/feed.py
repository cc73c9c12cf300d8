"""One stream kept up to date: its ledger filled backwards once, its newest buckets read again and again.

A refresh must cost the same on the first day and after a year, and no row may be missed or counted twice. Counting only
what is new (rows since the last id) misses what commits late and keeps what is deleted. So whole buckets of time are
counted again and put in the place of what was there:

* the last seconds at every refresh, because most rows appear at once;
* the whole horizon within which rows may appear or change, twelve times per horizon;
* everything older by reconciliation (`exporter.ledger.reconciler`), a little at a time.

The past before the start is filled in backwards from the newest hour, so that KPIs are there within seconds and the
counters once it is complete. A step that times out is smaller the next time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from canary.errors import DatabaseTimeoutError
from exporter.ledger.held_rows import HeldRows
from exporter.ledger.ledger import BUCKETS_PER_HOUR, Counts, Ledger, counts_of, counts_of_rows
from exporter.ledger.rows import Codes, EventRows
from exporter.source.database import Row, Session
from exporter.source.dialects import offset_seconds
from exporter.source.streams import COARSE_SECONDS, FINE_SECONDS, FRESH_SECONDS, Stream
from exporter.source.zones import Zone

_FINE_HOURS = 2
"""Whole hours that stay fine besides the current one: longer than rows may be late by default, so that what is read
again all the time is compared bucket by bucket."""
_MOST_HOURS = 24 * 7
"""Hours that one statement of the backfill may count; more would save no statement worth speaking of."""
_QUICK_ROWS = 500_000
"""A statement that counted fewer rows than this was quick, and the next one may count twice as many hours."""
_MANY_ROWS = 100_000
"""Above so many rows an hour, a plain count per hour is faster than one with buckets, which databases sort for."""
_OFFSET_MARGIN_SECONDS = 3600
"""Texts may be off by an hour more than the newest ones: summer time."""

Statement = sa.Select[Any]


@dataclass
class Feed:
    """A stream with everything known of it.

    Times are the database's own (`exporter.source.zones`), in seconds or in numbers of buckets.

    Attributes:
        many_rows: hours with more rows than this are counted one by one.
        held: the stream's single rows, as far as they are wanted.
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
    held: HeldRows = field(init=False)
    next_hour: int | None = None
    first_hour: int = 0
    newest_hour: int = 0
    fault: Exception | None = None
    retry_at: float = float("-inf")
    fill_fault: Exception | None = None
    fill_at: float = float("-inf")
    refreshed_at: float | None = None
    _read_whole_at: float = float("-inf")
    _span_hours: int = 6  # a quarter of a day to begin with; what comes back decides about the next
    _offset_seconds: int = 0
    _fine_from: int = 0
    """First hour whose buckets are kept apart."""

    def __post_init__(self) -> None:
        """Begin without rows."""
        parents = len(self.stream.parents)
        self.held = HeldRows(self.ledger, self.zone, parents, self.versions, self.currencies)

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
        wanted_from = self.held.wanted_from
        if wanted_from is None or self.next_hour is None:
            return False
        return not self.held.dirty and (self.filled or (self.next_hour + 1) * BUCKETS_PER_HOUR <= wanted_from)

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
            low = max(int(self.zone.horizon(now - back, now)) // FINE_SECONDS, self._fine_from * BUCKETS_PER_HOUR)
            if whole or not self.held.few_since(low):
                self._take(low, None, await self._counts(stream.latest, low * FINE_SECONDS, None))
            else:
                rows = await self._ask(stream.newest, low * FINE_SECONDS, None)
                self.ledger.replace_fine(low, None, counts_of_rows(rows))
                self.held.keep_newest(rows, low)
        if whole:
            self._read_whole_at = now
            self._close(now)
        await self.held.read(self._rows_between)
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
            self._take(low * BUCKETS_PER_HOUR, high * BUCKETS_PER_HOUR, counts)
        else:
            self._take_hours(low, high, counts)
            counted = sum(tally.rows for bucket in counts.values() for tally in bucket.values())
            if counted > self.many_rows * hours:
                self._span_hours = 1
            elif counted < _QUICK_ROWS:
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
        first = low * BUCKETS_PER_HOUR
        edge = int(self.zone.horizon(now - self.stream.horizon_seconds, now)) // FINE_SECONDS
        last = min(high * BUCKETS_PER_HOUR, edge)  # what is younger is read all the time
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
                self.held.hour_changed(hour)
        return difference

    @property
    def rows_wanted(self) -> bool:
        """Whether anybody wants single rows of this stream."""
        return self.held.wanted_from is not None

    def rows(self) -> EventRows:
        """The single rows that are held."""
        return self.held.rows()

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
        found = [abs(offset_seconds(ending)) for ending in endings]
        self._offset_seconds = max(found) + _OFFSET_MARGIN_SECONDS if any(found) else 0

    async def _hours(self, low: int, high: int) -> Counts:
        """The counts of the hours from *low* up to *high*."""
        if high - low > 1:
            return await self._counts(self.stream.coarse, low * COARSE_SECONDS, high * COARSE_SECONDS)
        rows = await self._ask(self.stream.whole, low * COARSE_SECONDS, high * COARSE_SECONDS)
        return counts_of((low, *row) for row in rows)

    async def _counts(self, statement: Statement, low: int, high: int | None) -> Counts:
        return counts_of(map(tuple, await self._ask(statement, low, high)))

    async def _rows_between(self, low: int, high: int) -> Sequence[Row]:
        """The single rows of the buckets from *low* up to *high*."""
        return await self._ask(self.stream.rows, low * FINE_SECONDS, high * FINE_SECONDS)

    async def _ask(self, statement: Statement, low: int, high: int | None) -> Sequence[Row]:
        parameters = self.zone.dialect.parameters(low, high, offset_seconds=self._offset_seconds)
        return await self.session.rows(statement, parameters)

    def _take(self, low: int, high: int | None, counts: Counts) -> None:
        self.held.changed(self.ledger.replace_fine(low, high, counts))

    def _take_hours(self, low: int, high: int, counts: Counts) -> None:
        for hour in range(low, high):
            found = counts.get(hour)
            self.ledger.replace_coarse(hour, found or {})
            if found:
                self.held.hour_changed(hour)

    def _close(self, now: float) -> None:
        before = int(self.zone.stored(now)) // COARSE_SECONDS - _FINE_HOURS
        if self.next_hour is not None and self.next_hour < before - 1 and before > self._fine_from:
            if self.stream.counted:
                self.ledger.close(before)
            else:
                self.ledger.drop(before * BUCKETS_PER_HOUR)
            self._fine_from = before
        self.held.settle(int(self.zone.horizon(now - self.stream.horizon_seconds, now)) // FINE_SECONDS)
