"""Clocks for tests and simulations."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

# A moment that reads well in stories; nothing depends on it.
EPOCH = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)


class FakeClock:
    """A clock that stands still until a test moves it; sleeping moves it."""

    def __init__(self, start: datetime = EPOCH) -> None:
        self._now = start
        self._monotonic = 1000.0

    @property
    def boot(self) -> str:
        """Always the same boot."""
        return "boot"

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment."""
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Let *seconds* pass at once."""
        self.advance(seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> asyncio.Handle:
        """Let *seconds* pass at once, and call *callback* at the loop's next turn."""
        self.advance(seconds)
        return asyncio.get_running_loop().call_soon(callback)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def set_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back, as people and time servers do; no time passes."""
        self._now += timedelta(seconds=seconds)


class VirtualClock:
    """One machine's clock in a loop with virtual time: it may be wrong, run wrongly, and be set.

    Args:
        boot: the identity of the machine's boot.
        skew_seconds: how far its wall clock is ahead of the world's.
        rate: how many of its seconds pass in one of the world's.
    """

    def __init__(self, boot: str, *, skew_seconds: float = 0.0, rate: float = 1.0) -> None:
        self._boot = boot
        self._skew_seconds = skew_seconds
        self._rate = rate
        self._booted_at = 0.0

    @property
    def boot(self) -> str:
        """Which boot `monotonic` belongs to."""
        return self._boot

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        return EPOCH + timedelta(seconds=asyncio.get_running_loop().time() * self._rate + self._skew_seconds)

    def monotonic(self) -> float:
        """Seconds since the machine was booted."""
        return (asyncio.get_running_loop().time() - self._booted_at) * self._rate

    async def sleep(self, seconds: float) -> None:
        """Let *seconds* of this clock pass."""
        await asyncio.sleep(seconds / self._rate)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> asyncio.Handle:
        """A timer by this clock."""
        return asyncio.get_running_loop().call_later(seconds / self._rate, callback)

    def set_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back; no time passes."""
        self._skew_seconds += seconds

    def reboot(self, boot: str) -> None:
        """The machine starts again: its monotonic clock restarts, under another identity."""
        self._boot = boot
        self._booted_at = asyncio.get_running_loop().time()
