"""Waking a worker early: it waits for the bell or for its own time, whichever comes first."""

import asyncio

from canary.clock import Clock


class Bell:
    """Rings once for any number of reasons until somebody has heard it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake the worker, now or at its next wait."""
        self._event.set()

    async def wait(self, timeout_seconds: float) -> None:
        """Return when the bell has rung, or the time has passed."""
        if not self._event.is_set():
            rung = asyncio.ensure_future(self._event.wait())
            passed = asyncio.ensure_future(self._clock.sleep(timeout_seconds))
            try:
                await asyncio.wait({rung, passed}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                rung.cancel()
                passed.cancel()
        self._event.clear()
