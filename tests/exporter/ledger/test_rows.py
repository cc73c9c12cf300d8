"""Rows in memory: ids of every kind, replacing by buckets, finding parents."""

import uuid
from decimal import Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from exporter.ledger.held_rows import RowStore
from exporter.ledger.rows import Codes, EventRows, Finder
from exporter.source.columns.values import NO_ID


def _table(*rows: tuple[int, object, object]) -> EventRows:
    """Rows of (bucket, id, parent)."""
    full = [
        (bucket, number, 1.0, None, "v1", None, None, None, None, None, None, parent) for bucket, number, parent in rows
    ]
    return EventRows.of(full, 1, Codes(), Codes())


def test_ids_of_every_kind_find_each_other() -> None:
    """Whole numbers, decimals, texts and UUIDs are found by what they name, whatever came in the same batch."""
    key = uuid.UUID(int=7)
    parents = _table((0, 5, None), (0, "five", None), (0, key, None), (0, Decimal(9), None))
    children = _table((0, 1, 5), (0, 2, "five"), (0, 3, key), (0, 4, 9), (0, 6, "six"), (0, 7, None))

    found = Finder(parents.ids).find(children.parents[0])

    assert found.tolist() == [0, 1, 2, 3, -1, -1]
    assert children.parents[0][-1] == NO_ID


def test_a_key_is_found_in_whatever_spelling_it_is_named() -> None:
    """Digits as text name the number; a UUID is one key in capitals, without dashes, in braces and as 16 bytes."""
    key = uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
    parents = _table((0, 12, None), (0, key, None), (0, 2**64 - 1, None))
    spellings = ["12", " 12 ", Decimal("12.0"), 12.0, b"12"]
    spellings += [str(key), str(key).upper(), key.hex, f"{{{key}}}", key.urn, key.bytes, 2**64 - 1, str(2**64 - 1)]
    children = _table(*((0, number, spelling) for number, spelling in enumerate(spellings)))

    assert Finder(parents.ids).find(children.parents[0]).tolist() == [0] * 5 + [1] * 6 + [2] * 2


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 30), st.integers(1, 20), st.lists(st.integers(0, 19), max_size=8)), max_size=15
    ),
    settled=st.integers(0, 40),
)
def test_a_store_holds_what_was_put_last(steps: list[tuple[int, int, list[int]]], settled: int) -> None:
    """Replacing ranges of buckets, settling in between, leaves exactly the rows that a plain list would hold."""
    store = RowStore(1)
    plain: list[tuple[int, int]] = []
    number = 0
    for low, length, offsets in steps:
        rows = []
        for offset in offsets:
            if offset < length:
                number += 1
                rows.append((low + offset, number))
        plain = [row for row in plain if not low <= row[0] < low + length] + rows
        store.replace(low, low + length, _table(*((bucket, one, None) for bucket, one in rows)))
        store.settle(settled)
        held = store.rows()

        assert sorted(zip(held.bucket.tolist(), held.ids.tolist(), strict=True)) == sorted(plain)


def test_rows_without_a_time_of_their_own_entered_when_they_settled() -> None:
    """An own time that is missing is taken from the time under which the row was found."""
    table = _table((0, 1, None))

    assert np.array_equal(table.entered, table.time)
