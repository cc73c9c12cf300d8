"""Keeping one router at the weight that the journal wants: set, read back, repeat, repair.

A controller compares what the router has in force with what the journal wants, again and again, and closes the gap.
Four kinds of gap need four answers (`alertmanager.receiver.act.effects`):

* **A decision to lower that has not been carried out here**: carried out at once, by whoever knows of it, without
  asking for lead or journal, and whatever else this controller was waiting for is dropped. That is what gets customers
  off a canary when the journal's database is gone, or answers no more.
* **A router found above what is wanted**, and nothing was decided: only the leader lowers it. A receiver that was cut
  off, and does not know of the last advance, would otherwise pull down what the leader has just raised.
* **A router found below**, although this very process was confirmed at the weight and nothing of ours has been written
  since: somebody lowered it, a person or a receiver that could not write it down. Whoever lowers is obeyed. Two looks
  in a row, and it becomes a hold at that weight, which only a person ends. A router that says that this very rollout
  was closed in it is obeyed by a receiver too that knows nothing else of it. While a release is finished the canary's
  servers are the proven side: then it is who raises that is obeyed, and lowering needs lead and journal.
* **Anything else** may put customers on the canary: a router that was restarted, or lost its map. Only the leader does
  it, after a fresh look at the journal.

Two receivers that both may lower must not fight with one that raises. So a receiver carries out each decision *once*:
when it has seen the router follow, by whosever hand, what comes afterwards is for the leader to put right, who knows
whether the decision was superseded. And what a router has in force names its rollout (its salt): the rollback of one
rollout never touches the traffic of another, so that a receiver that was paused for an hour does not, on waking up,
end a rollout that it has not heard of. A router of kind `command` that does not tell the salt can be lowered once too
much in that case.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from alertmanager.receiver.act.confirmations import Confirmations
from alertmanager.receiver.act.effects import Effects
from alertmanager.receiver.act.splits import is_above, lowering, moved_to, only_lowers, wanted_split
from alertmanager.receiver.wakeup import WakeUp
from canary.errors import JournalError, RefusedError, RouterError
from canary.logs import Log
from canary.rollout.state import Rollout, State
from canary.routers.base import Observation, Split
from canary.timing.backoff import Backoff
from canary.timing.clock import Clock
from canary.units import format_ratio

# Most faults of a router are a reload or a full connection table, over in a moment; while traffic is to be lowered,
# each moment counts. The longest pause is the policy's `receiver.reconcile`: a router is looked at that often anyway.
_FIRST_PAUSE_SECONDS = 0.2

# How old a look at the router may be, in looks, for lowering without another one. A controller that works as it should
# has looked within one interval; one that has not was paused, and the world may be another.
_RECENT_LOOKS = 2

# A weight that is found lowered is looked at again this soon. Long enough for a decision of another receiver to be
# read from the journal meanwhile, and for a change that takes several commands to be complete.
_SECOND_LOOK_SECONDS = 1.0

# Somebody else's reload that began just before a change comes up with what the router's file said until then. A worker
# needs a moment to a few seconds for that; so long after a change, it is looked for twice a second.
_SETTLING_SECONDS = 10.0
_SETTLING_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Reports:
    """Whom a controller tells what it finds.

    Attributes:
        changed: the router is confirmed, or known not to follow.
        drifted: something else was in force than it had been brought to.
        lowered: it was lowered by hand to a weight; the first text says where.
        restored: it had lost what it was confirmed at, and has it again.
    """

    changed: Callable[[], None]
    drifted: Callable[[], None]
    lowered: Callable[[str, float], Awaitable[None]]
    restored: Callable[[str, str], Awaitable[None]]


class RouterController:
    """Brings one router to the wanted split, and brings it back whenever it is found elsewhere.

    Args:
        name: the router's.
        rollout: gives the newest rollout at that moment.
        trusted: whether what the journal says fits what routers show; while not, they are left as they are.
        interval_seconds: how often it is read back while nothing changes.
    """

    def __init__(
        self,
        name: str,
        effects: Effects,
        *,
        rollout: Callable[[], Rollout | None],
        trusted: Callable[[], bool] = lambda: True,
        confirmations: Confirmations,
        clock: Clock,
        reports: Reports,
        interval_seconds: float,
    ) -> None:
        self.name = name
        self.wake_up = WakeUp(clock)
        self.error = ""
        self.observation: Observation | None = None
        self.confirmed_at: float | None = None
        self._effects = effects
        self._rollout = rollout
        self._trusted = trusted
        self._confirmations = confirmations
        self._clock = clock
        self._reports = reports
        self._interval_seconds = interval_seconds
        self._backoff = Backoff(_FIRST_PAUSE_SECONDS, max(interval_seconds, _FIRST_PAUSE_SECONDS))
        self._observed_at = float("-inf")
        self._confirmed: Split | None = None
        self._failed: Split | None = None
        # What this receiver has last set: a router keeps more than it shows (what it has after a restart), and a new
        # leader sets that too.
        self._set: Split | None = None
        self._set_at = float("-inf")
        self._carried_out: tuple[str, datetime] | None = None
        self._found_lowered = False
        self._step: asyncio.Task[float] | None = None
        self._log = Log("router")

    def follows(self, split: Split) -> bool:
        """Whether the router was last read with exactly this split in force."""
        return self._confirmed == split

    def tried(self, split: Split) -> bool:
        """Whether the router follows this split, or has failed to."""
        return split in (self._confirmed, self._failed)

    async def run(self) -> None:
        """Keep the router until cancelled."""
        while True:
            self._step = asyncio.ensure_future(self.step())
            try:
                await asyncio.wait({self._step})
            finally:
                # When this loop itself is ended, so is what it does.
                self._step.cancel()
            pause_seconds = 0.0 if self._step.cancelled() else self._step.result()
            await self.wake_up.wait(pause_seconds)

    def hurry(self) -> None:
        """It was decided to lower: whatever a look of this controller waits for, it is dropped and restarted."""
        if self._step is not None and lowering(self._rollout()) != self._carried_out:
            self._step.cancel()
        self.wake_up.set()

    async def step(self) -> float:
        """Look once, and act when needed; gives the seconds after which to look again."""
        rollout = self._rollout()
        wanted = wanted_split(rollout)
        try:
            pause_seconds = await self._brought(rollout, wanted)
            if pause_seconds is not None:
                return pause_seconds
            observation = await self._observe()
            self._require(observation, wanted)
        except RefusedError:
            # The rollout moved on, or the lead was lost, in the middle: the next look sees how it is now.
            return self._interval_seconds
        except (RouterError, JournalError) as error:
            self._fail(wanted, error)
            return self._backoff.failed()
        self._succeed(rollout, wanted, observation)
        settling = self._clock.monotonic() - self._set_at < _SETTLING_SECONDS
        return min(_SETTLING_LOOK_SECONDS, self._interval_seconds) if settling else self._interval_seconds

    async def _brought(self, rollout: Rollout | None, wanted: Split) -> float | None:
        """Set what has to be set; otherwise the seconds after which to look again."""
        decision = lowering(rollout)
        if decision not in (None, self._carried_out) and await self._is_above(wanted):
            if wanted_split(self._rollout()) != wanted:
                # It moved on during the look: look again at once.
                return 0.0
            self._confirmations.begin_lowering(self.name)
            await self._effects.lower(self.name, wanted)
            self._note_set(wanted)
            return None
        if not self._trusted():
            await self._observe()
            if not self._trusted():
                return self._interval_seconds
        if not await self._effects.leads():
            await self._watch(rollout, wanted)
            return self._interval_seconds
        return await self._lead(wanted)

    async def _is_above(self, wanted: Split) -> bool:
        """Whether the router may still have the traffic that is to be lowered."""
        looked_ago = self._clock.monotonic() - self._observed_at
        recent = looked_ago <= _RECENT_LOOKS * self._interval_seconds
        # What leaves a part of the traffic would raise a router that somebody has lowered further since the last look.
        if wanted.open or not (recent and self._effects.leading):
            await self._observe()
        observed = self.observation
        return observed is None or any(is_above(reading, wanted) for reading in observed.readings)

    async def _lead(self, wanted: Split) -> float | None:
        """As the one that acts: obey who has lowered it, and put right what else is not as wanted."""
        observation = await self._observe()
        if observation.agrees(wanted) and self._set == wanted:
            self._found_lowered = False
            return None
        confirmation = self._confirmations.of(self.name)
        moved = moved_to(observation, wanted, confirmation, self._rollout())
        if moved is not None:
            return await self._obey(moved, observation)
        self._found_lowered = False
        if not (self._lowers(wanted, observation) or self._trusted()):
            return self._interval_seconds  # this look has shown whom the journal does not know
        lost = confirmation is not None and confirmation.split == wanted and not observation.agrees(wanted)
        if lost:
            self._reports.drifted()
            self._log.warn("router changed externally", router=self.name, found=observation.detail)
        await self._put(wanted, observation)
        if lost and confirmation is not None and not confirmation.writing:
            await self._reports.restored(self.name, observation.detail)
        return None

    async def _obey(self, weight: float, observation: Observation) -> float:
        """Somebody has moved it to the safe side: look again soon, then take it over as a decision."""
        if not self._found_lowered:
            self._found_lowered = True
            return min(_SECOND_LOOK_SECONDS, self._interval_seconds)
        self._found_lowered = False
        self._reports.drifted()
        self._log.warn("router lowered by hand", router=self.name, found=observation.detail)
        await self._reports.lowered(self.name, weight)
        return 0.0

    async def _put(self, wanted: Split, observation: Observation) -> None:
        # Also when the router follows already: what it would have after a restart is set too.
        lowers = self._lowers(wanted, observation)
        if lowers:
            self._confirmations.begin_lowering(self.name)
        else:
            await self._confirmations.begin(self.name)
        await self._effects.set_weight(
            self.name, wanted, still=lambda: wanted_split(self._rollout()) == wanted, lowers=lowers
        )
        self._note_set(wanted)

    def _lowers(self, wanted: Split, observation: Observation) -> bool:
        # While a release is finished, whoever leaves the canary's servers leaves the proven side.
        return (not wanted.open or only_lowers(observation, wanted)) and not self._finishing

    def _note_set(self, wanted: Split) -> None:
        self._set, self._set_at = wanted, self._clock.monotonic()

    @property
    def _finishing(self) -> bool:
        rollout = self._rollout()
        return rollout is not None and rollout.state is State.FINISHING

    async def _watch(self, rollout: Rollout | None, wanted: Split) -> None:
        """Another receiver acts: see whether the router follows it."""
        self._set, self._found_lowered = None, False
        observation = await self._observe()
        if observation.agrees(wanted):
            self._succeed(rollout, wanted, observation)
        elif self._confirmed is not None:
            self._confirmed = None
            self._reports.changed()

    async def _observe(self) -> Observation:
        self.observation = observation = await self._effects.read_router(self.name)
        self._observed_at = self._clock.monotonic()
        return observation

    def _require(self, observation: Observation, wanted: Split) -> None:
        if not observation.agrees(wanted):
            raise RouterError(
                f"expected {format_ratio(wanted.weight_ratio)} in force, found {observation.detail}",
                place=f"router {self.name}",
            )

    def _fail(self, wanted: Split, error: RouterError | JournalError) -> None:
        if self.error != str(error):
            self._log.error("router does not follow", router=self.name, exception=error, wanted=wanted.weight_ratio)
        self._confirmed, self._failed, self.error = None, wanted, str(error)
        self._reports.changed()

    def _succeed(self, rollout: Rollout | None, wanted: Split, observation: Observation) -> None:
        self._carried_out = lowering(rollout)
        self._backoff.succeeded()
        weights = None if rollout is None else len(rollout.weights)
        self._confirmations.confirm(self.name, wanted, observation, weights)
        if self._confirmed == wanted:
            return
        self._log.info("router follows", router=self.name, weight=wanted.weight_ratio, rollout=wanted.rollout)
        self._confirmed, self._failed, self.error = wanted, None, ""
        self.confirmed_at = self._clock.monotonic()
        self._reports.changed()
