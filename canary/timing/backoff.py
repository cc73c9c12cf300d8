"""Growing pauses between attempts, the same everywhere: whoever repeats what has failed asks here how long to wait.

A pause that grows is kind to a server that is down; one that is bounded finds it soon after it is back. There is no
random part: each receiver repeats its own few things, so that there is no crowd that would have to be spread.

A library that repeats calls (stamina, tenacity) was left aside: what is repeated here is never one call, but a look at
the journal, a decision and an attempt, ended by the world having changed and not by a number of attempts.
"""

import math

# Doubling gets from a pause that nobody notices to one that burdens nobody within a few attempts.
_FACTOR = 2.0


class Backoff:
    """The pauses of one thing that is repeated until it succeeds.

    Args:
        first_seconds: the pause after the first failure.
        longest_seconds: no pause is longer.
        factor: what each pause is multiplied by to give the next; at least 1.

    Raises:
        ValueError: the pauses would shrink, be endless, or be none at all.
    """

    def __init__(self, first_seconds: float, longest_seconds: float, factor: float = _FACTOR) -> None:
        if not (0 < first_seconds <= longest_seconds < math.inf and 1 <= factor < math.inf):
            raise ValueError(f"back-off from {first_seconds}s by {factor} to {longest_seconds}s")
        self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._factor = factor
        self._next_seconds = first_seconds

    def failed(self) -> float:
        """Seconds to wait after one more failure."""
        pause = self._next_seconds
        self._next_seconds = min(pause * self._factor, self._longest_seconds)
        return pause

    def succeeded(self) -> None:
        """Restart with the first pause."""
        self._next_seconds = self._first_seconds
