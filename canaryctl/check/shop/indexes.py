"""Whether an index serves what the exporter looks for in mapped tables."""

from collections.abc import Mapping
from functools import partial

from canary.finding import Finding, warning
from canary.policy import Policy
from exporter.source.database import Session
from exporter.source.mapping import parents_of
from exporter.source.watch.catalog import Table, index_statement


async def check_indexes(
    place: str, policy: Policy, session: Session, tables: Mapping[str, Table | None]
) -> list[Finding]:
    """A warning for each column without one, with the statement that makes it.

    Args:
        tables: as they are, by name.

    Raises:
        DatabaseError: the database is unreachable.
    """
    return [
        warning(
            place,
            f"{table}.{column} has no index, every look of the exporter reads the whole table",
            f"run: {await session.run(partial(index_statement, table=table, column=column))}",
        )
        for table, column in sorted(_without_index(policy, tables))
    ]


def _without_index(policy: Policy, tables: Mapping[str, Table | None]) -> set[tuple[str, str]]:
    """Tables and their columns that rows are looked for by, and that no index begins with."""
    missing: set[tuple[str, str]] = set()
    looked_up = _looked_up(policy)
    for name, event in policy.database.events.items():
        table = tables.get(event.table or "")
        if event.table and table is not None:
            sought = {event.time, event.settled, event.id if name in looked_up else None} & set(table.columns)
            missing |= {(event.table, column) for column in sought - table.indexed if column}
    return missing


def _looked_up(policy: Policy) -> set[str]:
    """The events whose rows are looked for by others that name them: for their version, or whether they count."""
    events, given = policy.database.events, policy.database.assignments
    all_of_them = policy.database.exclude.units or (given is not None and given.tester)
    heirs = [name for name, event in events.items() if event.version is None or all_of_them]
    return {parent for name in heirs for parent, _ in parents_of(events, name)}
