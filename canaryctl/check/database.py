"""The order database: reachable, every mapped column there, and indexed for the exporter's reads."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa

from canary.errors import CanaryError, DatabaseError, DatabaseUnavailableError
from canary.finding import Finding, failed, ok, skipped, warning
from canary.policy import Policy
from canary.policy.orders import Event
from canaryctl.check.rows import check_rows
from exporter.source.database import OrderDatabase, Patience, Session, names_database
from exporter.source.mapping import literal_sql, spare_tables
from exporter.source.session import open_session

_LOOKED_INTO = ("sqlite", "postgresql", "mysql")


@dataclass(frozen=True)
class Table:
    """What the database says about one table: its columns, and the columns its indexes begin with."""

    columns: tuple[str, ...]
    indexed: frozenset[str]


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
        return await _looked_into(place, policy, session)
    except DatabaseError as error:
        return [failed(place, error.what, "see that the database runs and that this user may connect and read")]
    finally:
        await session.close()


async def _looked_into(place: str, policy: Policy, session: Session) -> list[Finding]:
    names = await session.run(_table_names)
    wanted = {event.table for event in policy.database.events.values() if event.table}
    wanted |= {required.table for required in policy.database.required}
    tables = {table: await session.run(partial(_table, table=table)) for table in sorted(wanted)}
    absent = {table for table in spare_tables(policy) if tables.get(table) is None}
    events = {name: event for name, event in policy.database.events.items() if event.table not in absent}
    findings = list(_mapped(place, events, tables, names))
    findings += list(_required(place, policy, tables, names))
    faulty = {name for name, event in events.items() if event.table and not _complete(event, tables[event.table])}
    for name, event in events.items():
        if event.sql is not None:
            found = await _check_sql(place, name, event, session)
            faulty |= {name} if found else set()
            findings += found
    findings += await check_rows(place, policy, session, faulty | (policy.database.events.keys() - events.keys()))
    return findings or [ok(place, f"reachable, {len(events)} events mapped, every column there and indexed")]


def _complete(event: Event, table: Table | None) -> bool:
    return table is not None and {column for _, column in columns_of(event)} <= set(table.columns)


def _table_names(connection: sa.Connection) -> list[str]:
    inspector = sa.inspect(connection)
    return [*inspector.get_table_names(), *inspector.get_view_names()]


def _table(connection: sa.Connection, table: str) -> Table | None:
    """None when there is no such table or view."""
    schema, _, name = table.rpartition(".")
    inspector = sa.inspect(connection)
    try:
        columns = tuple(column["name"] for column in inspector.get_columns(name, schema=schema or None))
        indexes = inspector.get_indexes(name, schema=schema or None)
        primary = inspector.get_pk_constraint(name, schema=schema or None)
    except sa.exc.NoSuchTableError:
        return None
    first = {index["column_names"][0] for index in indexes if index["column_names"]}
    first |= set(primary["constrained_columns"][:1])
    if name in inspector.get_view_names(schema=schema or None):
        first |= set(columns)  # a view has no indexes of its own
    return Table(columns, frozenset(column for column in first if column))


def _mapped(
    place: str, events: Mapping[str, Event], tables: Mapping[str, Table | None], names: list[str]
) -> Iterator[Finding]:
    missing_indexes = set()
    for name, event in events.items():
        if event.table is None:
            continue
        at = f"database.events.{name}"
        table = tables[event.table]
        if table is None:
            yield failed(place, f"{at}.table: no table or view {event.table!r}", _near(event.table, names))
            continue
        for key, column in columns_of(event):
            if column not in table.columns:
                what = f"{at}.{key}: {event.table} has no column {column!r}"
                yield failed(place, what, _near(column, table.columns))
        read_by = {event.time, event.settled} & set(table.columns)
        missing_indexes |= {(event.table, column) for column in read_by - table.indexed if column}
    for owner, indexed in sorted(missing_indexes):
        statement = f"CREATE INDEX {owner.replace('.', '_')}_{indexed} ON {owner} ({indexed});"
        what = f"{owner}.{indexed} has no index, every look of the exporter reads the whole table"
        yield warning(place, what, f"run: {statement}")


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
    own = literal_sql(event.sql or "").columns().subquery("event")
    try:
        columns = await session.columns(sa.select(sa.literal_column("*")).select_from(own).where(sa.false()))
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
