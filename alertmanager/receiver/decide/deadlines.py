"""What happens because time passes: countdowns end, the heartbeat stays away, phases last too long.

All of it is measured by ages (`canary.rollout.ages`), never by comparing moments of the wall clock: set forward, it
would end a countdown in which a person may still cancel; set back, it would never end one. Time in which this process
was stopped does not count: nobody could be heard in it (`alertmanager.receiver.decide.pauses`).

Only the leader looks, so that two receivers do not decide the same twice. When nobody can tell who leads, because the
journal's database does not answer, what lowers traffic does not wait for it: a canary that nobody watches any more is
rolled back, and so is one whose countdown this receiver began without the journal. A countdown that stands in the
journal is another matter. A person may have cancelled it through a receiver that still reaches the database, and this
one would not know: it waits until it does.
"""

from collections.abc import Awaitable, Callable

from alertmanager.receiver.decide.freezes import Freezes
from alertmanager.receiver.decide.pauses import Pauses
from alertmanager.receiver.decide.watchdog import Watchdog
from alertmanager.receiver.lead.leader import Leader
from alertmanager.receiver.wakeup import WakeUp
from canary.errors import CanaryError, RefusedError
from canary.logs import Log
from canary.rollout.ages import Ages
from canary.rollout.commands.commands import Hold, Resume, RollBack
from canary.rollout.commands.records import Record
from canary.rollout.commands.seen import Seen
from canary.rollout.entries import Held
from canary.rollout.kinds import WATCH_CLOSED, Cause
from canary.rollout.plan.plans import Plans
from canary.rollout.state import Rollout, State
from canary.rollout.store.store import RolloutStore
from canary.timing.clock import Clock
from canary.units import format_duration

# The finest that any of the deadlines is written in.
_INTERVAL_SECONDS = 1.0


class Deadlines:
    """Looks at the clock once a second."""

    def __init__(
        self,
        plans: Plans,
        store: RolloutStore,
        watchdog: Watchdog,
        leader: Leader,
        clock: Clock,
        freezes: Freezes,
        pauses: Pauses,
    ) -> None:
        self._plans = plans
        self._store = store
        self._watchdog = watchdog
        self._leader = leader
        self._clock = clock
        self._freezes = freezes
        self._pauses = pauses
        self._frozen_at: float | None = None
        self._ages = Ages(clock)
        self._wake_up = WakeUp(clock)
        self._log = Log("deadlines")

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.step()
            await self._wake_up.wait(_INTERVAL_SECONDS)

    async def step(self) -> None:
        """Do everything whose time has come."""
        for due in (self._countdown, self._heartbeat, self._max_duration, self._watch):
            if not await self._leader.may_act():
                break
            await self._attempt(due)
        if self._leader.unknown:
            await self._attempt(self._without_leader)

    async def _attempt(self, due: Callable[[], Awaitable[None]]) -> None:
        try:
            await due()
        except RefusedError as error:
            self._log.debug("refused", error=error)
        except CanaryError as error:
            self._log.error("cannot act in time", exception=error)

    async def _without_leader(self) -> None:
        """Lower, and nothing else, when nobody can tell who leads."""
        rollout = self._store.rollout
        if rollout is None or not rollout.running:
            return
        unwritten = any(isinstance(entry, Held) and entry.rollout == rollout.id for entry in self._store.unwritten)
        if unwritten:
            await self._countdown()
        if self._watchdog.verdict(rollout) == "rollback":
            await self._heartbeat()

    async def _countdown(self) -> None:
        rollout = self._store.rollout
        if rollout is None or rollout.held is None or rollout.countdown_seconds is None:
            return
        if self._pauses.awake_seconds(self._ages.seconds(rollout.held)) < rollout.countdown_seconds:
            return
        command = RollBack(
            actor="receiver",
            reason=rollout.reason,
            cause=rollout.cause,
            automatic=True,
            countdown=True,
        )
        await self._store.propose(Seen.of(rollout), command)

    async def _heartbeat(self) -> None:
        rollout = self._store.rollout
        if rollout is None:
            return
        silence = self._watchdog.silence_seconds()
        away = f"no heartbeat from Prometheus through Alertmanager for {format_duration(round(silence))}"
        seen, verdict = Seen.of(rollout), self._watchdog.verdict(rollout)
        if self._plans.of(rollout).rollback.dry_run and verdict in ("rollback", "hold"):
            await self._pretend(rollout, Cause.WATCHDOG, away)
            return
        match verdict:
            case "rollback":
                command = RollBack(actor="receiver", reason=away, cause=Cause.WATCHDOG, automatic=True)
                await self._store.propose(seen, command)
            case "hold":
                await self._store.propose(seen, Hold(actor="receiver", reason=away, cause=Cause.WATCHDOG, lifts=True))
            case "resume":
                await self._store.propose(seen, Resume(actor="receiver", reason="the heartbeat is back"))

    async def _max_duration(self) -> None:
        rollout = self._store.rollout
        if rollout is None or rollout.state not in (State.PHASE, State.BAKING):
            return
        limit = self._limit_seconds(rollout)
        since = rollout.resumed or rollout.phase_began
        if self._freezes.active:
            self._frozen_at = self._clock.monotonic()
        if (
            limit is None
            or since is None
            or self._thawed_seconds(self._pauses.awake_seconds(self._ages.seconds(since))) <= limit
        ):
            return
        reason = f"phase {rollout.phase + 1} was not allowed to end within {format_duration(limit)}"
        if self._plans.of(rollout).rollback.dry_run:
            await self._pretend(rollout, Cause.MAX_DURATION, reason)
            return
        hold = Hold(actor="receiver", reason=reason, cause=Cause.MAX_DURATION, phase=rollout.phase)
        await self._store.propose(Seen.of(rollout), hold)

    async def _pretend(self, rollout: Rollout, cause: Cause, reason: str) -> None:
        """In a dry run, write down once what would have been done."""
        key = f"dry_hold:{cause}"
        if key not in rollout.recorded:
            await self._store.propose(None, Record(rollout=rollout.id, key=key, reason=reason, occasion="dry_hold"))

    def _thawed_seconds(self, seconds: float) -> float:
        """How much of the last *seconds* has passed since a freeze, which is no time in which a phase could end."""
        return seconds if self._frozen_at is None else min(seconds, self._clock.monotonic() - self._frozen_at)

    def _limit_seconds(self, rollout: Rollout) -> float | None:
        return self._plans.phase(rollout).max_duration

    async def _watch(self) -> None:
        """Close the watch that follows each promotion and say so, also when the next rollout has begun meanwhile."""
        for rollout in list(self._store.rollouts.values()):
            if rollout.promoted is None or WATCH_CLOSED in rollout.recorded:
                continue
            if self._ages.seconds(rollout.promoted, by_wall=True) <= self._plans.of(rollout).rollback.watch:
                continue
            kept = [key.partition(":")[2] for key in rollout.recorded if key.startswith("watch:")]
            reason = f"limits broken: {', '.join(sorted(kept))}" if kept else "no limit was broken"
            closed = Record(rollout=rollout.id, key=WATCH_CLOSED, reason=reason, occasion="watched")
            await self._store.propose(None, closed)
