"""Waking a loop early: it waits for the wake-up event or for its own time, whichever comes first.

Every loop of the receiver looks again by itself after a while, so that a wake-up that was missed costs time and nothing
else; the event only makes it quick. `asyncio.Event` alone has no time-out on a clock that a test can move, and
`asyncio.wait_for` measures by the event loop's own. So the time, when it has passed, sets the event too: one timer, and
no task of its own for a wait that happens some times a second in each of a dozen loops.
"""

import asyncio

from canary.timing.clock import Clock


class WakeUp:
    """Set once for any number of reasons until the loop has woken; what is set while nobody waits is not lost."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._event = asyncio.Event()

    def set(self) -> None:
        """Wake the loop, now or at its next wait."""
        self._event.set()

    async def wait(self, timeout_seconds: float) -> None:
        """Return when the event is set, or the time has passed; it is cleared then."""
        if not self._event.is_set():
            timer = self._clock.call_later(timeout_seconds, self._event.set)
            try:
                await self._event.wait()
            finally:
                timer.cancel()
        self._event.clear()
