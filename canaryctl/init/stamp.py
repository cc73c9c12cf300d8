"""Statements that make the database itself note which version of the shop wrote a row: `canary init --stamp`.

The two versions' processes reach one database under two names, and the database knows the name of who writes. So
neither the shop's code nor its INSERTs change; only how a process connects does. PostgreSQL takes the connection's
`application_name` as a column's default. A default cannot call USER() on every MariaDB and MySQL. There a trigger
writes the database user's name into a table next to the shop's.

Only tables at the root of what is mapped are stamped: what descends from a row inherits its version. What a payment
provider's webhook writes, whichever side served it, counts for the side that the order came from.

Pure: nothing here reaches a database, and nothing is run. What is printed goes through an administrator's hands.
"""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import yaml

from canary.errors import CanaryError
from canary.policy.database.section import Event
from canary.policy.model import Policy
from exporter.source.mapping import parents_of, spare_tables

COLUMN = "canary_version"
"""No name that a shop's own table has: Medusa's `order.version`, for one, counts edits."""

_LONGEST_NAME = 64
"""MariaDB's and MySQL's limit for the name of a table or a trigger."""

_NAME = r"""(?:[\w$]+|"[^"]+"|`[^`]+`)"""
_FROM = re.compile(rf"\bFROM\s+(?P<table>{_NAME}(?:\.{_NAME})?)", re.IGNORECASE)
"""The first table that an own SELECT names; its rows are taken for the event's."""

_UNREADABLE = "is read by a SELECT that names no table first"


@dataclass(frozen=True)
class Stamp:
    """What is to be done for stamped rows.

    Attributes:
        statements: a script for psql or mariadb; what is to be done elsewhere is in its comments.
        events: the policy's events, mapped so that the stamps are read.
    """

    statements: str
    events: Mapping[str, Mapping[str, Any]]

    def text(self) -> str:
        """The script, with the policy's part as a comment at its end."""
        mapping = yaml.safe_dump({"database": {"events": self.events}}, sort_keys=False, width=100, allow_unicode=True)
        lines = [f"--   {line}".rstrip() for line in mapping.splitlines()]
        return "\n".join([self.statements, "-- In the policy, these events:", *lines])


def stamp(policy: Policy, dialect: str) -> Stamp:
    """The statements for the tables of a policy's events, and the mapping that reads what they make.

    Args:
        dialect: SQLAlchemy's name of the database.

    Raises:
        CanaryError: the database has no such statements, or an event's table cannot be told.
    """
    script = _words(dialect)
    known, spare = policy.database.events, spare_tables(policy)
    events = {name: event for name, event in known.items() if (event.table or name) not in spare}
    mapped: dict[str, Mapping[str, Any]] = {}
    tables: dict[str, str] = {}
    for name, event in events.items():
        if any(parent in events for parent, _ in parents_of(events, name)):
            mapped[name] = _written(replace(event, version=None))
            continue
        table = _Table.of(name, event, script.mark)
        tables.setdefault(table.quoted, script.make(table))
        mapped[name] = _written(script.reading(event, table))
    parts = [script.before, *tables.values(), script.after]
    return Stamp("\n\n".join(parts) + "\n", mapped)


def _words(dialect: str) -> "_Postgresql | _Mysql":
    match dialect:
        case "postgresql":
            return _Postgresql()
        case "mysql" | "mariadb":
            return _Mysql()
        case _:
            raise CanaryError(
                f"stamps are for PostgreSQL, MariaDB and MySQL, this is {dialect}",
                place="database.url",
                remedy="docs/shop/versions.md has the other ways",
            )


@dataclass(frozen=True)
class _Table:
    """A table that is stamped: its schema and name as they are stored, as they are quoted, and its key."""

    quoted: str
    schema: str
    bare: str
    key: str

    @classmethod
    def of(cls, name: str, event: Event, mark: str) -> "_Table":
        if event.sql is None:
            schema, _, bare = (event.table or name).rpartition(".")
            quoted = ".".join(_quoted(one, mark) for one in (schema, bare) if one)
        else:
            found = _FROM.search(event.sql)
            if found is None:
                raise CanaryError(_UNREADABLE, place=f"database.events.{name}", remedy="map the table itself")
            quoted = found["table"]  # as it is written: without quotes PostgreSQL folds it
            schema, bare = (["", *re.findall(r"[\w$]+|(?<=[\"`])[^\"`.]+(?=[\"`])", quoted)])[-2:]
        return cls(quoted, schema, bare, _quoted(event.id, mark))


class _Postgresql:
    """A column whose default is the connection's own name."""

    mark = '"'
    before = (
        "-- PostgreSQL, as the owner of the tables. Existing rows stay without a version. Each statement needs the\n"
        "-- table for a moment, and gives up rather than let the shop wait.\n"
        "SET lock_timeout = '3s';"
    )

    def make(self, table: _Table) -> str:
        # In two steps: a default given while the column is added fills every row that is there with the name of the
        # administrator's own program.
        return (
            f"ALTER TABLE {table.quoted} ADD COLUMN IF NOT EXISTS {COLUMN} text;\n"
            f"ALTER TABLE {table.quoted} ALTER COLUMN {COLUMN}\n"
            "  SET DEFAULT NULLIF(current_setting('application_name'), '');\n"
            f"-- To take it away: ALTER TABLE {table.quoted} DROP COLUMN {COLUMN};"
        )

    def reading(self, event: Event, table: _Table) -> Event:
        if event.sql is None:
            return replace(event, version=COLUMN)
        return _joined(event, f"({_bare_sql(event.sql)}\n)", table.quoted, table.key)

    after = (
        "-- Each version's processes connect under its version's name, as `canary start` is told it (v2 here):\n"
        "--   postgresql://shop@db.example/shop?application_name=v2, or the variable PGAPPNAME=v2.\n"
        "-- The old version's say theirs (v1). What connects under any other name is in no verdict."
    )


class _Mysql:
    """A trigger that writes the user's name into a table next to the shop's."""

    mark = "`"
    before = (
        "-- MariaDB, MySQL, as an administrator. Existing rows stay without a version. Each statement needs the table\n"
        "-- for a moment, and gives up rather than let the shop wait.\n"
        "SET lock_wait_timeout = 3;"
    )

    def make(self, table: _Table) -> str:
        side, trigger = self._side(table), self._side(table, "_ai")
        # CREATE ... SELECT gives the key the type and collation of the shop's: other ones keep a join from its index.
        keys = f"SELECT {table.key} FROM {table.quoted} WHERE FALSE"  # noqa: S608  # printed, for a person to look at
        written = (
            f"REPLACE INTO {side} ({table.key}, {COLUMN})\n"  # noqa: S608  # as above
            f"    VALUES (NEW.{table.key}, SUBSTRING_INDEX(USER(), '@', 1))"
        )
        return (
            f"CREATE TABLE IF NOT EXISTS {side} ({COLUMN} VARCHAR(128), PRIMARY KEY ({table.key}))\n"
            f"  {keys};\n"
            f"DROP TRIGGER IF EXISTS {trigger};\n"
            "DELIMITER //\n"
            f"CREATE TRIGGER {trigger} AFTER INSERT ON {table.quoted} FOR EACH ROW\n"
            "BEGIN\n"
            "  -- A stamp that cannot be written costs a version, never an order.\n"
            "  DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END;\n"
            f"  {written};\n"
            "END//\n"
            "DELIMITER ;\n"
            f"-- To take it away: DROP TRIGGER {trigger}; DROP TABLE {side};"
        )

    def reading(self, event: Event, table: _Table) -> Event:
        rows = table.quoted if event.sql is None else f"({_bare_sql(event.sql)}\n)"
        return _joined(event, rows, self._side(table), table.key)

    after = (
        "-- Each version's processes connect as a database user who is called as the version, as `canary start` is\n"
        "-- told it, with the rights of the shop's own user (v2 here; the old version's connect as v1):\n"
        "--   CREATE USER 'v2'@'%' IDENTIFIED BY '...'; GRANT ... ON shop.* TO 'v2'@'%';\n"
        "-- What connects as any other user is in no verdict. They need no right to the new tables; the exporter's\n"
        "-- user needs SELECT on them."
    )

    def _side(self, table: _Table, ending: str = "") -> str:
        name = f"canary_{table.bare}{ending}"
        if len(name) > _LONGEST_NAME:
            name = f"{name[: _LONGEST_NAME - 12]}_{zlib.crc32(table.bare.encode()):08x}{ending}"
        return ".".join(_quoted(one, self.mark) for one in (table.schema, name) if one)


def _joined(event: Event, rows: str, stamps: str, key: str) -> Event:
    joined = f"{rows} AS e LEFT JOIN {stamps} AS s ON s.{key} = e.{key}"
    sql = f"SELECT e.*, s.{COLUMN} FROM {joined}"  # noqa: S608  # the policy's own text
    return replace(event, table=None, sql=sql, version=COLUMN)


def _bare_sql(sql: str) -> str:
    return sql.strip().rstrip(";").rstrip()


def _quoted(name: str, mark: str) -> str:
    return f"{mark}{name.replace(mark, mark * 2)}{mark}"


def _written(event: Event) -> dict[str, Any]:
    """An event as the policy writes it: what is not the default, and always its version."""
    usual = Event()
    keys = {
        one.name: _plain(value)
        for one in fields(Event)
        if one.name != "version" and (value := getattr(event, one.name)) != getattr(usual, one.name)
    }
    return {**keys, "version": event.version}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return list(value) if isinstance(value, tuple) else value
