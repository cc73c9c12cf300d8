"""`canary check --data`: whether the rows that one version writes fit together worse than those of the others.

A version may sell as well as before and leave the shop's books wrong: orders that nobody paid, payments of another
amount than the order's, rows that name a cart that never came, columns that it forgets to fill. No KPI sees that. Every
shop has some such rows, so that a count alone says nothing: each version's share is held against that of all others
among the same newest rows, and told when chance does not explain it (Fisher's exact test, `evidence.alpha` split over
all comparisons).

Only what the mapping says is looked at, and only where it is known: a row whose children, or whose parent, may lie
beyond the rows that were read is left out, and is not counted as a row that lacks them.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from canary.finding import Finding, ok, warning
from canary.policy import Policy
from canary.units import format_ratio
from canaryctl.check.shop.newest import (
    FIRST_PARENT,
    ID,
    NEWEST,
    OUTCOME,
    VALUE,
    VERSION,
    NewestRows,
    first_stream,
    shown,
)
from exporter.source.columns.values import id_number, to_number
from exporter.source.database import Row, Session
from exporter.source.mapping import parents_of

_FEW = 20
"""Of fewer rows no share is told."""
_PARENTS = 20_000
"""Parents among which those of the newest rows are looked for."""
_CENT = 0.005
"""Amounts that differ by less are one amount, rounded twice."""


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
class _Kind:
    """One way in which rows may not fit together.

    Attributes:
        event: whose rows are looked at.
        words: what such a row is like, after "12 of 300 orders of v2.0".
        place: the line of the policy that says how they should fit.
        rows: each row that could be looked at, and whether it is such a one.
    """

    event: str
    words: str
    place: str
    rows: Sequence[tuple[Row, bool]]

    def counts(self) -> dict[str, tuple[int, int]]:
        """By version, how many rows are such, and of how many; without rows that no version is known of."""
        every, such = Counter[str](), Counter[str]()
        for row, is_such in self.rows:
            if row[VERSION] is not None:
                every[shown(row[VERSION])] += 1
                such[shown(row[VERSION])] += is_such
        return {version: (such[version], count) for version, count in every.items() if count >= _FEW}


async def known_ids(policy: Policy, session: Session, looked: Mapping[str, NewestRows]) -> dict[str, KnownIds]:
    """What ids the events have that the newest rows of others come from.

    Raises:
        DatabaseError: they cannot be read.
    """
    wanted = {
        parent
        for name, one in looked.items()
        for number, (parent, _) in enumerate(parents_of(policy.database.events, name), FIRST_PARENT)
        if parent in looked and sum(row[number] is not None for row in one.rows) >= _FEW
    }
    found = {}
    for parent in sorted(wanted):
        statement = (await first_stream(policy, session, parent)).sample
        rows = await session.rows(statement, {"count": _PARENTS})
        found[parent] = KnownIds.of([row[0] for row in rows], complete=len(rows) < _PARENTS)
    return found


def worse_versions(
    policy: Policy, looked: Mapping[str, NewestRows], there: Mapping[str, KnownIds], now: float
) -> Iterator[Finding]:
    """A warning for each version whose rows fit together worse; one line that says what was compared where none do.

    Args:
        looked: the newest rows, by event.
        there: what ids the events have that others come from.
        now: seconds since the epoch.
    """
    compared = [(kind, counts) for kind in _kinds(policy, looked, there, now) if len(counts := kind.counts()) > 1]
    comparisons = sum(len(counts) for _, counts in compared)
    found = [
        _told(kind, version, counts)
        for kind, counts in compared
        for version in counts
        if _chance(version, counts) * comparisons <= policy.evidence.alpha
    ]
    yield from found
    if compared and not found:
        versions = sorted({version for _, counts in compared for version in counts})
        listed = f"{', '.join(versions[:-1])} and {versions[-1]}"
        what = f"rows of {listed} fit together alike, compared in {len(compared)} ways"
        yield ok(compared[0][0].place, what)


def _told(kind: _Kind, version: str, counts: Mapping[str, tuple[int, int]]) -> Finding:
    such, rows = counts[version]
    others, of = (
        sum(numbers) for numbers in zip(*(one for name, one in counts.items() if name != version), strict=True)
    )
    first = next(row[ID] for row, is_such in kind.rows if is_such and shown(row[VERSION]) == version)
    what = (
        f"{such} of {rows} {kind.event} of {version} ({_share(such, rows)}) {kind.words}, and {others} of {of} "
        f"({_share(others, of)}) of all others: more than chance explains"
    )
    return warning(kind.place, what, f"see what {version} writes there: the newest has the id {first}")


def _share(count: int, of: int) -> str:
    return format_ratio(round(count / of, 3))


def _chance(version: str, counts: Mapping[str, tuple[int, int]]) -> float:
    """How likely a version gets so many of these rows, or more, when all versions are alike (Fisher 1935)."""
    such, rows = counts[version]
    all_such, all_rows = (sum(numbers) for numbers in zip(*counts.values(), strict=True))
    ways = sum(
        math.comb(rows, count) * math.comb(all_rows - rows, all_such - count)
        for count in range(such, min(rows, all_such) + 1)
    )
    return ways / math.comb(all_rows, all_such)


def _kinds(
    policy: Policy, looked: Mapping[str, NewestRows], there: Mapping[str, KnownIds], now: float
) -> Iterator[_Kind]:
    for name, one in looked.items():
        columns: dict[str, int] = {}
        for number, (parent, column) in enumerate(parents_of(policy.database.events, name), FIRST_PARENT):
            columns[column] = number
            if parent in there:
                looked_up = [(row, there[parent].lacks(row[number])) for row in one.rows if row[number] is not None]
                orphans = [(row, lacks) for row, lacks in looked_up if lacks is not None]
                yield _Kind(name, f"name a row of {parent} ({column}) that is not there", one.at("parent"), orphans)
            if one.event.outcome is not None and parent in looked:
                yield from _followed(policy, looked[parent], one, number, now)
        if one.event.value is not None:
            columns[one.event.value] = VALUE
        for column, number in columns.items():
            key = "value" if number == VALUE else "parent"
            empty = [(row, row[number] is None) for row in one.rows]
            yield _Kind(name, f"have no {column}", one.at(key), empty)


def _followed(policy: Policy, above: NewestRows, below: NewestRows, number: int, now: float) -> Iterator[_Kind]:
    """Whether rows got what is to come of them, such as an order its payment, and of the same amount.

    Of rows that are old enough for it, and no older than the oldest that could have come of them and was read.
    """
    oldest = min(below.moments, default=math.inf) if len(below.rows) >= NEWEST else -math.inf
    latest = now - max(policy.database.lateness, policy.evidence.pending_timeout)
    due = [row for row, moment in zip(above.rows, above.moments, strict=True) if oldest <= moment <= latest]
    came: dict[int | None, list[Row]] = {}
    for row in below.rows:
        came.setdefault(id_number(row[number]), []).append(row)
    lacking = [(row, id_number(row[ID]) not in came) for row in due]
    yield _Kind(above.name, f"have no row of {below.name}", below.at("parent"), lacking)
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
    yield _Kind(above.name, words, below.at("value"), differing)
