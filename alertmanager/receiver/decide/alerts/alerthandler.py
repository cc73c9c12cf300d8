"""From alerts to decisions: what a notification, or a look at Prometheus, does to the rollout.

One key lowers traffic: each alert that is admitted is enough to roll back or to hold. An alert is admitted by what its
labels say (service, rollout, and for an advance the phase), never by comparing two machines' clocks. Once admitted, a
rollback or a hold compares nothing but the rollout when it is written, so that it cannot lose against a simultaneous
advance.
"""

from collections.abc import Callable, Iterable
from datetime import timedelta

from alertmanager.receiver.decide.alerts.admission import Outcome, admit
from canary import names
from canary.errors import JournalError, RefusedError
from canary.logs import Log
from canary.prometheus import LOWERING
from canary.prometheus.alert import Alert
from canary.rollout.commands.commands import Hold, RollBack
from canary.rollout.commands.records import Record
from canary.rollout.commands.seen import Seen
from canary.rollout.plan.plans import Plans
from canary.rollout.state import Rollout, State
from canary.rollout.store.store import RolloutStore

# What protects customers comes first, whatever the order in the notification.
_ORDER = {"rollback": 0, "hold": 1, "advance": 2}

# Another receiver may have started the rollout that the alert is about, or have moved it on.
_PERHAPS_NEWS = frozenset({Outcome.NO_ROLLOUT, Outcome.OTHER_ROLLOUT, Outcome.OTHER_PHASE, Outcome.ENDED})

# A description longer than this is no sentence; it would fill the journal, messages and pages.
_SHOWN_CHARACTERS = 2000

# Prometheus allows alert names of any length; longer ones than this are cut in the journal.
_CAUSE_CHARACTERS = 128


class AlertHandler:
    """Decides what alerts do.

    Args:
        on_key: called when Alertmanager confirms an advance.
        on_heartbeat: called when the watchdog has been heard.
    """

    def __init__(
        self,
        plans: Plans,
        store: RolloutStore,
        *,
        on_key: Callable[[Alert], None],
        on_heartbeat: Callable[[], None],
    ) -> None:
        self._plans = plans
        self._store = store
        self._on_key = on_key
        self._on_heartbeat = on_heartbeat
        self._log = Log("receiver")

    async def take(self, alerts: Iterable[Alert], *, actor: str, truncated: bool = False) -> list[tuple[str, Outcome]]:
        """Do what the alerts ask for; gives each one's action and what became of it."""
        known: list[Alert] = []
        strange: list[Alert] = []
        for alert in sorted(alerts, key=lambda alert: _ORDER.get(alert.action, 3)):
            (strange if self._admit(alert) in _PERHAPS_NEWS else known).append(alert)
        # A rollback does not wait for a journal that hangs because the alert next to it is about another rollout.
        outcomes = await self._take_all(known, actor, truncated=truncated)
        if strange:
            await self._store.catch_up()
        return outcomes + await self._take_all(strange, actor, truncated=truncated)

    async def _take_all(self, alerts: Iterable[Alert], actor: str, *, truncated: bool) -> list[tuple[str, Outcome]]:
        outcomes = []
        for alert in alerts:
            outcome = await self._take(alert, actor, truncated=truncated)
            action = alert.action if alert.action in names.ACTIONS else "none"
            outcomes.append((action, outcome))
            self._log.debug("alert", alert=alert.name, action=action, outcome=outcome.value, actor=actor)
        return outcomes

    def _admit(self, alert: Alert) -> Outcome:
        return admit(alert, self._store.rollout, self._plans.file.service)

    async def _take(self, alert: Alert, actor: str, *, truncated: bool) -> Outcome:
        outcome = self._admit(alert)
        if alert.name == names.WATCHDOG and alert.firing and outcome is Outcome.INFORMED:
            self._on_heartbeat()
        rollout = self._store.rollout
        if outcome is not Outcome.ACCEPTED or rollout is None:
            return outcome
        if alert.action == "advance":
            return self._advance(alert, truncated=truncated)
        try:
            if alert.action == "hold" and self.only_pretends(rollout, alert):
                await self._record(rollout, alert, actor, "dry_hold")
                return Outcome.DRY_RUN
            if alert.action == "hold":
                return await self._hold(rollout, alert, actor)
            return await self._roll_back(rollout, alert, actor)
        except RefusedError:
            return Outcome.JOINED
        except JournalError:
            return Outcome.FAILED

    def _advance(self, alert: Alert, *, truncated: bool) -> Outcome:
        if truncated:
            return Outcome.TRUNCATED
        if alert.name != names.PHASE_COMPLETE or names.PHASE not in alert.labels:
            return Outcome.INFORMED
        self._on_key(alert)
        return Outcome.ACCEPTED

    def only_pretends(self, rollout: Rollout, alert: Alert) -> bool:
        """Whether an alert is recorded and neither rolls back nor holds: by the rollout's plan, or its own label."""
        dry = self._plans.of(rollout).rollback.dry_run or alert.labels.get(names.DRY_RUN) == "true"
        return dry and alert.action in LOWERING

    def does_nothing(self, rollout: Rollout, alert: Alert) -> bool:
        """Whether an alert changes nothing for as long as it fires: it only pretends, or a person has overruled it."""
        overruled = alert.action == "rollback" and _cause(alert) in rollout.overridden
        return overruled or self.only_pretends(rollout, alert)

    async def _roll_back(self, rollout: Rollout, alert: Alert, actor: str) -> Outcome:
        if rollout.state in (State.PROMOTED, State.FINISHED):
            await self._record(rollout, alert, actor, "watch")
            return Outcome.INFORMED
        if rollout.state is State.FINISHING:
            # Both groups run one version: there is nothing to go back to, but no reason to go on either.
            return await self._hold(rollout, alert, actor)
        rollback = self._plans.of(rollout).rollback
        if self.only_pretends(rollout, alert):
            await self._record(rollout, alert, actor, "dry_run")
            return Outcome.DRY_RUN
        if _cause(alert) in rollout.overridden:
            return Outcome.OVERRIDDEN
        if not rollback.automatic:
            return await self._hold(rollout, alert, actor)
        if rollback.countdown:
            return await self._hold(rollout, alert, actor, rollback.countdown)
        command = RollBack(actor=actor, reason=_reason(alert), cause=_cause(alert), automatic=True, kpi=_kpi(alert))
        await self._store.propose(Seen.of(rollout), command)
        return Outcome.ACCEPTED

    async def _hold(self, rollout: Rollout, alert: Alert, actor: str, countdown_seconds: float = 0) -> Outcome:
        until = self._store.clock.now() + timedelta(seconds=countdown_seconds) if countdown_seconds else None
        command = Hold(
            actor=actor,
            reason=_reason(alert),
            cause=_cause(alert),
            lifts=alert.action == "hold",
            kpi=_kpi(alert),
            rollback_at=until,
        )
        await self._store.propose(Seen.of(rollout), command)
        return Outcome.ACCEPTED

    async def _record(self, rollout: Rollout, alert: Alert, actor: str, occasion: str) -> None:
        key = f"{occasion}:{_cause(alert)}"
        if key not in rollout.recorded:
            record = Record(rollout=rollout.id, actor=actor, reason=_reason(alert), key=key, occasion=occasion)
            await self._store.propose(None, record)


def _cause(alert: Alert) -> str:
    return alert.name[:_CAUSE_CHARACTERS]


def _kpi(alert: Alert) -> str:
    return alert.labels.get(names.KPI, "")[:_CAUSE_CHARACTERS]


def _reason(alert: Alert) -> str:
    return alert.description[:_SHOWN_CHARACTERS]
