"""Times in which this process did not run, and heard nothing: they count for no silence and no countdown.

A process that is stopped (SIGSTOP, a virtual machine that is paused or moved, a machine that sleeps) wakes with all
clocks ahead. What it could not hear meanwhile looked like silence: it rolled a healthy canary back the moment it woke.
So a clock that ticks once a second notices when a tick comes late by far, and every age that ends in a rollback is
asked for here, without the pauses in it; whoever asks first after waking notices the pause, whatever order the loop's
timers come in. After a pause, time stands still a little longer, so that Prometheus and Alertmanager are asked before
anything is held against them.

A worker that waits for a slow journal is no pause: the tick waits for nobody, and what writes a pause down is a worker
of its own. (When the tick waited for that, a journal that hung turned each wait into the next pause, and no countdown
ended.) A loop that something blocks is one, for it hears as little.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from canary.errors import CanaryError
from canary.logs import Log
from canary.rollout.commands.records import Record
from canary.rollout.store.store import RolloutStore
from canary.timing.clock import Clock
from canary.units import format_duration

_TICK_SECONDS = 1.0

LONGEST_TICK_SECONDS = 10.0
"""Far above what a busy machine is late by, far below every silence that leads to something."""

# More pauses than fit into the longest countdown; the oldest are forgotten, and count as time again.
_REMEMBERED = 1000


class _Pause(NamedTuple):
    began: float
    ended: float


class Pauses:
    """Notices pauses, tells people of each while a rollout runs, and measures ages without them.

    Args:
        asks_seconds: after a pause, how long it takes until Prometheus and Alertmanager have been asked.
        longest_seconds: what is longer between two ticks is a pause.
    """

    def __init__(
        self,
        store: RolloutStore,
        clock: Clock,
        *,
        asks_seconds: float,
        longest_seconds: float = LONGEST_TICK_SECONDS,
    ) -> None:
        self._store = store
        self._clock = clock
        self._asks_seconds = asks_seconds
        self._longest_seconds = longest_seconds
        self._listeners: list[Callable[[], None]] = []
        self._ticked_at = clock.monotonic()
        self._pauses: deque[_Pause] = deque(maxlen=_REMEMBERED)
        self._untold_seconds = 0.0
        self._log = Log("pauses")

    def listen(self, listener: Callable[[], None]) -> None:
        """Call this at the end of each pause."""
        self._listeners.append(listener)

    def workers(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What notices pauses, and what writes them down, by name."""
        return {"pauses": self._tick_on, "pauses told": self._tell_on}

    async def _tick_on(self) -> None:
        self._ticked_at = self._clock.monotonic()
        while True:
            await self._clock.sleep(_TICK_SECONDS)
            self.tick()

    async def _tell_on(self) -> None:
        while True:
            await self._clock.sleep(_TICK_SECONDS)
            await self.tell()

    def tick(self) -> None:
        """This process runs now."""
        now = self._clock.monotonic()
        seconds, began = now - self._ticked_at, self._ticked_at
        self._ticked_at = now
        if seconds <= self._longest_seconds:
            return
        self._pauses.append(_Pause(began, now + self._asks_seconds))
        self._untold_seconds = seconds
        self._log.warn("this process was stopped; nothing is concluded from what it did not hear", seconds=seconds)
        for listener in self._listeners:
            listener()

    def awake_seconds(self, age_seconds: float) -> float:
        """How much of the last *age_seconds* this process has run, and had time to ask."""
        self.tick()
        now = self._clock.monotonic()
        since = now - age_seconds
        # One may begin while the one before still asks.
        paused, counted = 0.0, since
        for began, ended in self._pauses:
            paused += max(0.0, min(ended, now) - max(began, counted))
            counted = max(counted, min(ended, now))
        return age_seconds - paused

    async def tell(self) -> None:
        """Write down, once, that there was a pause while a rollout runs."""
        seconds, self._untold_seconds = self._untold_seconds, 0.0
        rollout = self._store.rollout
        if not seconds or rollout is None or not rollout.running:
            return
        record = Record(
            rollout=rollout.id,
            key=f"pause:{self._clock.boot[:8]}:{round(self._clock.monotonic())}",
            reason=f"the receiver was stopped for {format_duration(round(seconds))} and heard nothing; "
            "countdowns go on from where they stood",
            occasion="pause",
        )
        try:
            await self._store.propose(None, record)
        except CanaryError as error:
            self._log.debug("not recorded", error=error)
