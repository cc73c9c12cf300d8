"""The order database: reachable, every mapped column there, readable by this user, indexed for the exporter's reads.

A catalogue says what there is, and not who may read it: PostgreSQL shows everybody every column. So one row of each
event is read as the exporter will read it, and where row-level security hides rows, that is said: it is no error, and
the exporter would publish zeros.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import sqlalchemy as sa

from canary.errors import CanaryError, DatabaseError, DatabaseUnavailableError
from canary.finding import Finding, Status, failed, ok, skipped, warning
from canary.policy import Policy
from canary.policy.database.section import LOG_SOURCE, Event
from canary.policy.kpis import segment_column
from canary.policy.reading.document import Document
from canary.timing.clock import SystemClock
from canaryctl.check.shop.assignments import check_assignments, check_identities
from canaryctl.check.shop.customers import check_sides
from canaryctl.check.shop.data import check_data, places
from canaryctl.check.shop.indexes import check_indexes
from canaryctl.check.shop.nearest import near
from canaryctl.check.shop.primary import check_primary
from canaryctl.check.shop.rows import check_rows
from exporter.judge.parameters import entry_event
from exporter.source.assignments.versions import says_version
from exporter.source.database import (
    OrderDatabase,
    Patience,
    Session,
    names_database,
    write_ahead_folder,
    write_ahead_remedy,
)
from exporter.source.mapping import literal_sql, spare_tables
from exporter.source.session import open_session
from exporter.source.sources import databases_at, policy_at, sources_in
from exporter.source.watch.catalog import Table, look_up, quoted, table_names

_ABOUT = re.compile(r"(?P<key>database\.(?:events\.(?P<event>\w+)|\w+)(?:\.\w+)*): (?P<rest>.*)", re.DOTALL)
"""What begins with a key of the policy."""
_VERSIONLESS = (
    "name the column that says it; where no column does, write `version: null`, and the rows take the version of what"
    " they descend from, or of database.assignments"
)

_DENIED = "let this user read what the statement names: GRANT SELECT"
_NO_STATEMENT = "try the statement in the database's own client"
_NO_SUCH_FILE = "correct database.url; relative paths start at the policy"
_NO_LOG_FILE = "start `canary assignments`, which makes it; relative paths start at the policy"

# Backends whose catalogues SQLAlchemy reads reliably, indexes included; others would fail falsely.
_LOOKED_INTO = ("sqlite", "postgresql", "mysql", "clickhousedb")


async def check_database(policy: Policy, *, data: bool = False, document: Document | None = None) -> list[Finding]:
    """Whether the exporter could read what the policy maps.

    Args:
        data: look into the rows too, at what only they can tell.
        document: the policy's file, for the lines in it.
    """
    findings: list[Finding] = []
    for source in sources_in(policy):
        if source is None and not names_database(policy):
            findings.append(skipped("database", "the policy names none", "give database.url, url_file or url_env"))
            continue
        try:
            databases = databases_at(policy, source, Patience.LIVE)
        except CanaryError as error:
            findings.append(failed(error.place or "database", error.what, error.remedy))
            continue
        for database in databases:
            cut = policy_at(policy, source)
            findings += await _check_one(cut, source, database, policy, data=data, document=document)
    return findings


async def _check_one(
    policy: Policy,
    source: str | None,
    database: OrderDatabase,
    whole: Policy,
    *,
    data: bool,
    document: Document | None,
) -> list[Finding]:
    """One database with the events that are in it."""
    place = f"database {database.shown}"
    backend = database.url.get_backend_name()
    if backend not in _LOOKED_INTO:
        what = f"the exporter reads {backend}, but its tables are not looked into here"
        return [warning(place, what, "start `canary exporter` and look at canary_exporter_database_up")]
    if database.file is not None and not database.file.exists():
        return [failed(place, "there is no such file", _NO_LOG_FILE if source == LOG_SOURCE else _NO_SUCH_FILE)]
    session = open_session(database)
    try:
        tables = await _looked_into(place, policy, session, database.url.username, whole)
        clock = SystemClock()
        primary = [] if source is not None else await check_primary(policy, session, clock, document, data=data)
        if not data:
            return [*_write_ahead(place, database), *tables, *primary]
        faulty = {found["event"] for one in tables if one.failed and (found := _ABOUT.match(one.what))}
        rows = await check_data(policy, session, clock, document, faulty)
        rows += await check_sides(policy, session, clock, places(document), entry_event(whole))
        at_their_lines = (_at_its_line(finding, document) for finding in tables)
        return [*_write_ahead(place, database), *at_their_lines, *rows, *primary]
    except DatabaseError as error:
        remedy = error.remedy or "see that the database runs and that this user may connect and read"
        return [failed(place, error.what, remedy)]
    finally:
        await session.close()


def _at_its_line(finding: Finding, document: Document | None) -> Finding:
    """A finding about a key of the policy at that key's line, where the file is known."""
    about = _ABOUT.match(finding.what)
    if document is None or about is None:
        return finding
    key = about["key"]
    return replace(finding, place=document.fault(tuple(key.split(".")), "").place, what=about["rest"])


def _write_ahead(place: str, database: OrderDatabase) -> Iterator[Finding]:
    """What is read now, because the shop has the file open, may be unreadable in the next quiet minute."""
    folder = None if database.file is None else write_ahead_folder(database.file)
    if folder is not None and not os.access(folder, os.W_OK):
        what = "it can be read only while the shop keeps it open"
        yield warning(place, what, write_ahead_remedy(folder))


async def _looked_into(place: str, policy: Policy, session: Session, user: str | None, whole: Policy) -> list[Finding]:
    names = await session.run(table_names)
    wanted = {event.table for event in policy.database.events.values() if event.table}
    wanted |= {required.table for required in policy.database.required}
    wanted |= {given.table for given in [policy.database.assignments] if given is not None and given.table}
    wanted |= {pairs.table for pairs in policy.database.identities.values() if pairs.table}
    tables = {table: await session.run(partial(look_up, table=table)) for table in sorted(wanted)}
    # MariaDB and MySQL show nobody what they may not read.
    seen = " that this user may read" if session.dialect_name in ("mysql", "mariadb") else ""
    absent = {table for table in spare_tables(policy) if tables.get(table) is None}
    events = {name: event for name, event in policy.database.events.items() if event.table not in absent}
    findings = list(_mapped(place, policy, events, tables, names, seen))
    mapped = {name: tables[event.table] for name, event in events.items() if event.table}
    faulty = {name for name, table in mapped.items() if not _complete(_columns(policy, name), table)}
    findings += await check_indexes(place, policy, session, tables)
    findings += list(_required(place, policy, tables, names))
    findings += await check_assignments(place, policy, session, tables, names, whole)
    findings += await check_identities(place, policy, session, tables, names, whole)
    for name, event in events.items():
        found: list[Finding] = []
        table = tables.get(event.table or "")
        if table is not None:
            columns = sorted({column for _, column in _columns(policy, name)} & set(table.columns))
            found = await _read(place, f"database.events.{name}", session, event.table or "", columns, user)
        if event.sql is not None:
            found = await _check_sql(place, policy, name, session)
        faulty |= {name for finding in found if finding.status is Status.FAILED}
        findings += found
    findings += await check_rows(place, policy, session, faulty | (policy.database.events.keys() - events.keys()))
    findings += [] if any(finding.status is Status.FAILED for finding in findings) else _told_apart(place, policy)
    return findings or [ok(place, f"reachable, {len(events)} events mapped, every column there and indexed")]


def _complete(columns: Iterable[tuple[str, str]], table: Table | None) -> bool:
    return table is not None and {column for _, column in columns} <= set(table.columns)


async def _read(
    place: str, at: str, session: Session, table: str, columns: list[str], user: str | None
) -> list[Finding]:
    """Read one row's mapped columns as the exporter will."""
    schema, _, name = table.rpartition(".")
    source = sa.table(name, *(sa.column(column) for column in columns), schema=schema or None)
    written = await session.run(partial(quoted, table=table))
    who = await session.run(lambda connection: connection.dialect.identifier_preparer.quote(user or "canary"))
    try:
        rows = await session.rows(sa.select(*source.c).limit(1))
    except DatabaseUnavailableError:
        raise
    except DatabaseError as error:
        return [failed(place, f"{at}: {error.what}", f"run: GRANT SELECT ON {written} TO {who};")]
    if session.dialect_name != "postgresql" or not await _filtered(session, written):
        return []
    policy = f"show it all: CREATE POLICY canary_reads ON {written} FOR SELECT TO {who} USING (true);"
    if not rows:
        return [failed(place, f"{at}: {table} shows this user no row, as row-level security is on", policy)]
    return [warning(place, f"{at}: row-level security decides which rows of {table} this user sees", policy)]


async def _filtered(session: Session, written: str) -> bool:
    """Whether PostgreSQL may hide rows of a table from this user."""
    look = sa.text("SELECT row_security_active(CAST(:written AS text))")
    return bool((await session.rows(look, {"written": written}))[0][0])


def _mapped(
    place: str,
    policy: Policy,
    events: Mapping[str, Event],
    tables: Mapping[str, Table | None],
    names: list[str],
    seen: str,
) -> Iterator[Finding]:
    for name, event in events.items():
        if event.table is None:
            continue
        at = f"database.events.{name}"
        table = tables[event.table]
        if table is None:
            yield failed(place, f"{at}.table: no table or view {event.table!r}{seen}", near(event.table, names))
            continue
        for key, column in _columns(policy, name):
            if column not in table.columns:
                what = f"{at}.{key}: {event.table} has no column {column!r}{seen}"
                yield failed(place, what, _VERSIONLESS if key == "version" else near(column, table.columns))


def columns_of(event: Event) -> Iterator[tuple[str, str]]:
    """Policy key and column for everything an event maps."""
    for key in ("id", "time", "version", "unit", "tag", "value", "currency", "outcome", "settled", "variant"):
        column = getattr(event, key)
        if column is not None:
            yield key, column
    if isinstance(event.parent, str):
        yield "parent", event.parent
    elif event.parent:
        for unit, column in event.parent.items():
            yield f"parent.{unit}", column
    for column in event.exclude:
        yield "exclude", column


def _columns(policy: Policy, name: str) -> Iterator[tuple[str, str]]:
    """The same of one of the policy's events, with the column that a KPI names of it."""
    yield from columns_of(policy.database.events[name])
    segment = segment_column(policy.kpis.values(), name)
    if segment is not None:
        yield "segment (a KPI's `by`)", segment


def _told_apart(place: str, policy: Policy) -> list[Finding]:
    """Whether anything says which version a row counts for."""
    events = policy.database.events
    silent = [name for name, event in events.items() if not says_version(policy, name)]
    if not silent:
        return []
    what = f"no version is known of any row of {', '.join(silent)}: `canary plan` works, no rollout can be judged"
    nobody = any(events[name].unit is None and not events[name].parent for name in silent)
    missing = "database.assignments and each event's `unit`" if nobody else "database.assignments"
    return [warning(place, what, f"give {missing}: docs/your-database.md")]


def _required(place: str, policy: Policy, tables: Mapping[str, Table | None], names: list[str]) -> Iterator[Finding]:
    for required in policy.database.required:
        table = tables[required.table]
        if table is None:
            what = f"database.required: no table or view {required.table!r}"
            yield failed(place, what, near(required.table, names))
            continue
        for column in required.columns:
            if column not in table.columns:
                what = f"database.required: {required.table} has no column {column!r}"
                yield failed(place, what, near(column, table.columns))


async def _check_sql(place: str, policy: Policy, name: str, session: Session) -> list[Finding]:
    """Ask the database for the columns of an event's own SELECT, without a row."""
    at = f"database.events.{name}"
    own = literal_sql(policy.database.events[name].sql or "").columns().subquery("event")
    try:
        columns = await session.columns(sa.select(sa.literal_column("*")).select_from(own).where(sa.false()))
    except DatabaseUnavailableError:
        raise
    except DatabaseError as error:
        return [failed(place, f"{at}.sql: {error.what}", _DENIED if "denied" in error.what else _NO_STATEMENT)]
    return [
        failed(place, f"{at}.{key}: the statement gives no column {column!r}", near(column, columns))
        for key, column in _columns(policy, name)
        if column not in columns
    ]
