"""Single values: whatever a database hands over, there is an answer."""

import uuid
from decimal import Decimal
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from exporter.ledger.ledger import counts_of_rows
from exporter.ledger.rows import Codes, EventRows
from exporter.source.columns.values import LARGEST, NO_ID, ODD_NUMBER, ODD_TIME, id_number, label, shape, to_number

_ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(),
    st.text(),
    st.binary(),
    st.uuids(),
    st.datetimes(),
    st.lists(st.decimals(), max_size=2),
    st.text(st.characters()),  # lone surrogates too
)


@given(value=_ANYTHING)
def test_any_value_has_an_answer(value: Any) -> None:
    """No value raises: a number or none, an id of 64 bits, a shape of bounded length."""
    found = to_number(value)

    assert found is None or -LARGEST <= found <= LARGEST
    assert -(1 << 63) <= id_number(value) < 1 << 63
    assert len(shape(value)) < 300


@given(text=st.one_of(st.none(), st.text(st.characters()), st.binary()))
def test_any_text_becomes_a_label(text: str | bytes | None) -> None:
    """A label can be written as UTF-8 and is not endless."""
    assert len(label(text).encode("utf-8")) <= 4 * 128


@given(
    rows=st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(0, 10)),
            _ANYTHING,
            st.one_of(st.none(), st.floats(1, 2e9)),
            st.one_of(st.none(), st.floats()),
            st.one_of(st.none(), st.text(st.characters()), st.binary()),
            st.one_of(st.none(), st.text(), st.binary()),
            st.sampled_from([None, "succeeded", "failed"]),
            _ANYTHING,
            st.none(),
            st.none(),
            _ANYTHING,
            _ANYTHING,
        ),
        max_size=6,
    )
)
def test_any_rows_are_held_and_counted(rows: list[tuple[object, ...]]) -> None:
    """Rows and counts agree: a row with a time counts, and a value counts in both or in none."""
    told: list[str] = []
    held = EventRows.of(rows, 1, Codes(), Codes(), lambda kind, _row, _value: told.append(kind))
    counts = counts_of_rows(row for row in rows if row[0] is not None and row[2] is not None)

    assert len(held) == sum(tally.rows for bucket in counts.values() for tally in bucket.values())
    values = held.value[np.isfinite(held.value)]
    total = sum(tally.millionths for bucket in counts.values() for tally in bucket.values())
    assert abs(float(values.sum()) * 1e6 - total) <= max(10.0, 1e-9 * sum(abs(float(one)) * 1e6 for one in values))
    timeless = sum(row[0] is None or row[2] is None for row in rows)
    assert told.count(ODD_TIME) == timeless
    with_value = sum(row[7] is not None for row in rows if row[0] is not None and row[2] is not None)
    assert told.count(ODD_NUMBER) == with_value - len(values)


@given(key=st.uuids())
def test_a_uuid_has_one_number_in_all_spellings(key: uuid.UUID) -> None:
    """Text, capitals, without dashes, in braces, as a URN: one key."""
    spellings = (key, str(key), str(key).upper(), key.hex, f"{{{str(key).upper()}}}", key.urn)

    assert len({id_number(spelling) for spelling in spellings}) == 1


@given(key=st.integers(-(1 << 63) + 1, 1 << 64))
def test_a_number_and_its_digits_are_one_key(key: int) -> None:
    """As text, as a decimal, as bytes: one key, also beyond 64 bits."""
    assert len({id_number(key), id_number(str(key)), id_number(Decimal(key)), id_number(str(key).encode())}) == 1
    assert id_number(key) != NO_ID


def test_an_empty_text_names_nothing() -> None:
    """A shop that writes no customer as an empty text, or as spaces, has no customer of that name."""
    assert {id_number(key) for key in ("", " ", "\t", b"", b"  ", None)} == {NO_ID}


def test_keys_that_only_look_alike_stay_apart() -> None:
    """A zero in front, a fraction or a letter makes another key."""
    keys = ["7", "007", "7.5", 7.25, "seven", "7a", True, None]

    assert len({id_number(key) for key in keys}) == len(keys)


@given(keys=st.lists(st.binary(min_size=12, max_size=12), min_size=2, max_size=2, unique=True))
def test_keys_of_bytes_that_are_no_text_stay_apart(keys: list[bytes]) -> None:
    """An ObjectId, a truncated hash: what is no text in any encoding is not made into one."""
    assert len({id_number(b"\xff" + key) for key in keys}) == 2
    assert len({id_number(key) for key in (b"\x00\x0a", b"\x00\x20", b"\x0a\x00", b"\x20\x00")}) == 4


def test_what_an_odd_value_says_is_not_logged() -> None:
    """Only its shape is: letters and digits may be somebody's name or card."""
    assert shape("12,50 EUR") == "'99,99 aaa'"
    assert shape(b"4111 1111 1111 1111 secret") == "'9999 9999 9999 9999 aaaa...'"
    assert shape(Decimal("NaN")) == "NaN (Decimal)"
    assert shape({"name": "Ann"}) == "\"{'aaaa': 'aaa'}\" (dict)"


def test_texts_are_numbers_where_every_database_says_so() -> None:
    """The grammar is the one that the statements use: no commas, no words, no underscores."""
    assert [to_number(text) for text in ("12.50", " 12 ", "-.5", "1e3", "+7")] == [
        Decimal("12.50"), Decimal(12), Decimal("-0.5"), Decimal(1000), Decimal(7)
    ]  # fmt: skip
    assert [to_number(text) for text in ("12,50", "NaN", "inf", "1_000", "", "$5", "0x1F", "1e99", "١٢")] == [None] * 9
