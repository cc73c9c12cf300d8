"""How each database writes times: moments as seconds since the epoch, and bounds that an index can serve.

A refresh must find the newest rows without reading the table. So the column itself is compared with a bound in its own
type, and never a function of the column, which no index could serve. SQLite has texts only: ranges of texts are what
the index serves, and the number decides.

`SECONDS` parameters are whole seconds since the epoch. Sessions run in UTC, so a time stored without a zone reads as
UTC everywhere; a policy with another `database.timezone` shifts the bounds and the results (`exporter.source.zones`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

Parameters = Mapping[str, Any]
Predicate = sa.ColumnElement[bool]
Number = sa.ColumnElement[Any]

_TEXT_PAD_SECONDS = 60
"""Times without seconds (`12:00`) sort before `12:00:00`; the exact bound is checked on the number."""


@dataclass(frozen=True)
class Dialect:
    """One database's words for time.

    Attributes:
        epoch: function name or names that turn a column into seconds since the epoch.
        bound: function that turns seconds into a value comparable with the column.
    """

    name: str

    def epoch(self, column: Number) -> Number:
        """Seconds since the epoch, with a fraction where the database keeps one."""
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
        if self.name == "sqlite":  # whole seconds first, so that no rounding crosses a bucket's edge
            whole = sa.literal_column(f"{width_seconds}", type_=sa.Integer)
            return sa.cast(sa.func.strftime("%s", column), sa.Integer) // whole
        width = sa.literal_column(f"{width_seconds}", type_=sa.Double)  # a typed one keeps decimals out of the division
        return sa.cast(sa.func.floor(self.epoch(column) / width), sa.BigInteger)

    def within(self, column: Number, prefix: str = "", *, ended: bool) -> Predicate:
        """Times from `low` on, and when *ended* before `high`; parameters as `parameters` names them."""
        if self.name == "sqlite":
            return _text_within(column, prefix, ended=ended)
        bounds = [column >= self._moment(f"{prefix}low")]
        if ended:
            bounds.append(column < self._moment(f"{prefix}high"))
        return sa.and_(*bounds)

    def parameters(self, low: int, high: int | None = None, prefix: str = "", offset_seconds: int = 0) -> Parameters:
        """Values for `within`.

        Args:
            low: first second that is wanted.
            high: first second that is not; None for no end.
            offset_seconds: SQLite: how far texts with an offset may lie from UTC.
        """
        if self.name == "sqlite":
            return _text_parameters(low, high, prefix, offset_seconds)
        values: dict[str, Any] = {f"{prefix}low": self._value(low)}
        if high is not None:
            values[f"{prefix}high"] = self._value(high)
        return values

    def _moment(self, parameter: str) -> Number:
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
        if self.name in ("postgresql", "duckdb", "trino"):
            return float(seconds)
        if self.name in ("mysql", "mariadb", "clickhouse"):
            return seconds
        return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def _text_within(column: Number, prefix: str, *, ended: bool) -> Predicate:
    """ISO texts order by time within one separator only, and a space sorts before `T`; so both are bounded apart.

    The ranges are what the index serves; the number decides.
    """
    seconds = sa.cast(sa.func.strftime("%s", column), sa.Integer)

    def text(name: str) -> sa.BindParameter[str]:
        return sa.bindparam(f"{prefix}{name}", type_=sa.String)

    ranges = [sa.and_(column >= text("space_low"), column < text("space_end"))]
    if not ended:
        ranges.append(column >= text("t_low"))
        return sa.and_(sa.or_(*ranges), seconds >= sa.bindparam(f"{prefix}low", type_=sa.Integer))
    ranges.append(sa.and_(column >= text("t_low"), column < text("space_high")))
    ranges.append(sa.and_(column >= text("t_start"), column < text("t_high")))
    exact = (
        seconds >= sa.bindparam(f"{prefix}low", type_=sa.Integer),
        seconds < sa.bindparam(f"{prefix}high", type_=sa.Integer),
    )
    return sa.and_(sa.or_(*ranges), *exact)


def _text_parameters(low: int, high: int | None, prefix: str, offset_seconds: int) -> Parameters:
    slack = timedelta(seconds=_TEXT_PAD_SECONDS + offset_seconds)
    first = datetime.fromtimestamp(max(low, 0), UTC) - slack
    values: dict[str, Any] = {
        "low": low,
        "space_low": f"{first:%Y-%m-%d %H:%M:%S}",
        "space_end": f"{first:%Y-%m-%dT}",
        "t_low": f"{first:%Y-%m-%dT%H:%M:%S}",
    }
    if high is not None:
        last = datetime.fromtimestamp(max(high, 0), UTC) + slack
        values["high"] = high
        values["space_high"] = f"{last:%Y-%m-%d %H:%M:%S}"
        values["space_end"] = min(values["space_end"], values["space_high"])
        values["t_start"] = max(f"{last:%Y-%m-%dT}", values["t_low"])
        values["t_high"] = f"{last:%Y-%m-%dT%H:%M:%S}"
    return {f"{prefix}{name}": value for name, value in values.items()}


def offset_seconds(ending: str) -> int:
    """The offset in the last six characters of an ISO text: `+05:30`; 0 where there is none."""
    if len(ending) != 6 or ending[0] not in "+-" or ending[3] != ":" or not (ending[1:3] + ending[4:]).isdigit():
        return 0
    return (int(ending[1:3]) * 60 + int(ending[4:])) * 60 * (1 if ending[0] == "+" else -1)
