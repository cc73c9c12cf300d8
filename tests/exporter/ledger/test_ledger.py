"""The ledger's totals are always the sum of its buckets, however they were replaced, closed or dropped."""

from collections import Counter
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from exporter.ledger.ledger import MILLION, NOTHING, UNKNOWN, Counts, Key, Ledger, Tally, counts_of, millionths
from exporter.source.streams import COARSE_SECONDS, FINE_SECONDS

PER_HOUR = COARSE_SECONDS // FINE_SECONDS

keys = st.builds(Key, st.sampled_from(["v1", "v2"]), st.sampled_from(["", "EUR"]), st.sampled_from(["", "failed"]))
tallies = st.builds(Tally, st.integers(1, 5), st.integers(0, 10**9))
buckets = st.dictionaries(keys, tallies, min_size=1, max_size=4)
counts = st.dictionaries(st.integers(0, 3 * PER_HOUR), buckets, max_size=6)
looks = st.tuples(st.integers(0, 2 * PER_HOUR), st.integers(1, PER_HOUR), counts)


def _summed(ledger: Ledger) -> dict[Key, Tally]:
    rows: Counter[Key] = Counter()
    sums: Counter[Key] = Counter()
    for place in (ledger.fine, ledger.coarse):
        for bucket in place.values():
            for key, tally in bucket.items():
                rows[key] += tally.rows
                sums[key] += tally.millionths
    return {key: Tally(rows[key], sums[key]) for key in rows}


@given(
    st.lists(st.tuples(st.integers(0, 2 * PER_HOUR), st.integers(1, PER_HOUR), counts), max_size=6), st.integers(0, 3)
)
def test_totals_are_the_sum_of_the_buckets(steps: list[tuple[int, int, Counts]], closed: int) -> None:
    """Whatever is read again, in whatever order, nothing is counted twice and nothing is forgotten."""
    ledger = Ledger()
    for low, width, found in steps:
        inside = {number: bucket for number, bucket in found.items() if low <= number < low + width}
        ledger.replace_fine(low, low + width, inside)
        assert ledger.totals == _summed(ledger)
    before = dict(ledger.totals)

    ledger.close(closed)

    assert ledger.totals == before == _summed(ledger)
    assert all(number // PER_HOUR >= closed for number in ledger.fine)


@given(counts)
def test_reading_the_same_again_changes_nothing(found: Counts) -> None:
    """A second look at the same rows has no changed bucket and no difference."""
    ledger = Ledger()
    first = ledger.replace_fine(0, None, found)

    assert first == found.keys()
    assert ledger.difference(0, 4 * PER_HOUR, found) == 0
    assert ledger.replace_fine(0, None, found) == set()


@given(buckets, buckets)
def test_a_closed_hour_says_how_many_rows_differed(held: dict[Key, Tally], found: dict[Key, Tally]) -> None:
    """Rows that came and rows that went are both counted; they do not cancel each other."""
    ledger = Ledger()
    ledger.replace_coarse(7, held)

    difference = ledger.replace_coarse(7, found)

    every = held.keys() | found.keys()
    assert difference == sum(abs(held.get(key, NOTHING).rows - found.get(key, NOTHING).rows) for key in every)
    assert ledger.coarse[7] == found
    assert ledger.totals == found


@given(counts, st.integers(0, 3 * PER_HOUR))
def test_what_is_dropped_leaves_the_totals(found: Counts, before: int) -> None:
    """Forgotten buckets count no more; the others stay as they are."""
    ledger = Ledger()
    ledger.replace_fine(0, None, found)

    ledger.drop(before)

    assert ledger.fine == {number: bucket for number, bucket in found.items() if number >= before}
    assert ledger.totals == _summed(ledger)


@given(st.lists(st.decimals(-(10**6), 10**6, places=2), max_size=50))
def test_sums_of_money_never_drift(amounts: list[Decimal]) -> None:
    """Adding and taking away any number of cents ends where it began."""
    total = sum(millionths(amount) for amount in amounts)

    assert total == int(sum(amounts, Decimal(0)) * MILLION)
    assert total - sum(millionths(amount) for amount in reversed(amounts)) == 0


def test_rows_without_a_time_belong_nowhere_and_without_a_version_to_unknown() -> None:
    """A row that has not happened counts nothing; one that carries no version is not lost."""
    found = counts_of([(None, "v1", None, None, 3, None), (5, None, None, None, 2, None), (5, "", "", "", 1, 1.5)])

    assert found == {5: {Key("unknown", "", ""): Tally(3, 1_500_000)}}


some_unknown = st.dictionaries(st.sampled_from([Key("v1", "", ""), Key(UNKNOWN, "", "")]), tallies, min_size=1)


@given(
    st.dictionaries(st.integers(0, 3 * PER_HOUR), some_unknown, max_size=6),
    st.integers(0, 3 * PER_HOUR),
    st.integers(0, 3 * PER_HOUR),
)
def test_rows_without_a_version_are_counted_within_bounds(found: Counts, low: int, high: int) -> None:
    """Of the open buckets between the bounds; and of a closed hour all, when its beginning is between them."""
    ledger = Ledger()
    ledger.replace_fine(0, None, found)

    def expected(numbers: list[int]) -> tuple[int, int]:
        tallies = [(key.version, tally.rows) for number in numbers for key, tally in found[number].items()]
        return sum(rows for version, rows in tallies if version == UNKNOWN), sum(rows for _, rows in tallies)

    assert ledger.unknown_within(low, high) == expected([number for number in found if low <= number < high])

    ledger.close(1)

    begins = {number: 0 if number < PER_HOUR else number for number in found}
    assert ledger.unknown_within(low, high) == expected([one for one, begin in begins.items() if low <= begin < high])
