"""What Prometheus says against a rollout's going on, when it is asked now; and which of its alerts count.

Raising traffic needs Prometheus as a second key. It objects when an alert fires that asks for less traffic, and also
when it does not answer: that nobody objects is only known from an answer.

An alert that is suppressed in Alertmanager does not count. Without Alertmanager no silence is known, and then every
alert counts: a silence that is overlooked keeps traffic from being raised, and that is the harmless mistake.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from canary import names
from canary.clock import Clock
from canary.errors import RemoteError
from canary.logs import Log
from canary.prometheus import Alert, Silence, unsuppressed
from canary.rollout.state import Rollout

_LOWERING = ("rollback", "hold")


class Alerts(Protocol):
    """The service's alerts; every question raises RemoteError when its answer is none."""

    async def about(self, rollout: str) -> list[Alert]:
        """The alerts about one rollout that fire now."""
        ...

    async def fired(self, rollout: str, seconds: int) -> list[Alert]:
        """The rollback alerts about a rollout that have fired in the last *seconds*."""
        ...


class Silences(Protocol):
    """Alertmanager's silences; every question raises RemoteError when its answer is none."""

    async def suppressed(self, service: str) -> list[Mapping[str, str]]:
        """The labels of each suppressed alert of a service."""
        ...

    async def silences(self, since: datetime) -> list[Silence]:
        """The silences that are in force, or were at any time since a moment."""
        ...


class KnownSilences:
    """The silences as far as they are known: none while Alertmanager does not answer."""

    def __init__(self, silences: Silences, service: str, clock: Clock) -> None:
        self._silences = silences
        self._service = service
        self._clock = clock
        self._log = Log("alerts")

    async def suppressed(self) -> list[Mapping[str, str]]:
        """The labels of each suppressed alert of the service."""
        try:
            return await self._silences.suppressed(self._service)
        except RemoteError as error:
            self._log.debug("silences unknown", error=error)
            return []

    async def since(self, rollout: Rollout, window_seconds: int) -> list[Silence]:
        """The silences that an alert found in the past may have been covered by.

        Alertmanager says itself which are in force; only those that have ended are told apart by this machine's clock.
        """
        since = max(rollout.started_at, self._clock.now() - timedelta(seconds=window_seconds))
        try:
            return await self._silences.silences(since)
        except RemoteError as error:
            self._log.debug("silences unknown", error=error)
            return []


class Objections:
    """Asks Prometheus, at this moment, whether a rollout may go on.

    Args:
        dry_run: rollback alerts do not act, so they do not stand in the way either.
    """

    def __init__(self, alerts: Alerts, silences: KnownSilences, *, dry_run: bool = False) -> None:
        self._alerts = alerts
        self._silences = silences
        self._dry_run = dry_run

    async def to(self, rollout: Rollout, *, key: bool = False) -> str:
        """Why Prometheus, asked now, does not let a rollout go on; empty when it does.

        Args:
            key: it must also show the advance alert of this phase firing.
        """
        try:
            firing = await self._alerts.about(rollout.id)
        except RemoteError as error:
            return str(error)
        wrong = [alert for alert in lowering(firing, await self._silences.suppressed()) if not self._passes(alert)]
        if wrong:
            return f"{', '.join(sorted({alert.name for alert in wrong}))} fires for rollout {rollout.id}"
        if key and not any(completes(alert, rollout) and alert.action == "advance" for alert in firing):
            return f"Prometheus does not show {names.PHASE_COMPLETE} firing for phase {rollout.phase + 1}"
        return ""

    def _passes(self, alert: Alert) -> bool:
        return alert.action == "rollback" and (self._dry_run or alert.labels.get(names.DRY_RUN) == "true")


def lowering(alerts: Iterable[Alert], suppressed: Sequence[Mapping[str, str]]) -> list[Alert]:
    """The alerts that ask for a rollback or a hold and are not suppressed."""
    return [alert for alert in unsuppressed(alerts, suppressed) if alert.action in _LOWERING]


def completes(alert: Alert, rollout: Rollout) -> bool:
    """Whether an alert says that the rollout's present phase is complete."""
    return alert.name == names.PHASE_COMPLETE and alert.labels.get(names.PHASE) == str(rollout.phase)
