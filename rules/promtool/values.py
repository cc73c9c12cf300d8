"""Samples as promtool's unit tests write them: `0+10x60`, `_` where there is nothing, `stale` after a missed scrape."""

import math
from collections.abc import Sequence
from typing import Final

STALE: Final = "stale"
"""What Prometheus stores when a target could not be scraped."""

Value = float | str | None
Values = list[Value]


def constant(value: float, count: int) -> Values:
    """The same value, *count* times."""
    return [value] * count


def nothing(count: int) -> Values:
    """No sample, *count* times."""
    return [None] * count


def counter(growth: float, count: int) -> Values:
    """A counter that grows by the same in each step, so that it does not matter which of them a window holds."""
    return [index * growth for index in range(count)]


def reset_at(values: Sequence[Value], index: int) -> Values:
    """The counter after its process was restarted at *index*: the same growth, from zero again."""
    base = values[index - 1]
    return [
        value if position < index or not isinstance(value, float | int) else value - float(base or 0)
        for position, value in enumerate(values)
    ]


def text(values: Sequence[Value]) -> str:
    """The values in promtool's notation."""
    words: list[str] = []
    index = 0
    while index < len(values):
        value = values[index]
        if not isinstance(value, float | int):
            words.append("_" if value is None else STALE)
            index += 1
            continue
        length = _run(values, index)
        if length < 2:
            words.append(_number(value))
            index += 1
            continue
        increment = _difference(values, index)
        sign = "-" if increment < 0 else "+"
        words.append(f"{_number(value)}{sign}{_number(abs(increment))}x{length}")
        index += length + 1
    return " ".join(words)


def _run(values: Sequence[Value], start: int) -> int:
    """How many steps from *start* on have the same increment."""
    length = 0
    while start + length + 1 < len(values) and isinstance(values[start + length + 1], float | int):
        first, next_one = _difference(values, start), _difference(values, start + length)
        if not math.isclose(first, next_one, rel_tol=1e-9, abs_tol=1e-12):
            break
        length += 1
    return length


def _difference(values: Sequence[Value], index: int) -> float:
    before, after = values[index], values[index + 1]
    assert isinstance(before, float | int)
    assert isinstance(after, float | int)
    return after - before


def _number(value: float) -> str:
    return f"{value:.12g}"
