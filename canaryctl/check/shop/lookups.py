"""What is looked up for each row, assignments and identities: there, readable, and quick to find one in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa

from canary.errors import DatabaseError, DatabaseUnavailableError
from canary.finding import Finding, Status, failed, warning
from canaryctl.check.shop.nearest import near
from exporter.source.database import Session
from exporter.source.watch.catalog import Table, index_statement


@dataclass(frozen=True)
class Lookup:
    """A table, or a SELECT, in which one row is looked for at a time.

    Attributes:
        at: the policy's key.
        table: None for a SELECT.
        columns: by key, the column that is read.
        sought: the columns by which rows are looked for.
        rows: what they are selected from.
        nothing: what it means that there are none.
    """

    at: str
    table: str | None
    columns: Mapping[str, str]
    sought: Sequence[str]
    rows: sa.FromClause
    nothing: str


async def check_lookup(
    place: str, lookup: Lookup, session: Session, tables: Mapping[str, Table | None], names: Sequence[str]
) -> list[Finding]:
    """What is wrong with it.

    Raises:
        DatabaseUnavailableError: there is no connection.
    """
    findings: list[Finding] = []
    if lookup.table is not None:
        table = tables[lookup.table]
        wrong = _wrong_table(place, lookup, lookup.table, table, names)
        if wrong or table is None:
            return wrong
        for column in lookup.sought:
            findings += await _unindexed(place, lookup.table, column, table, session)
    return findings + await _unreadable(place, lookup, session)


def is_readable(findings: Sequence[Finding]) -> bool:
    """Whether nothing that was found keeps anybody from reading it."""
    return not any(finding.status is Status.FAILED for finding in findings)


def _wrong_table(place: str, lookup: Lookup, name: str, table: Table | None, names: Sequence[str]) -> list[Finding]:
    if table is None:
        return [failed(place, f"{lookup.at}.table: no table or view {name!r}", near(name, names))]
    return [
        failed(place, f"{lookup.at}.{key}: {name} has no column {column!r}", near(column, table.columns))
        for key, column in lookup.columns.items()
        if column not in table.columns
    ]


async def _unindexed(place: str, name: str, column: str, table: Table, session: Session) -> list[Finding]:
    if column in table.indexed:
        return []
    what = f"{name}.{column} has no index, every row's look-up reads the whole table"
    run = await session.run(partial(index_statement, table=name, column=column))
    return [warning(place, what, f"run: {run}")]


async def _unreadable(place: str, lookup: Lookup, session: Session) -> list[Finding]:
    try:
        found = await session.rows(sa.select(*lookup.rows.c).limit(1))
    except DatabaseUnavailableError:
        raise
    except DatabaseError as error:
        remedy = "see that this user may read it, and try the statement in the database's own client"
        return [failed(place, f"{lookup.at}: {error.what}", remedy)]
    return [] if found else [warning(place, f"{lookup.at}: {lookup.nothing}", "see that what writes them runs")]
