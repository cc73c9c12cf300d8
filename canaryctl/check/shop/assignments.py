"""The tables of assignments and identities, and whether their times and the events' are of one kind."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from canary.finding import Finding, failed, warning
from canary.policy import Policy
from canaryctl.check.shop.lookups import Lookup, check_lookup, is_readable
from exporter.source.assignments.identities import pair_rows
from exporter.source.assignments.versions import assignment_rows
from exporter.source.columns.kinds import Kind, kinds_selected
from exporter.source.database import Session
from exporter.source.dialects import Dialect
from exporter.source.streams import streams_of
from exporter.source.watch.catalog import Table

_AT = "database.assignments"


async def check_assignments(
    place: str,
    policy: Policy,
    session: Session,
    tables: Mapping[str, Table | None],
    names: Sequence[str],
    whole: Policy,
) -> list[Finding]:
    """What is wrong with `database.assignments`; nothing where there are none.

    Args:
        whole: the policy with the events of all databases; those of others read by time (`exporter.ledger.lookups`).

    Raises:
        DatabaseUnavailableError: there is no connection.
    """
    given = policy.database.assignments
    if given is None:
        return []
    findings: list[Finding] = []
    events = policy.database.events.values()
    if events and not any(event.unit for event in events):
        what = f"{_AT}: no event says its `unit`, so that nobody is looked for in them"
        findings.append(failed(place, what, "name the column with the customer's cookie or address: `unit`"))
    if given.from_ is not None or (given.table is None and given.sql is None):  # of another source
        return findings
    columns = {"unit": given.unit, "time": given.time, "version": given.version}
    columns |= {"tester": given.tester} if given.tester is not None else {}
    nothing = "there are none, so that every row's version is unknown"
    far = any(event.unit and event.source != given.source for event in whole.database.events.values())
    by = [*([given.unit] if events else []), *([given.time] if far else [])]
    lookup = Lookup(_AT, given.table, columns, by, assignment_rows(given), nothing)
    found = await check_lookup(place, lookup, session, tables, names)
    return [*findings, *found, *(await _zones(place, policy, session) if is_readable(found) else [])]


async def check_identities(
    place: str,
    policy: Policy,
    session: Session,
    tables: Mapping[str, Table | None],
    names: Sequence[str],
    whole: Policy,
) -> list[Finding]:
    """What is wrong with `database.identities`; nothing where there are none.

    Args:
        whole: the policy with the events of all databases; those of others read by time (`exporter.ledger.lookups`).

    Raises:
        DatabaseUnavailableError: there is no connection.
    """
    findings: list[Finding] = []
    used = {event.identity for event in whole.database.events.values()}
    for name, pairs in policy.database.identities.items():
        at = f"database.identities.{name}"
        if pairs.table is None and pairs.sql is None:  # of another source
            continue
        columns = {"unit": pairs.unit, "known_as": pairs.known_as, **({"time": pairs.time} if pairs.time else {})}
        nothing = "there are none, so that no customer is found by them"
        sources = {event.source for event in whole.database.events.values() if event.identity == name}
        by = [pairs.known_as] if pairs.source in sources or not sources else []
        by += [pairs.time] if pairs.time is not None and sources - {pairs.source} else []
        lookup = Lookup(at, pairs.table, columns, by, pair_rows(pairs), nothing)
        findings += await check_lookup(place, lookup, session, tables, names)
        if name not in used:
            findings.append(warning(place, f"{at}: no event says it", f"add `identity: {name}` to the event it is for"))
    return findings


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
