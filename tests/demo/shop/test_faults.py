"""The faults of a version of the shop."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.shop.faults import Faults

ratios = st.floats(0, 1)


def test_a_new_shop_has_no_faults() -> None:
    """Nothing is wrong until somebody says so."""
    assert Faults() == Faults(0, 0, 0, 0)


@given(ratios, ratios)
def test_a_change_leaves_the_other_faults_alone(first: float, second: float) -> None:
    """Only the named faults change."""
    faults = Faults(error_ratio=first).changed({"payment_failure_ratio": second})

    assert faults == Faults(error_ratio=first, payment_failure_ratio=second)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ([], "JSON object"),
        ({"payment_failures": 1}, "unknown fault 'payment_failures'"),
        ({"error_ratio": "much"}, "error_ratio: expected a number"),
        ({"error_ratio": True}, "error_ratio: expected a number"),
        ({"latency_seconds": -1}, "latency_seconds: expected a number"),
        ({"error_ratio": 1.01}, "error_ratio: expected a ratio"),
    ],
)
def test_nonsense_is_refused_with_its_name(changes: object, found: str) -> None:
    """A fault that cannot be meant is refused, and the message names it."""
    with pytest.raises(ValueError, match=found):
        Faults().changed(changes)
