"""Asks the database about one stream, by statements that suit what its columns hold.

Before the first question the columns' kinds are looked up, and statements and zones are fitted to them; so they are
where one fails after a migration. A statement that stumbles over a value is asked again carefully, and from then on
always (`exporter.source.statements`): so one odd value costs itself, and not its event. When the careful one fails too,
no value was at fault, and the quick ones are put back.

Bounds are numbers of buckets or hours in the database's own time. Texts with an offset from UTC do not order by time,
so they are looked for further back, as far as the newest ones lie off from what the shop's clock shows.
"""

import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from canary.errors import (
    DatabaseSchemaError,
    DatabaseSourceError,
    DatabaseTimeoutError,
    DatabaseUnavailableError,
    reason,
)
from exporter.ledger.ledger import Counts, counts_of
from exporter.ledger.odd import OddValues
from exporter.source.assignments.agreement import SideAgreement
from exporter.source.assignments.routed import LEFT_OUT, Pairs, UnitVersions, version_of
from exporter.source.columns.kinds import Kinds
from exporter.source.columns.values import LARGEST, ODD_ROW, ODD_TIME
from exporter.source.columns.zones import Zone
from exporter.source.database import Row, Session
from exporter.source.dialects import Parameters, offset_seconds
from exporter.source.sources import ROWS_UNIT, single_rows
from exporter.source.streams import COARSE_SECONDS, FINE_SECONDS, Stream, held_by, kinds_read, no_times

_OFFSET_MARGIN_SECONDS = 3600
"""Texts may be off by an hour more than the newest ones: summer time."""

_ROWS_MOMENT, _ROWS_ENTERED, _ROWS_VERSION = 2, 3, 4
"""Columns of a stream's `rows`."""

HASHES: Final = 16**3
"""So many values a customer's hash has, of three hexadecimal digits."""

T = TypeVar("T")
Statement = sa.Select[Any]


class StreamReader:
    """One stream's questions and answers.

    Args:
        clock_zone: zone of times that are stored without one.
        odd: told of values that are none.
        in_zones: told in which zones the stream's times, and its rows' own times, turn out to be.
        routed: tells the versions of customers, where the stream's rows have these instead.
        pairs: by identity, those by which customers are looked for in another database.
        agreement: told of every single row, where its side is held against the router's hash.

    Attributes:
        stream: with the statements in use now.
        zone: that of the stream's own times.
        sample_ratio: the part of the customers whose single rows are read, 1 for all.
    """

    def __init__(
        self,
        stream: Stream,
        session: Session,
        clock_zone: Zone,
        odd: OddValues,
        in_zones: Callable[[Zone, Zone], None],
        routed: UnitVersions | None = None,
        pairs: Mapping[str | None, Pairs] = MappingProxyType({}),
        agreement: SideAgreement | None = None,
    ) -> None:
        self.stream = stream
        self._agreement = agreement
        self._pairs = pairs
        self._routed = routed if stream.key is not None else None
        self.zone = self._entered = clock_zone
        self.sample_ratio = 1.0
        self._session = session
        self._clock_zone = clock_zone
        self._odd = odd
        self._in_zones = in_zones
        self._offset_seconds = 0
        self._kinds: Kinds = {}
        self._fitted = False
        self._careful = False

    async def read(self, read: Callable[[], Awaitable[T]]) -> T:
        """What *read* finds out; it is called again, carefully, where something in some row was stumbled over.

        Raises:
            DatabaseError: as *read* does.
        """
        if not self._fitted:
            await self._fit(careful=False)
        try:
            return await read()
        except (DatabaseUnavailableError, DatabaseSourceError, DatabaseTimeoutError):
            raise
        except Exception as error:
            if await self._kinds_now() != self._kinds:  # a migration has changed a column's type
                await self._fit(careful=self._careful)
                return await read()
            if self._careful or isinstance(error, DatabaseSchemaError):
                raise
            await self._fit(careful=True)
            try:
                found = await read()
            except Exception:
                # Not a value was at fault: put the quick statements back, and let the first reader of errors have it.
                await self._fit(careful=False)
                raise
            self._odd.told(ODD_ROW, "", reason(error))
            return found

    def sample(self, ratio: float) -> None:
        """Read the single rows of a part of the customers from now on."""
        self.sample_ratio = ratio
        self._fitted = False  # what customers are looked up by is to be known first

    async def look_at_newest_times(self, now: float) -> None:
        """See how the shop writes its times *now*, where they may be texts.

        Raises:
            DatabaseSchemaError: none of the newest is a time.
        """
        if self.stream.newest_times is None:
            return
        rows = await self._session.rows(self.stream.newest_times)
        illegible = [(ending, kind) for ending, kind, legible in rows if not legible]
        if illegible and len(illegible) == len(rows):
            raise self._no_times(illegible[0][1])
        for ending, _ in illegible:
            self._odd.found(ODD_TIME, None, ending)
        shown = self.zone.offset(now)
        found = [int(abs(offset - shown)) for row in rows if (offset := offset_seconds(row[0])) is not None]
        self._offset_seconds = max(found) + _OFFSET_MARGIN_SECONDS if any(found) else 0

    async def buckets(self, low: int, high: int) -> Counts:
        """The counts of the buckets from *low* up to *high*.

        Raises:
            DatabaseError: as of each question.
        """
        return await self._counts(self.stream.fine, low * FINE_SECONDS, high * FINE_SECONDS)

    async def hours(self, low: int, high: int) -> Counts:
        """The counts of the hours from *low* up to *high*."""
        if self._routed is not None:
            return await self._routed_hours(low, high, self._routed)
        if high - low > 1:
            return await self._counts(self.stream.coarse, low * COARSE_SECONDS, high * COARSE_SECONDS)
        rows = await self._ask(self.stream.whole, low * COARSE_SECONDS, high * COARSE_SECONDS)
        return counts_of(((low, *row) for row in rows), most=self._most)

    async def rows(self, low: int, high: int) -> Sequence[Row]:
        """The single rows of the buckets from *low* up to *high*."""
        bounds = self._bounds(low * FINE_SECONDS, high * FINE_SECONDS)
        sample = None if self.sample_ratio >= 1.0 else f"{round(self.sample_ratio * HASHES):03x}"
        rows = known_units(
            self.stream, await single_rows(self.stream, self._session, bounds, sample), self._entered, self._pairs
        )
        if self._routed is not None:
            told = ((row, self._version(row[_ROWS_VERSION], row[_ROWS_MOMENT])) for row in rows)
            rows = [
                (*row[:_ROWS_VERSION], found, *row[_ROWS_VERSION + 1 :]) for row, found in told if found != LEFT_OUT
            ]
        if self._agreement is not None:
            timed = (row for row in rows if row[_ROWS_ENTERED] is not None)
            self._agreement.see(
                (row[ROWS_UNIT], self._entered.moment(float(row[_ROWS_ENTERED])), row[_ROWS_VERSION]) for row in timed
            )
        return rows

    async def oldest(self, low: int, high: int) -> float | None:
        """The smallest time in the buckets from *low* up to *high*; None without any row.

        It is no number, or none that is finite, where what is no time hides the oldest one.
        """
        rows = await self._ask(self.stream.oldest, low * FINE_SECONDS, high * FINE_SECONDS)
        found = [math.nan if oldest is None else oldest for oldest, nothing in rows if not nothing]
        return math.nan if any(map(math.isnan, found)) else min(found, default=None)

    async def _fit(self, *, careful: bool) -> None:
        """Suit statements and zones to what the columns hold."""
        self._fitted = False
        self._kinds = await self._kinds_now()
        self.stream = stream = self.stream.fit(self._kinds, careful)
        self.zone = self._clock_zone.of(instants=stream.instants)
        self._entered = self._clock_zone.of(instants=stream.entered_instants)
        self._in_zones(self.zone, self._entered)
        self._fitted, self._careful = True, careful

    async def _kinds_now(self) -> Kinds:
        return await kinds_read(self.stream, self._session, sampled=self.sample_ratio < 1.0)

    def _no_times(self, kind: str) -> DatabaseSchemaError:
        place = f"database.events.{self.stream.event}"
        return no_times(place, "its time", held_by(kind), numbered=self.stream.dialect.units_per_second > 0)

    @property
    def _most(self) -> float:
        """A sum beyond this has one value too large in it, unless each was looked at."""
        return math.inf if self._careful else LARGEST

    async def _counts(self, statement: Statement, low: int, high: int) -> Counts:
        rows: Iterable[tuple[Any, ...]] = map(tuple, await self._ask(statement, low, high))
        if self._routed is not None:  # of hours they are counted by `_routed_hours`, so these are fine buckets
            rows = _counting((row[0], self._version(row[1], row[0] * FINE_SECONDS), *row[2:]) for row in rows)
        return counts_of(rows, most=self._most)

    async def _routed_hours(self, low: int, high: int, routed: UnitVersions) -> Counts:
        """Hour by hour: at once where no version changes hands, else by its buckets."""
        counts: Counts = {}
        for hour in range(low, high):
            first, end = hour * COARSE_SECONDS, (hour + 1) * COARSE_SECONDS
            since, until = self.zone.moment(first), self.zone.moment(end)
            stream = self.stream
            # What a row inherits may be of any time before it.
            if routed.same_for_all(-math.inf if stream.inherits else since, until):
                statement, whole = stream.anyone, True
            else:
                whole = routed.steady(since, until)
                statement = stream.whole if whole else stream.fine
            rows = await self._ask(statement, first, end)
            asked = [(first, *row) if whole else (row[0] * FINE_SECONDS, *row[1:]) for row in rows]
            found = ((hour, self._version(key, moment), *rest) for moment, key, *rest in asked)
            counts |= counts_of(_counting(found), most=self._most)
        return counts

    def _version(self, key: Any, stored: Any) -> str | None:
        """The version that a key tells, at a time as the database has it."""
        return version_of(self._routed, key, stored, self.zone, self._clock_zone, self._pairs)

    async def _ask(self, statement: Statement, low: int, high: int) -> Sequence[Row]:
        return await self._session.rows(statement, self._bounds(low, high))

    def _bounds(self, low: int, high: int) -> Parameters:
        return self.stream.dialect.parameters(low, high, offset_seconds=self._offset_seconds)


def known_units(stream: Stream, rows: Sequence[Row], entered: Zone, pairs: Mapping[str | None, Pairs]) -> Sequence[Row]:
    """A stream's single rows with their customers as the router knows them, where that is told by another database.

    Args:
        entered: the zone of the rows' own times.
        pairs: by identity, what tells it.
    """
    known = pairs.get(stream.identity)
    if known is None:
        return rows
    units = (
        None if row[_ROWS_ENTERED] is None else known.unit(row[ROWS_UNIT], entered.moment(float(row[_ROWS_ENTERED])))
        for row in rows
    )
    told = zip(rows, units, strict=True)
    return [(*row[:ROWS_UNIT], unit, *row[ROWS_UNIT + 1 :]) for row, unit in told if unit != LEFT_OUT]


def _counting(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Counts by bucket and version, without those of customers who count nowhere."""
    return (row for row in rows if row[1] != LEFT_OUT)
