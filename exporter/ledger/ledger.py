"""The ledger of one stream: what was counted in which bucket, open buckets fine, closed ones coarse.

The database counts; the ledger remembers and says what changed. Sums are kept in millionths as whole numbers, so that
adding and taking away never drifts. Floating-point sums would, by a cent after some millions of orders, and a counter
that is a cent too low counts as one that fell.

Open buckets are narrow, because their rows are read again whenever their counts change. Once no row can be late any
more, an hour's buckets are melted into one, so that a year of them fits in memory.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from exporter.source.columns.values import label, to_number
from exporter.source.streams import COARSE_SECONDS, FINE_SECONDS

MILLION = 1_000_000
"""Sums are kept in millionths: no currency has a smaller unit that shops charge in."""
BUCKETS_PER_HOUR = COARSE_SECONDS // FINE_SECONDS
"""Fine buckets in a coarse one."""


class Key(NamedTuple):
    """What counts are kept apart by; the empty text stands for no currency or no outcome."""

    version: str
    currency: str
    outcome: str


class Tally(NamedTuple):
    """How many rows, and the sum of their values in millionths."""

    rows: int
    millionths: int


NOTHING = Tally(0, 0)
"""No rows."""
UNKNOWN = "unknown"
"""Version of rows that carry none."""

Bucket = dict[Key, Tally]
Counts = dict[int, Bucket]


class OddSumError(ValueError):
    """A database's sum is no number: some value among those that it added is none (`NaN`, infinity)."""


def counts_of(rows: Iterable[tuple[Any, ...]], *, most: float = math.inf) -> Counts:
    """An aggregate's rows (bucket, version, currency, outcome, count, sum) by bucket.

    Args:
        most: a sum beyond this shows a value that cannot be meant.

    Raises:
        OddSumError: a sum is no number, or beyond *most*.
    """
    # Where each row's version is told by itself these are single rows, millions of them: nothing is made for each.
    found: dict[tuple[Any, ...], list[int]] = {}
    for bucket, version, currency, outcome, count, total in rows:
        if bucket is None:
            continue
        if total is not None and not isinstance(total, str) and abs(total) > most:
            raise OddSumError(f"a sum is {total}")
        named = (bucket, version, currency, outcome)
        held = found.get(named)
        if held is None:
            held = found[named] = [0, 0]
        held[0] += int(count)
        held[1] += millionths(total)
    counts: Counts = {}
    for (bucket, version, currency, outcome), (number, sum_millionths) in found.items():
        key = Key(label(version) or UNKNOWN, label(currency), outcome or "")
        held_there = counts.setdefault(int(bucket), {}).get(key, NOTHING)  # two spellings may be one
        counts[int(bucket)][key] = Tally(held_there.rows + number, held_there.millionths + sum_millionths)
    return counts


def counts_of_rows(rows: Iterable[Sequence[Any]]) -> Counts:
    """The same from single rows (bucket, id, time, own time, version, currency, outcome, value, …).

    A row whose value is no number counts, as it has happened; its value is left out of the sum.
    """
    singles = ((row[0], row[4], row[5], row[6], 1, to_number(row[7])) for row in rows)
    return counts_of(singles)


def millionths(value: Any) -> int:
    """A database's number, whole or not, in millionths.

    Raises:
        OddSumError: it is no number.
    """
    if value is None:
        return 0
    if isinstance(value, int):
        return value * MILLION
    try:
        return (
            round(value * MILLION) if isinstance(value, float) else int((Decimal(value) * MILLION).to_integral_value())
        )
    except (ArithmeticError, ValueError, TypeError) as error:
        raise OddSumError(f"a sum is {value}") from error


@dataclass
class Ledger:
    """Counts of one stream.

    Attributes:
        fine: open buckets of `FINE_SECONDS`, by number.
        coarse: closed buckets of `COARSE_SECONDS`, by number.
        totals: over all buckets.
    """

    fine: Counts = field(default_factory=dict)
    coarse: Counts = field(default_factory=dict)
    totals: dict[Key, Tally] = field(default_factory=dict)

    def replace_fine(self, low: int, high: int | None, found: Counts) -> set[int]:
        """Put *found* in the place of the fine buckets from *low* up to *high*; the numbers of those that changed."""
        held = {number for number in self.fine if number >= low and (high is None or number < high)}
        changed = set()
        for number in held | found.keys():
            if self._put(self.fine, number, found.get(number)):
                changed.add(number)
        return changed

    def replace_coarse(self, number: int, found: Mapping[Key, Tally]) -> int:
        """Put *found* in the place of one coarse bucket; how many rows more or fewer there are, both counted."""
        held = self.coarse.get(number, {})
        keys = held.keys() | found.keys()
        difference = sum(abs(found.get(key, NOTHING).rows - held.get(key, NOTHING).rows) for key in keys)
        self._put(self.coarse, number, dict(found))
        return difference

    def close(self, before: int) -> None:
        """Melt the fine buckets of whole coarse buckets before the coarse bucket *before*."""
        for number in sorted(number for number in self.fine if number // BUCKETS_PER_HOUR < before):
            counts = self.fine.pop(number)
            hour = self.coarse.setdefault(number // BUCKETS_PER_HOUR, {})
            for key, tally in counts.items():
                held = hour.get(key, NOTHING)
                hour[key] = Tally(held.rows + tally.rows, held.millionths + tally.millionths)

    def drop(self, before: int) -> None:
        """Forget the fine buckets before the fine bucket *before*."""
        self.replace_fine(min(self.fine, default=before), before, {})

    def difference(self, low: int, high: int, found: Counts) -> int:
        """How many rows *found* has more or fewer than the fine buckets from *low* up to *high*, both counted."""
        total = 0
        for number in {number for number in self.fine if low <= number < high} | found.keys():
            held, new = self.fine.get(number, {}), found.get(number, {})
            keys = held.keys() | new.keys()
            total += sum(abs(new.get(key, NOTHING).rows - held.get(key, NOTHING).rows) for key in keys)
        return total

    def rows_of(self, hour: int) -> int:
        """How many rows an hour holds."""
        fine = (self.fine.get(number, {}) for number in range(hour * BUCKETS_PER_HOUR, (hour + 1) * BUCKETS_PER_HOUR))
        return sum(tally.rows for counts in (self.coarse.get(hour, {}), *fine) for tally in counts.values())

    def unknown_within(self, low: int, high: float) -> tuple[int, int]:
        """How many rows of the fine buckets from *low* to before *high* have no version, and how many there are."""
        unknown = rows = 0
        coarse = (held for hour, held in self.coarse.items() if low <= hour * BUCKETS_PER_HOUR < high)
        fine = (held for number, held in self.fine.items() if low <= number < high)
        for counts in (*coarse, *fine):
            for key, tally in counts.items():
                rows += tally.rows
                unknown += tally.rows if key.version == UNKNOWN else 0
        return unknown, rows

    def last_seen(self) -> dict[str, int]:
        """The newest hour in which each version has rows."""
        seen: dict[str, int] = {}
        for hour, counts in [
            *self.coarse.items(),
            *((number // BUCKETS_PER_HOUR, held) for number, held in self.fine.items()),
        ]:
            for key in counts:
                seen[key.version] = max(hour, seen.get(key.version, hour))
        return seen

    @property
    def newest(self) -> int | None:
        """Number of the newest fine bucket with rows."""
        return max(self.fine, default=None)

    def _put(self, place: Counts, number: int, found: Bucket | None) -> bool:
        held = place.get(number, {})
        found = found or {}
        if held == found:
            return False
        for key in held.keys() | found.keys():
            total, old, new = self.totals.get(key, NOTHING), held.get(key, NOTHING), found.get(key, NOTHING)
            left = Tally(total.rows - old.rows + new.rows, total.millionths - old.millionths + new.millionths)
            if left == NOTHING:
                self.totals.pop(key, None)
            else:
                self.totals[key] = left
        if found:
            place[number] = found
        else:
            place.pop(number, None)
        return True
