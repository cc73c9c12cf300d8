"""How long a phase has lasted: counted by this machine's monotonic clock, carried across restarts by the journal.

The wall clock cannot be trusted with it: set forward, it would end a phase early; set back, never. Each journal entry
carries its writer's boot and monotonic reading, so after a restart on the same machine the count is exact, the time in
which no receiver ran included. On another machine, or after a reboot, nobody has measured the time in between: the
count goes on from the last mark in the journal, which makes the phase a little longer, never shorter.
"""

from dataclasses import dataclass

from alertmanager.receiver.lead.leader import Leader
from canary.errors import CanaryError
from canary.logs import Log
from canary.rollout.commands.records import MarkElapsed
from canary.rollout.state import Rollout, Timer
from canary.rollout.store.store import RolloutStore
from canary.timing.clock import Clock

# What a take-over by another machine can add to a phase at most; each mark is one line in the journal.
_MARK_SECONDS = 60.0


@dataclass(frozen=True)
class _Sight:
    """When this process first saw what another machine has measured; the next mark of that machine is another sight."""

    rollout: str
    phase: int
    timer: Timer
    at: float


class PhaseTimer:
    """Measures the newest rollout's phase."""

    def __init__(self, store: RolloutStore, leader: Leader, clock: Clock) -> None:
        self._store = store
        self._leader = leader
        self._clock = clock
        self._sight: _Sight | None = None
        self._log = Log("receiver")

    def seconds(self, rollout: Rollout) -> float:
        """How long the rollout's phase has lasted."""
        measured = rollout.timer.elapsed_seconds(self._clock)
        if measured is not None:
            return measured
        sight = self._sight
        if sight is None or (sight.rollout, sight.phase, sight.timer) != (rollout.id, rollout.phase, rollout.timer):
            # Counted from the mark that it continues: from the first sight of the phase, time would count twice.
            sight = self._sight = _Sight(rollout.id, rollout.phase, rollout.timer, self._clock.monotonic())
        return rollout.timer.seconds + self._clock.monotonic() - sight.at

    async def run(self) -> None:
        """Write a mark from time to time while a rollout runs, until cancelled."""
        while True:
            await self._clock.sleep(_MARK_SECONDS)
            await self.mark()

    async def mark(self) -> None:
        """Write down how long the phase has lasted."""
        rollout = self._store.rollout
        if rollout is None or not rollout.running or not await self._leader.may_act():
            return
        mark = MarkElapsed(rollout=rollout.id, phase=rollout.phase, seconds=round(self.seconds(rollout), 3))
        try:
            await self._store.propose(None, mark)
        except CanaryError as error:
            self._log.debug("the phase's time was not marked", error=error)
