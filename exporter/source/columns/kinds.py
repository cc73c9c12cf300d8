"""What kind of thing a column holds, where the same column name may hold several and SQL means another by each.

MariaDB's TIMESTAMP is an instant, which every session is shown in its own zone; its DATETIME has no zone and means what
the shop's clock showed. PostgreSQL's money adds up to a text. A number of seconds is no time to any database. None of
this can be told from the policy, so the database is asked once per event, with the statement that reads the event and
without a row: what the driver says of the answer's columns costs nothing and works for views and own SELECTs too.

Column types are not taken from the catalogue: an event's own SELECT is not in it, and rights may hide it.
"""

import re
from collections.abc import Mapping
from enum import Enum

import sqlalchemy as sa

from exporter.source.database import Session


class Kind(Enum):
    """What a column holds, as far as it matters for reading it."""

    INSTANT = "moments"
    WALL_CLOCK = "times without a zone"
    NUMBER = "numbers"
    BOOLEAN = "yes or no"
    MONEY = "money"
    TEXT = "texts"
    UUID = "UUIDs"
    OTHER = "something else"


Kinds = Mapping[str, Kind]
"""By column; empty where the database's types say nothing (SQLite) or are not known here."""

_POSTGRESQL = {
    Kind.INSTANT: (1184,),
    Kind.WALL_CLOCK: (1114, 1082),
    Kind.NUMBER: (20, 21, 23, 26, 700, 701, 1700),
    Kind.BOOLEAN: (16,),
    Kind.MONEY: (790,),
    Kind.TEXT: (18, 19, 25, 1042, 1043),
    Kind.UUID: (2950,),
}
"""Object ids of PostgreSQL's built-in types, the same in every database (pg_type.dat)."""
_MYSQL = {
    Kind.INSTANT: (7,),
    Kind.WALL_CLOCK: (10, 12, 14),
    Kind.NUMBER: (0, 1, 2, 3, 4, 5, 8, 9, 13, 246),
    Kind.TEXT: (6, 15, 245, 247, 249, 250, 251, 252, 253, 254),
}
"""Column types of the MySQL protocol (enum_field_types); JSON and enumerations are sent as texts, and so may be
what is NULL in every row (6)."""
_CLICKHOUSE = {
    Kind.INSTANT: "DateTime(64)?",
    Kind.WALL_CLOCK: "Date(32)?|Time(64)?",
    Kind.NUMBER: "U?Int[0-9]+|B?Float[0-9]+|Decimal[0-9]*",
    Kind.BOOLEAN: "Bool",
    Kind.TEXT: "String|FixedString|Enum(8|16)",
}
"""ClickHouse's types, without what stands in their brackets. A DateTime is an instant; its zone is for show."""
_CLICKHOUSE_WRAPPED = re.compile(r"(?:Nullable|LowCardinality)\((.*)\)")
_CODES = {
    name: {code: kind for kind, codes in table.items() for code in codes}
    for name, table in (("postgresql", _POSTGRESQL), ("mysql", _MYSQL), ("mariadb", _MYSQL))
}


async def kinds_selected(session: Session, columns: sa.Select[tuple[object, ...]]) -> Kinds:
    """The kind of each column that a statement gives; it is run and should give no rows.

    Raises:
        DatabaseError: one of its kinds.
    """
    codes = _CODES.get(session.dialect_name, {})
    if not codes and session.dialect_name != "clickhouse":
        return {}
    if session.dialect_name == "clickhouse":  # of no rows it tells no types, but where none are asked for
        columns = columns.limit(sa.literal_column("0", type_=sa.Integer))

    def look(connection: sa.Connection) -> Kinds:
        cursor = connection.execute(columns).cursor
        described = cursor.description if cursor is not None else None
        types = {str(column[0]): column[1] for column in described or ()}
        by_code = {name: codes.get(code, Kind.OTHER) for name, code in types.items() if isinstance(code, int)}
        return by_code | {name: clickhouse_kind(code) for name, code in types.items() if isinstance(code, str)}

    return await session.run(look)


def clickhouse_kind(written: str) -> Kind:
    """The kind of one of ClickHouse's types, as it writes them: `LowCardinality(Nullable(String))`."""
    while wrapped := _CLICKHOUSE_WRAPPED.fullmatch(written):
        written = wrapped[1]
    name = written.partition("(")[0]
    return next((kind for kind, names in _CLICKHOUSE.items() if re.fullmatch(names, name)), Kind.OTHER)
