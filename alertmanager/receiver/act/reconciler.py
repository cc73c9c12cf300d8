"""Driving the world to what the journal wants: routers, the canary's process, the rollback's log.

Level-triggered: nothing here remembers an event. Each step looks at the rollouts, does what is missing, writes into the
journal what is done, and is repeated until it holds. So a receiver that was killed at any moment goes on where it
stopped, and so does another one. No step waits for one that protects customers less.

Each thing that is done goes through `act.effects`, which asks for lead and journal at the last moment; looks and
bookkeeping are the leader's alone only so that two receivers do not do the same in vain.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial

from alertmanager.receiver.act.confirmations import Confirmations
from alertmanager.receiver.act.deployment import Deployment
from alertmanager.receiver.act.drain import Drain
from alertmanager.receiver.act.effects import Effects
from alertmanager.receiver.act.routercontroller import Reports, RouterController
from alertmanager.receiver.act.splits import lowering, rounded_down, wanted_split
from alertmanager.receiver.act.telling.rollbacklog import lines_of
from alertmanager.receiver.act.trust import Trust
from alertmanager.receiver.metrics import Metrics
from alertmanager.receiver.wakeup import WakeUp
from canary.errors import CanaryError, JournalError, RefusedError
from canary.logs import Log
from canary.policy.model import Policy
from canary.process.manager import ProcessState
from canary.rollout.commands.commands import Hold
from canary.rollout.commands.finishing import CompleteFinish
from canary.rollout.commands.records import CompleteRollback, CompleteStep, Record
from canary.rollout.commands.seen import Seen
from canary.rollout.entries import (
    Advanced,
    Entry,
    FinishReturned,
    FinishStepped,
    Held,
    Promoted,
    RollbackDecided,
    Started,
)
from canary.rollout.kinds import Cause, Step
from canary.rollout.state import Rollout, State
from canary.rollout.store.store import RolloutStore
from canary.timing.backoff import Backoff
from canary.timing.clock import Clock
from canary.units import format_ratio

# A step that failed is soon tried again: a rollback that is not complete costs sleep. The longest pause is short too,
# because a stop that fails is one local program, which nobody is overloaded by.
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0

# A key is a line in every later fold of the journal; what was found at a router may be long.
_KEY_CHARACTERS = 120

_ROLLED = frozenset({State.ROLLING_BACK, State.ROLLED_BACK, State.FAILED})
"""States that only a rollback leads to."""

_MOVES = (Started, Advanced, Promoted, FinishStepped, FinishReturned, RollbackDecided)
"""Decisions after which the routers have to be somewhere else."""


class Reconciler:
    """Runs one controller per router, and the steps that follow the traffic in a rollback."""

    def __init__(
        self,
        policy: Policy,
        store: RolloutStore,
        effects: Effects,
        metrics: Metrics,
        clock: Clock,
        confirmations: Confirmations | None = None,
    ) -> None:
        self.errors: dict[str, str] = {}
        self.converging_since: datetime | None = clock.now() if effects.router_names else None
        self._converging_from = clock.monotonic()
        self.process_state: ProcessState | None = None
        self._policy = policy
        self._store = store
        self._effects = effects
        self._metrics = metrics
        self._clock = clock
        self._log = Log("receiver")
        self._deployment = Deployment(store, effects)
        self._drain = Drain(effects, clock, policy.process.drain)
        self._decided_at: float | None = None
        self._wake_ups = {name: WakeUp(clock) for name in ("traffic", "deploy", "process", "log", "journal")}
        self.trust = Trust(policy, store, lambda: {one.name: one.observation for one in self.controllers})
        reports = Reports(self._confirmed, metrics.drift, self._lowered, self._restored)
        confirmations = confirmations or Confirmations()
        self.controllers = [
            RouterController(
                name,
                effects,
                rollout=lambda: store.rollout,
                trusted=lambda: self.trust.trusted,
                confirmations=confirmations,
                clock=clock,
                reports=reports,
                interval_seconds=policy.receiver.reconcile,
            )
            for name in effects.router_names
        ]

    @property
    def weight_ratio(self) -> float | None:
        """The canary's largest share on any router, as read back; None when none can be read."""
        observed = [controller.observation.weight_ratio for controller in self.controllers if controller.observation]
        return max((ratio for ratio in observed if ratio is not None), default=None)

    @property
    def converging_seconds(self) -> float | None:
        """For how long they have not followed what is wanted, by a clock that nobody sets; None while they do."""
        return None if self.converging_since is None else self._clock.monotonic() - self._converging_from

    @property
    def settled(self) -> bool:
        """Whether every router has in force what the journal wants."""
        wanted = wanted_split(self._store.rollout)
        return all(controller.follows(wanted) for controller in self.controllers)

    def workers(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """The loops to be run side by side, by name."""
        steps = {
            "traffic": self.confirm_traffic,
            "deploy": self._deployment.step,
            "process": self.stop_process,
            "log": self.write_log,
            "journal": self._store.refresh,
        }
        return {f"router {controller.name}": controller.run for controller in self.controllers} | {
            name: partial(self._repeat, name, step) for name, step in steps.items()
        }

    def heard(self, entry: Entry) -> None:
        """A decision was written: do not wait for the next look."""
        if self.controllers and (isinstance(entry, _MOVES) or (isinstance(entry, Held) and entry.weight is not None)):
            self._decided_at, self.converging_since = self._clock.monotonic(), entry.at
            self._converging_from = self._decided_at
            urgent = lowering(self._store.rollout) is not None
            for controller in self.controllers:
                (controller.hurry if urgent else controller.wake_up.set)()
        self._wake()

    async def _lowered(self, router: str, weight: float) -> None:
        """Whoever moves customers to the safe side is obeyed: take it over as a hold that only a person ends."""
        seen = self._store.rollout
        with suppress(JournalError):
            # What another receiver has decided meanwhile says more than the router.
            await self._store.refresh()
        rollout = self._store.rollout
        testers_alone = wanted_split(rollout).testers_alone
        if rollout is None or (weight == rollout.weight and not testers_alone):
            return
        if seen is None or seen.id != rollout.id:
            return  # the look was about the one before
        finishing, finest = rollout.state is State.FINISHING, self._effects.finest_ratio
        # One router's weight may be too fine for another: then all have the next safer one that each can have.
        weight = 1 - rounded_down(1 - weight, finest) if finishing else rounded_down(weight, finest)
        change = f"from {format_ratio(rollout.weight)} to {format_ratio(weight)}"
        verb, back = ("raised", "lowers it") if finishing else ("lowered", "raises it")
        if testers_alone:
            verb, change, back = "closed", "to testers", "lets them in"
        hold = Hold(
            actor="receiver",
            reason=f"router {router} was {verb} {change} by hand; only a person {back} again",
            cause=Cause.BY_HAND,
            weight=None if testers_alone else weight,
        )
        await self._store.propose(Seen.of(rollout), hold)

    async def _restored(self, router: str, found: str) -> None:
        """People are notified, once for each thing that was found after one decision."""
        rollout = self._store.rollout
        if rollout is None:
            return
        reason = f"router {router} had lost its weight ({found}); it has {format_ratio(rollout.weight)} again"
        key = f"router:{router}:{rollout.decision}:{found}"
        with suppress(RefusedError):
            await self._store.propose(
                None, Record(rollout=rollout.id, key=key[:_KEY_CHARACTERS], reason=reason, occasion="router")
            )

    def _confirmed(self) -> None:
        if self.settled and self.converging_since is not None:
            self.converging_since = None
            if self._decided_at is not None:
                self._metrics.converged(self._clock.monotonic() - self._decided_at)
        elif not self.settled and self.converging_since is None:
            self.converging_since, self._decided_at = self._clock.now(), None
            self._converging_from = self._clock.monotonic()
        self._wake()

    def _wake(self) -> None:
        for wake_up in self._wake_ups.values():
            wake_up.set()

    async def _repeat(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        wake_up = self._wake_ups[name]
        backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        while True:
            if await self.attempt(name, step):
                backoff.succeeded()
                await wake_up.wait(self._policy.receiver.reconcile)
            else:
                await self._clock.sleep(backoff.failed())

    async def attempt(self, name: str, step: Callable[[], Awaitable[None]]) -> bool:
        """Do a step once; False when it failed and is to be repeated."""
        try:
            await step()
        except RefusedError:
            # The rollout moved on, or another receiver leads, while the step was done; the next look sees how.
            self.errors.pop(name, None)
        except CanaryError as error:
            if self.errors.get(name) != str(error):
                self._log.error("step failed and is repeated", exception=error, step=name)
            self.errors[name] = str(error)
            return False
        else:
            self.errors.pop(name, None)
        return True

    async def confirm_traffic(self) -> None:
        """Write down that all routers follow a rollback."""
        if not await self._effects.leads():
            return
        rollout = self._rolling_back(Step.TRAFFIC)
        if rollout is not None and self.settled:
            await self._complete(rollout, Step.TRAFFIC)
        await self._finish()

    async def stop_process(self) -> None:
        """Stop the canary's process once its traffic has left and the requests in flight have had their time."""
        rollout = self._store.rollout
        if rollout is None or not rollout.leaving or Step.PROCESS in rollout.steps or not await self._effects.leads():
            return
        wanted = wanted_split(rollout)
        # A router that cannot be reached leaves a dead canary by itself: then stopping is what protects customers.
        if not all(controller.tried(wanted) for controller in self.controllers):
            return
        await self._drain.wait(rollout.id, self._let_go())
        self.process_state = await self._effects.stop_process(rollout.id)
        await self._complete(rollout, Step.PROCESS)
        await self._finish()

    def _let_go(self) -> float:
        """When the last router let go of the canary; now, when nobody knows: a receiver that has just begun."""
        known = (self._decided_at, *(one.confirmed_at for one in self.controllers))
        return max((at for at in known if at is not None), default=self._clock.monotonic())

    async def write_log(self) -> None:
        """Write the missing lines of every rollback, of whichever rollout; its end is the last."""
        unwritten = [one for one in self._store.rollouts.values() if one.state in _ROLLED and Step.LOG not in one.steps]
        if not unwritten or not await self._effects.leads():
            return
        for rollout in unwritten:
            lines = lines_of(await self._store.entries(rollout.id))
            for line in lines:
                await self._effects.write_log(rollout, line)
            if not lines or lines[-1].end is not None:
                await self._complete(rollout, Step.LOG)

    async def _finish(self) -> None:
        rollout = self._store.rollout
        if rollout is None or not rollout.leaving or not {Step.TRAFFIC, Step.PROCESS} <= rollout.steps:
            return
        if self.settled:
            stopped = ", the canary's process is stopped" if self._effects.process_managed else ""
            if rollout.state is State.FINISHING:
                reason = f"all traffic is on the stable servers, which run {rollout.canary}{stopped}"
                finish = CompleteFinish(rollout=rollout.id, reason=reason, decision=rollout.decision)
                await self._store.propose(None, finish)
                return
            reason = f"all traffic is on stable{stopped}"
            complete = CompleteRollback(rollout=rollout.id, reason=reason, decision=rollout.decision)
            await self._store.propose(None, complete)

    def _rolling_back(self, step: Step) -> Rollout | None:
        rollout = self._store.rollout
        if rollout is None or rollout.state is not State.ROLLING_BACK or step in rollout.steps:
            return None
        return rollout

    async def _complete(self, rollout: Rollout, step: Step) -> None:
        await self._store.propose(None, CompleteStep(rollout=rollout.id, step=step, decision=rollout.decision))
