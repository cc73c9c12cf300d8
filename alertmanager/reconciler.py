"""Driving the world to what the journal wants: routers, the canary's process, the rollback's log.

Level-triggered: nothing here remembers an event. Each step looks at the rollout, does what is missing, writes into the
journal what is done, and is repeated until it holds. No step waits for one that protects customers less.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

from alertmanager.bell import Bell
from alertmanager.keeper import Keeper, wanted_split
from alertmanager.leader import Leader
from alertmanager.metrics import Metrics
from alertmanager.rollbacklog import RollbackLog
from canary.clock import Clock
from canary.commands import Command, CompleteRollback, CompleteStep
from canary.entries import Advanced, Entry, Promoted, RollbackDecided, Started, Step
from canary.errors import CanaryError, RefusedError
from canary.logs import Log
from canary.policy.model import Policy
from canary.process import ProcessManager, ProcessState
from canary.rollout import Rollout, State
from canary.routers.base import Router
from canary.store import RolloutStore

_FIRST_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 10.0


class Reconciler:
    """Runs one keeper per router, and the steps that follow the traffic in a rollback."""

    def __init__(
        self,
        policy: Policy,
        store: RolloutStore,
        routers: Sequence[Router],
        process: ProcessManager,
        metrics: Metrics,
        leader: Leader,
        clock: Clock,
    ) -> None:
        self.errors: dict[str, str] = {}
        self.converging_since: datetime | None = clock.now() if routers else None
        self.process_state: ProcessState | None = None
        self._policy = policy
        self._store = store
        self._process = process
        self._metrics = metrics
        self._leader = leader
        self._clock = clock
        self._log = Log("receiver")
        self._rollback_log = RollbackLog.of(policy)
        self._decided_at: float | None = None
        self._bells = {name: Bell(clock) for name in ("traffic", "process", "log", "journal")}
        self.keepers = [
            Keeper(
                router,
                wanted=lambda: wanted_split(store.rollout),
                may_act=self._may_act,
                clock=clock,
                on_change=self._kept,
                on_drift=metrics.drift,
                interval_seconds=policy.receiver.reconcile,
            )
            for router in routers
        ]

    @property
    def weight_ratio(self) -> float | None:
        """The canary's largest share on any router, as read back; None when none can be read."""
        observed = [keeper.observation.weight_ratio for keeper in self.keepers if keeper.observation]
        return max((ratio for ratio in observed if ratio is not None), default=None)

    @property
    def settled(self) -> bool:
        """Whether every router has in force what the journal wants."""
        wanted = wanted_split(self._store.rollout)
        return all(keeper.follows(wanted) for keeper in self.keepers)

    def workers(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """The loops to be run side by side, by name."""
        steps = {
            "traffic": self._confirm_traffic,
            "process": self._stop_process,
            "log": self._write_log,
            "journal": self._follow_journal,
        }
        return {f"router {keeper.name}": keeper.run for keeper in self.keepers} | {
            name: partial(self._repeat, name, step) for name, step in steps.items()
        }

    def heard(self, entry: Entry) -> None:
        """A decision was written: do not wait for the next look."""
        if isinstance(entry, Started | Advanced | Promoted | RollbackDecided) and self.keepers:
            self._decided_at, self.converging_since = self._clock.monotonic(), entry.at
            for keeper in self.keepers:
                keeper.bell.ring()
        self._ring()

    def _kept(self) -> None:
        if self.settled and self.converging_since is not None:
            self.converging_since = None
            if self._decided_at is not None:
                self._metrics.converged(self._clock.monotonic() - self._decided_at)
        elif not self.settled and self.converging_since is None:
            self.converging_since, self._decided_at = self._clock.now(), None
        self._ring()

    def _ring(self) -> None:
        for bell in self._bells.values():
            bell.ring()

    async def _may_act(self) -> bool:
        """The leader acts; anybody does when the journal is gone and what is wanted is nobody on the canary."""
        if self._store.unwritten and wanted_split(self._store.rollout).weight_ratio == 0:
            return True
        return await self._leader.may_act()

    async def _repeat(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        bell = self._bells[name]
        backoff = _FIRST_BACKOFF_SECONDS
        while True:
            try:
                if name == "journal" or await self._may_act():
                    await step()
            except RefusedError:
                # The rollout moved on while the step was done; the next look sees how.
                self.errors.pop(name, None)
            except CanaryError as error:
                if self.errors.get(name) != str(error):
                    self._log.error("step failed and is repeated", exception=error, step=name)
                self.errors[name] = str(error)
                await self._clock.sleep(backoff)
                backoff = min(backoff * 2, _LONGEST_BACKOFF_SECONDS)
                continue
            else:
                self.errors.pop(name, None)
            backoff = _FIRST_BACKOFF_SECONDS
            await bell.wait(self._policy.receiver.reconcile)

    async def _follow_journal(self) -> None:
        await self._store.refresh()

    async def _confirm_traffic(self) -> None:
        rollout = self._rolling_back(Step.TRAFFIC)
        if rollout is not None and self.settled:
            await self._done(rollout, Step.TRAFFIC)
        await self._finish()

    async def _stop_process(self) -> None:
        rollout = self._rolling_back(Step.PROCESS)
        if rollout is None:
            return
        wanted = wanted_split(rollout)
        # A router that cannot be reached leaves a dead canary by itself: then stopping is what protects customers.
        if not all(keeper.tried(wanted) for keeper in self.keepers):
            return
        await self._drain(rollout)
        self.process_state = await self._process.stop()
        await self._done(rollout, Step.PROCESS)
        await self._finish()

    async def _drain(self, rollout: Rollout) -> None:
        """Give the requests in flight their time, from the moment when the last router let go."""
        closed = [keeper.confirmed_at for keeper in self.keepers if keeper.confirmed_at is not None]
        since = max([rollout.weights[-1].since, *closed])
        remaining = self._policy.process.drain - (self._clock.now() - since).total_seconds()
        await self._clock.sleep(min(max(remaining, 0), self._policy.process.drain))

    async def _write_log(self) -> None:
        rollout = self._store.rollout
        if rollout is None or not rollout.cause or Step.LOG in rollout.steps:
            return
        if rollout.state not in (State.ROLLING_BACK, State.ROLLED_BACK):
            return
        await self._rollback_log.write(rollout)
        await self._done(rollout, Step.LOG)

    async def _finish(self) -> None:
        rollout = self._store.rollout
        if rollout is None or rollout.state is not State.ROLLING_BACK:
            return
        if {Step.TRAFFIC, Step.PROCESS} <= rollout.steps and self.settled:
            reason = "all traffic is on stable, the canary's process is stopped"
            await self._propose(CompleteRollback(rollout=rollout.id, reason=reason, decision=rollout.decision))

    def _rolling_back(self, step: Step) -> Rollout | None:
        rollout = self._store.rollout
        if rollout is None or rollout.state is not State.ROLLING_BACK or step in rollout.steps:
            return None
        return rollout

    async def _done(self, rollout: Rollout, step: Step) -> None:
        await self._propose(CompleteStep(rollout=rollout.id, step=step, decision=rollout.decision))

    async def _propose(self, command: Command) -> None:
        await self._store.propose(None, command)
