"""Samples in promtool's notation say what was meant."""

import math

from hypothesis import given
from hypothesis import strategies as st

from rules.promtool.row import WINDOW_STEPS, at_least, at_most, step_for
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


# What Prometheus 2 sees of a window with a scrape on its left edge, and Prometheus 3, which leaves that scrape out.
_SEEN = (WINDOW_STEPS, WINDOW_STEPS - 1)


def _increase(values: list[Value], end: int, steps: int) -> float:
    """What increase() says of a window of WINDOW_STEPS of which it holds the last *steps*."""
    grown = float(values[end] or 0) - float(values[end - steps] or 0)
    return grown * (WINDOW_STEPS / steps)


@given(number=st.integers(1, 10_000), step=st.integers(1, 60), end=st.integers(WINDOW_STEPS, 60))
def test_just_enough_requests_are_exactly_enough_in_any_window(number: int, step: int, end: int) -> None:
    """Whether or not a window holds its left edge, its increase is what was meant: no less, and by less than 1 more."""
    for meant in (at_least(number), at_most(number)):
        values = counter(meant * step / (step * WINDOW_STEPS), end + 1)

        assert {_increase(values, end, steps) for steps in _SEEN} == {meant}
    assert number - 0.1 < at_most(number) <= number <= at_least(number) < number + 0.1


@given(window=st.sampled_from([15, 30, 60, 90, 300, 3600]), hold_for=st.sampled_from([0, 5, 10, 20, 60, 300]))
def test_twice_the_for_is_told_from_once(window: float, hold_for: float) -> None:
    """Scrapes are so close that an alert that waits twice as long fires with a later one."""
    step = step_for(window, hold_for)

    assert window / step >= WINDOW_STEPS
    assert not hold_for or math.ceil(2 * hold_for / step) > math.ceil(hold_for / step)


@given(growth=st.integers(1, 1000), index=st.integers(2, 20))
def test_a_reset_loses_no_growth(growth: int, index: int) -> None:
    """After a restart the counter has grown by as much as it would have."""
    values = counter(growth, 24)

    after = [float(value or 0) for value in reset_at(values, index)]

    before = [float(value or 0) for value in values]
    assert after[:index] == before[:index]
    assert [value - before[index - 1] for value in before[index:]] == after[index:]


def test_runs_are_short_to_read() -> None:
    """Equal steps become one word, missed scrapes and missing samples stay visible."""
    assert text([*constant(1, 61), None, STALE, 2.5]) == "1+0x60 _ stale 2.5"
