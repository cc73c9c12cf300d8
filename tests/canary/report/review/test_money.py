"""What a visitor on the canary brings less."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.report.review.money import Compared, per_visitor

CHANGES = st.lists(st.floats(-1, 3), min_size=3, max_size=3).map(sorted).map(lambda v: Compared(v[1], v[0], v[2]))


@given(who=CHANGES, much=CHANGES)
def test_the_expected_loss_lies_in_its_band(who: Compared, much: Compared) -> None:
    """And nobody loses more than everything."""
    loss = per_visitor(who, much)

    assert loss.lower <= loss.expected <= loss.upper <= 1


def test_a_tenth_fewer_orders_is_a_tenth_of_the_turnover() -> None:
    """A fall is a loss, and what is not bounded above may bring any amount."""
    loss = per_visitor(Compared(-0.1, -0.2, math.inf), Compared(0, 0, 0))

    assert loss.expected == pytest.approx(0.1)
    assert loss.upper == pytest.approx(0.2)
    assert loss.lower == -math.inf
