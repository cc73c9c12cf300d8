"""The table of assignments: there, readable, and quick to look up a unit in."""

from collections.abc import Mapping, Sequence
from functools import partial

import sqlalchemy as sa

from canary.errors import DatabaseError, DatabaseUnavailableError
from canary.finding import Finding, Status, failed, warning
from canary.policy import Policy
from canary.policy.orders import Assignments
from canaryctl.check.shop.nearest import near
from exporter.source.columns.kinds import Kind, kinds_selected
from exporter.source.database import Session
from exporter.source.dialects import Dialect
from exporter.source.streams import streams_of
from exporter.source.versions import assignment_rows
from exporter.source.watch.catalog import Table, index_statement

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
    if given.from_ is not None:
        return findings
    if given.table is not None:
        wrong = _wrong_table(place, given, tables[given.table], names)
        findings += wrong
        if wrong:
            return findings
        findings += await _unindexed(place, given, tables[given.table], session)
    unreadable = await _unreadable(place, given, session)
    failing = any(finding.status is Status.FAILED for finding in unreadable)
    return [*findings, *unreadable, *([] if failing else await _zones(place, policy, session))]


def _wrong_table(place: str, given: Assignments, table: Table | None, names: Sequence[str]) -> list[Finding]:
    if given.table is None:
        return []
    if table is None:
        return [failed(place, f"{_AT}.table: no table or view {given.table!r}", near(given.table, names))]
    return [
        failed(place, f"{_AT}.{key}: {given.table} has no column {column!r}", near(column, table.columns))
        for key, column in (("unit", given.unit), ("time", given.time), ("version", given.version))
        if column not in table.columns
    ]


async def _unindexed(place: str, given: Assignments, table: Table | None, session: Session) -> list[Finding]:
    if given.table is None or table is None or given.unit in table.indexed:
        return []
    what = f"{given.table}.{given.unit} has no index, every row's look-up reads the whole table"
    run = await session.run(partial(index_statement, table=given.table, column=given.unit))
    return [warning(place, what, f"run: {run}")]


async def _unreadable(place: str, given: Assignments, session: Session) -> list[Finding]:
    rows = assignment_rows(given)
    try:
        found = await session.rows(sa.select(*rows.c).limit(1))
    except DatabaseUnavailableError:
        raise
    except DatabaseError as error:
        remedy = "see that this user may read it, and try the statement in the database's own client"
        return [failed(place, f"{_AT}: {error.what}", remedy)]
    if found:
        return []
    what = f"{_AT}: there are none, so that every row's version is unknown"
    return [warning(place, what, "see that what writes them runs")]


async def _zones(place: str, policy: Policy, session: Session) -> list[Finding]:
    """Whether the assignments' times can be held against the events': of two kinds, they are a zone's offset apart."""
    given, zone = policy.database.assignments, policy.database.timezone
    if given is None or given.time_unit is not None or zone == "UTC":
        return []
    time = assignment_rows(given).c[given.time]
    kind = (await kinds_selected(session, sa.select(time).where(sa.false()))).get(given.time)
    findings = []
    for stream in streams_of(policy, Dialect(session.dialect_name)):
        event = policy.database.events[stream.event]
        if kind is None or event.unit is None or event.version is not None:
            continue
        of_event = (await kinds_selected(session, stream.columns)).get(event.time)
        if of_event is not None and (kind is Kind.INSTANT) != (of_event is Kind.INSTANT):
            what = f"{_AT}.time: {given.time} holds {kind.value}, {event.time} of {stream.event} {of_event.value}"
            remedy = f"bring one to the kind of the other with `sql`: with the zone {zone} they are hours apart"
            findings.append(failed(place, what, remedy))
    return findings[:1]
