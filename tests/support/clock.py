"""A clock that stands still until a test moves it: the product's own."""

from canary.testing.clock import FakeClock

__all__ = ["FakeClock"]
