"""Starts at a moment that a person has named: journalled, so that it survives whatever happens to this process.

When its time has come, the start is given as a person would give it, and everything that a start looks at is looked at
then: routers, freezes, what the last rollout has become. Nobody is there to read a refusal, so it is written down,
shown, and told; it is not tried again, because a rollout that begins by itself at whatever later moment the fault goes
away is one that nobody is awake for. For the same reason a start that could not be made in time is given up.

The start carries a key made of the schedule's own entry: of two receivers, or of one that dies between the start and
the note about it, the second attempt gets the first one's result.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from alertmanager.receiver.decide.commands import Request
from alertmanager.receiver.lead.leader import Leader
from alertmanager.receiver.wakeup import WakeUp
from canary.errors import CanaryError, RefusedError
from canary.logs import Log
from canary.policy.plans import phases_of
from canary.rollout.commands.records import Record
from canary.rollout.commands.scheduling import Ending, EndSchedule, Scheduled, ScheduleEnded, ScheduleStart
from canary.rollout.commands.seen import Seen
from canary.rollout.commands.verbs import Verb
from canary.rollout.entries import Entry, Started
from canary.rollout.plan.plans import Plans
from canary.rollout.store.store import RolloutStore
from canary.timing.clock import Clock

# How late a start may be: a receiver that was restarted in between is no reason to give up, a night without one is.
_LATEST: Final = timedelta(minutes=30)

# People name minutes; a second late is in time.
_INTERVAL_SECONDS = 1.0
# With nothing scheduled: a new schedule is a journal entry, which wakes it; this look is only for safety.
_IDLE_SECONDS = 60.0


class Scheduler:
    """Knows what is scheduled, and starts it.

    Args:
        submit: carries out a person's command.

    Attributes:
        pending: what is scheduled; None when nothing is.
        fault: why what is due could not be started yet; empty when nothing is in the way.
        refused: why the newest scheduled start was refused; empty once another one is scheduled, or a rollout begins.
    """

    def __init__(
        self,
        plans: Plans,
        store: RolloutStore,
        leader: Leader,
        clock: Clock,
        submit: Callable[[Request], Awaitable[Entry]],
    ) -> None:
        self.pending: Scheduled | None = None
        self.fault = ""
        self.refused = ""
        self._plans = plans
        self._store = store
        self._leader = leader
        self._clock = clock
        self._submit = submit
        self._wake_up = WakeUp(clock)
        self._log = Log("schedule")
        store.listen(self._heard)

    async def run(self) -> None:
        """Wait for the moment, until cancelled."""
        while True:
            await self._wake_up.wait(await self.step())

    async def step(self) -> float:
        """Start what is due; gives the seconds after which to look again."""
        pending = self.pending
        if pending is None:
            return _IDLE_SECONDS
        if self._clock.now() < pending.start_at:
            return _INTERVAL_SECONDS
        if not await self._leader.may_act():
            self.fault = ""  # what was in this receiver's way is for the leader to say by now
            return _INTERVAL_SECONDS
        try:
            await self._begin(pending)
        except CanaryError as error:
            if not self.fault:  # once, and not every second of half an hour
                self._log.error("cannot start what was scheduled; trying again", exception=error)
            self.fault = str(error)
        return _INTERVAL_SECONDS

    async def schedule(self, request: Request, at: datetime) -> Entry:
        """Remember a start for a moment.

        Raises:
            RefusedError: something is scheduled already, the moment has passed, or the policy has no such plan.
            JournalError: it could not be written.
        """
        if self.pending is not None and not self._store.answered(f"schedule:{request.key}"):
            raise RefusedError(
                f"{self.pending} is scheduled already", place="cannot schedule", remedy="`canary unschedule` first"
            )
        phases_of(self._plans.file, request.plan)
        command = ScheduleStart(
            actor=request.actor,
            reason=request.reason,
            start_at=at,
            stable=request.stable,
            canary=request.canary,
            plan=request.plan,
            force=request.force,
            again=request.again,
        )
        return await self._store.propose(None, command, request=f"schedule:{request.key}" if request.key else "")

    async def cancel(self, *, actor: str, reason: str, key: str = "") -> Entry:
        """Take back what is scheduled.

        Raises:
            RefusedError: nothing is.
            JournalError: it could not be written.
        """
        key = f"unschedule:{key}" if key else ""
        if self.pending is None and not (key and self._store.answered(key)):
            raise RefusedError("nothing is scheduled", place="cannot unschedule")
        scheduled = self.pending.seq if self.pending is not None else 0
        command = EndSchedule(actor=actor, reason=reason, scheduled=scheduled, ending=Ending.CANCELLED)
        return await self._store.propose(None, command, request=key)

    async def _begin(self, pending: Scheduled) -> None:
        await self._store.refresh()
        if self.pending is not pending:
            return  # another receiver has begun it, or a person has taken it back
        if self._clock.now() > pending.start_at + _LATEST:
            away = "no receiver ran when it was due"
            why = f"not possible within {_LATEST.total_seconds() / 60:.0f}m of when it was due: {self.fault}"
            await self._end(pending, Ending.REFUSED, why if self.fault else away)
            return
        request = Request(
            Verb.START,
            actor=pending.actor,
            reason=f"{pending.reason} (scheduled)" if pending.reason else "scheduled",
            canary=pending.canary,
            stable=pending.stable,
            plan=pending.plan,
            force=pending.force,
            again=pending.again,
            seen=Seen.of(self._store.rollout),
            key=f"schedule-{pending.seq}",
        )
        try:
            entry = await self._submit(request)
        except RefusedError as error:
            await self._end(pending, Ending.REFUSED, str(error))
        else:
            await self._end(pending, Ending.STARTED, f"rollout {entry.rollout}")

    async def _end(self, pending: Scheduled, ending: Ending, reason: str) -> None:
        await self._store.propose(None, EndSchedule(scheduled=pending.seq, ending=ending, reason=reason))
        newest = self._store.rollout
        if ending is Ending.REFUSED:
            self._log.warn("what was scheduled was not started", scheduled=pending, reason=reason)
        # Messages are about a rollout; before the first one the log and the status have to do.
        if ending is Ending.REFUSED and newest is not None:
            record = Record(
                rollout=newest.id,
                key=f"schedule:{pending.canary}:{pending.seq}",
                reason=f"{pending}: {reason}",
                occasion="schedule",
            )
            await self._store.propose(None, record)

    def _heard(self, entry: Entry) -> None:
        match entry:
            case Scheduled():
                self.pending, self.fault, self.refused = entry, "", ""
            case ScheduleEnded() if self.pending is not None and self.pending.seq == entry.scheduled:
                self.refused = f"{self.pending}: {entry.reason}" if entry.ending is Ending.REFUSED else ""
                self.pending, self.fault = None, ""
            case Started():
                # Whoever it was refused to knows by now, or has what it was for.
                self.refused = ""
            case _:
                return
        self._wake_up.set()
