"""Single values as databases hand them over, turned into what the ledger keeps; what cannot be turned is *odd*.

A shop's rows were written by other people's programs, over years. A total may be `NaN`, `'12,50'`, PostgreSQL's money
or a number that no machine word holds; a key may be a number here and its digits there, or a UUID in another spelling;
a text may be bytes in no encoding at all. Whatever it is, these functions give an answer and never raise: None for a
number that is none, some text for any bytes, some 64-bit number for any key. So one odd value costs one value.

An id's number says only whether two ids name the same row. So it is one and the same for all spellings of a key:
`12` and `'12'`, a UUID in capitals, without dashes, in braces, or as the 16 bytes that MariaDB keeps.
"""

import re
from collections.abc import Callable
from datetime import date, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

import numpy as np
import xxhash

NO_ID = int(np.iinfo(np.int64).min)
"""Id of a parent that a row does not name."""
LARGEST = 1e18
"""No shop's order is worth more, in no currency; a mean with one larger value says nothing of the others."""
NUMBER_PATTERN = "^ *[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{1,2})? *$"
"""Texts that are numbers; without a backslash or a percent sign, so that every database reads it as it is."""

_NUMBER = re.compile(NUMBER_PATTERN, re.ASCII)
_DIGITS = re.compile("-?[1-9][0-9]{0,18}|0", re.ASCII)
"""Texts that a whole number of 64 bits is written as; with a zero in front it is another key."""
_UUID = re.compile("[0-9a-f]{32}", re.ASCII)
_UUID_LENGTHS = (32, 36, 38, 45)
"""Plain, with dashes, in braces too, as `urn:uuid:`."""
_WHOLE_BELOW = Decimal(10) ** 40
"""Whole numbers below this are ids by their digits, whatever the type; no key column holds larger ones."""
_LONGEST_TEXT = 128
"""Characters of a label; longer ones are somebody's mistake, and each is kept by Prometheus for weeks."""
_SHOWN = 24
"""Characters of an odd value's shape in the log."""

Odd = Callable[[str, Any, Any], None]
"""Is told of each odd value: its kind, the row's id, the value."""

ODD_NUMBER = "odd_number"
"""A value that is no number, or none that can be added up."""
ODD_TIME = "odd_time"
"""A time that is none."""
ODD_ROW = "odd_row"
"""Something in some row that a statement or a driver stumbled over."""


def to_number(value: Any) -> int | float | Decimal | None:
    """The number that a value is, exactly; None where it is none, or none that can be added up."""
    if isinstance(value, str | bytes | bytearray | memoryview):
        written = value if isinstance(value, str) else _decoded(bytes(value))
        value = Decimal(written.strip()) if _NUMBER.match(written) else None
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, Decimal):
        return value if value.is_finite() and abs(value) <= LARGEST else None
    if isinstance(value, int | float):
        return value if -LARGEST <= value <= LARGEST else None  # NaN is on neither side
    return None


@lru_cache(maxsize=4096)
def label(value: str | bytes | None) -> str:
    """Any text as a metric's label can hold it: no broken characters, not endless; empty for None."""
    if value is None:
        return ""
    written = value if isinstance(value, str) else _decoded(bytes(value))
    return written[:_LONGEST_TEXT].encode("utf-8", "replace").decode()


def id_number(value: Any) -> int:
    """The 64-bit number that stands for a key in every spelling; `NO_ID` for none, as an empty text is."""
    if value is None:
        return NO_ID
    if isinstance(value, int):
        return int(value) if abs(value) < 1 << 63 else _hashed(str(value))
    if isinstance(value, str):
        return _id_of_text(value.strip())
    if isinstance(value, UUID):
        return _hashed(value.hex)
    if isinstance(value, bytes | bytearray | memoryview):
        return _id_of_bytes(bytes(value))
    if isinstance(value, float | Decimal):
        return _id_of_fraction(value)
    return _id_of_text(str(value))


def shape(value: Any) -> str:
    """What an odd value looks like, for the log: every letter is `a` and every digit `9`, as it may be anybody's."""
    written = _decoded(bytes(value)) if isinstance(value, bytes | bytearray | memoryview) else str(value)
    if isinstance(value, int | float | Decimal | date | time | timedelta):
        return f"{written[:_SHOWN]} ({type(value).__name__})"
    masked = "".join("9" if one.isdigit() else "a" if one.isalpha() else one for one in written[:_SHOWN])
    shown = ascii(masked + "..." if len(written) > _SHOWN else masked)
    return shown if isinstance(value, str | bytes | bytearray | memoryview) else f"{shown} ({type(value).__name__})"


def _id_of_text(written: str) -> int:
    if not written:
        return NO_ID
    if len(written) in _UUID_LENGTHS:
        plain = written.lower().removeprefix("urn:uuid:").strip("{}").replace("-", "")
        if _UUID.fullmatch(plain):
            return _hashed(plain)
    if _DIGITS.fullmatch(written):
        return id_number(int(written))
    return _hashed(written)


def _id_of_bytes(key: bytes) -> int:
    try:
        written = key.decode().strip()
    except UnicodeDecodeError:
        written = ""
    if not key.strip():
        return NO_ID
    if written and written.isprintable() and not (len(key) == 16 and not key.isascii()):
        return _id_of_text(written)
    return _hashed(key.hex())  # a UUID as MariaDB's BINARY(16), or any other key that is no text


def _id_of_fraction(value: float | Decimal) -> int:
    exact = Decimal(value)
    if exact.is_finite() and exact == exact.to_integral_value() and abs(exact) < _WHOLE_BELOW:
        return id_number(int(exact))
    return _id_of_text(str(value))


def _hashed(written: str) -> int:
    unsigned = xxhash.xxh3_64_intdigest(written.encode("utf-8", "backslashreplace"))
    return unsigned - (1 << 64) if unsigned >> 63 else unsigned


def _decoded(written: bytes) -> str:
    return written.decode("utf-8", "replace")
