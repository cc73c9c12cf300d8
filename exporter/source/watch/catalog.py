"""What the database says about its tables, asked so that a user who may only read a few columns gets an answer.

SQLAlchemy's inspector reads MariaDB's and MySQL's tables from `SHOW CREATE TABLE`. Of a view that needs a right which
no reader has (`SHOW VIEW`), and one view that may not be shown kept every other table from being looked at. There the
standard's `information_schema` is asked, which shows what this user may read and refuses nothing. ClickHouse's `system`
tables do the same, and say what its inspector does not: by what a table is sorted, which is its index. PostgreSQL's
and SQLite's catalogues are open to everybody; the inspector reads them.
"""

import re
import warnings
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from exporter.source.columns.kinds import clickhouse_kind

# A column of a composite type, or of an extension's, is none that an event could be mapped to.
warnings.filterwarnings("ignore", "Did not recognize type", sa.exc.SAWarning)

_MYSQL_SCHEMA = "table_schema = COALESCE(:schema, DATABASE())"
_MYSQL_NAMES = sa.text(f"SELECT table_name FROM information_schema.tables WHERE {_MYSQL_SCHEMA}")  # noqa: S608  # our own text
_MYSQL_COLUMNS = sa.text(
    "SELECT column_name, data_type FROM information_schema.columns"  # noqa: S608  # our own text
    f" WHERE {_MYSQL_SCHEMA} AND table_name = :name ORDER BY ordinal_position"
)
_MYSQL_INDEXED = sa.text(
    "SELECT column_name FROM information_schema.statistics"  # noqa: S608  # our own text
    f" WHERE {_MYSQL_SCHEMA} AND table_name = :name AND seq_in_index = 1"
)
_MYSQL_TYPE = sa.text(
    f"SELECT table_type FROM information_schema.tables WHERE {_MYSQL_SCHEMA} AND table_name = :name"  # noqa: S608  # our own text
)
_MYSQL_FAMILIES = {
    "number": ("bit", "tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double"),
    "time": ("datetime", "timestamp"),
    "date": ("date",),
    "text": ("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"),
}
_CLICKHOUSE_NAMED = "database = COALESCE(:schema, currentDatabase()) AND"
_CLICKHOUSE_NAMES = sa.text("SELECT name FROM system.tables WHERE database = currentDatabase()")
_CLICKHOUSE_COLUMNS = sa.text(
    f"SELECT name, type FROM system.columns WHERE {_CLICKHOUSE_NAMED} table = :name ORDER BY position"  # noqa: S608  # our own text
)
_CLICKHOUSE_SORTED = sa.text(
    f"SELECT engine, sorting_key FROM system.tables WHERE {_CLICKHOUSE_NAMED} name = :name"  # noqa: S608  # our own text
)
_CLICKHOUSE_SKIPPED = sa.text(
    f"SELECT expr FROM system.data_skipping_indices WHERE {_CLICKHOUSE_NAMED} table = :name"  # noqa: S608  # our own text
)
_CLICKHOUSE_NAME = re.compile(r"\w+")
"""In the first part of a sorting key, such as `toStartOfHour(created_at)`, the words are functions and columns."""


_LONGEST_NAME = 60
"""PostgreSQL cuts longer names of indexes, and MySQL refuses them."""


@dataclass(frozen=True)
class Table:
    """What the database says about one table or view.

    Attributes:
        kinds: each column that this user may see, with its type's family: a longer text or a wider number is the same.
        indexed: columns that an index begins with; all of a view's, which has no index of its own.
    """

    kinds: dict[str, str]
    indexed: frozenset[str]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self.kinds)


def table_names(connection: sa.Connection) -> list[str]:
    """Tables and views of the schema in which names are looked for; of PostgreSQL's others with the schema's name."""
    if connection.dialect.name in ("mysql", "mariadb"):
        return [str(row[0]) for row in connection.execute(_MYSQL_NAMES, {"schema": None})]
    if _is_clickhouse(connection):
        return [str(row[0]) for row in connection.execute(_CLICKHOUSE_NAMES)]
    inspector = sa.inspect(connection)
    names = [*inspector.get_table_names(), *inspector.get_view_names()]
    if connection.dialect.name == "postgresql":
        names += inspector.get_materialized_view_names()
        for schema in other_schemas(inspector):
            names += [f"{schema}.{name}" for name in inspector.get_table_names(schema)]
    return names


def other_schemas(inspector: sa.Inspector) -> list[str]:
    """PostgreSQL's schemas in which names without a schema are not looked for; none of the server's own."""
    own = ("information_schema", inspector.default_schema_name)
    return sorted(name for name in inspector.get_schema_names() if name not in own)


def kinds_of(connection: sa.Connection, table: str) -> dict[str, str] | None:
    """Each column that this user may see with its type's family; None when there is no such table or view.

    Args:
        table: its name in the policy, `schema.table` or `table`.
    """
    if connection.dialect.name in ("mysql", "mariadb"):
        rows = connection.execute(_MYSQL_COLUMNS, _named(table))
        return {str(name): _mysql_kind(str(kind)) for name, kind in rows} or None
    if _is_clickhouse(connection):
        rows = connection.execute(_CLICKHOUSE_COLUMNS, _named(table))
        return {str(name): clickhouse_kind(str(kind)).value for name, kind in rows} or None
    where = _named(table)
    inspector: Any = sa.inspect(connection)
    try:
        columns = inspector.get_columns(where["name"], schema=where["schema"])
    except (sa.exc.NoSuchTableError, sa.exc.UnreflectableTableError):
        return None
    return {column["name"]: _kind(column["type"]) for column in columns}


def look_up(connection: sa.Connection, table: str) -> Table | None:
    """A table or view with what its indexes begin with; None when there is none of this name."""
    kinds = kinds_of(connection, table)
    if kinds is None:
        return None
    where = _named(table)
    if connection.dialect.name in ("mysql", "mariadb"):
        indexed = {str(name) for (name,) in connection.execute(_MYSQL_INDEXED, where)}
        is_view = str(connection.execute(_MYSQL_TYPE, where).scalar()).upper() not in ("BASE TABLE", "SYSTEM VERSIONED")
    elif _is_clickhouse(connection):
        engine, key = connection.execute(_CLICKHOUSE_SORTED, where).one()
        first = str(key).partition(",")[0]
        skipped = [str(expression) for (expression,) in connection.execute(_CLICKHOUSE_SKIPPED, where)]
        indexed = set(_CLICKHOUSE_NAME.findall(" ".join([first, *skipped]))) & set(kinds)
        is_view = not str(engine).endswith("MergeTree")
    else:
        inspector: Any = sa.inspect(connection)
        found = inspector.get_indexes(where["name"], schema=where["schema"])
        primary = inspector.get_pk_constraint(where["name"], schema=where["schema"])
        indexed = {index["column_names"][0] for index in found if index["column_names"]}
        indexed |= set(primary["constrained_columns"][:1])
        is_view = where["name"] in _views(inspector, where["schema"])
    return Table(kinds, frozenset(kinds if is_view else filter(None, indexed)))


def quoted(connection: sa.Connection, table: str) -> str:
    """A table's name as a statement in this database writes it."""
    schema, _, name = table.rpartition(".")
    quote = connection.dialect.identifier_preparer.quote
    return f"{quote(schema)}.{quote(name)}" if schema else quote(name)


def index_statement(connection: sa.Connection, table: str, column: str) -> str:
    """The statement that makes an index on one column, with every name written as this database needs it."""
    quote = connection.dialect.identifier_preparer.quote
    name = quote(f"{table.replace('.', '_')}_{column}"[:_LONGEST_NAME])
    if _is_clickhouse(connection):
        altered = f"ALTER TABLE {quoted(connection, table)}"
        return f"{altered} ADD INDEX {name} {quote(column)} TYPE minmax; {altered} MATERIALIZE INDEX {name};"
    return f"CREATE INDEX {name} ON {quoted(connection, table)} ({quote(column)});"


def _is_clickhouse(connection: sa.Connection) -> bool:
    return connection.dialect.name.startswith("clickhouse")


def _named(table: str) -> dict[str, str | None]:
    schema, _, name = table.rpartition(".")
    return {"schema": schema or None, "name": name}


def _views(inspector: Any, schema: str | None) -> list[str]:
    return [*inspector.get_view_names(schema=schema)]


def _mysql_kind(kind: str) -> str:
    lowered = kind.lower()
    return next((family for family, members in _MYSQL_FAMILIES.items() if lowered in members), lowered)


def _kind(column: Any) -> str:
    for family, name in (
        (sa.Boolean, "boolean"),
        (sa.Numeric, "number"),
        (sa.Integer, "number"),
        (sa.DateTime, "time"),
        (sa.Date, "date"),
        (sa.String, "text"),
    ):
        if isinstance(column, family):
            return name
    return type(column).__name__.lower()
