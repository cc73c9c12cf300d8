"""When the journal was away last, and whether others have had the time to write since."""

from canary.timing.clock import Clock

# What other receivers have lowered without the journal is in it by then: their loops pause for ten seconds at most.
_OTHERS_SECONDS = 12.0


class Absence:
    """The journal's last absence, as this process has met it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._away = False
        self._back_at = float("-inf")

    @property
    def lately(self) -> bool:
        """Whether it has only just come back: others may not have written yet what they lowered without it."""
        return self._clock.monotonic() - self._back_at < _OTHERS_SECONDS

    def begin(self) -> None:
        """It cannot be read, or not in time."""
        self._away = True

    def end(self) -> None:
        """It has been read."""
        if self._away:
            self._away, self._back_at = False, self._clock.monotonic()
