"""How each database is asked for numbers that can be added up, whatever the column holds.

A sum is only as good as its worst row: one NaN makes it NaN, and a text such as `12,50` counts as 12 in SQLite and
MariaDB without a word. So texts are added only where the whole of them is a number, by the same grammar as single rows
are read with (`exporter.source.columns.values`), and the two never differ.

Numbers in a column of numbers are added as they are; only `bounded` looks at each. NaN and both infinities are on no
side of a bound, in every database.
"""

from typing import Any

import sqlalchemy as sa

from exporter.source.columns.kinds import Kind
from exporter.source.columns.values import LARGEST, NUMBER_PATTERN

Column = sa.ColumnElement[Any]


def addable(column: Column, kind: Kind | None, dialect: str) -> Column:
    """The column as a number, NULL where it is none; as it is where nothing is known of it."""
    if dialect == "sqlite":  # the comparison turns a text into a number only where nothing of it gets lost
        return sa.case((column == sa.cast(column, sa.Numeric), column))
    if kind is None or kind is Kind.NUMBER:
        return column
    if dialect == "clickhouse":
        if kind is Kind.BOOLEAN:
            return sa.func.toUInt8(column)
        return bounded(_where_number(column, "REGEXP", sa.func.toFloat64OrNull(column)), dialect)
    if dialect == "postgresql":
        if kind is Kind.MONEY:
            return sa.cast(column, sa.Numeric)
        if kind is Kind.BOOLEAN:
            return sa.cast(column, sa.Integer)
        written = sa.cast(column, sa.Text)
        return bounded(_where_number(written, "~", sa.cast(written, sa.Numeric)), dialect)
    if kind is Kind.OTHER:  # a point, or bits, which no text pattern can be held against
        return sa.cast(sa.null(), sa.Numeric(65, 10))
    written = sa.cast(column, sa.String)  # MySQL holds no pattern against bytes
    return bounded(_where_number(written, "REGEXP", sa.cast(column, sa.Numeric(65, 10))), dialect)


def bounded(value: Column, dialect: str) -> Column:
    """The value, NULL where it is NaN, infinite or larger than any that can be meant."""
    if dialect == "sqlite":  # whole numbers overflow its sums
        value = sa.cast(value, sa.REAL)
    limit = sa.literal_column(f"{LARGEST:.0f}", type_=sa.BigInteger)
    return sa.case((sa.and_(value >= -limit, value <= limit), value))


def _where_number(written: Column, matches: str, value: Column) -> Column:
    pattern = sa.literal_column(f"'{NUMBER_PATTERN}'", type_=sa.String)
    return sa.case((written.op(matches, is_comparison=True)(pattern), value))
