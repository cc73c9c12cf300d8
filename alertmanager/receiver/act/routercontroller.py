"""Keeping one router at the share that the journal wants: set, read back, repeat, repair.

A controller compares what the router has in force with what the journal wants, again and again, and closes the gap.
Three kinds of gap need three kinds of permission (`alertmanager.receiver.act.effects`):

* **A decision to lower that has not been carried out here**: carried out at once, by whoever knows of it, without
  asking for lead or journal. That is what gets customers off a canary when the journal's database is gone.
* **A router found above what is wanted**, and nothing was decided: only the leader lowers it. A receiver that was cut
  off, and does not know of the last advance, would otherwise pull down what the leader has just raised.
* **Anything else** may put customers on the canary: only the leader does it, after a fresh look at the journal.

Two receivers that both may lower must not fight with one that raises. So a receiver carries out each decision *once*:
when it has seen the router follow, by whosever hand, what comes afterwards is for the leader to put right, who knows
whether the decision was superseded. And what a router has in force names its rollout (its salt): the rollback of one
rollout never touches the traffic of another, so that a receiver that was paused for an hour does not, on waking up,
end a rollout that it has not heard of. A router of kind `command` that does not tell the salt can be lowered once too
much in that case; the leader raises it again at its next look.
"""

from collections.abc import Callable
from datetime import datetime

from alertmanager.receiver.act.effects import Effects
from alertmanager.receiver.wakeup import WakeUp
from canary.backoff import Backoff
from canary.clock import Clock
from canary.errors import JournalError, RefusedError, RouterError
from canary.logs import Log
from canary.rollout.state import Rollout
from canary.routers.base import Observation, Reading, Split
from canary.units import format_ratio

# Most faults of a router are a reload or a full connection table, over in a moment; while traffic is to be lowered,
# each moment counts. The longest pause is the policy's `receiver.reconcile`: a router is looked at that often anyway.
_FIRST_PAUSE_SECONDS = 0.2

# How old a look at the router may be, in looks, for lowering without another one. A controller that works as it should
# has looked within one interval; one that has not was paused, and the world may be another.
_RECENT_LOOKS = 2


def wanted_split(rollout: Rollout | None) -> Split:
    """What a rollout asks of every router; without one, everybody is on stable."""
    if rollout is None:
        return Split("none", 0.0, testers=False)
    return Split(rollout.id, rollout.weight, testers=rollout.running)


def lowered_at(rollout: Rollout | None) -> datetime | None:
    """When it was decided to lower the share to what it is; None when the last decision about it was none to lower."""
    if rollout is None:
        return None
    *_, before, last = (0.0, *(weight.ratio for weight in rollout.weights))
    closed = last == 0 and not rollout.running
    return rollout.weights[-1].since if closed or last < before else None


class RouterController:
    """Brings one router to the wanted split, and brings it back whenever it is found elsewhere.

    Args:
        name: the router's.
        rollout: gives the newest rollout at that moment.
        on_change: called when the router is confirmed, or known not to follow.
        on_drift: called when something else was in force than it had been brought to.
        interval_seconds: how often it is read back while nothing changes.
    """

    def __init__(
        self,
        name: str,
        effects: Effects,
        *,
        rollout: Callable[[], Rollout | None],
        clock: Clock,
        on_change: Callable[[], None],
        on_drift: Callable[[], None],
        interval_seconds: float,
    ) -> None:
        self.name = name
        self.wake_up = WakeUp(clock)
        self.error = ""
        self.observation: Observation | None = None
        self.confirmed_at: datetime | None = None
        self._effects = effects
        self._rollout = rollout
        self._clock = clock
        self._on_change = on_change
        self._on_drift = on_drift
        self._interval_seconds = interval_seconds
        self._backoff = Backoff(_FIRST_PAUSE_SECONDS, max(interval_seconds, _FIRST_PAUSE_SECONDS))
        self._observed_at = float("-inf")
        self._confirmed: Split | None = None
        self._failed: Split | None = None
        # What this receiver has last set: a router keeps more than it shows (what it has after a restart), and a new
        # leader sets that too.
        self._set: Split | None = None
        self._carried_out: tuple[str, datetime] | None = None
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
            await self.wake_up.wait(await self.step())

    async def step(self) -> float:
        """Look once, and act when needed; gives the seconds after which to look again."""
        rollout = self._rollout()
        wanted = wanted_split(rollout)
        decision = _lowering(rollout)
        try:
            if not await self._brought(wanted, decision):
                return self._interval_seconds
            await self._observe()
            self._require(wanted)
        except RefusedError:
            # The rollout moved on, or the lead was lost, in the middle: the next look sees how it is now.
            return self._interval_seconds
        except (RouterError, JournalError) as error:
            self._fail(wanted, error)
            return self._backoff.failed()
        self._succeed(wanted, decision)
        return self._interval_seconds

    async def _brought(self, wanted: Split, decision: tuple[str, datetime] | None) -> bool:
        """Set what has to be set; False when that is another receiver's part."""
        if decision not in (None, self._carried_out) and await self._is_above(wanted):
            self._require_wanted(wanted)
            await self._effects.lower(self.name, wanted)
        elif not await self._effects.leads():
            await self._watch(wanted, decision)
            return False
        elif wanted == self._confirmed == self._set:
            await self._correct(wanted)
        else:
            # Also when the router follows already: what it would have after a restart is set too.
            await self._put(wanted)
        self._set = wanted
        return True

    async def _is_above(self, wanted: Split) -> bool:
        """Whether the router may still have the traffic that is to be lowered."""
        looked_ago = self._clock.monotonic() - self._observed_at
        if not self._effects.leading or looked_ago > _RECENT_LOOKS * self._interval_seconds:
            await self._observe()
        observed = self.observation
        return observed is None or any(_is_above(reading, wanted) for reading in observed.readings)

    def _require_wanted(self, wanted: Split) -> None:
        if wanted_split(self._rollout()) != wanted:
            self.wake_up.set()
            raise RefusedError(f"{format_ratio(wanted.weight_ratio)} is no longer wanted", place=f"router {self.name}")

    async def _put(self, wanted: Split) -> None:
        lowers = wanted.weight_ratio == 0 or (self.observation is not None and _only_lowers(self.observation, wanted))
        await self._effects.set_weight(
            self.name, wanted, still=lambda: wanted_split(self._rollout()) == wanted, lowers=lowers
        )

    async def _watch(self, wanted: Split, decision: tuple[str, datetime] | None) -> None:
        """Another receiver acts: see whether the router follows it."""
        self._set = None
        await self._observe()
        if self.observation is not None and self.observation.agrees(wanted):
            self._succeed(wanted, decision)
        elif self._confirmed is not None:
            self._confirmed = None
            self._on_change()

    async def _correct(self, wanted: Split) -> None:
        await self._observe()
        if self.observation is not None and not self.observation.agrees(wanted):
            self._on_drift()
            self._log.warn("changed behind our back", router=self.name, found=self.observation.detail)
            await self._put(wanted)

    async def _observe(self) -> None:
        self.observation = await self._effects.read_router(self.name)
        self._observed_at = self._clock.monotonic()

    def _require(self, wanted: Split) -> None:
        if self.observation is None or not self.observation.agrees(wanted):
            found = self.observation.detail if self.observation else "nothing"
            raise RouterError(
                f"expected {format_ratio(wanted.weight_ratio)} in force, found {found}", place=f"router {self.name}"
            )

    def _fail(self, wanted: Split, error: RouterError | JournalError) -> None:
        if self.error != str(error):
            self._log.error("router does not follow", exception=error, wanted=wanted.weight_ratio)
        self._confirmed, self._failed, self.error = None, wanted, str(error)
        self._on_change()

    def _succeed(self, wanted: Split, decision: tuple[str, datetime] | None) -> None:
        self._carried_out = decision
        self._backoff.succeeded()
        if self._confirmed == wanted:
            return
        self._log.info("router follows", router=self.name, weight=wanted.weight_ratio, rollout=wanted.rollout)
        self._confirmed, self._failed, self.error = wanted, None, ""
        self.confirmed_at = self._clock.now()
        self._on_change()


def _lowering(rollout: Rollout | None) -> tuple[str, datetime] | None:
    """The decision to lower that is in force, as something to remember it by."""
    at = lowered_at(rollout)
    return (rollout.id, at) if rollout is not None and at is not None else None


def _is_above(reading: Reading, wanted: Split) -> bool:
    """Whether an instance may have more of this rollout's customers on the canary than wanted."""
    if reading.weight_ratio is None:
        return True
    if reading.weight_ratio > 0 and reading.salt not in (None, wanted.salt):
        return False
    return not Observation((reading,)).agrees(wanted) and reading.weight_ratio >= wanted.weight_ratio


def _only_lowers(observation: Observation, wanted: Split) -> bool:
    """Whether the split puts nobody on the canary who is not there by now."""
    return all(
        reading.weight_ratio is not None
        and reading.weight_ratio >= wanted.weight_ratio
        and reading.salt == wanted.salt
        and reading.testers >= wanted.testers
        for reading in observation.readings
    )
