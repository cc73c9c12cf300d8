"""What `canary init` reads of an unknown order database, to guess at its mapping.

Every name is quoted as the database needs it: a shop may have a table `order`. A table or view that cannot be looked at
is left out; it would keep every other one from being found.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, NoSuchTableError, UnreflectableTableError

from canary.errors import DatabaseError, DatabaseUnavailableError
from canaryctl.init.proposal import Column, Proposed, Source, excluded, judgeable, outcomes, propose, spelled
from exporter.source.database import Session
from exporter.source.mapping import selectable
from exporter.source.watch.catalog import other_schemas

SAMPLE_ROWS = 10_000
"""Read in a moment from any shop's database without an index, and enough to meet every version that serves now."""
_MOMENTS = 20
"""Numbers that are looked at to tell seconds from milliseconds."""
_UNITS = {"seconds": 1, "milliseconds": 1_000, "microseconds": 1_000_000}
_FIRST, _LAST = 9e8, 4e9
"""From 1998 to 2096: a factor of four, so that no number is of two units."""
_LIKE_TIMES = ("_at", "_on", "time", "timestamp", "date", "_ts", "_ms", "_us", "_utc", "_gmt")
_VALUES = 50
"""A column with more different values than this is no status; what is read of it is thrown away."""


async def guess(session: Session) -> tuple[list[Proposed], dict[str, dict[str, int]]]:
    """The events that the tables of the first schema with any seem to hold, and the sampled rows of each by version.

    Raises:
        DatabaseError: the tables cannot be looked at.
    """
    for schema in await session.run(_schemas):
        sources = await session.run(partial(_described, schema))
        if judgeable(propose(sources)):
            proposed = [await _with_values(session, one, sources) for one in propose(sources)]
            return proposed, {one.event: await _versions(session, one) for one in proposed}
    return [], {}


def _schemas(connection: sa.Connection) -> list[str | None]:
    """The one that names without a schema are in, then the others of the same database."""
    if connection.dialect.name != "postgresql":  # elsewhere a schema is another database, which the address would name
        return [None]
    return [None, *other_schemas(sa.inspect(connection))]


def _described(schema: str | None, connection: sa.Connection) -> list[Source]:
    return list(_sources(schema, connection))


def _sources(schema: str | None, connection: sa.Connection) -> Iterator[Source]:
    inspector = sa.inspect(connection)
    names = {*inspector.get_table_names(schema), *inspector.get_view_names(schema)}
    if connection.dialect.name == "postgresql":
        names |= {*inspector.get_materialized_view_names(schema)}
    before = "" if schema is None else f"{schema}."
    for name in sorted(names):
        try:
            columns = inspector.get_columns(name, schema)
            references = {
                key["constrained_columns"][0]: f"{before}{key['referred_table']}"
                for key in inspector.get_foreign_keys(name, schema)
                if len(key["constrained_columns"]) == 1
            }
            primary = inspector.get_pk_constraint(name, schema)["constrained_columns"]
            units = {
                column["name"]: _unit(connection, name, schema, column["name"])
                for column in columns
                if _maybe_number(connection, column["name"], column["type"])
            }
        except (DBAPIError, NoSuchTableError, UnreflectableTableError):  # such as a view of a table that is gone
            continue
        described = (
            Column(
                column["name"],
                "time" if units.get(column["name"]) else _kind(column["name"], column["type"]),
                references.get(column["name"]),
                units.get(column["name"]),
            )
            for column in columns
        )
        yield Source(f"{before}{name}", tuple(described), primary[0] if len(primary) == 1 else None)


def _maybe_number(connection: sa.Connection, name: str, type_: sa.types.TypeEngine[object]) -> bool:
    """Whether a column is called like a time and may hold a number: SQLite keeps either in any column."""
    if not _called_like_time(name):
        return False
    return connection.dialect.name == "sqlite" or isinstance(type_, sa.types.Numeric | sa.types.Integer)


def _unit(connection: sa.Connection, table: str, schema: str | None, column: str) -> str | None:
    """What a time counts since 1970, by how large its numbers are; None where it holds none that could be of now."""
    source = sa.table(table, sa.column(column), schema=schema)
    statement = sa.select(source.c[column]).where(source.c[column].is_not(None)).limit(_MOMENTS)
    found = [row[0] for row in connection.execute(statement)]
    if not found or not all(isinstance(value, int | float | Decimal) for value in found):
        return None
    largest = float(max(found))
    return next((unit for unit, per_second in _UNITS.items() if _FIRST <= largest / per_second < _LAST), None)


def _kind(name: str, type_: sa.types.TypeEngine[object]) -> str:
    if isinstance(type_, sa.types.DateTime | sa.types.Date):
        return "time"
    if isinstance(type_, sa.types.Numeric | sa.types.Integer | sa.types.Float | postgresql.MONEY):
        return "number"
    # SQLite keeps times as text; only the column's name tells.
    return "time" if _called_like_time(name) else "text"


def _called_like_time(name: str) -> bool:
    return spelled(name).endswith(_LIKE_TIMES) or name.lower() in ("created", "ts")


async def _with_values(session: Session, one: Proposed, sources: Sequence[Source]) -> Proposed:
    """The event with what its status column's values mean."""
    column = one.keys.get("outcome")
    if isinstance(column, str):
        succeeded, failed = outcomes(await _distinct(session, one, column))
        keys = {**one.keys, "succeeded": succeeded, "failed": failed} if succeeded else one.keys
        return Proposed(one.event, one.table, keys)
    if one.event == "orders":
        columns = next(source.columns for source in sources if source.name == one.table)
        named = {spelled(column.name): column.name for column in columns}
        status = next((named[name] for name in ("status", "state", "order_status") if name in named), None)
        cancelled = excluded(await _distinct(session, one, status)) if status else []
        if cancelled:
            return Proposed(one.event, one.table, {**one.keys, "exclude": {status: cancelled}})
    return one


async def _distinct(session: Session, one: Proposed, column: str) -> Sequence[str]:
    rows = await _sampled(session, one, column)
    return [str(value) for (value,) in rows if value is not None][:_VALUES]


async def _versions(session: Session, one: Proposed) -> dict[str, int]:
    version = one.keys["version"]
    if not isinstance(version, str):
        return {}
    counted = await _sampled(session, one, version, sa.func.count())
    return {str(name): int(count) for name, count in counted}


async def _sampled(
    session: Session, one: Proposed, column: str, *more: sa.ColumnElement[Any]
) -> Sequence[Sequence[Any]]:
    """The different values of a column among the first rows; none where they may not be read."""
    table = selectable({column}, table=one.table, sql=None, name="sampled")
    sample = sa.select(table.c[column]).limit(SAMPLE_ROWS).subquery("sample")
    value = sample.c[column]
    try:
        return await session.rows(sa.select(value, *more).group_by(value))
    except DatabaseUnavailableError:
        raise
    except DatabaseError:
        return []
