"""Steps of the wall clock: noticed, told once, and never a reason to do anything.

Nothing here or anywhere else decides by the wall clock; but people read its moments, Prometheus stamps its samples by
it, and a machine whose clock jumps has a fault that somebody should hear of. The wall clock is held against the
monotonic one once a second. Time servers that slew change it by half a millisecond in that time, so a difference of a
second is a step; `CLOCK_BOOTTIME` counts suspended time, so a machine that slept has not stepped.
"""

from canary.errors import CanaryError
from canary.logs import Log
from canary.rollout.commands.records import Record
from canary.rollout.store.store import RolloutStore
from canary.timing.clock import Clock
from canary.units import format_duration

# Often enough that what is told names the moment; a step is one whatever the interval.
_INTERVAL_SECONDS = 1.0

# Far above what slewing does within the interval, far below what anybody would notice by reading.
_STEP_SECONDS = 1.0


class ClockSteps:
    """Compares both clocks, and tells people of each step while a rollout runs."""

    def __init__(self, store: RolloutStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._offset_seconds = self._difference()
        self._log = Log("clock")

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(_INTERVAL_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Look once."""
        offset_seconds = self._difference()
        step_seconds = offset_seconds - self._offset_seconds
        if abs(step_seconds) < _STEP_SECONDS:
            # What slewing adds up to is no step.
            self._offset_seconds = offset_seconds
            return
        self._offset_seconds = offset_seconds
        direction = "forward" if step_seconds > 0 else "back"
        reason = f"this machine's clock was set {direction} by {format_duration(max(1, round(abs(step_seconds))))}"
        self._log.warn("clock step", seconds=round(step_seconds, 3))
        rollout = self._store.rollout
        if rollout is None or not rollout.running:
            return
        key = f"clock:{self._clock.boot[:8]}:{round(self._clock.monotonic())}"
        record = Record(rollout=rollout.id, key=key, reason=f"{reason}; nothing is decided by it", occasion="clock")
        try:
            await self._store.propose(None, record)
        except CanaryError as error:
            self._log.debug("not recorded", error=error)

    def _difference(self) -> float:
        return self._clock.now().timestamp() - self._clock.monotonic()
