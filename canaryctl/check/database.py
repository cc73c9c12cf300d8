"""The order database: reachable, every mapped column there, readable by this user, indexed for the exporter's reads.

A catalogue says what there is, and not who may read it: PostgreSQL shows everybody every column. So one row of each
event is read as the exporter will read it, and where row-level security hides rows, that is said: it is no error, and
the exporter would publish zeros.
"""

import difflib
import os
from collections.abc import Iterator, Mapping
from functools import partial

import sqlalchemy as sa

from canary.errors import CanaryError, DatabaseError, DatabaseUnavailableError
from canary.finding import Finding, failed, ok, skipped, warning
from canary.policy import Policy
from canary.policy.orders import Event
from exporter.source.catalog import Table, index_statement, look_up, quoted, table_names
from exporter.source.database import (
    OrderDatabase,
    Patience,
    Session,
    names_database,
    write_ahead_folder,
    write_ahead_remedy,
)
from exporter.source.session import open_session

# Backends whose catalogues SQLAlchemy reads reliably, indexes included; others would fail falsely.
_LOOKED_INTO = ("sqlite", "postgresql", "mysql")


async def check_database(policy: Policy) -> list[Finding]:
    """Whether the exporter could read what the policy maps."""
    if not names_database(policy):
        return [skipped("database", "the policy names none", "give database.url, url_file or url_env")]
    try:
        database = OrderDatabase.of(policy, Patience.LIVE)
    except CanaryError as error:
        return [failed(error.place or "database", error.what, error.remedy)]
    place = f"database {database.shown}"
    backend = database.url.get_backend_name()
    if backend not in _LOOKED_INTO:
        what = f"the exporter reads {backend}, but its tables are not looked into here"
        return [warning(place, what, "start `canary exporter` and look at canary_exporter_database_up")]
    if database.file is not None and not database.file.exists():
        return [failed(place, "there is no such file", "correct database.url; relative paths start at the policy")]
    session = open_session(database)
    try:
        return [*_write_ahead(place, database), *await _looked_into(place, policy, session, database.url.username)]
    except DatabaseError as error:
        remedy = error.remedy or "see that the database runs and that this user may connect and read"
        return [failed(place, error.what, remedy)]
    finally:
        await session.close()


def _write_ahead(place: str, database: OrderDatabase) -> Iterator[Finding]:
    """What is read now, because the shop has the file open, may be unreadable in the next quiet minute."""
    folder = None if database.file is None else write_ahead_folder(database.file)
    if folder is not None and not os.access(folder, os.W_OK):
        what = "it can be read only while the shop keeps it open"
        yield warning(place, what, write_ahead_remedy(folder))


async def _looked_into(place: str, policy: Policy, session: Session, user: str | None) -> list[Finding]:
    names = await session.run(table_names)
    wanted = {event.table for event in policy.database.events.values() if event.table}
    wanted |= {required.table for required in policy.database.required}
    tables = {table: await session.run(partial(look_up, table=table)) for table in sorted(wanted)}
    # MariaDB and MySQL show nobody what they may not read.
    seen = " that this user may read" if session.dialect_name in ("mysql", "mariadb") else ""
    findings = list(_mapped(place, policy, tables, names, seen))
    findings += [
        warning(
            place,
            f"{table}.{column} has no index, every look of the exporter reads the whole table",
            f"run: {await session.run(partial(index_statement, table=table, column=column))}",
        )
        for table, column in sorted(_without_index(policy, tables))
    ]
    findings += list(_required(place, policy, tables, names))
    for name, event in policy.database.events.items():
        table = tables.get(event.table or "")
        if table is not None:
            columns = sorted({column for _, column in columns_of(event)} & set(table.columns))
            findings += await _read(place, f"database.events.{name}", session, event.table or "", columns, user)
    for name, event in policy.database.events.items():
        if event.sql is not None:
            findings += await _check_sql(place, name, event, session)
    if not findings:
        findings = [
            ok(place, f"reachable, {len(policy.database.events)} events mapped, every column there and indexed")
        ]
    return findings


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
    place: str, policy: Policy, tables: Mapping[str, Table | None], names: list[str], seen: str
) -> Iterator[Finding]:
    for name, event in policy.database.events.items():
        if event.table is None:
            continue
        at = f"database.events.{name}"
        table = tables[event.table]
        if table is None:
            yield failed(place, f"{at}.table: no table or view {event.table!r}{seen}", _near(event.table, names))
            continue
        for key, column in columns_of(event):
            if column not in table.columns:
                what = f"{at}.{key}: {event.table} has no column {column!r}{seen}"
                yield failed(place, what, _near(column, table.columns))


def _without_index(policy: Policy, tables: Mapping[str, Table | None]) -> set[tuple[str, str]]:
    """Tables and their columns that the exporter looks for rows by, and that no index begins with."""
    missing: set[tuple[str, str]] = set()
    for event in policy.database.events.values():
        table = tables.get(event.table or "")
        if event.table and table is not None:
            read_by = {event.time, event.settled} & set(table.columns)
            missing |= {(event.table, column) for column in read_by - table.indexed if column}
    return missing


def columns_of(event: Event) -> Iterator[tuple[str, str]]:
    """Policy key and column for everything an event maps."""
    for key in ("id", "time", "version", "value", "currency", "outcome", "settled", "variant"):
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


def _required(place: str, policy: Policy, tables: Mapping[str, Table | None], names: list[str]) -> Iterator[Finding]:
    for required in policy.database.required:
        table = tables[required.table]
        if table is None:
            what = f"database.required: no table or view {required.table!r}"
            yield failed(place, what, _near(required.table, names))
            continue
        for column in required.columns:
            if column not in table.columns:
                what = f"database.required: {required.table} has no column {column!r}"
                yield failed(place, what, _near(column, table.columns))


async def _check_sql(place: str, name: str, event: Event, session: Session) -> list[Finding]:
    """Ask the database for the columns of an event's own SELECT, without a row."""
    at = f"database.events.{name}"
    sql = (event.sql or "").rstrip().rstrip(";")
    try:
        columns = await session.columns(sa.text(f"SELECT * FROM ({sql}) AS event WHERE 1 = 0"))  # noqa: S608  # the policy's own statement
    except DatabaseUnavailableError:
        raise
    except DatabaseError as error:
        return [failed(place, f"{at}.sql: {error.what}", "try the statement in the database's own client")]
    return [
        failed(place, f"{at}.{key}: the statement gives no column {column!r}", _near(column, columns))
        for key, column in columns_of(event)
        if column not in columns
    ]


def _near(word: str, options: list[str] | tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word, options, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there are {', '.join(sorted(options))}" if options else "the database is empty"
