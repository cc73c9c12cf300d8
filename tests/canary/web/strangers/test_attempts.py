"""Wrong tokens are counted by address, and forgotten in time."""

from canary.web.strangers.attempts import Attempts
from tests.support.clock import FakeClock


def test_ten_failures_within_a_minute_are_too_many() -> None:
    """The eleventh try waits until the first of them is a minute old."""
    clock = FakeClock()
    attempts = Attempts(clock)
    for _ in range(10):
        assert not attempts.too_many("10.0.0.1")
        attempts.failed("10.0.0.1")
        clock.advance(1)

    refused = attempts.too_many("10.0.0.1")
    other = attempts.too_many("10.0.0.2")
    clock.advance(50)

    assert (refused, other) == (True, False)
    assert not attempts.too_many("10.0.0.1")


def test_many_addresses_cannot_fill_the_memory() -> None:
    """The oldest are forgotten; the newest are known."""
    attempts = Attempts(FakeClock())
    for number in range(10_050):
        attempts.failed(f"address {number}")
    for _ in range(9):
        attempts.failed("address 10049")

    assert attempts.too_many("address 10049")
    assert not attempts.too_many("address 0")


def test_addresses_of_one_network_count_together() -> None:
    """Of IPv6 somebody has a whole /64, and would guess from another address each time."""
    attempts = Attempts(FakeClock())
    for number in range(10):
        attempts.failed(f"2001:db8:1:2::{number}")
    assert attempts.too_many("2001:db8:1:2::99")
    assert not attempts.too_many("2001:db8:1:3::1")
