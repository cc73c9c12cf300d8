"""What the receiver counts: alerts, decisions, messages, routers that were found changed, how long it took to converge.

Counters are restored by replaying the journal at the start, so that a restart does not look like quiet.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from canary import names
from canary.rollout.entries import Entry, Recorded, RollbackDecided
from canary.rollout.kinds import Kind, cause_label

_CONVERGENCE_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

_EVENTS: Final = {
    Kind.STARTED: "start",
    Kind.ADVANCED: "advance",
    Kind.HELD: "hold",
    Kind.RESUMED: "resume",
    Kind.ROLLBACK: "rollback",
    Kind.PROMOTED: "promotion",
    Kind.FINISHED: "finish",
}


@dataclass
class Metrics:
    """The receiver's counters.

    Attributes:
        events: when something of each kind last happened to the newest rollout.
    """

    registry: CollectorRegistry
    service: str
    events: dict[str, datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Register everything."""
        self._alerts = self._counter(names.WEBHOOK_ALERTS_TOTAL, "Alerts taken, by what became of them.")
        self._actions = self._counter(names.ACTIONS_TOTAL, "Decisions, by how they ended.")
        self._rollbacks = self._counter(names.ROLLBACKS_TOTAL, "Rollbacks, by the alert or person behind them.")
        self._notifications = self._counter(names.NOTIFICATIONS_TOTAL, "Attempts to tell people, by outcome.")
        self._drift = self._counter(names.ROUTER_DRIFT_TOTAL, "Routers found changed externally.")
        self._drift.labels(self.service)
        self._convergence = Histogram(
            names.CONVERGENCE_SECONDS,
            "From a decision to the moment when all routers had it in force.",
            [names.SERVICE],
            registry=self.registry,
            buckets=_CONVERGENCE_BUCKETS,
        ).labels(self.service)

    def _counter(self, name: str, text: str) -> Counter:
        labels = [names.SERVICE, *names.LABELS.get(name, ())]
        return Counter(name.removesuffix("_total"), text, labels, registry=self.registry)

    def alert(self, action: str, outcome: str) -> None:
        """One alert was taken."""
        self._alerts.labels(self.service, action, outcome).inc()

    def action(self, action: str, outcome: str) -> None:
        """One decision was made, or refused."""
        self._actions.labels(self.service, action, outcome).inc()

    def notification(self, outcome: str) -> None:
        """One attempt at one target."""
        self._notifications.labels(self.service, outcome).inc()

    def drift(self) -> None:
        """A router had something else in force than it had been brought to."""
        self._drift.labels(self.service).inc()

    def converged(self, seconds: float) -> None:
        """All routers follow the newest decision."""
        self._convergence.observe(seconds)

    def entry(self, entry: Entry) -> None:
        """Count what the journal says; replaying it after a restart restores the counters."""
        if isinstance(entry, RollbackDecided):
            self._rollbacks.labels(self.service, cause_label(entry.cause)).inc()
        if entry.kind is Kind.STARTED:
            self.events.clear()
        if entry.kind in _EVENTS:
            self.events[_EVENTS[entry.kind]] = entry.at
            self.action(_EVENTS[entry.kind], "done")
        elif isinstance(entry, Recorded) and entry.occasion == "dry_run":
            self.action("rollback", "dry_run")
