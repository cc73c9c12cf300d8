"""How each database writes times: moments as seconds since the epoch, and bounds that an index can serve.

A refresh must find the newest rows without reading the table. So the column itself is compared with a bound in its own
type, and never a function of the column, which no index could serve. SQLite has texts only: ranges of texts are what
the index serves, and the number decides.

Where the shop keeps times as numbers, the same holds with the bound in its unit (`numbered`).

`SECONDS` parameters are whole seconds since the epoch. Sessions run in UTC, so a time stored without a zone reads as
UTC everywhere; a policy with another `database.timezone` shifts the bounds and the results
(`exporter.source.columns.zones`).

Texts may say their offset from UTC themselves (`+02:00`, `Z`), one row and not the next. So that all of a column's
times mean the same, those count as what the shop's clock showed then.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from canary.policy.database.section import TimeUnit
from exporter.source.transitions import transitions

Parameters = Mapping[str, Any]
Predicate = sa.ColumnElement[bool]
Number = sa.ColumnElement[Any]

_LAST_UNSIGNED = 2**32 - 1
"""ClickHouse's DateTime ends in 2106, and what is later would be a time soon after 1970."""
_TEXT_PAD_SECONDS = 60
"""Times without seconds (`12:00`) sort before `12:00:00`; the exact bound is checked on the number."""

FARTHEST_OFFSET_SECONDS = 26 * 3600
"""Nobody's clock shows more than 14 hours more than UTC, and nobody's 12 less: two texts of one moment differ by no
more."""
CLOCK_OFFSET = "canary_clock_offset"
"""SQLite's name of a function of ours (`exporter.source.drivers.asynchronous`): by how much the shop's clock was ahead
of UTC. A list of changes would have it read a row's text once for each."""

_OFFSET = re.compile("(?P<sign>[+-])(?P<hours>[0-9]{2}):(?P<minutes>[0-9]{2})", re.ASCII)
_SQLITE_OFFSETS = ("*[+-][0-9][0-9]:[0-9][0-9]", "*[zZ]")
"""Endings by which SQLite's own functions know an offset."""
_TIME_OF_DAY = ":[0-9]{2}([.][0-9]+)? ?"
_MYSQL_OFFSETS = {6: (-6, "[+-][0-9]{2}:[0-9]{2}"), 5: (-5, "[+-][0-9]{4}"), 3: (-3, "[+-][0-9]{2}")}
"""By their length, endings that say an offset; the first three characters are its sign and hours. MariaDB and most
MySQL leave them out without a word."""

UNITS_PER_SECOND: Mapping[TimeUnit, int] = {"seconds": 1, "milliseconds": 1_000, "microseconds": 1_000_000}
"""No finer ones: nanoseconds since 1970 are more than a database's floating-point numbers can tell apart."""


@dataclass(frozen=True)
class Dialect:
    """One database's words for time.

    Attributes:
        name: SQLAlchemy's name of the dialect.
        units_per_second: where times are numbers since 1970, how many make a second; 0 for the database's own times.
        clock: the zone of times without an offset, where others say theirs.
        texts: MariaDB, MySQL: the times are texts. SQLite has no others.
    """

    name: str
    units_per_second: int = 0
    clock: str = "UTC"
    texts: bool = False

    def numbered(self, unit: TimeUnit | None) -> "Dialect":
        """The same database's words where times are numbers of *unit* since 1970."""
        return self if unit is None else replace(self, units_per_second=UNITS_PER_SECOND[unit])

    def at_clock(self, zone: str) -> "Dialect":
        """The same database's words where the shop's clock runs in *zone*."""
        return self if self.name in ("postgresql", "duckdb") else replace(self, clock=zone)

    def of_texts(self, texts: bool) -> "Dialect":
        """The same database's words for a column of texts, or of times."""
        return replace(self, texts=texts and self.name in ("mysql", "mariadb"))

    def shown(self, moment: Number) -> Number:
        """What the shop's clock showed at a moment, both in seconds since the epoch."""
        if self.clock == "UTC":
            return moment
        if self.name == "sqlite":
            offset: Number = getattr(sa.func, CLOCK_OFFSET)(moment, type_=sa.Integer)
            return moment + offset
        offsets = [(since, sa.literal_column(f"{offset}", sa.Integer)) for since, offset in transitions(self.clock)]
        arms = [(moment >= sa.literal_column(f"{since}", sa.BigInteger), offset) for since, offset in offsets]
        return moment + sa.case(*arms, else_=offsets[-1][1])

    def epoch(self, column: Number) -> Number:
        """Seconds since the epoch, with a fraction where the database keeps one."""
        if self.units_per_second:
            return self._double(column) / sa.literal_column(f"{self.units_per_second}.0", type_=sa.Double)
        match self.name:
            case "postgresql":
                moment = sa.cast(column, sa.DateTime(timezone=True))
                return sa.func.date_part(sa.literal_column("'epoch'"), moment, type_=sa.Double)
            case "mysql" | "mariadb":
                return self._text_epoch(column) if self.texts else sa.func.unix_timestamp(column, type_=sa.Double)
            case "duckdb":
                return sa.func.epoch(column)
            case "clickhouse":
                return sa.func.toUnixTimestamp64Milli(sa.func.toDateTime64(column, 3)) / 1000.0
            case "trino":
                return sa.func.to_unixtime(column)
            case "sqlite":
                return self._at_clock(column, (sa.func.julianday(column) - 2440587.5) * 86400.0)
            case _:
                return sa.cast(sa.extract("epoch", column), sa.Double)

    def bucket(self, column: Number, width_seconds: int) -> Number:
        """Number of the bucket of *width_seconds* since the epoch that the time falls into."""
        if self.units_per_second:
            return self._numbered_bucket(column, width_seconds * self.units_per_second)
        if self.name == "sqlite":  # whole seconds first, so that no rounding crosses a bucket's edge
            whole = sa.literal_column(f"{width_seconds}", type_=sa.Integer)
            return self._at_clock(column, sa.cast(sa.func.strftime("%s", column), sa.Integer)) // whole
        width = sa.literal_column(f"{width_seconds}", type_=sa.Double)  # a typed one keeps decimals out of the division
        return self._whole(sa.func.floor(self.epoch(column) / width))

    def text(self, column: Number) -> sa.ColumnElement[str]:
        """The column as a text, NULL where it is NULL."""
        if self.name == "clickhouse":  # whose CAST keeps no NULL
            return sa.func.toString(column, type_=sa.String())
        return sa.cast(column, sa.String())

    def smallest(self, column: Number) -> Number:
        """The smallest value of a column, NULL where there is none."""
        if self.name == "clickhouse":  # whose `min` of nothing is 0, a moment in 1970
            return sa.func.minOrNull(column)
        return sa.func.min(column)

    def within(self, column: Number) -> Predicate:
        """Times from `low` on and before `high`; parameters as `parameters` names them."""
        if self._ordered_texts:
            return self._text_within(column)
        if self.texts:  # as they are written, which is quick, and then as they are meant
            # No index serves a text that is compared with a time; of `15:00:00.5+01` MySQL makes no time.
            written = sa.func.left(column, _plain("19"))
            about = sa.and_(written >= self._moment("rough_low"), written < self._moment("rough_high"))
            meant = self.epoch(column)
            low, high = sa.bindparam("low", type_=sa.BigInteger), sa.bindparam("high", type_=sa.BigInteger)
            return sa.and_(about, meant >= low, meant < high)
        return sa.and_(column >= self._moment("low"), column < self._moment("high"))

    def roughly_within(self, column: Number) -> Predicate:
        """The same, so simple that the smallest time comes out of an index; SQLite: by whole days."""
        if self._ordered_texts:
            return sa.and_(column >= _text("first_day"), column < _text("last_day"))
        return self.within(column)

    def parameters(self, low: int, high: int, offset_seconds: int = 0) -> Parameters:
        """Values for `within`.

        Args:
            low: first second that is wanted.
            high: first second that is not.
            offset_seconds: SQLite: how far texts with an offset may lie from what the shop's clock shows.
        """
        if self._ordered_texts:
            return _text_parameters(low, high, offset_seconds)
        if self.name in ("mysql", "mariadb") and not self.units_per_second:
            rough = {"rough_low": max(low - FARTHEST_OFFSET_SECONDS, 0), "rough_high": high + FARTHEST_OFFSET_SECONDS}
            return {"low": low, "high": high, **rough}
        return {"low": self._value(low), "high": self._value(high)}

    @property
    def _ordered_texts(self) -> bool:
        return self.name == "sqlite" and not self.units_per_second

    def _at_clock(self, column: Number, moment: Number) -> Number:
        """SQLite: the moment of a text, as the shop's clock showed it where the text says its offset."""
        if self.clock == "UTC":
            return moment
        written = sa.func.rtrim(column)
        patterns = (sa.literal_column(f"'{pattern}'", sa.String()) for pattern in _SQLITE_OFFSETS)
        says = sa.or_(*(written.op("GLOB", is_comparison=True)(pattern) for pattern in patterns))
        return sa.case((says, self.shown(moment)), else_=moment)

    def _text_epoch(self, column: Number) -> Number:
        """MariaDB, MySQL: the same, which read a text up to its offset."""
        written, arms = sa.func.trim(column), []
        endings = [(1, None, "[zZ]"), *((length, at, ending) for length, (at, ending) in _MYSQL_OFFSETS.items())]
        for length, at, ending in endings:
            says = written.op("REGEXP", is_comparison=True)(_plain(f"'{_TIME_OF_DAY}{ending}$'"))
            bare = sa.func.left(written, sa.func.char_length(written) - _plain(f"{length}"))
            moment: Number = sa.func.unix_timestamp(bare, type_=sa.Double)
            if at is not None:
                hours = sa.cast(sa.func.substr(written, _plain(f"{at}"), _plain("3")), sa.Integer)
                sign = sa.func.substr(written, _plain(f"{at}"), _plain("1"))
                minutes = sa.func.concat(sign, sa.func.right(written, _plain("2"))) if length > 3 else _plain("0")
                moment = moment - hours * _plain("3600") - sa.cast(minutes, sa.Integer) * _plain("60")
            arms.append((says, self.shown(moment)))
        return sa.case(*arms, else_=sa.func.unix_timestamp(column, type_=sa.Double))

    def _text_within(self, column: Number) -> Predicate:
        """ISO texts order by time within one separator only, and a space sorts before `T`; so both are bounded apart.

        The ranges are what the index serves; the number decides.
        """
        seconds = self._at_clock(column, sa.cast(sa.func.strftime("%s", column), sa.Integer))
        ranges = (
            sa.and_(column >= _text("space_low"), column < _text("space_end")),
            sa.and_(column >= _text("t_low"), column < _text("space_high")),
            sa.and_(column >= _text("t_start"), column < _text("t_high")),
        )
        low, high = sa.bindparam("low", type_=sa.Integer), sa.bindparam("high", type_=sa.Integer)
        return sa.and_(sa.or_(*ranges), seconds >= low, seconds < high)

    def _numbered_bucket(self, column: Number, width: int) -> Number:
        literal = sa.literal_column(f"{width}", type_=sa.BigInteger)
        match self.name:
            case "sqlite":
                return sa.cast(column, sa.Integer) // literal
            case "mysql" | "mariadb":  # its `/` keeps few decimals and rounds a bucket's last moment into the next
                return column.op("DIV", return_type=sa.BigInteger())(literal)
            case _:
                ratio = self._double(column) / sa.literal_column(f"{width}.0", type_=sa.Double)
                return self._whole(sa.func.floor(ratio))

    def _double(self, column: Number) -> Number:
        return sa.func.toFloat64(column) if self.name == "clickhouse" else sa.cast(column, sa.Double)

    def _whole(self, column: Number) -> Number:
        return sa.func.toInt64(column) if self.name == "clickhouse" else sa.cast(column, sa.BigInteger)

    def _moment(self, parameter: str) -> Number:
        if self.units_per_second:
            return sa.bindparam(parameter, type_=sa.BigInteger)
        number: Number = sa.bindparam(parameter, type_=sa.Double)
        match self.name:
            case "postgresql" | "duckdb":
                return sa.func.to_timestamp(number)
            case "mysql" | "mariadb":
                return sa.func.from_unixtime(sa.bindparam(parameter, type_=sa.BigInteger))
            case "clickhouse":
                return sa.func.toDateTime(sa.bindparam(parameter, type_=sa.BigInteger))
            case "trino":
                return sa.func.from_unixtime(number)
            case _:
                return sa.bindparam(parameter, type_=sa.DateTime)

    def _value(self, seconds: int) -> object:
        if self.units_per_second:
            return seconds * self.units_per_second
        if self.name in ("postgresql", "duckdb", "trino"):
            return float(seconds)
        if self.name in ("mysql", "mariadb"):
            return seconds
        if self.name == "clickhouse":
            return min(max(seconds, 0), _LAST_UNSIGNED)
        return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def _plain(written: str) -> sa.ColumnClause[Any]:
    return sa.literal_column(written)


def _text(parameter: str) -> sa.BindParameter[str]:
    return sa.bindparam(parameter, type_=sa.String)


def _text_parameters(low: int, high: int, offset_seconds: int) -> Parameters:
    slack = timedelta(seconds=_TEXT_PAD_SECONDS + offset_seconds)
    first = datetime.fromtimestamp(max(low, 0), UTC) - slack
    last = datetime.fromtimestamp(max(high, 0), UTC) + slack
    t_low, space_high = f"{first:%Y-%m-%dT%H:%M:%S}", f"{last:%Y-%m-%d %H:%M:%S}"
    return {
        "low": low,
        "high": high,
        "space_low": f"{first:%Y-%m-%d %H:%M:%S}",
        "space_end": min(f"{first:%Y-%m-%dT}", space_high),
        "t_low": t_low,
        "space_high": space_high,
        "t_start": max(f"{last:%Y-%m-%dT}", t_low),
        "t_high": f"{last:%Y-%m-%dT%H:%M:%S}",
        "first_day": f"{first - timedelta(days=1):%Y-%m-%d}",
        "last_day": f"{last + timedelta(days=2):%Y-%m-%d}",
    }


def offset_seconds(ending: str | bytes | None) -> int | None:
    """The offset in the last six characters of an ISO text: `+05:30`, `0:00Z`; None where it says none."""
    written = ending.decode("utf-8", "replace") if isinstance(ending, bytes) else ending or ""
    if written.rstrip()[-1:] in ("z", "Z"):
        return 0
    found = _OFFSET.fullmatch(written)
    if found is None:
        return None
    return (int(found["hours"]) * 60 + int(found["minutes"])) * 60 * (1 if found["sign"] == "+" else -1)
