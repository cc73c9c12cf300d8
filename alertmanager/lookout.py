"""The receiver's own look at Prometheus: what no webhook brought, and the second key for raising traffic."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

from alertmanager.alerthandler import AlertHandler
from alertmanager.bell import Bell
from alertmanager.leader import Leader
from alertmanager.prometheus import Prometheus, Silence, Silences, lowering
from alertmanager.webhook import Alert
from canary import names
from canary.clock import Clock
from canary.commands import Resume, Seen
from canary.entries import Cause
from canary.errors import RefusedError, RemoteError
from canary.logs import Log
from canary.rollout import Rollout, State
from canary.store import RolloutStore

# A hold that ends by itself does so after this many looks in a row that showed nothing wrong.
_CLEAR_LOOKS = 3

# What an alert's series may lag behind the look.
_OVERLAP_SECONDS = 60.0


class Lookout:
    """Looks at Prometheus' alerts at start and every *interval_seconds*.

    An alert that fired and resolved while the receiver or Alertmanager was down is never delivered; Prometheus'
    own history has it.

    Args:
        blind: whether the heartbeat is missing; then no hold ends by itself.
        on_complete: called when Prometheus shows that the phase is complete.
        dry_run: rollback alerts do not act, so they do not stand in the way either.
    """

    def __init__(
        self,
        store: RolloutStore,
        handler: AlertHandler,
        prometheus: Prometheus,
        silences: Silences,
        leader: Leader,
        clock: Clock,
        interval_seconds: float,
        *,
        blind: Callable[[], bool],
        on_complete: Callable[[Rollout], Awaitable[None]],
        dry_run: bool = False,
    ) -> None:
        self.looked_at: datetime | None = None
        self.error = ""
        self.firing: tuple[Alert, ...] = ()
        self.bell = Bell(clock)
        self._store = store
        self._handler = handler
        self._prometheus = prometheus
        self._silences = silences
        self._leader = leader
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._blind = blind
        self._on_complete = on_complete
        self._dry_run = dry_run
        self._clear_looks = 0
        self._hushed: set[frozenset[tuple[str, str]]] = set()
        self._log = Log("lookout")

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await self.bell.wait(self._interval_seconds)

    async def look(self) -> None:
        """Look once; trouble with Prometheus is remembered, and never acts."""
        rollout = self._store.rollout
        if rollout is None or not (rollout.running or rollout.state is State.PROMOTED):
            self.firing, self._hushed = (), set()
            return
        now = self._clock.now()
        try:
            wrong = await self._wrong(rollout, now)
        except RemoteError as error:
            if not self.error:
                self._log.warn("Prometheus cannot be asked", error=error)
            self.error, self._clear_looks = str(error), 0
            return
        self.looked_at, self.error = now, ""
        await self._handler.take(wrong, actor="prometheus")
        self._clear_looks = 0 if wrong else self._clear_looks + 1
        await self._lift()
        if any(_completes(alert, rollout) for alert in self.firing):
            await self._on_complete(rollout)

    async def objection(self, rollout: Rollout, *, key: bool = False) -> str:
        """Why Prometheus, asked now, does not let a rollout go on; empty when it does.

        Args:
            key: it must also show the advance alert of this phase firing.
        """
        try:
            firing = await self._prometheus.firing(rollout)
            wrong = [alert for alert in lowering(firing, await self._suppressed()) if not self._passes(alert)]
        except RemoteError as error:
            return str(error)
        if wrong:
            return f"{', '.join(sorted({alert.name for alert in wrong}))} fires for rollout {rollout.id}"
        if key and not any(_completes(alert, rollout) and alert.action == "advance" for alert in firing):
            return f"Prometheus does not show {names.PHASE_COMPLETE} firing for phase {rollout.phase + 1}"
        return ""

    def _passes(self, alert: Alert) -> bool:
        return alert.action == "rollback" and (self._dry_run or alert.labels.get(names.DRY_RUN) == "true")

    async def _wrong(self, rollout: Rollout, now: datetime) -> list[Alert]:
        since = max(rollout.started_at, self.looked_at) if self.looked_at else rollout.started_at
        seconds = (now - since).total_seconds() + _OVERLAP_SECONDS
        seconds = min(seconds, max((now - rollout.started_at).total_seconds(), 1))
        firing, fired, suppressed, silences = await asyncio.gather(
            self._prometheus.firing(rollout),
            self._prometheus.fired(rollout, seconds),
            self._suppressed(),
            self._silences_since(now - timedelta(seconds=seconds)),
        )
        self.firing = tuple(firing)
        # Alertmanager forgets an alert with its end: what was suppressed while it fired must not count afterwards.
        self._hushed |= {frozenset(labels.items()) for labels in suppressed}
        past = [alert for alert in fired if not any(silence.covers(alert.labels) for silence in silences)]
        return lowering(firing, suppressed) + lowering(past, [dict(labels) for labels in self._hushed])

    async def _silences_since(self, moment: datetime) -> list[Silence]:
        try:
            return await self._silences.since(moment)
        except RemoteError as error:
            self._log.debug("silences unknown", error=error)
            return []

    async def _suppressed(self) -> list[Mapping[str, str]]:
        """Without Alertmanager no silence is known, and every alert counts."""
        try:
            return await self._silences.suppressed()
        except RemoteError as error:
            self._log.debug("silences unknown", error=error)
            return []

    async def _lift(self) -> None:
        """End a hold whose cause is gone; only a look that succeeded gets here."""
        rollout = self._store.rollout
        held = (
            rollout is not None and rollout.state is State.HOLDING and rollout.lifts and rollout.cause != Cause.WATCHDOG
        )
        if rollout is None or not held or self._clear_looks < _CLEAR_LOOKS or self._blind():
            return
        if not await self._leader.may_act():
            return
        try:
            resume = Resume(actor="prometheus", reason=f"{rollout.cause} is over")
            await self._store.propose(Seen.of(rollout), resume)
        except RefusedError as error:
            self._log.debug("not resumed", error=error)


def _completes(alert: Alert, rollout: Rollout) -> bool:
    return alert.name == names.PHASE_COMPLETE and alert.labels.get(names.PHASE) == str(rollout.phase)
