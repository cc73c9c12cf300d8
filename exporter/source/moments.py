"""Times of two tables that a statement compares with each other.

An order's time may be what the shop's clock showed, and that of the assignment it is held against an instant: MariaDB's
TIMESTAMP, or a number since 1970. Compared as they are, each would be hours later or earlier than it was, and a shop
west of Greenwich would find every assignment too late. So where only one is an instant, it is taken as what the shop's
clock showed then; two of a kind stay as they are, which is exact in the hour that a clock shows twice too.
"""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from canary.policy.database.section import TimeUnit
from exporter.source.columns.kinds import Kind
from exporter.source.dialects import Dialect

Column = sa.ColumnElement[Any]


@dataclass(frozen=True)
class Moment:
    """A column of times.

    Attributes:
        seconds: since the epoch, as far as the column says it.
        instant: whether it is that, and not what the shop's clock showed.
    """

    seconds: Column
    instant: bool


def moment_of(dialect: Dialect, column: Column, unit: TimeUnit | None, kind: Kind | None) -> Moment:
    """A column of a database's times, which is of this kind as far as that is known."""
    seconds = dialect.of_texts(kind is Kind.TEXT).numbered(unit).epoch(column)
    return Moment(seconds, instant=unit is not None or kind is Kind.INSTANT)


def comparable(dialect: Dialect, one: Moment, other: Moment) -> tuple[Column, Column]:
    """The seconds of both, as of one clock."""
    if one.instant == other.instant:
        return one.seconds, other.seconds
    first, second = (dialect.shown(given.seconds) if given.instant else given.seconds for given in (one, other))
    return first, second
