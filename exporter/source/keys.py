"""Two columns that name one thing, where the shop writes it in two types.

A payment provider's table keeps the order's number as a text, a log keeps a UUID as one. MariaDB, MySQL and SQLite
compare them all the same; PostgreSQL refuses, and the whole event could not be read. Turning the key into a text would
be the plain way, and no index would serve it: each row would read all of its parents. So what *names* the key is
turned into the key's type, where it can be; a text that is no such key names nothing.

In memory, where the judge joins rows, all spellings of a key are one number (`exporter.source.columns.values`).
"""

from typing import Any

import sqlalchemy as sa

from exporter.source.columns.kinds import Kind, Kinds
from exporter.source.dialects import Dialect

Column = sa.ColumnElement[Any]

_WHOLE = "^ *-?[0-9]{1,18} *$"
"""Whole numbers that surely fit into 64 bits."""
_UUID = "^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$"


def kinds_key(source: str, column: str) -> str:
    """By which name the kind of another event's column is among an event's kinds."""
    return f"{source}.{column}"


def kinds_of_keys(dialect: Dialect, kinds: Kinds) -> Kinds:
    """The kinds that decide how keys are compared: only PostgreSQL's."""
    return kinds if dialect.name == "postgresql" else {}


def same(key: Column, named: Column, kinds: Kinds, of_key: str, of_named: str) -> sa.ColumnElement[bool]:
    """Whether a row's column names this key.

    Args:
        key: what an index serves.
        named: the column that names it.
        kinds: of both, where they are known and matter (`kinds_of_keys`).
        of_key, of_named: their names there.
    """
    match kinds.get(of_key), kinds.get(of_named):
        case Kind.NUMBER, Kind.TEXT:
            return key == _where(named, _WHOLE, sa.BigInteger())
        case Kind.UUID, Kind.TEXT:
            return key == _where(named, _UUID, sa.Uuid())
        case Kind.TEXT, Kind.NUMBER | Kind.UUID:
            return key == sa.cast(named, sa.String())
        case _:
            return key == named


def _where(text: Column, pattern: str, kind: sa.types.TypeEngine[Any]) -> Column:
    literal = sa.literal_column(f"'{pattern}'", type_=sa.String())
    return sa.case((text.op("~", is_comparison=True)(literal), sa.cast(text, kind)))
