"""Raising traffic: only with Alertmanager's key, Prometheus' key, and the phase's time over by the receiver's clock.

A webhook can be forged, replayed or late; an answer of Prometheus can be old; a clock can be set. Only all three
together raise the weight: Alertmanager has delivered the alert of this rollout and phase lately; Prometheus, asked now,
shows it firing and nothing that speaks against it; and this receiver itself has measured that the phase's time is over.
The answer's age is measured from before the question, and held against the moment of writing, so that a process that
was paused in between raises nothing on what was true an hour ago.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from alertmanager.receiver.decide.freezes import Freezes
from alertmanager.receiver.decide.promotion import waiting
from alertmanager.receiver.decide.promotion.phasetimer import PhaseTimer
from alertmanager.receiver.decide.promotion.waiting import Waiting
from alertmanager.receiver.lead.leader import Leader
from alertmanager.receiver.wakeup import WakeUp
from canary import names
from canary.errors import CanaryError, RefusedError
from canary.logs import Log
from canary.policy.gates import ApprovalGate, Gate, UrlGate
from canary.prometheus.alert import Alert
from canary.rollout.commands.commands import Advance
from canary.rollout.commands.records import Record
from canary.rollout.commands.seen import Seen
from canary.rollout.entries import Entry
from canary.rollout.plan.approvals import Approvals, approvals
from canary.rollout.plan.plans import Plans
from canary.rollout.state import Rollout, State
from canary.rollout.store.store import RolloutStore
from canary.timing.clock import Clock

# Decisions and keys wake it; this only bounds how long a wake-up that was missed could go unnoticed.
_IDLE_SECONDS = 60.0

# How old Prometheus' answer may be when the advance is written.
_FRESH_SECONDS = 5.0

# Alertmanager repeats at the ticks of its group interval, so a repetition may come this much late.
_REPEAT_LATENESS_SECONDS = 15.0


@dataclass(frozen=True)
class _Moment:
    """When something was so for one phase, by the monotonic clock."""

    rollout: str
    phase: int
    at: float


class Promoter:
    """Waits for Alertmanager's key, then tries the rest until it fits or the key is too old.

    Args:
        objection: why Prometheus, asked now, does not turn its key; None when it does.
        gate: why the user's own check is closed; empty when it is open.
        undelivered: why Alertmanager has not turned its key.

    Attributes:
        waiting: why the rollout does not go on, as of the last look; None when none runs.
    """

    def __init__(
        self,
        plans: Plans,
        store: RolloutStore,
        leader: Leader,
        timer: PhaseTimer,
        clock: Clock,
        freezes: Freezes,
        *,
        objection: Callable[[Rollout], Awaitable[Waiting | None]],
        gate: Callable[[UrlGate], Awaitable[str]],
        undelivered: Callable[[Rollout], Awaitable[Waiting]],
    ) -> None:
        self.waiting: Waiting | None = None
        self._plans = plans
        self._store = store
        self._leader = leader
        self._timer = timer
        self._clock = clock
        self._freezes = freezes
        self._objection = objection
        self._gate = gate
        self._undelivered = undelivered
        self._key: _Moment | None = None
        self._wake_up = WakeUp(clock)
        self._log = Log("advance")
        store.listen(self._heard)

    def confirm(self, alert: Alert) -> None:
        """Alertmanager's key, for the phase that the alert names."""
        self._key = _Moment(alert.labels[names.ROLLOUT], int(alert.labels[names.PHASE]), self._clock.monotonic())
        self._wake_up.set()

    def _heard(self, entry: Entry) -> None:
        """A decision ends what Alertmanager said before it: a hold in between has ended its alert too."""
        if entry.decides:
            self._key = None
        self._wake_up.set()

    async def run(self) -> None:
        """Advance whenever everything fits, until cancelled."""
        while True:
            await self._wake_up.wait(await self.step())

    async def step(self) -> float:
        """Try once; gives the seconds after which to try again."""
        try:
            return await self._try()
        except RefusedError as error:
            self._log.debug("not advanced", error=error)
        except CanaryError as error:
            self._log.error("cannot advance", exception=error)
        return self._plans.file.receiver.poll

    async def _try(self) -> float:
        rollout = self._store.rollout
        if rollout is None or rollout.state not in (State.PHASE, State.BAKING):
            self.waiting = waiting.held(rollout) if rollout and rollout.state is State.HOLDING else None
            return _IDLE_SECONDS
        remaining = rollout.duration_seconds - self._timer.seconds(rollout)
        if remaining > 0:
            self.waiting = waiting.phase_time(self._clock.now() + timedelta(seconds=remaining))
            # Looked at again when it is over, also without a key: what people read must be what it waits for then.
            return min(remaining, _IDLE_SECONDS)
        if freeze := self._freezes.active:
            self.waiting = waiting.frozen(freeze)
            return self._plans.file.receiver.poll
        asked_at = self._clock.monotonic()
        self.waiting = await self._objection(rollout)
        if self.waiting:
            return self._plans.file.receiver.poll
        if self._person_decides(rollout):
            await self.complete(rollout)
            return self._plans.file.receiver.poll
        if not self._fits(rollout):
            self.waiting = await self._undelivered(rollout)
            return self._plans.file.receiver.poll
        if not await self._leader.may_act():
            return self._plans.file.receiver.poll
        return await self._with_key(rollout, asked_at)

    async def _with_key(self, rollout: Rollout, asked_at: float) -> float:
        gate = self._gate_of(rollout)
        if isinstance(gate, UrlGate):
            if closed := await self._gate(gate):
                self.waiting = waiting.closed(closed)
                return gate.interval
            # The gate may have taken its time; what Prometheus said before is no longer fresh.
            asked_at = self._clock.monotonic()
            self.waiting = await self._objection(rollout)
            if self.waiting:
                return self._plans.file.receiver.poll
        await self._advance(rollout, asked_at)
        self._key = None
        return _IDLE_SECONDS

    async def _advance(self, rollout: Rollout, asked_at: float) -> None:
        await self._store.refresh()
        if self._clock.monotonic() - asked_at > _FRESH_SECONDS:
            raise RefusedError("this receiver was paused; what Prometheus said is too old")
        reason = f"{names.PHASE_COMPLETE}: phase {rollout.phase + 1} is complete"
        advance = Advance(actor="alertmanager", reason=reason)
        await self._store.propose(Seen.of(rollout), advance, require=self._freezes.require_none)

    async def complete(self, rollout: Rollout) -> None:
        """Prometheus shows the phase complete: where the gate is a person, tell them, once."""
        if rollout.state not in (State.PHASE, State.BAKING) or not self._person_decides(rollout):
            return
        self.waiting = waiting.person(rollout)
        agreement = approvals(rollout, rollout.phase + 1)
        key = f"gate:{rollout.phase}"
        if key in rollout.recorded or not await self._leader.may_act():
            return
        record = Record(
            rollout=rollout.id,
            key=key,
            reason=f"phase {rollout.phase + 1} is complete; {_deciding(agreement)}",
            occasion="gate",
        )
        try:
            await self._store.propose(None, record)
        except CanaryError as error:
            self._log.debug("not told", error=error)

    def _person_decides(self, rollout: Rollout) -> bool:
        gate = self._gate_of(rollout)
        return gate == "manual" or isinstance(gate, ApprovalGate)

    def _gate_of(self, rollout: Rollout) -> Gate | None:
        return self._plans.phase(rollout).gate

    def _fits(self, rollout: Rollout) -> bool:
        key = self._key
        if key is None or (key.rollout, key.phase) != (rollout.id, rollout.phase):
            return False
        age = self._clock.monotonic() - key.at
        return age <= self._plans.file.receiver.repeat + _REPEAT_LATENESS_SECONDS


def _deciding(agreement: Approvals) -> str:
    return f"{agreement.needed} people decide, {agreement}" if agreement.needed else "a person decides"
