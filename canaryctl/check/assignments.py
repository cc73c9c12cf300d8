"""The table of assignments: there, readable, and quick to look up a unit in."""

from collections.abc import Mapping, Sequence
from functools import partial

import sqlalchemy as sa

from canary.errors import DatabaseError, DatabaseUnavailableError
from canary.finding import Finding, failed, warning
from canary.policy import Policy
from canaryctl.check.nearest import near
from exporter.source.catalog import Table, index_statement
from exporter.source.database import Session
from exporter.source.versions import assignment_rows

_AT = "database.assignments"


async def check_assignments(
    place: str, policy: Policy, session: Session, tables: Mapping[str, Table | None], names: Sequence[str]
) -> list[Finding]:
    """What is wrong with `database.assignments`; nothing where there are none.

    Raises:
        DatabaseUnavailableError: there is no connection.
    """
    given = policy.database.assignments
    if given is None:
        return []
    findings: list[Finding] = []
    if not any(event.unit for event in policy.database.events.values()):
        what = f"{_AT}: no event says its `unit`, so that nobody is looked for in them"
        findings.append(failed(place, what, "name the column with the customer's cookie or address: `unit`"))
    if given.table is not None:
        table = tables[given.table]
        if table is None:
            return [
                *findings,
                failed(place, f"{_AT}.table: no table or view {given.table!r}", near(given.table, names)),
            ]
        keys = (("unit", given.unit), ("time", given.time), ("version", given.version))
        missing = [(key, column) for key, column in keys if column not in table.columns]
        findings += [
            failed(place, f"{_AT}.{key}: {given.table} has no column {column!r}", near(column, table.columns))
            for key, column in missing
        ]
        if missing:
            return findings
        if given.unit not in table.indexed:
            what = f"{given.table}.{given.unit} has no index, every row's look-up reads the whole table"
            run = await session.run(partial(index_statement, table=given.table, column=given.unit))
            findings.append(warning(place, what, f"run: {run}"))
    rows = assignment_rows(given)
    try:
        found = await session.rows(sa.select(*rows.c).limit(1))
    except DatabaseUnavailableError:
        raise
    except DatabaseError as error:
        remedy = "see that this user may read it, and try the statement in the database's own client"
        return [*findings, failed(place, f"{_AT}: {error.what}", remedy)]
    if not found:
        what = f"{_AT}: there are none, so that every row's version is unknown"
        findings.append(warning(place, what, "see that what writes them runs"))
    return findings
