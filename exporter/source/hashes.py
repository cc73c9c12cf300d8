"""A hash of customers that the database itself computes, the same in every table, database and spelling of one key.

A sample of customers must hold all rows of whoever is in it (`exporter.ledger.sampling`). The same customer is a UUID
in one table and a text in capitals in another, a number here and its digits there. In memory all spellings are one
number (`exporter.source.columns.values`); here they are brought to one form before they are hashed. That other keys
share that form, as 12 and 120 do, harms nobody: they are in the sample together or not at all.

It is SHA-256, which all of them have: MySQL 9 lost MD5, and a PostgreSQL that allows approved hashes only refuses it.
"""

import hashlib
from typing import Any

import sqlalchemy as sa

from exporter.source.dialects import Dialect

Column = sa.ColumnElement[Any]
Text = sa.ColumnElement[str]

KEY_HASH = "canary_key_hash"
"""SQLite's name of `key_hash` (`exporter.source.drivers.asynchronous`)."""
_DRESS = "-{} \t\n\r"
"""What a UUID may be written with, and without."""
_DRESSED = "urn:uuid:|[- {}\t\n\r]"
_ZEROS = "[0.]+$"


def written(dialect: Dialect, column: Column) -> Text:
    """A column that names something as a text; NULL where it names nothing."""
    text = dialect.text(column)
    if dialect.name == "sqlite":
        uuid = sa.and_(
            sa.func.typeof(column) == _word("blob"), sa.func.length(column) == sa.literal_column("16", type_=sa.Integer)
        )
        text = sa.case((uuid, sa.func.hex(column)), else_=text)
    elif dialect.name in ("mysql", "mariadb"):  # bytes that are no text
        odd = sa.cast(text, sa.LargeBinary).is_distinct_from(sa.cast(column, sa.LargeBinary))
        text = sa.case((sa.and_(sa.func.charset(column) == _word("binary"), odd), sa.func.hex(column)), else_=text)
    return sa.func.nullif(sa.func.trim(text), _word(""), type_=sa.String())


def hashed(dialect: Dialect, key: Text) -> Text:
    """Three hexadecimal digits that a key's hash begins with; NULL of NULL."""
    match dialect.name:
        case "sqlite":  # a function of ours: its parser takes no long chain of its own
            digits = getattr(sa.func, KEY_HASH)(key)
        case "postgresql":  # no regular expression: each row of the newest seconds is asked at each look
            plain = sa.func.lower(key)
            for prefix in ("urn:uuid:", "\\x"):
                plain = sa.func.replace(plain, _word(prefix), _word(""))
            plain = sa.func.translate(plain, _word(_DRESS), _word(""))
            backslash = sa.func.chr(sa.literal_column("92"), type_=sa.String())  # in bytes it begins an escape
            plain = sa.func.replace(sa.func.rtrim(plain, _word("0.")), backslash, backslash + backslash)
            digits = sa.func.encode(sa.func.sha256(sa.cast(plain, sa.LargeBinary)), _word("hex"))
        case "clickhouse":
            plain = sa.func.replaceRegexpAll(sa.func.lower(key), _word(_DRESSED), _word(""))
            plain = sa.func.replaceRegexpOne(plain, _word(_ZEROS), _word(""))
            digits = sa.func.lower(sa.func.hex(sa.func.SHA256(plain)))
        case _:
            every = [_word("g")] if dialect.name == "duckdb" else []
            plain = sa.func.regexp_replace(sa.func.lower(key), _word(_DRESSED), _word(""), *every)
            plain = sa.func.regexp_replace(plain, _word(_ZEROS), _word(""))
            if dialect.name == "trino":
                digits = sa.func.lower(sa.func.to_hex(sa.func.sha256(sa.func.to_utf8(plain))))
            elif dialect.name == "duckdb":
                digits = sa.func.sha256(plain)
            else:
                digits = sa.func.sha2(plain, sa.literal_column("256"))
    return sa.func.substr(digits, 1, 3, type_=sa.String())


def key_hash(key: str | None) -> str | None:
    """The hash for SQLite, which has no hash of its own."""
    if key is None:
        return None
    plain = key.lower().replace("urn:uuid:", "").translate(dict.fromkeys(map(ord, _DRESS))).rstrip("0.")
    return hashlib.sha256(plain.encode("utf-8", "replace")).hexdigest()


def _word(text: str) -> Text:
    return sa.literal_column(f"'{text}'", type_=sa.String())
