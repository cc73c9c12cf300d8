"""Single rows in memory, as columns: what the KPIs of the trailing window and the judge are computed from.

Counts are not enough for them: whether a visit became an order is known only by joining rows. Kept as columns of
numbers they are small and joined quickly; a list of Python objects is neither. Texts become small numbers (`Codes`),
ids that are no numbers become 64-bit hashes. A value that is none of a number is left out of its row and told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporter.ledger.ledger import UNKNOWN
from exporter.source.columns.values import LARGEST, NO_ID, ODD_NUMBER, ODD_TIME, Odd, id_number, label, to_number
from exporter.source.statements import FAILED, PENDING, SUCCEEDED

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_LATEST_SECONDS = 253_000_000_000.0
"""Late in the year 9987: what lies beyond is no time of a row, and no calendar can turn it into another zone."""

_MOST_SPELLINGS = 100_000
"""Texts whose code is remembered besides those that are shown: endless ones share what is shown of them."""

_OUTCOMES = ("", SUCCEEDED, FAILED, PENDING)
SUCCEEDED_CODE, FAILED_CODE, PENDING_CODE = (_OUTCOMES.index(text) for text in (SUCCEEDED, FAILED, PENDING))


class Codes:
    """Texts as small numbers, in the order in which they were first seen."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._codes: dict[str | bytes, int] = {}

    def code(self, text: str | bytes) -> int:
        """The text's number; bytes and texts that no label can hold have that of the text that is shown for them."""
        code = self._codes.get(text)
        if code is None:
            shown = label(text)
            code = self._codes.get(shown)
            if code is None:
                code = self._codes[shown] = len(self.texts)
                self.texts.append(shown)
            if len(self._codes) < _MOST_SPELLINGS:
                self._codes[text] = code
        return code


def unheard(_kind: str, _row: Any, _value: Any) -> None:
    """Tells nobody of an odd value."""


@dataclass(frozen=True, slots=True, eq=False)
class EventRows:
    """Rows of one event; arrays of one length, never changed.

    Attributes:
        bucket: the ledger's fine bucket that each row was found in.
        ids: the row's id; texts and UUIDs as 64-bit hashes.
        time: when the row became a fact, seconds since the epoch.
        entered: the row's own time.
        version, currency: numbers of `Codes`.
        variant: that of an experiment, where a column tells it; numbered like versions.
        segment: that by which a KPI is looked at, numbered like versions; unknown where no column tells it.
        unit: the customer that the row names itself, as ids are numbered; `NO_ID` where it names none.
        outcome: 0 none, then `SUCCEEDED_CODE`, `FAILED_CODE`, and `PENDING_CODE` where it is fine that there is none.
        value: nan where there is none.
        parents: a row per parent event, `NO_ID` where there is none.
    """

    bucket: Ints
    ids: Ints
    time: Floats
    entered: Floats
    version: Ints
    currency: Ints
    outcome: Ints
    value: Floats
    variant: Ints
    segment: Ints
    unit: Ints
    parents: Ints

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def empty(cls, parents: int) -> EventRows:
        """No rows."""
        ints, floats = np.zeros(0, dtype=np.int64), np.zeros(0)
        none = np.zeros((parents, 0), dtype=np.int64)
        return cls(ints, ints, floats, floats, ints, ints, ints, floats, ints, ints, ints, none)

    @classmethod
    def of(
        cls,
        rows: Sequence[Sequence[Any]],
        parents: int,
        versions: Codes,
        currencies: Codes,
        odd: Odd = unheard,
    ) -> EventRows:
        """From what a stream's `rows` statement gives; *odd* is told of every value that is none."""
        kept = [row for row in rows if row[0] is not None and row[2] is not None]
        if len(kept) < len(rows):
            for row in rows:
                if row[0] is None or row[2] is None:
                    odd(ODD_TIME, row[1], None)
        if not kept:
            return cls.empty(parents)
        columns = zip(*kept, strict=True)
        bucket, ids, time, entered, version, currency, outcome, value, variant, segment, unit, *named = columns
        times = np.asarray(time, dtype=np.float64)
        return cls(
            bucket=np.asarray(bucket, dtype=np.int64),
            ids=_ids(ids),
            time=times,
            entered=_entered(entered, times),
            version=np.asarray([versions.code(text or UNKNOWN) for text in version], dtype=np.int64),
            currency=np.asarray([currencies.code(text or "") for text in currency], dtype=np.int64),
            outcome=np.asarray([_OUTCOMES.index(text or "") for text in outcome], dtype=np.int64),
            value=_values(value, ids, odd),
            variant=np.asarray([versions.code(text or UNKNOWN) for text in variant], dtype=np.int64),
            segment=np.asarray([versions.code(text or UNKNOWN) for text in segment], dtype=np.int64),
            unit=_ids(unit),
            parents=np.stack([_ids(column) for column in named]) if named else cls.empty(parents).parents_of(len(kept)),
        )

    def parents_of(self, length: int) -> Ints:
        """No parents, for *length* rows."""
        return np.full((self.parents.shape[0], length), NO_ID, dtype=np.int64)

    def where(self, chosen: Bools | Ints) -> EventRows:
        """Some of the rows."""
        return self._each(lambda column: column[..., chosen])

    def then(self, others: Iterable[EventRows]) -> EventRows:
        """These rows followed by others of the same event."""
        tables = [self, *(other for other in others if len(other))]
        if len(tables) == 1:
            return self
        columns = {
            field.name: np.concatenate([getattr(table, field.name) for table in tables], axis=-1)
            for field in fields(self)
        }
        return EventRows(**columns)

    def shifted(self, to_utc: Callable[[Floats], Floats], entered_to_utc: Callable[[Floats], Floats]) -> EventRows:
        """The same rows with times turned from the database's own zone into UTC, the rows' own times apart."""
        return replace(self, time=to_utc(self.time), entered=entered_to_utc(self.entered))

    def _each(self, change: Callable[[Any], Any]) -> EventRows:
        return EventRows(**{field.name: change(getattr(self, field.name)) for field in fields(self)})


def _ids(values: Sequence[Any]) -> Ints:
    if all(type(value) is int for value in values):
        try:
            return np.asarray(values, dtype=np.int64)
        except OverflowError:  # beyond 64 bits, as an unsigned key may be
            pass
    return np.asarray([id_number(value) for value in values], dtype=np.int64)


def _entered(moments: Sequence[Any], times: Floats) -> Floats:
    """Each row's own time; where it is none (missing, year 0, infinity), that under which it was found."""
    entered = np.asarray([np.nan if moment is None else moment for moment in moments], dtype=np.float64)
    return np.where((entered > 0.0) & (entered < _LATEST_SECONDS), entered, times)


def _values(values: Sequence[Any], ids: Sequence[Any], odd: Odd) -> Floats:
    """Numbers, nan where there is none; the usual case costs no more than a look at the types."""
    if not any(isinstance(value, str | bytes) for value in values):
        try:
            found = np.asarray([0.0 if value is None else value for value in values], dtype=np.float64)
            if found.ndim == 1 and np.all(np.abs(found) <= LARGEST):  # which NaN is not; lists have a further dimension
                return np.where([value is None for value in values], np.nan, found)
        except (TypeError, ValueError, OverflowError):
            pass
    numbers = [to_number(value) for value in values]
    for value, row, read in zip(values, ids, numbers, strict=True):
        if read is None and value is not None:
            odd(ODD_NUMBER, row, value)
    return np.asarray([np.nan if read is None else float(read) for read in numbers], dtype=np.float64)


class Finder:
    """Finds rows by id: a sorted index over the ids of one table."""

    def __init__(self, ids: Ints) -> None:
        ascending = bool(np.all(ids[1:] >= ids[:-1]))  # as ids that a database hands out mostly are
        self._order = np.arange(len(ids)) if ascending else np.argsort(ids, kind="stable")
        self._sorted = ids if ascending else ids[self._order]

    def find(self, wanted: Ints) -> Ints:
        """Position of each wanted id, -1 where there is none."""
        if not len(self._sorted):
            return np.full(len(wanted), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(self._sorted, wanted), len(self._sorted) - 1)
        positions: Ints = np.where(self._sorted[at] == wanted, self._order[at], -1)
        return positions
