"""What Prometheus says against a rollout's going on, when it is asked now; and which of its alerts count.

Raising traffic needs Prometheus as a second key. It objects when an alert fires that asks for less traffic, and also
when it does not answer: that nobody objects is only known from an answer.

An alert that is kept from acting does not count. Without Alertmanager nothing is known to be, and then every alert
counts: a silence that is overlooked keeps traffic from being raised, and that is the harmless mistake.
"""

from collections.abc import Iterable
from typing import Protocol

from alertmanager.receiver.decide.alerts.silences import HeldBack
from alertmanager.receiver.decide.promotion.waiting import (
    Evidence,
    Waiting,
    objecting,
    unanswered,
    undelivered,
)
from canary import names
from canary.errors import RemoteError
from canary.mixin.limits import gate_of
from canary.prometheus import LOWERING, Alert, Suppression
from canary.rollout.plan.plans import Plans
from canary.rollout.state import Rollout
from canary.timing.clock import Clock


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
        evidence: what the KPIs say when a phase is not complete.
    """

    def __init__(self, alerts: Alerts, held_back: HeldBack, plans: Plans, evidence: Evidence, clock: Clock) -> None:
        self._evidence = evidence
        self._clock = clock
        self._alerts = alerts
        self._held_back = held_back
        self._plans = plans

    async def to(self, rollout: Rollout) -> str:
        """Why Prometheus, asked now, does not let a rollout go on; empty when it does."""
        try:
            _, wrong = await self._look(rollout)
        except RemoteError as error:
            return str(error)
        return f"{', '.join(sorted({alert.name for alert in wrong}))} fires for rollout {rollout.id}" if wrong else ""

    async def to_step(self, rollout: Rollout) -> Waiting | None:
        """What Prometheus, asked now, lets the next step of a finish wait for; None when it agrees."""
        try:
            _, wrong = await self._look(rollout)
        except RemoteError as error:
            return unanswered(error)
        return objecting(wrong) if wrong else None

    async def to_phase_end(self, rollout: Rollout) -> Waiting | None:
        """Why Prometheus does not turn its key: it must also show this phase complete. None when it does."""
        try:
            firing, wrong = await self._look(rollout)
        except RemoteError as error:
            return unanswered(error)
        if wrong:
            return objecting(wrong)
        complete = [alert.action for alert in firing if completes(alert, rollout)]
        # Where a person decides, the alert that says so asks for nothing, and the promoter does not advance either.
        by_person = gate_of(self._plans.phase(rollout)) == "manual"
        if "advance" in complete or (by_person and complete):
            return None
        return await self._evidence.missing(rollout, (self._clock.now() - rollout.started_at).total_seconds())

    async def to_delivery(self, rollout: Rollout) -> Waiting:
        """Why Alertmanager, of all, does not turn its key."""
        silence = self._held_back.keeping_key
        return undelivered(silence, "" if silence else await self._held_back.keeps_key_back(rollout))

    async def _look(self, rollout: Rollout) -> tuple[list[Alert], list[Alert]]:
        """The alerts that fire, and those of them that object."""
        firing = await self._alerts.about(rollout.id)
        suppression = await self._held_back.ask(rollout, 0)
        return firing, [alert for alert in lowering(firing, suppression) if not self._passes(alert, rollout)]

    def _passes(self, alert: Alert, rollout: Rollout) -> bool:
        dry_run = self._plans.of(rollout).rollback.dry_run
        return alert.action == "rollback" and (dry_run or alert.labels.get(names.DRY_RUN) == "true")


def lowering(alerts: Iterable[Alert], suppression: Suppression) -> list[Alert]:
    """The alerts that ask for a rollback or a hold, and may."""
    return [alert for alert in alerts if alert.action in LOWERING and not suppression.keeps_back(alert)]


def completes(alert: Alert, rollout: Rollout) -> bool:
    """Whether an alert says that the rollout's present phase is complete."""
    return alert.name == names.PHASE_COMPLETE and alert.labels.get(names.PHASE) == str(rollout.phase)
