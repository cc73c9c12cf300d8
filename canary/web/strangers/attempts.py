"""Wrong tokens and passwords, counted by where they came from, so that a stranger who guesses locks out only himself.

An IPv6 address stands for its /64 network, of which one customer of a provider has all.
"""

from collections import deque

from canary.timing.clock import Clock
from canary.web.strangers.connection import network

# Nobody mistypes a token ten times within a minute; a program that guesses gets no further than this.
_MOST = 10
_PER_SECONDS = 60.0

# Addresses are forgotten oldest first beyond this, so that many of them cannot fill the memory.
_MOST_ADDRESSES = 10_000


class Attempts:
    """Counts failures of the last minute by address."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: dict[str, deque[float]] = {}

    def failed(self, address: str | None) -> None:
        """A wrong token came from an address."""
        place = network(address or "")
        failures = self._failures.pop(place, None) or deque(maxlen=_MOST)
        failures.append(self._clock.monotonic())
        while len(self._failures) >= _MOST_ADDRESSES:
            self._failures.pop(next(iter(self._failures)))
        self._failures[place] = failures

    def forgive(self, address: str | None) -> None:
        """The last of an address was not wrong after all."""
        if failures := self._failures.get(network(address or "")):
            failures.pop()

    def too_many(self, address: str | None) -> bool:
        """Whether so many wrong tokens came lately that none from there is looked at for a while."""
        failures = self._failures.get(network(address or ""))
        return failures is not None and len(failures) == _MOST and self._clock.monotonic() - failures[0] < _PER_SECONDS
