"""What people have silenced, as far as it binds the receiver: asked for at each look, remembered, and told.

Alertmanager keeps every silenced alert from the webhook, whoever meant what by it. So the look at Prometheus is the way
by which an alert acts that is silenced for people only, and here is decided which those are (`Silence.action`).

What was silent while it fired must not act afterwards, when Prometheus' history shows it. Three things tell: a silence
that is still in force; one that has ended, in so far as the alert has not fired since; and what this process itself saw
held back, which needs no clock but its own, and also covers inhibitions, of which Alertmanager keeps no past.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from alertmanager.receiver.decide.watchdog import Watchdog
from alertmanager.receiver.lead.leader import Leader
from canary import names
from canary.errors import CanaryError, RemoteError
from canary.logs import Log
from canary.prometheus import LOWERING, Alert, Inhibited, Silence, Suppression
from canary.rollout.commands.records import Record
from canary.rollout.state import Rollout
from canary.rollout.store.store import RolloutStore
from canary.timing.clock import Clock

T = TypeVar("T")

# An alert's last sample may be recorded this long after the look that saw it held back.
_RECORDED_LATE_SECONDS = 60


class Silences(Protocol):
    """What Alertmanager knows; every question raises RemoteError when its answer is none."""

    async def inhibited(self, service: str) -> list[Inhibited]:
        """Each alert of a service that one of the same rollout inhibits, which asks for less traffic too."""
        ...

    async def silences(self, since: datetime) -> list[Silence]:
        """The silences that are in force, or were at any time since a moment."""
        ...

    async def kept_back_by(self, labels: Mapping[str, str]) -> str:
        """What keeps an alert with these labels, which fires, from whom it is for; empty when nothing does."""
        ...


@dataclass(frozen=True)
class InForce:
    """A silence that keeps something about the rollout from happening.

    Attributes:
        action: what it keeps back; for `advance` any silence on the key does, because only the webhook brings it.
        alerts: names of the alerts that fire now and do not act because of it.
    """

    silence: Silence
    action: str
    alerts: tuple[str, ...] = ()

    def __str__(self) -> str:
        what = f"{self.action} ({', '.join(self.alerts)} fires)" if self.alerts else self.action
        return f"{what}: {self.silence}"


class HeldBack:
    """Knows what is held back from acting, and tells people of every silence behind it, once.

    Attributes:
        in_force: the silences that concern the rollout, at the last look.
        inhibited: what fired at the last look, and another alert in its place acts, in a sentence each.
        error: why they are not known; empty when they are.
    """

    def __init__(
        self,
        silences: Silences,
        store: RolloutStore,
        leader: Leader,
        clock: Clock,
        service: str,
        *,
        watchdog: Watchdog,
    ) -> None:
        self._silences = silences
        self._watchdog = watchdog
        self._store = store
        self._leader = leader
        self._clock = clock
        self._service = service
        self._log = Log("silences")
        self.error = ""
        self.begin()

    def begin(self) -> None:
        """Forget what was about another rollout."""
        self.in_force: tuple[InForce, ...] = ()
        self.inhibited: tuple[str, ...] = ()
        self._counted: Counter[str] = Counter()
        self._seen_at: dict[frozenset[tuple[str, str]], float] = {}

    @property
    def counts(self) -> dict[str, int]:
        """How many alerts fire and are kept from acting by a silence, by what they ask for."""
        return {action: self._counted[action] for action in LOWERING}

    @property
    def keeping_key(self) -> Silence | None:
        """The silence that keeps the alert by which a phase ends from being delivered, at the last look."""
        return next((one.silence for one in self.in_force if one.action == "advance"), None)

    async def ask(self, rollout: Rollout, window_seconds: float) -> Suppression:
        """What Alertmanager says now. Where it does not answer nothing is known to be silent, and every alert counts.

        It says itself which silences are in force; only those that have ended are told apart by this machine's clock.
        """
        since = max(rollout.started_at, self._clock.now() - timedelta(seconds=window_seconds))
        # All at once: what acts waits for the answers, and for each that does not come.
        silences, inhibited, _ = await asyncio.gather(
            self._answer(self._silences.silences(since)),
            self._answer(self._silences.inhibited(self._service)),
            self._ask_for_heartbeat(),
        )
        self.error = silences[1] or inhibited[1]
        return Suppression(silences[0], inhibited[0])

    async def _ask_for_heartbeat(self) -> None:
        """A heartbeat that is silenced with everything else of the service is not missing."""
        if not self._watchdog.overdue:
            return
        try:
            if await self._silences.kept_back_by({names.SERVICE: self._service, "alertname": names.WATCHDOG}):
                self._watchdog.excuse()
        except RemoteError as error:
            self._log.debug("nobody says where the heartbeat is", error=error)

    async def keeps_key_back(self, rollout: Rollout) -> str:
        """What in Alertmanager keeps the alert by which a phase ends from being delivered; empty when nothing is known.

        A silence is known from every look; this is for what only keeps that one alert back, such as an inhibition.
        """
        key = {"alertname": names.PHASE_COMPLETE, names.SERVICE: self._service, names.ROLLOUT: rollout.id}
        try:
            return await self._silences.kept_back_by(key)
        except RemoteError as error:
            return str(error)

    async def _answer(self, question: Awaitable[list[T]]) -> tuple[list[T], str]:
        try:
            return await question, ""
        except RemoteError as error:
            if not self.error:
                self._log.warn("it is not known what is silenced", error=error)
            return [], str(error)

    async def see(self, rollout: Rollout, firing: Sequence[Alert], known: Suppression) -> None:
        """Note what fires and is held back, and tell people of each silence that forbids to lower."""
        now = self._clock.monotonic()
        lowering = [alert for alert in firing if alert.action in LOWERING and known.keeps_back(alert)]
        self._seen_at |= {frozenset(alert.labels.items()): now for alert in lowering}
        self.inhibited = tuple(
            f"{alert.action} ({alert.name} fires): inhibited by {source['alertname']}"
            for alert in lowering
            if (source := known.inhibitor(alert))
        )
        silenced = [(alert, silence) for alert in lowering if (silence := known.silence(alert))]
        self._counted = Counter(alert.action for alert, _ in silenced)
        self.in_force = tuple(
            InForce(silence, action, tuple(sorted({alert.name for alert, by in silenced if by == silence})))
            for silence in known.active
            if (action := self._action(silence, rollout))
        )
        for one in self.in_force:
            if one.action in LOWERING:
                await self._tell(rollout, one)

    async def silent(
        self,
        alert: Alert,
        known: Suppression,
        window_seconds: float,
        fired_within: Callable[[int], Awaitable[Sequence[Alert]]],
    ) -> bool:
        """Whether an alert that fired in the last *window_seconds* was held back whenever it fired.

        Args:
            fired_within: the alerts that have fired in the last so many seconds.
        """
        if known.keeps_back(alert) or self._seen(alert, window_seconds):
            return True
        ended_at = known.silent_until(alert)
        if ended_at is None:
            return False
        # Rounded down: a second more would reach back to when it was silent.
        since_seconds = math.floor((self._clock.now() - ended_at).total_seconds())
        return since_seconds <= 0 or all(one.labels != alert.labels for one in await fired_within(since_seconds))

    def _seen(self, alert: Alert, window_seconds: float) -> bool:
        oldest = self._clock.monotonic() - window_seconds - _RECORDED_LATE_SECONDS
        self._seen_at = {labels: at for labels, at in self._seen_at.items() if at >= oldest}
        labels = alert.labels.items()
        # Where servers are put together, the history has labels that the list of alerts lacks.
        return any(labels >= seen for seen in self._seen_at)

    def _action(self, silence: Silence, rollout: Rollout) -> str:
        if silence.action in LOWERING:
            return silence.action if silence.concerns(self._service, rollout.id) else ""
        key = {
            "alertname": names.PHASE_COMPLETE,
            names.SERVICE: self._service,
            names.ACTION: "advance",
            names.SEVERITY: "info",
            names.ROLLOUT: rollout.id,
            names.PHASE: str(rollout.phase),
            names.STABLE: rollout.stable,
            names.CANARY: rollout.canary,
            names.VERSION: rollout.canary,
        }
        return "advance" if rollout.running and silence.covers(key) else ""

    async def _tell(self, rollout: Rollout, one: InForce) -> None:
        key = f"silence:{one.action}:{one.silence.id}"
        if key in rollout.recorded or not await self._leader.may_act():
            return
        record = Record(rollout=rollout.id, key=key, reason=str(one.silence), occasion="silence")
        try:
            await self._store.propose(None, record)
        except CanaryError as error:
            self._log.debug("not told", error=error)
