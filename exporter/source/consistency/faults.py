"""Rows that do not fit together: orders that nobody paid, amounts that differ, rows of nothing, columns left empty.

A version may sell as well as before and leave the shop's books wrong: no KPI sees that. Every shop has some such rows,
so that a count alone says nothing: one version's share is held against that of others among the same newest rows, and
only what chance does not explain (Fisher's exact test) is told.

Only what the mapping says is looked at, and only where it is known: a row whose children, or whose parent, may lie
beyond the rows that were read is left out, and is not counted as a row that lacks them.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from canary import names
from canary.policy.model import Policy
from exporter.source.columns.values import id_number, to_number
from exporter.source.consistency.newest import (
    FIRST_PARENT,
    ID,
    OUTCOME,
    VALUE,
    VERSION,
    NewestRows,
    first_stream,
    shown,
)
from exporter.source.database import Row, Session
from exporter.source.mapping import parents_of
from exporter.source.sources import rows_apart

FEW = 20
"""Of fewer rows no share is told."""
_PARENTS = 20_000
"""Parents among which those of the newest rows are looked for."""
_CENT = 0.005
"""Amounts that differ by less are one amount, rounded twice."""

Counts = Mapping[str, tuple[int, int]]
"""By version, how many rows are faulty, and of how many."""


@dataclass(frozen=True)
class KnownIds:
    """The ids of an event's newest rows, from which rows of others come.

    Attributes:
        ids: as `id_number` makes them.
        lowest: every row with a number from here on was read; minus infinity where all rows were, infinity where ids
            are no numbers and there are more rows than were read.
    """

    ids: frozenset[int]
    lowest: float

    @classmethod
    def of(cls, ids: Sequence[object], *, complete: bool) -> Self:
        """From the ids as the database gives them."""
        lowest = -math.inf if complete else math.inf
        if not complete and all(isinstance(one, int) for one in ids):
            lowest = min(one for one in ids if isinstance(one, int))
        return cls(frozenset(id_number(one) for one in ids), lowest)

    def lacks(self, value: object) -> bool | None:
        """Whether no row has this id; None where it may lie beyond those that were read."""
        if id_number(value) in self.ids:
            return False
        read = self.lowest == -math.inf or (isinstance(value, int) and value >= self.lowest)
        return True if read else None


@dataclass(frozen=True)
class RowFault:
    """One way in which rows may not fit together.

    Attributes:
        event: whose rows are looked at.
        fault: the kind, one of `names.FAULTS`.
        column: where the fault is: a column of the event, or the event of which rows should have come.
        words: what such a row is like, after "12 of 300 orders of v2.0".
        place: the line of the policy that says how they should fit.
        rows: each row that could be looked at, and whether it is such a one.
    """

    event: str
    fault: str
    column: str
    words: str
    place: str
    rows: Sequence[tuple[Row, bool]]

    def counts(self) -> Counts:
        """By version; without rows that no version is known of, and without versions of which there are few rows."""
        every, such = Counter[str](), Counter[str]()
        for row, is_such in self.rows:
            if row[VERSION] is not None:
                every[shown(row[VERSION])] += 1
                such[shown(row[VERSION])] += is_such
        return {version: (such[version], count) for version, count in every.items() if count >= FEW}

    def newest(self, version: str) -> str:
        """The id of the newest faulty row of a version."""
        return next(shown(row[ID]) for row, is_such in self.rows if is_such and shown(row[VERSION]) == version)


async def known_ids(policy: Policy, session: Session, looked: Mapping[str, NewestRows]) -> dict[str, KnownIds]:
    """What ids the events have that the newest rows of others come from.

    Raises:
        DatabaseError: they cannot be read.
    """
    wanted = {
        parent
        for name, one in looked.items()
        for number, (parent, _) in enumerate(parents_of(policy.database.events, name), FIRST_PARENT)
        if parent in looked and sum(row[number] is not None for row in one.rows) >= FEW
    }
    found = {}
    for parent in sorted(wanted):
        statement = (await first_stream(policy, session, parent)).sample
        rows = await rows_apart(session, statement, {"count": _PARENTS}, [ID])
        found[parent] = KnownIds.of([row[ID] for row in rows], complete=len(rows) < _PARENTS)
    return found


def chance(version: str, counts: Counts) -> float:
    """How likely a version gets so many of these rows, or more, when all versions are alike (Fisher 1935).

    In logarithms: the binomial coefficients themselves have thousands of digits, and took seconds.
    """
    such, rows = counts[version]
    all_such, all_rows = (sum(numbers) for numbers in zip(*counts.values(), strict=True))
    others, every = all_rows - rows, _log_ways(all_rows, all_such)
    return math.fsum(
        math.exp(_log_ways(rows, count) + _log_ways(others, all_such - count) - every)
        for count in range(max(such, all_such - others), min(rows, all_such) + 1)
    )


def _log_ways(rows: int, count: int) -> float:
    """Logarithm of how many ways there are to choose *count* of the rows."""
    return math.lgamma(rows + 1) - math.lgamma(count + 1) - math.lgamma(rows - count + 1)


def row_faults(
    policy: Policy, looked: Mapping[str, NewestRows], there: Mapping[str, KnownIds], now: float
) -> Iterator[RowFault]:
    """Every way in which these rows may not fit together.

    Args:
        looked: the newest rows, by event.
        there: what ids the events have that others come from.
        now: seconds since the epoch.
    """
    orphan, childless, empty = names.FAULTS[0], names.FAULTS[1], names.FAULTS[3]
    for name, one in looked.items():
        columns: dict[str, int] = {}
        for number, (parent, column) in enumerate(parents_of(policy.database.events, name), FIRST_PARENT):
            columns[column] = number
            if parent in there:
                looked_up = [(row, there[parent].lacks(row[number])) for row in one.rows if row[number] is not None]
                orphans = [(row, lacks) for row, lacks in looked_up if lacks is not None]
                words = f"name a row of {parent} ({column}) that is not there"
                yield RowFault(name, orphan, column, words, one.at("parent"), orphans)
            if one.event.outcome is not None and parent in looked:
                due, came = _due(policy, looked[parent], one, number, now)
                lacking = [(row, id_number(row[ID]) not in came) for row in due]
                yield RowFault(parent, childless, name, f"have no row of {name}", one.at("parent"), lacking)
                yield from _amounts(looked[parent], one, due, came)
        if one.event.value is not None:
            columns[one.event.value] = VALUE
        for column, number in columns.items():
            key = "value" if number == VALUE else "parent"
            nulls = [(row, row[number] is None) for row in one.rows]
            yield RowFault(name, empty, column, f"have no {column}", one.at(key), nulls)


_Came = Mapping[int | None, Sequence[Row]]


def _due(policy: Policy, above: NewestRows, below: NewestRows, number: int, now: float) -> tuple[Sequence[Row], _Came]:
    """Rows that should have got what comes of them, such as an order its payment, and what came of each.

    They are old enough for it, and no older than the oldest that could have come of them and was read.
    """
    oldest = -math.inf if below.complete else min(below.moments, default=math.inf)
    latest = now - max(policy.database.lateness, policy.evidence.pending_timeout)
    due = [row for row, moment in zip(above.rows, above.moments, strict=True) if oldest <= moment <= latest]
    came: dict[int | None, list[Row]] = {}
    for row in below.rows:
        came.setdefault(id_number(row[number]), []).append(row)
    return due, came


def _amounts(above: NewestRows, below: NewestRows, due: Sequence[Row], came: _Came) -> Iterator[RowFault]:
    """Whether what came of rows, and succeeded, is together of the same amount."""
    if above.event.value is None or below.event.value is None:
        return
    differing: list[tuple[Row, bool]] = []
    for row in due:
        paid = [one for one in came.get(id_number(row[ID]), ()) if shown(one[OUTCOME]) in below.event.succeeded]
        amounts = [to_number(one[VALUE]) for one in (row, *paid)]
        if paid and None not in amounts:
            total, *parts = (float(amount) for amount in amounts if amount is not None)
            differing.append((row, abs(total - math.fsum(parts)) > _CENT))
    words = f"have another {above.event.value} than their {below.name} together"
    yield RowFault(above.name, names.FAULTS[2], above.event.value, words, below.at("value"), differing)
