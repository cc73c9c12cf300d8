"""What Prometheus says against a rollout's going on, when it is asked now; and which of its alerts count.

Raising traffic needs Prometheus as a second key. It objects when an alert fires that asks for less traffic, and also
when it does not answer: that nobody objects is only known from an answer.

An alert that is kept from acting does not count. Without Alertmanager nothing is known to be, and then every alert
counts: a silence that is overlooked keeps traffic from being raised, and that is the harmless mistake.
"""

from collections.abc import Iterable
from typing import Protocol

from alertmanager.receiver.decide.alerts.silences import HeldBack
from canary import names
from canary.errors import RemoteError
from canary.prometheus import LOWERING, Alert, Suppression
from canary.rollout.plan.plans import Plans
from canary.rollout.state import Rollout


class Alerts(Protocol):
    """The service's alerts; every question raises RemoteError when its answer is none."""

    async def about(self, rollout: str) -> list[Alert]:
        """The alerts about one rollout that fire now."""
        ...

    async def fired(self, rollout: str, seconds: int) -> list[Alert]:
        """The rollback alerts about a rollout that have fired in the last *seconds*."""
        ...


class Objections:
    """Asks Prometheus, at this moment, whether a rollout may go on.

    Args:
        plans: by which a rollout's dry run is known: there rollback alerts do not act, so they do not stand in the way.
    """

    def __init__(self, alerts: Alerts, held_back: HeldBack, plans: Plans) -> None:
        self._alerts = alerts
        self._held_back = held_back
        self._plans = plans

    async def to(self, rollout: Rollout, *, key: bool = False) -> str:
        """Why Prometheus, asked now, does not let a rollout go on; empty when it does.

        Args:
            key: it must also show the advance alert of this phase firing.
        """
        try:
            firing = await self._alerts.about(rollout.id)
        except RemoteError as error:
            return str(error)
        suppression = await self._held_back.ask(rollout, 0)
        wrong = [alert for alert in lowering(firing, suppression) if not self._passes(alert, rollout)]
        if wrong:
            return f"{', '.join(sorted({alert.name for alert in wrong}))} fires for rollout {rollout.id}"
        if key and not any(completes(alert, rollout) and alert.action == "advance" for alert in firing):
            return f"Prometheus does not show {names.PHASE_COMPLETE} firing for phase {rollout.phase + 1}"
        return ""

    def _passes(self, alert: Alert, rollout: Rollout) -> bool:
        dry_run = self._plans.of(rollout).rollback.dry_run
        return alert.action == "rollback" and (dry_run or alert.labels.get(names.DRY_RUN) == "true")


def lowering(alerts: Iterable[Alert], suppression: Suppression) -> list[Alert]:
    """The alerts that ask for a rollback or a hold, and may."""
    return [alert for alert in alerts if alert.action in LOWERING and not suppression.keeps_back(alert)]


def completes(alert: Alert, rollout: Rollout) -> bool:
    """Whether an alert says that the rollout's present phase is complete."""
    return alert.name == names.PHASE_COMPLETE and alert.labels.get(names.PHASE) == str(rollout.phase)
