"""How each database writes times: moments as seconds since the epoch, and bounds that an index can serve.

A refresh must find the newest rows without reading the table. So the column itself is compared with a bound in its own
type, and never a function of the column, which no index could serve. SQLite has texts only: ranges of texts are what
the index serves, and the number decides.

Where the shop keeps times as numbers, the same holds with the bound in its unit (`numbered`).

`SECONDS` parameters are whole seconds since the epoch. Sessions run in UTC, so a time stored without a zone reads as
UTC everywhere; a policy with another `database.timezone` shifts the bounds and the results
(`exporter.source.columns.zones`).
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from canary.policy.database.section import TimeUnit

Parameters = Mapping[str, Any]
Predicate = sa.ColumnElement[bool]
Number = sa.ColumnElement[Any]

_LAST_UNSIGNED = 2**32 - 1
"""ClickHouse's DateTime ends in 2106, and what is later would be a time soon after 1970."""
_TEXT_PAD_SECONDS = 60
"""Times without seconds (`12:00`) sort before `12:00:00`; the exact bound is checked on the number."""

_DRESS = "-{} \t\n\r"
"""What a UUID may be written with, and without."""
_DRESSED = "urn:uuid:|[- {}\t\n\r]"
_ZEROS = "[0.]+$"
_UUID_BYTES = sa.literal_column("16", type_=sa.Integer)

_OFFSET = re.compile("(?P<sign>[+-])(?P<hours>[0-9]{2}):(?P<minutes>[0-9]{2})", re.ASCII)

UNITS_PER_SECOND: Mapping[TimeUnit, int] = {"seconds": 1, "milliseconds": 1_000, "microseconds": 1_000_000}
"""No finer ones: nanoseconds since 1970 are more than a database's floating-point numbers can tell apart."""


@dataclass(frozen=True)
class Dialect:
    """One database's words for time.

    Attributes:
        name: SQLAlchemy's name of the dialect.
        units_per_second: where times are numbers since 1970, how many make a second; 0 for the database's own times.
    """

    name: str
    units_per_second: int = 0

    def numbered(self, unit: TimeUnit | None) -> "Dialect":
        """The same database's words where times are numbers of *unit* since 1970."""
        return self if unit is None else replace(self, units_per_second=UNITS_PER_SECOND[unit])

    def epoch(self, column: Number) -> Number:
        """Seconds since the epoch, with a fraction where the database keeps one."""
        if self.units_per_second:
            return self._double(column) / sa.literal_column(f"{self.units_per_second}.0", type_=sa.Double)
        match self.name:
            case "postgresql":
                moment = sa.cast(column, sa.DateTime(timezone=True))
                return sa.func.date_part(sa.literal_column("'epoch'"), moment, type_=sa.Double)
            case "mysql" | "mariadb":
                return sa.func.unix_timestamp(column, type_=sa.Double)
            case "duckdb":
                return sa.func.epoch(column)
            case "clickhouse":
                return sa.func.toUnixTimestamp64Milli(sa.func.toDateTime64(column, 3)) / 1000.0
            case "trino":
                return sa.func.to_unixtime(column)
            case "sqlite":
                return (sa.func.julianday(column) - 2440587.5) * 86400.0
            case _:
                return sa.cast(sa.extract("epoch", column), sa.Double)

    def bucket(self, column: Number, width_seconds: int) -> Number:
        """Number of the bucket of *width_seconds* since the epoch that the time falls into."""
        if self.units_per_second:
            return self._numbered_bucket(column, width_seconds * self.units_per_second)
        if self.name == "sqlite":  # whole seconds first, so that no rounding crosses a bucket's edge
            whole = sa.literal_column(f"{width_seconds}", type_=sa.Integer)
            return sa.cast(sa.func.strftime("%s", column), sa.Integer) // whole
        width = sa.literal_column(f"{width_seconds}", type_=sa.Double)  # a typed one keeps decimals out of the division
        return self._whole(sa.func.floor(self.epoch(column) / width))

    def text(self, column: Number) -> sa.ColumnElement[str]:
        """The column as a text, NULL where it is NULL."""
        if self.name == "clickhouse":  # whose CAST keeps no NULL
            return sa.func.toString(column, type_=sa.String())
        return sa.cast(column, sa.String())

    def key(self, column: Number) -> sa.ColumnElement[str]:
        """A column that names something as a text; NULL where it names nothing."""
        text = self.text(column)
        if self.name == "sqlite":
            uuid = sa.and_(sa.func.typeof(column) == _word("blob"), sa.func.length(column) == _UUID_BYTES)
            text = sa.case((uuid, sa.func.hex(column)), else_=text)
        elif self.name in ("mysql", "mariadb"):  # bytes that are no text
            odd = sa.cast(text, sa.LargeBinary).is_distinct_from(sa.cast(column, sa.LargeBinary))
            text = sa.case((sa.and_(sa.func.charset(column) == _word("binary"), odd), sa.func.hex(column)), else_=text)
        return sa.func.nullif(sa.func.trim(text), _word(""), type_=sa.String())

    def hashed(self, key: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
        """Three hexadecimal digits that a key's hash begins with; the same in every database, and NULL of NULL.

        And in every spelling that is one key to `exporter.source.columns.values`: a UUID in capitals or without dashes,
        a number as 12 or as 12.00. That other keys have one hash then too, as 12 and 120, harms nobody.
        """
        match self.name:
            case "sqlite":  # a function of ours: its parser takes no long chain of its own
                digits = sa.func.canary_key_hash(key)
            case "postgresql":  # no regular expression: each row of the newest seconds is asked at each look
                for prefix in ("urn:uuid:", "URN:UUID:", "\\x"):
                    key = sa.func.replace(key, _word(prefix), _word(""))
                plain = sa.func.translate(key, _word(f"ABCDEF{_DRESS}"), _word("abcdef"))
                digits = sa.func.md5(sa.func.rtrim(plain, _word("0.")))
            case "clickhouse":
                plain = sa.func.replaceRegexpAll(sa.func.lower(key), _word(_DRESSED), _word(""))
                plain = sa.func.replaceRegexpOne(plain, _word(_ZEROS), _word(""))
                digits = sa.func.lower(sa.func.hex(sa.func.MD5(plain)))
            case _:
                every = [_word("g")] if self.name == "duckdb" else []
                plain = sa.func.regexp_replace(sa.func.lower(key), _word(_DRESSED), _word(""), *every)
                plain = sa.func.regexp_replace(plain, _word(_ZEROS), _word(""))
                if self.name == "trino":
                    digits = sa.func.lower(sa.func.to_hex(sa.func.md5(sa.func.to_utf8(plain))))
                else:
                    digits = sa.func.md5(plain)
        return sa.func.substr(digits, 1, 3, type_=sa.String())

    def smallest(self, column: Number) -> Number:
        """The smallest value of a column, NULL where there is none."""
        if self.name == "clickhouse":  # whose `min` of nothing is 0, a moment in 1970
            return sa.func.minOrNull(column)
        return sa.func.min(column)

    def within(self, column: Number) -> Predicate:
        """Times from `low` on and before `high`; parameters as `parameters` names them."""
        if self._texts:
            return _text_within(column)
        return sa.and_(column >= self._moment("low"), column < self._moment("high"))

    def roughly_within(self, column: Number) -> Predicate:
        """The same, so simple that the smallest time comes out of an index; SQLite: by whole days."""
        if self._texts:
            return sa.and_(column >= _text("first_day"), column < _text("last_day"))
        return self.within(column)

    def parameters(self, low: int, high: int, offset_seconds: int = 0) -> Parameters:
        """Values for `within`.

        Args:
            low: first second that is wanted.
            high: first second that is not.
            offset_seconds: SQLite: how far texts with an offset may lie from UTC.
        """
        if self._texts:
            return _text_parameters(low, high, offset_seconds)
        return {"low": self._value(low), "high": self._value(high)}

    @property
    def _texts(self) -> bool:
        return self.name == "sqlite" and not self.units_per_second

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


def key_hash(key: str | None) -> str | None:
    """`Dialect.hashed` for SQLite, which has no hash of its own; the whole of it."""
    if key is None:
        return None
    plain = key.lower().replace("urn:uuid:", "").translate(dict.fromkeys(map(ord, _DRESS))).rstrip("0.")
    return hashlib.md5(plain.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


def _word(text: str) -> sa.ColumnElement[str]:
    return sa.literal_column(f"'{text}'", type_=sa.String())


def _text_within(column: Number) -> Predicate:
    """ISO texts order by time within one separator only, and a space sorts before `T`; so both are bounded apart.

    The ranges are what the index serves; the number decides.
    """
    seconds = sa.cast(sa.func.strftime("%s", column), sa.Integer)
    ranges = (
        sa.and_(column >= _text("space_low"), column < _text("space_end")),
        sa.and_(column >= _text("t_low"), column < _text("space_high")),
        sa.and_(column >= _text("t_start"), column < _text("t_high")),
    )
    low, high = sa.bindparam("low", type_=sa.Integer), sa.bindparam("high", type_=sa.Integer)
    return sa.and_(sa.or_(*ranges), seconds >= low, seconds < high)


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


def offset_seconds(ending: str | bytes | None) -> int:
    """The offset in the last six characters of an ISO text: `+05:30`; 0 where there is none."""
    if isinstance(ending, bytes):
        ending = ending.decode("utf-8", "replace")
    if (
        ending is None
        or len(ending) != 6
        or ending[0] not in "+-"
        or ending[3] != ":"
        or not (ending[1:3] + ending[4:]).isdigit()
    ):
        return 0
    return (int(ending[1:3]) * 60 + int(ending[4:])) * 60 * (1 if ending[0] == "+" else -1)
