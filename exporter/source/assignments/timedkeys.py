"""Keys that bring the moment along by which their version is told, as a statement writes and we read them.

What a customer bought under one weight, and pays after the next change, belongs to the version that took the order. So
where no database tells the version, a row that inherits its customer, or the side in a tag, has it in one text with the
time of the row that names it: the moment, how to understand it, and the key.
"""

import re
from typing import Any, NamedTuple

import sqlalchemy as sa

from exporter.source.moments import Moment

Column = sa.ColumnElement[Any]

_SEAM, _INSTANT, _BY = "\n", "i", "@"
"""Between a key and its moment: no header and no cookie can hold one, until a shop unescapes it (`%0A`)."""
_MOMENT = re.compile(r"(?P<moment>-?[0-9]{1,11}(\.[0-9]+)?)(?P<instant>i)?(@(?P<identity>.+))?", re.ASCII)
"""A moment as a database writes it, and perhaps an identity of the policy. Before the seam may also stand what a
customer chose to be known by, and one such row must not keep an event from being read."""


class TimedKey(NamedTuple):
    """What a statement gave in place of a version.

    Attributes:
        stored: the time of the row that names the key, as the database has it; None for that of the row itself.
        instant: whether that is an instant, and not what the shop's clock showed.
        identity: the one of the policy in which the key is still to be looked for.
        key: the customer, or the side.
    """

    stored: float | None
    instant: bool
    identity: str | None
    key: str


def timed(key: Column, written: Column, at: Moment, identity: str | None) -> Column:
    """A key with a moment, as one text.

    Args:
        written: the moment as a text.
        at: the same as it was read.
        identity: the one in which the key is still to be looked for.
    """
    seam = (_INSTANT if at.instant else "") + ("" if identity is None else f"{_BY}{identity}") + _SEAM
    return written + sa.literal_column(f"'{seam}'", type_=sa.String()) + key


def split_key(key: str) -> TimedKey:
    """What `timed` put together, and a key without a moment as it is."""
    before, seam, rest = key.partition(_SEAM)
    found = _MOMENT.fullmatch(before) if seam else None
    if found is None:
        return TimedKey(None, False, None, key)
    return TimedKey(float(found["moment"]), found["instant"] is not None, found["identity"], rest)
