"""The receiver's own look at Prometheus: what no webhook brought, and Prometheus' word on what people want.

Alertmanager delivers an alert once and repeats it while it fires. One that fired and resolved while the receiver,
Alertmanager or the network was down is never delivered, so the poller also asks for the past: Prometheus records its
alerts as the series `ALERTS`. And nothing tells the receiver that an alert is over in a way that it could trust
(a resolved notification also comes when Prometheus has been restarted), so a hold ends when several looks in a row
showed nothing wrong.

What a look may lead to follows from what it knows:

* an alert that asks for less traffic acts, whichever question brought it, although another question failed;
* only a look in which every question was answered properly counts as one that showed nothing wrong. An answer is proper
  when the service's watchdog is in it (`ServiceAlerts`);
* what a silence forbids in so many words does not act, neither while it fires nor afterwards; any other silence only
  keeps Alertmanager's webhook away, so that the alert acts here, at the next look (`canary.prometheus.silences`).
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial

from alertmanager.receiver.decide.alerts.alerthandler import AlertHandler
from alertmanager.receiver.decide.alerts.objections import Alerts, completes, lowering
from alertmanager.receiver.decide.alerts.silences import HeldBack
from alertmanager.receiver.lead.leader import Leader
from alertmanager.receiver.wakeup import WakeUp
from canary.errors import CanaryError, RemoteError
from canary.logs import Log
from canary.prometheus import LOWERING, Alert, Suppression, UnevaluatedError
from canary.rollout.commands.commands import Resume
from canary.rollout.commands.seen import Seen
from canary.rollout.kinds import Cause
from canary.rollout.state import UNFINISHED, Rollout
from canary.rollout.store.store import RolloutStore
from canary.timing.clock import Clock

# A hold that ends by itself does so after this many looks in a row that showed nothing wrong. One is not enough: an
# alert's series may be away for an evaluation, as after a restart of Prometheus, which loses what was firing.
_CLEAR_LOOKS = 3

# The first look at a rollout asks for everything that Prometheus keeps by default. How long ago the rollout began is
# known by this machine's clock only, which may have been set since; the rollout's id in the labels bounds the answer.
_FIRST_WINDOW_SECONDS = 15 * 86400

# What the record of an alert may lag behind the look at it.
_OVERLAP_SECONDS = 60


class AlertPoller:
    """Looks at Prometheus' alerts at start and every *interval_seconds*, and answers for it when people ask.

    Args:
        blind: whether the heartbeat is missing; then no hold ends by itself.
        on_complete: called when Prometheus shows that the phase is complete.

    Attributes:
        looked_at: when the last look that knows everything was, for people to read; nothing is computed from it.
        error: why the last look knows less; empty when it does not.
        firing: the alerts about the rollout at the last look that knows them.
        held_back: what is kept from acting, and by whom.
        wake_up: set to look at once.
    """

    def __init__(
        self,
        store: RolloutStore,
        handler: AlertHandler,
        alerts: Alerts,
        held_back: HeldBack,
        leader: Leader,
        clock: Clock,
        interval_seconds: float,
        *,
        blind: Callable[[], bool],
        on_complete: Callable[[Rollout], Awaitable[None]],
    ) -> None:
        self.looked_at: datetime | None = None
        self.error = ""
        self.held_back = held_back
        self.wake_up = WakeUp(clock)
        self._store = store
        self._handler = handler
        self._alerts = alerts
        self._leader = leader
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._blind = blind
        self._on_complete = on_complete
        self._log = Log("alerts")
        self._begin("")

    def _begin(self, rollout: str) -> None:
        """Forget what was about another rollout."""
        self._rollout = rollout
        self._known_until: float | None = None
        self._seen: Seen | None = None
        self._clear_looks = 0
        self.firing: tuple[Alert, ...] = ()
        self.held_back.begin()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await self.wake_up.wait(self._interval_seconds)

    async def look(self) -> None:
        """Look once; trouble with Prometheus is remembered, and never acts."""
        rollout = self._store.rollout
        if rollout is None or not (rollout.running or rollout.state in UNFINISHED):
            self._begin("")
            self.error = ""
            return
        if rollout.id != self._rollout:
            self._begin(rollout.id)
        asked_at = self._clock.monotonic()
        window_seconds = self._window_seconds(asked_at)
        (firing, unknown), (past, unrecorded), suppression = await asyncio.gather(
            _answered(self._alerts.about(rollout.id)),
            _answered(self._alerts.fired(rollout.id, window_seconds)),
            self.held_back.ask(rollout, window_seconds),
        )
        audible, unclear = await self._audible(rollout, past, suppression, window_seconds)
        self._note(unknown or unrecorded or unclear, asked_at)
        if not unknown:
            self.firing = tuple(firing)
        wrong = [*lowering(firing, suppression), *audible]
        await self._handler.take(wrong, actor="prometheus")
        await self.held_back.see(rollout, firing, suppression)
        # What does nothing keeps nothing: a dry run whose rollback alert fires all along is not held for ever by one
        # moment without data, nor is a rollout whose rollback a person has cancelled.
        wrong = [alert for alert in wrong if not self._handler.does_nothing(rollout, alert)]
        # Looks at one hold say nothing about the next, which may have come between two of them.
        if wrong or self.error or Seen.of(rollout) != self._seen:
            self._clear_looks, self._seen = 0, Seen.of(rollout)
        if not wrong and not self.error:
            self._clear_looks += 1
            await self._resume(rollout)
        if not unknown and any(completes(alert, rollout) for alert in firing):
            await self._on_complete(rollout)

    def _window_seconds(self, asked_at: float) -> int:
        """How far back to ask: to the last look that knew everything, by a clock that nobody sets."""
        if self._known_until is None:
            return _FIRST_WINDOW_SECONDS
        return min(math.ceil(asked_at - self._known_until) + _OVERLAP_SECONDS, _FIRST_WINDOW_SECONDS)

    def _note(self, error: str, asked_at: float) -> None:
        if error and not self.error:
            self._log.warn("Prometheus gives no usable answer", error=error)
        self.error = error
        if not error:
            self.looked_at, self._known_until = self._clock.now(), asked_at

    async def _audible(
        self, rollout: Rollout, past: Sequence[Alert], suppression: Suppression, window_seconds: int
    ) -> tuple[list[Alert], str]:
        """The alerts of the past that ask for less traffic and were not silent whenever they fired.

        And why there may be more: where that is not known of an alert, the next look asks again.
        """
        fired_within = partial(self._alerts.fired, rollout.id)
        audible, unclear = [], ""
        for alert in past:
            try:
                if not await self.held_back.silent(alert, suppression, window_seconds, fired_within):
                    audible.append(alert)
            except RemoteError as error:
                unclear = str(error)
        return [alert for alert in audible if alert.action in LOWERING], unclear

    async def _resume(self, rollout: Rollout) -> None:
        """End the hold that was looked at; only a look that showed nothing wrong gets here."""
        # Those two are found, and ended, by others than alerts.
        held = rollout.frozen and rollout.lifts and rollout.cause not in (Cause.WATCHDOG, Cause.SERVERS)
        if not held or self._clear_looks < _CLEAR_LOOKS or self._blind() or not await self._leader.may_act():
            return
        resume = Resume(actor="prometheus", reason=f"{rollout.cause} is over")
        try:
            await self._store.propose(Seen.of(rollout), resume)
        except CanaryError as error:
            self._log.debug("not resumed", error=error)


async def _answered(question: Awaitable[list[Alert]]) -> tuple[list[Alert], str]:
    """The answer, and why there may be more."""
    try:
        return await question, ""
    except UnevaluatedError as error:
        return list(error.alerts), str(error)
    except RemoteError as error:
        return [], str(error)
