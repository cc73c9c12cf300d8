"""How long ago something was, by a clock that nobody sets.

The wall clock's difference between two moments is also what was done to it in between: a clock that was set forward let
countdowns end, messages expire and phases last too long at once. Every journal entry carries its writer's boot and
monotonic reading, so within one boot of one machine, suspended time included, its age is exact.

An entry of another boot (the machine was restarted, or another one took over) was measured by nobody in between. Then
the age counts from when this process first looked at it. Whoever decides by it decides later than could be, never too
early. Only where an age must not restart after a restart (a message of last year is not news) the wall clock's word
is taken, once, at that first look; a step of the clock after it changes nothing.
"""

from collections import OrderedDict
from datetime import datetime

from canary.rollout.state import Moment
from canary.timing.clock import Clock

# First looks that are remembered; more entries of another boot than this are not open at the same time.
_REMEMBERED = 10_000


class Ages:
    """Measures ages."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: OrderedDict[tuple[datetime, str, bool], float] = OrderedDict()

    def seconds(self, moment: Moment, *, by_wall: bool = False) -> float:
        """How long ago a moment was.

        Args:
            by_wall: for a moment of another boot, begin with what the wall clock says instead of with 0.
        """
        if moment.boot and moment.boot == self._clock.boot:
            return max(0.0, self._clock.monotonic() - moment.uptime_seconds)
        key = (moment.at, moment.boot, by_wall)
        if key not in self._seen:
            before = max(0.0, (self._clock.now() - moment.at).total_seconds()) if by_wall else 0.0
            self._seen[key] = self._clock.monotonic() - before
            while len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
        return self._clock.monotonic() - self._seen[key]
