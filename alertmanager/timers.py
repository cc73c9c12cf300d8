"""What happens because time passes: countdowns end, the heartbeat stays away, phases last too long."""

from collections.abc import Callable
from datetime import timedelta

from alertmanager.bell import Bell
from alertmanager.guard import Guard, note
from alertmanager.leader import Leader
from alertmanager.watchdog import Watchdog
from canary import commands
from canary.clock import Clock
from canary.errors import CanaryError, RefusedError
from canary.logs import Log
from canary.policy.model import Policy
from canary.rollout import Entry, Rollout, State
from canary.units import format_duration

_INTERVAL_SECONDS = 1.0

Command = Callable[..., Entry]


class Timers:
    """Looks at the clock once a second."""

    def __init__(self, policy: Policy, guard: Guard, watchdog: Watchdog, leader: Leader, clock: Clock) -> None:
        self._policy = policy
        self._guard = guard
        self._watchdog = watchdog
        self._leader = leader
        self._clock = clock
        self._bell = Bell(clock)
        self._log = Log("timers")

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.step()
            await self._bell.wait(_INTERVAL_SECONDS)

    async def step(self) -> None:
        """Do everything whose time has come."""
        for due in (self._countdown, self._heartbeat, self._max_duration, self._watch):
            rollout = self._guard.rollout
            if rollout is None or not await self._leader.may_act():
                return
            try:
                await due(rollout)
            except RefusedError as error:
                self._log.debug("refused", error=error)
            except CanaryError as error:
                self._log.error("cannot act in time", exception=error)

    async def _countdown(self, rollout: Rollout) -> None:
        if rollout.rollback_at is None or self._clock.now() < rollout.rollback_at:
            return

        def wish(current: Rollout | None) -> Entry:
            if current is None or current.id != rollout.id or current.rollback_at != rollout.rollback_at:
                raise RefusedError("the countdown was cancelled")
            at = self._clock.now()
            return commands.roll_back(current, at=at, actor="receiver", reason=current.reason, cause=current.cause)

        await self._guard.submit(wish, urgent=True)

    async def _heartbeat(self, rollout: Rollout) -> None:
        now = self._clock.now()
        silence = self._watchdog.silence_seconds(rollout, now)
        away = f"no heartbeat from Prometheus through Alertmanager for {format_duration(round(silence))}"
        match self._watchdog.verdict(rollout, now):
            case "rollback":
                await self._submit(rollout, commands.roll_back, away, urgent=True, cause="watchdog")
            case "hold":
                await self._submit(rollout, commands.hold, away, urgent=True, cause="watchdog", lifts=True)
            case "resume":
                await self._submit(rollout, commands.resume, "the heartbeat is back")

    async def _max_duration(self, rollout: Rollout) -> None:
        if rollout.state not in (State.PHASE, State.BAKING) or rollout.phase >= len(self._policy.phases):
            return
        limit = self._policy.phases[rollout.phase].max_duration
        since = max(rollout.phase_started_at, rollout.resumed_at or rollout.phase_started_at)
        if limit is not None and self._clock.now() - since > timedelta(seconds=limit):
            reason = f"phase {rollout.phase + 1} was not allowed to end within {format_duration(limit)}"
            await self._submit(rollout, commands.hold, reason, urgent=False, cause="max_duration")

    async def _watch(self, rollout: Rollout) -> None:
        """Close the watch that follows a promotion."""
        if rollout.state is not State.PROMOTED or rollout.ended_at is None or "watch_closed" in rollout.noted:
            return
        if self._clock.now() - rollout.ended_at > timedelta(seconds=self._policy.rollback.watch):
            kept = [key.partition(":")[2] for key in rollout.noted if key.startswith("watch:")]
            reason = f"limits broken: {', '.join(sorted(kept))}" if kept else "no limit was broken"
            await self._guard.submit(note(rollout.id, self._clock.now(), "receiver", "watch_closed", reason))

    async def _submit(
        self, rollout: Rollout, command: Command, reason: str, *, urgent: bool = False, **more: object
    ) -> None:
        def wish(current: Rollout | None) -> Entry:
            if current is None or (current.id, current.state) != (rollout.id, rollout.state):
                raise RefusedError("the rollout moved on meanwhile")
            return command(current, at=self._clock.now(), actor="receiver", reason=reason, **more)

        await self._guard.submit(wish, urgent=urgent)
