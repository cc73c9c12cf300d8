"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta


class FakeClock:
    """Begins at a fixed moment; sleeping moves it."""

    def __init__(self, start: datetime = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)) -> None:
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

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def set_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back, as people and time servers do; no time passes."""
        self._now += timedelta(seconds=seconds)
