"""The single rows of one stream that somebody wants, and which buckets of them must be read again.

Counting says which buckets changed; only the rows of those are read, newest first, because the newest are what the
judge waits for. Many changed buckets (a new rollout, a long outage) are spread over several refreshes: a statement that
brings a day of rows at once would make every other event wait for it.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence

import numpy as np

from exporter.ledger.ledger import BUCKETS_PER_HOUR, Ledger
from exporter.ledger.rows import Codes, EventRows, unheard
from exporter.source.columns.values import Odd
from exporter.source.columns.zones import Zone
from exporter.source.database import Row

_MOST_ROWS = 20_000
"""Rows that one refresh may bring: a few tens of milliseconds of Python, so that every event has its turn."""
_LEAST_COST = 500
"""A statement counts as at least so many rows; a thousand empty buckets are a thousand statements otherwise."""
_FEW_ROWS = 500
"""Up to so many newest rows are read at once and counted here, rather than counted by the database and then read."""
_SETTLED_AT_ONCE = 12
"""So many buckets (a minute) are put with the settled ones together, as each time copies all settled rows."""
_FORGOTTEN_AT_ONCE = 60
"""Settled rows are dropped by five minutes at a time, for the same reason."""

Ask = Callable[[int, int], Awaitable[Sequence[Row]]]
"""Reads the single rows from one bucket up to another."""


class HeldRows:
    """Single rows from one bucket on, kept in step with the ledger of the same stream.

    Attributes:
        wanted_from: first bucket whose single rows are wanted; None for none.
        dirty: buckets whose rows must be read again.
        sample_ratio: the part of the counted rows that is read.
    """

    def __init__(
        self, ledger: Ledger, zone: Zone, parents: int, versions: Codes, currencies: Codes, odd: Odd = unheard
    ) -> None:
        self.wanted_from: int | None = None
        self.dirty: set[int] = set()
        self.sample_ratio = 1.0
        self._ledger = ledger
        self._zone = self._entered_zone = zone
        self._odd = odd
        self._parents = parents
        self._versions, self._currencies = versions, currencies
        self._store = RowStore(parents)

    def rows(self) -> EventRows:
        """All rows that are held."""
        return self._store.rows()

    def in_zones(self, zone: Zone, entered_zone: Zone) -> None:
        """Rows that come from now on have their times in *zone*, and their own times in *entered_zone*."""
        self._zone, self._entered_zone = zone, entered_zone

    def want_from(self, low: int) -> None:
        """Hold rows from bucket *low* on; what is not held yet is read at the next refreshes."""
        held = self.wanted_from
        self.wanted_from = low
        if held is None or low < held:
            fine = {number for number in self._ledger.fine if number >= low}
            hours = [hour for hour in self._ledger.coarse if (hour + 1) * BUCKETS_PER_HOUR > low]
            coarse = {
                number for hour in hours for number in range(hour * BUCKETS_PER_HOUR, (hour + 1) * BUCKETS_PER_HOUR)
            }
            self.changed(number for number in fine | coarse if held is None or number < held)
        elif low > held:
            self._store.forget(low)
            self.dirty = {number for number in self.dirty if number >= low}

    def read_anew(self) -> None:
        """Read everything that is wanted again."""
        low, self.wanted_from = self.wanted_from, None
        self._store, self.dirty = RowStore(self._parents), set()
        if low is not None:
            self.want_from(low)

    def changed(self, buckets: Iterable[int]) -> None:
        """The rows of these buckets are not what they were; those that are wanted are read again."""
        if self.wanted_from is not None:
            self.dirty.update(number for number in buckets if number >= self.wanted_from)

    def hour_changed(self, hour: int) -> None:
        """The rows of a whole hour are not what they were."""
        self.changed(range(hour * BUCKETS_PER_HOUR, (hour + 1) * BUCKETS_PER_HOUR))

    def few_since(self, low: int) -> bool:
        """Whether the rows from bucket *low* on are so few that reading them is cheaper than counting them first."""
        if self.wanted_from is None or low < self.wanted_from or self.dirty or self.sample_ratio < 1.0:
            return False
        newest = (number for number in self._ledger.fine if number >= low)
        return sum(self._expected(number) for number in newest) <= _FEW_ROWS

    def keep_newest(self, rows: Sequence[Row], low: int, high: int) -> None:
        """Put *rows* in the place of all that are held from bucket *low* up to *high*."""
        self._keep(rows, low, high)

    async def read(self, ask: Ask) -> None:
        """Read the rows of changed buckets, newest first; many are spread over several calls.

        Raises:
            DatabaseError: the buckets that were not read yet stay dirty.
        """
        budget = _MOST_ROWS
        while self.dirty and budget > 0:
            low, high, expected = self._next_range()
            rows = await ask(low, high)
            self._keep(rows, low, high)
            self.dirty.difference_update(range(low, high))
            budget -= max(len(rows), expected, _LEAST_COST)

    def settle(self, before: int) -> None:
        """Rows of buckets before *before* change rarely from now on."""
        self._store.settle(before)

    def _keep(self, rows: Sequence[Row], low: int, high: int) -> None:
        found = EventRows.of(rows, self._parents, self._versions, self._currencies, self._odd)
        self._store.replace(low, high, found.shifted(self._zone.to_utc, self._entered_zone.to_utc))

    def _next_range(self) -> tuple[int, int, int]:
        """The newest changed buckets, as many as one statement may bring with the unchanged ones between them."""
        wanted = sorted(self.dirty, reverse=True)
        high, low = wanted[0] + 1, wanted[0]
        expected = self._expected(low)
        for number in wanted[1:]:
            more = sum(self._expected(between) for between in range(number, low))
            if high - number > BUCKETS_PER_HOUR or expected + more > _MOST_ROWS:
                break
            low, expected = number, expected + more
        return low, high, expected

    def _expected(self, bucket: int) -> int:
        """How many rows a bucket has, as far as the ledger knows: of a closed hour an equal part."""
        counts = self._ledger.fine.get(bucket)
        if counts is None:
            hour = self._ledger.coarse.get(bucket // BUCKETS_PER_HOUR, {})
            return int(sum(tally.rows for tally in hour.values()) * self.sample_ratio) // BUCKETS_PER_HOUR
        return int(sum(tally.rows for tally in counts.values()) * self.sample_ratio)


class RowStore:
    """The rows of one stream, replaced by whole buckets.

    Rows of buckets that may still change lie apart; the others are kept in one piece, so that a refresh copies
    little: one piece for all of them was copied whole for every row that came.
    """

    def __init__(self, parents: int) -> None:
        self._settled = EventRows.empty(parents)
        self._open: dict[int, EventRows] = {}
        self._empty = EventRows.empty(parents)
        self._joined: EventRows | None = self._empty

    def replace(self, low: int, high: int, found: EventRows) -> None:
        """Put *found* in the place of the rows of buckets *low* up to *high*."""
        self._joined = None
        for number in [number for number in self._open if low <= number < high]:
            del self._open[number]
        settled = self._settled.bucket
        if len(settled) and settled.max() >= low:
            self._settled = self._settled.where((settled < low) | (settled >= high))
        for number in np.unique(found.bucket):
            self._open[int(number)] = found.where(found.bucket == number)

    def settle(self, before: int) -> None:
        """Put the rows of buckets before *before* with those that rarely change."""
        done = sorted(number for number in self._open if number < before)
        if len(done) > _SETTLED_AT_ONCE:
            self._settled = self._settled.then(self._open.pop(number) for number in done)
            self._joined = None

    def forget(self, before: int) -> None:
        """Drop the rows of buckets before *before*."""
        if any(number < before for number in self._open):
            self._open = {number: table for number, table in self._open.items() if number >= before}
            self._joined = None
        if len(self._settled) and self._settled.bucket.min() < before - _FORGOTTEN_AT_ONCE:
            self._settled = self._settled.where(self._settled.bucket >= before)
            self._joined = None

    def rows(self) -> EventRows:
        """All rows."""
        if self._joined is None:
            self._joined = self._settled.then(self._open.values())
        return self._joined
