"""One stream kept up to date: its ledger filled backwards once, its newest buckets read again and again.

A refresh must cost the same on the first day and after a year, and no row may be missed or counted twice. Counting only
what is new (rows since the last id) misses what commits late and keeps what is deleted. So whole buckets of time are
counted again and put in the place of what was there:

* the last seconds at every refresh, because most rows appear at once;
* the whole horizon within which rows may appear or change, twelve times per horizon;
* everything older by reconciliation (`exporter.ledger.reconciler`), a little at a time.

Rows from the future are left for when their time has come. A newest row of next year would otherwise be read again at
every refresh, and make the data look fresh when nothing comes any more.

The past before the start is filled in backwards from the newest hour, so that KPIs are there within seconds and the
counters once it is complete. A step that times out is smaller the next time.
"""

# long: one stream from its first bucket to its last, whose steps share what is known of it

import math
from collections.abc import Mapping
from types import MappingProxyType

from canary.errors import DatabaseTimeoutError
from exporter.ledger.held_rows import HeldRows
from exporter.ledger.ledger import BUCKETS_PER_HOUR, Counts, Ledger, counts_of_rows
from exporter.ledger.odd import OddValues
from exporter.ledger.reader import StreamReader
from exporter.ledger.rows import Codes, EventRows
from exporter.source.assignments.agreement import SideAgreement
from exporter.source.assignments.routed import Pairs, UnitVersions
from exporter.source.columns.zones import Zone
from exporter.source.database import Session
from exporter.source.streams import COARSE_SECONDS, FINE_SECONDS, FRESH_SECONDS, WHOLE_READS, Stream

_FINE_HOURS = 2
"""Whole hours that stay fine besides the current one: longer than rows may be late by default, so that what is read
again all the time is compared bucket by bucket."""
_MOST_HOURS = 24 * 7
"""Hours that one statement of the backfill may count; more would save no statement worth speaking of."""
_QUICK_ROWS = 500_000
"""A statement that counted fewer rows than this was quick, and the next one may count twice as many hours."""
_MANY_ROWS = 100_000
"""Above so many rows an hour, a plain count per hour is faster than one with buckets, which databases sort for."""
AHEAD_SECONDS = 600
"""A shop's clock may be ahead of ours; what is further ahead is from the future."""


class Feed:
    """A stream with everything known of it.

    Times are the database's own (`exporter.source.columns.zones`), in seconds or in numbers of buckets.

    Args:
        clock_zone: zone of times that are stored without one.
        since: the moment from which on everything is counted.

    Attributes:
        ledger: what was counted.
        held: the stream's single rows, as far as they are wanted.
        odd: told of values that are none.
        next_hour: the hour that the backfill counts next; None before it began.
        first_hour: the last one it counts.
        many_rows: hours with more rows than this are counted one by one.
        fault: what went wrong at the last refresh.
        retry_at: before this moment, monotonic, it is left alone.
        fill_fault: what went wrong at the last step of the backfill, but for a timeout.
        fill_at: before this moment, monotonic, no step of the backfill is made.
        refreshed_at: when a refresh last worked, seconds since the epoch.
    """

    def __init__(
        self,
        stream: Stream,
        session: Session,
        clock_zone: Zone,
        versions: Codes,
        currencies: Codes,
        since: float,
        pairs: Mapping[str | None, Pairs] = MappingProxyType({}),
        *,
        routed: UnitVersions | None = None,
        agreement: SideAgreement | None = None,
    ) -> None:
        self.ledger = Ledger()
        self.odd = OddValues(stream.name)
        self.held = HeldRows(self.ledger, clock_zone, len(stream.parents), versions, currencies, self.odd.found)
        self.many_rows = _MANY_ROWS
        self.next_hour: int | None = None
        self.first_hour = 0
        self.fault: Exception | None = None
        self.retry_at = float("-inf")
        self.fill_fault: Exception | None = None
        self.fill_at = float("-inf")
        self.refreshed_at: float | None = None
        self._reader = StreamReader(stream, session, clock_zone, self.odd, self.held.in_zones, routed, pairs, agreement)
        self._since = since
        self._newest_hour = 0
        self._read_whole_at = self._read_changing_at = float("-inf")
        self._span_hours = 6  # a quarter of a day to begin with; what comes back decides about the next
        self._fine_from = 0
        """First hour whose buckets are kept apart."""

    @property
    def stream(self) -> Stream:
        """The stream, with the statements in use now."""
        return self._reader.stream

    @property
    def zone(self) -> Zone:
        """Zone of the stream's own times."""
        return self._reader.zone

    @property
    def filled(self) -> bool:
        """Whether everything since the beginning is counted."""
        return self.next_hour is not None and self.next_hour < self.first_hour

    @property
    def filled_ratio(self) -> float:
        """How much of the time since the beginning is counted, 0 to 1."""
        if self.next_hour is None:
            return 0.0
        hours = self._newest_hour - self.first_hour + 1
        return min(1.0, (self._newest_hour - self.next_hour) / hours) if hours > 0 else 1.0

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
        await self._reader.read(lambda: self._refresh(now, lag_seconds))

    async def _refresh(self, now: float, lag_seconds: float) -> None:
        stream = self.stream
        whole = now - self._read_whole_at >= stream.every_seconds
        changing = whole and now - self._read_changing_at >= stream.changing_seconds / WHOLE_READS
        horizon_seconds = max(stream.horizon_seconds, stream.changing_seconds if changing else 0.0)
        if whole:
            await self._reader.look_at_newest_times(now)
        if whole or stream.fresh:
            back = (horizon_seconds if whole else FRESH_SECONDS) + lag_seconds
            if self.refreshed_at is not None:
                back += max(0.0, now - self.refreshed_at)  # as long as nothing could be read
            low = max(int(self.zone.horizon(now - back, now)) // FINE_SECONDS, self._fine_from * BUCKETS_PER_HOUR)
            high = self._end(now)
            if whole or not self.held.few_since(low):
                self._take(low, high, await self._reader.buckets(low, high))
            else:
                rows = await self._reader.rows(low, high)
                self.ledger.replace_fine(low, high, counts_of_rows(rows))
                self.held.keep_newest(rows, low, high)
        if whole:
            self._read_whole_at = now
            self._read_changing_at = now if changing else self._read_changing_at
            self._close(now)
        await self.held.read(self._reader.rows)
        self.refreshed_at = now

    async def fill(self, now: float) -> None:
        """One step of the backfill, from the newest hour backwards.

        Raises:
            DatabaseError: nothing was changed; a step that timed out is smaller the next time.
        """
        await self._reader.read(lambda: self._fill(now))

    async def _fill(self, now: float) -> None:
        if self.next_hour is None:
            await self._begin(now)
        assert self.next_hour is not None
        if self.filled:
            return
        fine = self.next_hour >= self._fine_from
        hours = 1 if fine else min(self._span_hours, self.next_hour - self.first_hour + 1)
        low = self.next_hour - hours + 1
        high = self.next_hour + (2 if self.next_hour == self._newest_hour else 1)
        last = min(high * BUCKETS_PER_HOUR, self._end(now))
        try:
            if fine:
                counts = await self._reader.buckets(low * BUCKETS_PER_HOUR, last)
            else:
                counts = await self._reader.hours(low, high)
        except DatabaseTimeoutError:
            self._span_hours = max(1, self._span_hours // 4)
            raise
        if fine:
            self._take(low * BUCKETS_PER_HOUR, last, counts)
        else:
            self._take_hours(low, high, counts)
            counted = sum(tally.rows for bucket in counts.values() for tally in bucket.values())
            if counted > self.many_rows * hours:
                self._span_hours = 1
            elif counted < _QUICK_ROWS:
                self._span_hours = min(self._span_hours * 2, _MOST_HOURS)
        self.next_hour = low - 1

    async def reconcile(self, low: int, high: int, now: float) -> int:
        """Compare hours *low* up to *high* with the table; the number of rows that differed and were repaired.

        Raises:
            DatabaseError: nothing was changed.
        """
        return await self._reader.read(lambda: self._reconcile(low, high, now))

    async def _reconcile(self, low: int, high: int, now: float) -> int:
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
        counts = await self._reader.buckets(first, last)
        difference = self.ledger.difference(first, last, counts)
        self._take(first, last, counts)
        return difference

    async def _reconcile_coarse(self, low: int, high: int) -> int:
        counts = await self._reader.hours(low, high)
        difference = 0
        for hour in range(low, high):
            found = self.ledger.replace_coarse(hour, counts.get(hour, {}))
            difference += found
            if found:
                self.held.hour_changed(hour)
        return difference

    def sample(self, ratio: float, *, anew: bool) -> None:
        """Hold the rows of a part of the customers from now on; of earlier rows too when they are read *anew*."""
        if self.stream.sampled is None:
            return
        self._reader.sample(ratio)
        self.held.sample_ratio = ratio
        if anew:
            self.held.read_anew()

    @property
    def rows_wanted(self) -> bool:
        """Whether anybody wants single rows of this stream."""
        return self.held.wanted_from is not None

    def rows(self) -> EventRows:
        """The single rows that are held."""
        return self.held.rows()

    def reconcilable_hours(self, now: float) -> range:
        """The hours that the ledger has counted, and whose rows are still there."""
        if self.next_hour is None:
            return range(0)
        kept = self.stream.kept_seconds
        oldest = self.first_hour if kept is None else int(self.zone.stored(now - kept)) // COARSE_SECONDS + 1
        return range(max(self.next_hour + 1, self.first_hour, oldest), int(self.zone.stored(now)) // COARSE_SECONDS + 1)

    def fine_hour(self, hour: int) -> bool:
        """Whether an hour's buckets are still kept apart."""
        return hour >= self._fine_from

    def bucket(self, moment: float) -> int:
        """The bucket in which a row of this moment is found."""
        return int(self.zone.stored(moment)) // FINE_SECONDS

    @property
    def newest_at(self) -> float | None:
        """The moment at which the newest bucket with rows ends; None without any."""
        return None if (at := self.ledger.newest) is None else self.zone.moment((at + 1) * FINE_SECONDS)

    def _end(self, now: float) -> int:
        """The first bucket whose rows are from the future."""
        return int(self.zone.ahead(now) + AHEAD_SECONDS) // FINE_SECONDS + 1

    async def _begin(self, now: float) -> None:
        """Find out how far back there is anything to count."""
        self._newest_hour = int(self.zone.stored(now)) // COARSE_SECONDS
        self.first_hour = int(self.zone.stored(self._since)) // COARSE_SECONDS
        oldest = await self._reader.oldest(self.first_hour * BUCKETS_PER_HOUR, self._end(now))
        # A day more is looked at: texts of mixed forms do not order by time, and rows may come late.
        if oldest is None:
            self.first_hour = max(self.first_hour, self._newest_hour - 24)
        elif math.isfinite(oldest):  # what is no time may hide the oldest one: all is looked at
            self.first_hour = max(self.first_hour, int(oldest) // COARSE_SECONDS - 24)
        self.first_hour = min(self.first_hour, self._newest_hour)
        self._fine_from = self._newest_hour - _FINE_HOURS
        self.next_hour = self._newest_hour

    def _take(self, low: int, high: int, counts: Counts) -> None:
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
