"""What `canary init` reads of an unknown order database, to guess at its mapping.

Every name is quoted as the database needs it: a shop may have a table `order`. A table or view that cannot be looked at
is left out; it would keep every other one from being found.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, NoSuchTableError

from canary.errors import DatabaseError, DatabaseUnavailableError
from canaryctl.init.proposal import Column, Proposed, Source, excluded, outcomes, propose
from exporter.source.database import Session

SAMPLE_ROWS = 10_000
"""Read in a moment from any shop's database without an index, and enough to meet every version that serves now."""
_VALUES = 50
"""A column with more different values than this is no status; what is read of it is thrown away."""


async def guess(session: Session) -> tuple[list[Proposed], dict[str, dict[str, int]]]:
    """The events that the tables seem to hold, and the sampled rows of each by version.

    Raises:
        DatabaseError: the tables cannot be looked at.
    """
    sources = await session.run(lambda connection: list(_sources(connection)))
    proposed = [await _with_values(session, one, sources) for one in propose(sources)]
    return proposed, {one.event: await _versions(session, one) for one in proposed}


def _sources(connection: sa.Connection) -> Iterator[Source]:
    inspector = sa.inspect(connection)
    for name in sorted({*inspector.get_table_names(), *inspector.get_view_names()}):
        try:
            columns = inspector.get_columns(name)
            references = {
                key["constrained_columns"][0]: key["referred_table"]
                for key in inspector.get_foreign_keys(name)
                if len(key["constrained_columns"]) == 1
            }
            primary = inspector.get_pk_constraint(name)["constrained_columns"]
        except (DBAPIError, NoSuchTableError):
            continue
        described = (
            Column(column["name"], _kind(column["name"], column["type"]), references.get(column["name"]))
            for column in columns
        )
        yield Source(name, tuple(described), primary[0] if len(primary) == 1 else None)


def _kind(name: str, type_: sa.types.TypeEngine[object]) -> str:
    if isinstance(type_, sa.types.DateTime | sa.types.Date):
        return "time"
    if isinstance(type_, sa.types.Numeric | sa.types.Integer | sa.types.Float):
        return "number"
    # SQLite keeps times as text; only the column's name tells.
    looks_like_time = name.lower().endswith(("_at", "_on", "time", "timestamp", "date")) or name.lower() == "created"
    return "time" if looks_like_time else "text"


async def _with_values(session: Session, one: Proposed, sources: Sequence[Source]) -> Proposed:
    """The event with what its status column's values mean."""
    column = one.keys.get("outcome")
    if isinstance(column, str):
        succeeded, failed = outcomes(await _distinct(session, one, column))
        keys = {**one.keys, "succeeded": succeeded, "failed": failed} if succeeded else one.keys
        return Proposed(one.event, one.table, keys)
    if one.event == "orders":
        columns = next(source.columns for source in sources if source.name == one.table)
        names = [column.name for column in columns]
        status = next((name for name in ("status", "state") if name in names), None)
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
    table = sa.table(one.table, sa.column(column))
    sample = sa.select(table.c[column]).limit(SAMPLE_ROWS).subquery("sample")
    value = sample.c[column]
    try:
        return await session.rows(sa.select(value, *more).group_by(value))
    except DatabaseUnavailableError:
        raise
    except DatabaseError:
        return []
