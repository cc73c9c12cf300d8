"""Growing pauses."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.timing.backoff import Backoff


@given(first=st.floats(0.01, 10), times=st.floats(1, 1000), factor=st.floats(1, 8), failures=st.integers(1, 40))
def test_pauses_grow_from_the_first_to_the_longest(first: float, times: float, factor: float, failures: int) -> None:
    """Each pause is as long as the one before or longer, never longer than the longest, and success restarts."""
    backoff = Backoff(first, first * times, factor)

    pauses = [backoff.failed() for _ in range(failures)]
    backoff.succeeded()

    assert pauses == sorted(pauses)
    assert pauses[0] == first
    assert pauses[-1] <= first * times
    assert backoff.failed() == first


def test_pauses_double_unless_told_otherwise() -> None:
    """The usual pauses."""
    backoff = Backoff(0.5, 3)

    assert [backoff.failed() for _ in range(5)] == [0.5, 1, 2, 3, 3]


@pytest.mark.parametrize(
    ("first", "longest", "factor"),
    [(0, 1, 2), (-1, 1, 2), (2, 1, 2), (1, 2, 0.5), (1, math.inf, 2), (math.nan, 1, 2), (1, 2, math.nan)],
)
def test_pauses_that_end_nowhere_are_refused(first: float, longest: float, factor: float) -> None:
    """Nothing is ever repeated without a pause, and nothing is waited for endlessly."""
    with pytest.raises(ValueError, match="back-off"):
        Backoff(first, longest, factor)
