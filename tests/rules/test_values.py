"""Samples in promtool's notation say what was meant."""

from hypothesis import given
from hypothesis import strategies as st

from rules.promtool.values import STALE, Value, constant, counter, reset_at, text

_VALUES: st.SearchStrategy[list[Value]] = st.lists(
    st.one_of(st.integers(-1000, 1000).map(float), st.none(), st.just(STALE)), max_size=40
)


def _expanded(notation: str) -> list[Value]:
    """promtool's notation read back: `a`, `a+bxn`, `a-bxn`, `_`, `stale`."""
    values: list[Value] = []
    for word in notation.split():
        if word in ("_", STALE):
            values.append(None if word == "_" else STALE)
            continue
        if "x" not in word:
            values.append(float(word))
            continue
        body, _, count = word.rpartition("x")
        sign = max(body.rfind("+"), body.rfind("-"))
        start, step = float(body[:sign]), float(body[sign:])
        values += [start + index * step for index in range(int(count) + 1)]
    return values


@given(_VALUES)
def test_the_notation_means_the_same_values(values: list[Value]) -> None:
    """Reading the notation back gives the values, whatever runs were made of them."""
    assert _expanded(text(values)) == values


@given(total=st.integers(0, 10_000), steps=st.integers(1, 30), start=st.integers(0, 60))
def test_a_counter_grows_by_its_total_in_any_window(total: int, steps: int, start: int) -> None:
    """Wherever a window begins, the increase within it is exact."""
    values = [float(value or 0) for value in counter(total, steps, start + steps + 1)]

    assert values[start + steps] - values[start] == total
    assert values == sorted(values)


@given(total=st.integers(1, 1000), steps=st.integers(1, 12), index=st.integers(2, 20))
def test_a_reset_loses_no_growth(total: int, steps: int, index: int) -> None:
    """After a restart the counter has grown by as much as it would have."""
    values = counter(total, steps, 24)

    after = [float(value or 0) for value in reset_at(values, index)]

    before = [float(value or 0) for value in values]
    assert after[:index] == before[:index]
    assert [value - before[index - 1] for value in before[index:]] == after[index:]


def test_runs_are_short_to_read() -> None:
    """Equal steps become one word, missed scrapes and missing samples stay visible."""
    assert text([*constant(1, 61), None, STALE, 2.5]) == "1+0x60 _ stale 2.5"
