"""How long evidence still needs, of the bounds that the exporter shows."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertmanager.receiver.decide.promotion.outlook import Bounds, outlook
from canary.policy.kpis import Conversion, Mean

ORDERS = Conversion(kind="conversion", from_="visits", to="orders", tolerance=0.1)
SECONDS = Mean(kind="mean", of="checkouts", better="lower", tolerance=0.1)
VALUE = Mean(kind="mean", of="orders", tolerance=0.1)
ABANDONED = Conversion(kind="conversion", from_="carts", to="orders", complement=True)


@pytest.mark.parametrize(
    ("kpi", "bounds", "expected"),
    [
        (ORDERS, Bounds(0.0, -0.2, 0.2), "in about 15m at this rate and change"),
        (SECONDS, Bounds(0.0, -0.2, 0.2), "in about 15m at this rate and change"),
        (SECONDS, Bounds(-0.05, -0.3, 0.2), "in about 9m at this rate and change"),
        (ORDERS, Bounds(0.0, -0.05, 0.05), ""),
        (ORDERS, Bounds(-0.12, -0.3, 0.1), "a change of -12.0% does not pass, however long it is waited for"),
        (SECONDS, Bounds(0.12, -0.1, 0.3), "a change of +12.0% does not pass, however long it is waited for"),
        (ORDERS, Bounds(-0.0999, -0.9, 0.9), "it takes longer than 30d at this rate and change"),
        (ORDERS, Bounds(), ""),
        (ORDERS, Bounds(0.0, -math.inf, math.inf), ""),
        (ABANDONED, Bounds(0.0, -0.2, 0.2), ""),
        (VALUE, Bounds(0.05, -0.2, 0.3), "in about 9m at this rate and change"),
        (ORDERS, Bounds(0.0, -0.1, 0.1), ""),
        (ORDERS, Bounds(-0.1, -0.2, 0.1), "a change of -10.0% does not pass, however long it is waited for"),
        (ORDERS, Bounds(-0.2, -0.2, -0.2), ""),
        (ORDERS, Bounds(0.0, math.nan, math.nan), ""),
        (ORDERS, Bounds(math.nan, -0.2, 0.2), ""),
    ],
)
def test_when_the_bounds_exclude_harm(kpi: Conversion | Mean, bounds: Bounds, expected: str) -> None:
    """Twice too wide after 5 minutes takes 20 in all; what is past the tolerance never passes; unknown is not told."""
    assert outlook(kpi, bounds, 300.0) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.3, "in about 1s"),
        (0.9, "in about 1s"),
        (60.6, "in about 1m"),
        (100.0, "in about 2m"),
        (5000.0, "in about 1h"),
        (100_000.0, "in about 1d"),
        (30 * 86400.0, "in about 30d"),
        (31 * 86400.0, "it takes longer than 30d"),
    ],
)
def test_a_time_is_told_in_its_largest_unit(seconds: float, expected: str) -> None:
    """Rounded, at least a second, and nothing past what anybody could know."""
    assert outlook(ORDERS, Bounds(0.0, -0.2, 0.2), seconds / 3) == f"{expected} at this rate and change"


@given(st.floats(-0.09, 0.5), st.floats(0.001, 0.9), st.floats(1, 1e6))
def test_bounds_within_the_tolerance_wait_for_nothing(change: float, width: float, elapsed: float) -> None:
    """There is an outlook exactly while the bound lies past the tolerance."""
    lower = change - width
    said = outlook(ORDERS, Bounds(change, lower, change + width), elapsed)
    assert bool(said) == ((width / (change + 0.1)) ** 2 > 1)
