"""From alerts to decisions: what a notification, or a look at Prometheus, does to the rollout."""

from collections.abc import Callable, Iterable
from datetime import timedelta

from alertmanager.fence import Outcome, judged
from alertmanager.guard import Guard, note
from alertmanager.webhook import Alert
from canary import commands, names
from canary.errors import JournalError, RefusedError
from canary.logs import Log
from canary.policy.model import Policy
from canary.rollout import Entry, Rollout, State

# What protects customers comes first, whatever the order in the notification.
_ORDER = {"rollback": 0, "hold": 1, "advance": 2}

# Another receiver may have started the rollout that the alert is about.
_PERHAPS_NEWS = frozenset({Outcome.NO_ROLLOUT, Outcome.OTHER_ROLLOUT, Outcome.OTHER_PHASE, Outcome.ENDED})

_SHOWN_CHARACTERS = 2000


class Worker:
    """Decides what alerts do. One key lowers traffic: each alert that counts is enough to roll back or to hold.

    Args:
        on_key: called when Alertmanager turns its key for an advance.
        on_heartbeat: called when the watchdog has been heard.
    """

    def __init__(
        self, policy: Policy, guard: Guard, *, on_key: Callable[[Alert], None], on_heartbeat: Callable[[], None]
    ) -> None:
        self._policy = policy
        self._guard = guard
        self._on_key = on_key
        self._on_heartbeat = on_heartbeat
        self._log = Log("receiver")

    async def take(self, alerts: Iterable[Alert], *, actor: str, truncated: bool = False) -> list[tuple[str, Outcome]]:
        """Do what the alerts ask for; gives each one's action and what became of it."""
        outcomes = []
        ordered = sorted(alerts, key=lambda alert: _ORDER.get(alert.action, 3))
        if any(judged(alert, self._guard.rollout, self._policy.service) in _PERHAPS_NEWS for alert in ordered):
            await self._guard.catch_up()
        for alert in ordered:
            outcome = await self._take(alert, actor, truncated=truncated)
            action = alert.action if alert.action in names.ACTIONS else "none"
            outcomes.append((action, outcome))
            self._log.debug("alert", alert=alert.name, action=action, outcome=outcome.value, actor=actor)
        return outcomes

    async def _take(self, alert: Alert, actor: str, *, truncated: bool) -> Outcome:
        outcome = judged(alert, self._guard.rollout, self._policy.service)
        if alert.name == names.WATCHDOG and alert.firing and outcome is Outcome.INFORMED:
            self._on_heartbeat()
        if outcome is not Outcome.ACCEPTED:
            return outcome
        if alert.action == "advance":
            return self._advance(alert, truncated=truncated)
        try:
            if alert.action == "hold":
                await self._guard.submit(self._hold(alert, actor), urgent=True)
                return Outcome.ACCEPTED
            return await self._roll_back(alert, actor)
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

    async def _roll_back(self, alert: Alert, actor: str) -> Outcome:
        rollout = self._guard.rollout
        assert rollout is not None  # judged
        if rollout.state is State.PROMOTED:
            await self._note(rollout, alert, actor, "watch")
            return Outcome.INFORMED
        if self._policy.rollback.dry_run or alert.labels.get(names.DRY_RUN) == "true":
            await self._note(rollout, alert, actor, "dry_run")
            return Outcome.DRY_RUN
        if alert.name in rollout.forgiven:
            return Outcome.FORGIVEN
        if not self._policy.rollback.automatic:
            await self._guard.submit(self._hold(alert, actor), urgent=True)
        elif self._policy.rollback.countdown:
            await self._guard.submit(self._hold(alert, actor, self._policy.rollback.countdown), urgent=True)
        else:
            await self._guard.submit(self._rollback(alert, actor), urgent=True)
        return Outcome.ACCEPTED

    async def _note(self, rollout: Rollout, alert: Alert, actor: str, kind: str) -> None:
        key = f"{kind}:{_cause(alert)}"
        if key not in rollout.noted:
            at = self._guard.clock.now()
            await self._guard.submit(note(rollout.id, at, actor, key, _reason(alert), occasion=kind))

    def _hold(self, alert: Alert, actor: str, countdown_seconds: float = 0) -> Callable[[Rollout | None], Entry]:
        def wish(current: Rollout | None) -> Entry:
            at = self._guard.clock.now()
            return commands.hold(
                current,
                at=at,
                actor=actor,
                reason=_reason(alert),
                cause=_cause(alert),
                lifts=alert.action == "hold",
                rollback_at=at + timedelta(seconds=countdown_seconds) if countdown_seconds else None,
            )

        return self._fenced(alert, wish)

    def _rollback(self, alert: Alert, actor: str) -> Callable[[Rollout | None], Entry]:
        def wish(current: Rollout | None) -> Entry:
            at = self._guard.clock.now()
            return commands.roll_back(current, at=at, actor=actor, reason=_reason(alert), cause=_cause(alert))

        return self._fenced(alert, wish)

    def _fenced(self, alert: Alert, wish: Callable[[Rollout | None], Entry]) -> Callable[[Rollout | None], Entry]:
        """The wish, judged again at the moment it is written: the rollout may have changed meanwhile."""

        def fenced(current: Rollout | None) -> Entry:
            outcome = judged(alert, current, self._policy.service)
            if outcome is not Outcome.ACCEPTED or (current is not None and current.state is State.PROMOTED):
                raise RefusedError(f"{alert.name}: {outcome.value}")
            return wish(current)

        return fenced


def _cause(alert: Alert) -> str:
    return alert.name[:128]


def _reason(alert: Alert) -> str:
    return alert.description[:_SHOWN_CHARACTERS]
