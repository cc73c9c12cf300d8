"""Saying the same thing rarely: one line for a cause in a while, with the number of those that were not written.

Whoever reaches the port decides how often some causes occur. A line for each filled 114 MB of log in 40 seconds once,
on the disk that the journal is on.
"""

from canary.timing.clock import Clock

# Often enough to see that it goes on, and at most 8,640 lines a day for a cause.
_PER_SECONDS = 10.0


class Rarely:
    """Tells whether a cause may be written about now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def due(self, cause: str) -> int | None:
        """How many times nothing was written about it since the last line; None when nothing is to be written now.

        Args:
            cause: one of a few, never a text that a stranger chooses.
        """
        now = self._clock.monotonic()
        last = self._said.get(cause)
        if last is not None and now - last < _PER_SECONDS:
            self._unsaid[cause] = self._unsaid.get(cause, 0) + 1
            return None
        self._said[cause] = now
        return self._unsaid.pop(cause, 0)
