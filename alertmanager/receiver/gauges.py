"""The receiver's gauges, made from one snapshot at each scrape.

Whatever is about a rollout carries its id (empty before the first rollout), and all of it comes from one snapshot: the
phase, how long it has lasted and how long it must last in one scrape always belong together. Rules compare these series
with each other. So the durations are measured here, by the clock that also decides, and the limits are published here,
for the rollout that they hold for; no rule holds a number of the policy or subtracts a timestamp from its own time.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from canary import names
from canary.mixin.limits import Limit
from canary.report.drift import Drift
from canary.rollout.kinds import cause_label
from canary.rollout.state import Finishing, Rollout, State


@dataclass(frozen=True)
class Snapshot:
    """Everything the gauges need, gathered in the event loop and never changed afterwards.

    Attributes:
        weight_ratio: the canary's traffic weight as the routers have it; None when no router could be read.
        converging_since: when the last decision was made that the routers do not follow yet.
        converging_seconds: how long they have not followed it.
        elapsed_seconds: how long ago the rollout began.
        phase_elapsed_seconds: how long its phase has lasted.
        since_end_seconds: how long ago it ended; None while it has not.
        since_promotion_seconds: how long ago it was promoted, also while it is finished and afterwards; None before.
        gate: what the phase waits for when its time is over, one of `names.GATES`; empty when nobody can tell, because
            the policy has no such phase. Then no rule completes the phase.
        advance: what the evidence must say, one of `names.ADVANCES`; empty as with the gate.
        limits: what rules compare with.
        drill_age_seconds: how long ago a drill last succeeded.
        frozen: whether a change freeze is in force.
        waiting: why the rollout does not go on, one of `names.WAITS`; empty when it does not wait.
        drifts: what the last releases add up to, by KPI.
        suppressed: by action, how many alerts about the rollout fire and are kept from acting by a silence.
    """

    rollout: Rollout | None = None
    weight_ratio: float | None = None
    converging_since: datetime | None = None
    watchdog_at: datetime | None = None
    events: tuple[tuple[str, datetime], ...] = ()
    leading: bool = True
    drill_at: datetime | None = None
    converging_seconds: float | None = None
    elapsed_seconds: float | None = None
    phase_elapsed_seconds: float | None = None
    since_end_seconds: float | None = None
    since_promotion_seconds: float | None = None
    gate: str = ""
    advance: str = ""
    limits: tuple[Limit, ...] = ()
    drill_age_seconds: float | None = None
    suppressed: Mapping[str, int] = field(default_factory=dict)
    frozen: bool = False
    waiting: str = ""
    drifts: tuple[Drift, ...] = ()


class Gauges(Collector):
    """Makes all gauges from one snapshot per scrape.

    Args:
        snapshot: gives the newest one; called in the thread that renders.
    """

    def __init__(self, service: str, snapshot: Callable[[], Snapshot]) -> None:
        self._service = service
        self._snapshot = snapshot

    def describe(self) -> Iterable[Metric]:
        """Nothing: at registration there is no snapshot yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Everything, from one snapshot."""
        now = self._snapshot()
        rollout = now.rollout
        rollout_id = rollout.id if rollout else ""
        state = rollout.state if rollout else State.IDLE
        yield self._gauge(
            names.ROLLOUT_STATE,
            "The rollout's state.",
            *(((rollout_id, known), float(known == state)) for known in names.STATES),
        )
        if rollout is not None:
            yield from self._of_rollout(rollout, now)
        yield from self._of_routers(rollout_id, now)
        yield from self._drifts(now.drifts)
        yield from self._single(
            (
                names.WATCHDOG_LAST_SEEN_TIMESTAMP_SECONDS,
                "When the heartbeat through Alertmanager last arrived.",
                now.watchdog_at.timestamp() if now.watchdog_at else None,
            ),
            (
                names.DRILL_LAST_SUCCESS_TIMESTAMP_SECONDS,
                "When a drill last proved that a rollback would arrive.",
                now.drill_at.timestamp() if now.drill_at else None,
            ),
            (names.DRILL_AGE_SECONDS, "How long ago a drill last succeeded.", now.drill_age_seconds),
            (names.FREEZE_ACTIVE, "Whether a change freeze is in force: nothing is started or advanced.", now.frozen),
        )

    def _drifts(self, found: tuple[Drift, ...]) -> Iterator[Metric]:
        """What the last releases add up to; about the shop, and so without a rollout."""
        gauges: tuple[tuple[str, str, Callable[[Drift], float | None]], ...] = (
            (names.DRIFT_CHANGE, "Relative change that the last releases add up to.", lambda one: one.change.expected),
            (names.DRIFT_CHANGE_LOWER, "Lower end of its band.", lambda one: one.change.lower),
            (names.DRIFT_CHANGE_UPPER, "Upper end of its band.", lambda one: one.change.upper),
            (names.DRIFT_BUDGET, "The change that is allowed, negative where less is worse.", _signed_budget),
            (names.DRIFT_RELEASES, "Releases with a band of the KPI that are added up.", lambda one: one.releases),
        )
        for name, text, value in gauges:
            samples = [((one.kpi,), float(number)) for one in found if (number := value(one)) is not None]
            if samples:
                yield self._gauge(name, text, *samples)

    def _of_routers(self, rollout_id: str, now: Snapshot) -> Iterator[Metric]:
        if now.weight_ratio is not None:
            yield self._gauge(
                names.TRAFFIC_RATIO,
                "Share of the customers, read back from the routers.",
                *_roles(rollout_id, now.weight_ratio),
            )
        yield from self._single(
            (
                names.CONVERGING_SINCE_TIMESTAMP_SECONDS,
                "Since when the routers do not follow the newest decision.",
                now.converging_since.timestamp() if now.converging_since else None,
            ),
            (
                names.CONVERGING_SECONDS,
                "For how long the routers have not followed the newest decision.",
                now.converging_seconds,
            ),
            labels=(rollout_id,),
        )

    def _of_rollout(self, rollout: Rollout, now: Snapshot) -> Iterator[Metric]:
        identity = (rollout.id, rollout.stable, rollout.canary)
        yield self._gauge(names.ROLLOUT_INFO, "The newest rollout and its versions.", (identity, 1))
        yield from self._single(
            (names.ROLLOUT_PHASE, "Index of the phase, from 0.", rollout.phase),
            (names.ROLLOUT_STARTED_TIMESTAMP_SECONDS, "When the rollout began.", rollout.started_at.timestamp()),
            (names.ROLLOUT_ELAPSED_SECONDS, "How long ago the rollout began.", now.elapsed_seconds),
            (names.ROLLOUT_SINCE_END_SECONDS, "How long ago the rollout ended.", now.since_end_seconds),
            (
                names.ROLLOUT_SINCE_PROMOTION_SECONDS,
                "How long ago the new version was promoted; its watch begins there.",
                now.since_promotion_seconds,
            ),
            (
                names.ROLLOUT_PHASE_STARTED_TIMESTAMP_SECONDS,
                "When the phase began.",
                rollout.phase_started_at.timestamp(),
            ),
            (names.ROLLOUT_PHASE_ELAPSED_SECONDS, "How long the phase has lasted.", now.phase_elapsed_seconds),
            (
                names.ROLLOUT_PHASE_DURATION_SECONDS,
                "How long the phase lasts at least.",
                rollout.durations_seconds[rollout.phase],
            ),
            labels=(rollout.id,),
        )
        if rollout.finishing is not None:
            yield from self._finishing(rollout, rollout.finishing)
        yield self._gauge(
            names.TRAFFIC_TARGET_RATIO,
            "Share of the customers that is wanted.",
            *_roles(rollout.id, rollout.weight),
        )
        yield self._gauge(
            names.ROLLOUT_EVENT_TIMESTAMP_SECONDS,
            "When something last happened to the rollout.",
            *(((rollout.id, event), at.timestamp()) for event, at in now.events),
        )
        yield from self._hindrances(rollout.id, now)
        yield from self._plan(rollout.id, now)

    def _hindrances(self, rollout_id: str, now: Snapshot) -> Iterator[Metric]:
        """What keeps the rollout from going on, and alerts about it from acting."""
        yield self._gauge(
            names.ALERTS_SUPPRESSED,
            "Alerts about the rollout that fire and that a silence keeps from acting.",
            *(((rollout_id, action), float(count)) for action, count in now.suppressed.items()),
        )
        yield self._gauge(
            names.ROLLOUT_WAITING,
            "Why the rollout, or the finish of a release, does not go on; all 0 when it does not wait.",
            *(((rollout_id, reason), float(reason == now.waiting)) for reason in names.WAITS),
        )

    def _finishing(self, rollout: Rollout, finishing: Finishing) -> Iterator[Metric]:
        """How far a promoted release is finished."""
        steps = "Steps of the way back to the stable servers that are taken."
        yield from self._single((names.FINISH_STEP, steps, finishing.step + 1), labels=(rollout.id,))
        cause = cause_label(rollout.cause) if finishing.frozen else ""
        frozen = "Whether the finish of the release stays where it is, and why."
        yield self._gauge(names.FINISH_FROZEN, frozen, ((rollout.id, cause), float(finishing.frozen)))

    def _plan(self, rollout_id: str, now: Snapshot) -> Iterator[Metric]:
        """What the rollout's plan asks for, as rules compare it."""
        sets = (
            (names.ROLLOUT_GATE, "What the phase waits for when its time is over.", names.GATES, now.gate),
            (names.ROLLOUT_ADVANCE, "What the evidence must say to go on.", names.ADVANCES, now.advance),
        )
        for name, text, known, value in sets:
            if value:
                yield self._gauge(name, text, *(((rollout_id, one), float(one == value)) for one in known))
        yield self._gauge(
            names.ROLLOUT_LIMIT,
            "What rules compare with, in the unit that ends the limit's name.",
            *(((rollout_id, limit.name, limit.kpi), limit.value) for limit in now.limits),
        )

    def _single(
        self, *gauges: tuple[str, str, float | None], labels: tuple[str, ...] = ()
    ) -> Iterator[GaugeMetricFamily]:
        """Gauges of one sample each; what is not known has no series."""
        for name, text, value in gauges:
            if value is not None:
                yield self._gauge(name, text, (labels, float(value)))

    def _gauge(self, name: str, text: str, *samples: tuple[tuple[str, ...], float]) -> GaugeMetricFamily:
        family = GaugeMetricFamily(name, text, labels=[names.SERVICE, *names.LABELS.get(name, ())])
        for labels, value in samples:
            family.add_metric([self._service, *labels], value)
        return family


def _signed_budget(drift: Drift) -> float | None:
    return None if drift.budget is None else drift.budget if drift.rises else -drift.budget


def _roles(rollout_id: str, weight_ratio: float) -> tuple[tuple[tuple[str, ...], float], ...]:
    return (((rollout_id, "stable"), 1 - weight_ratio), ((rollout_id, "canary"), weight_ratio))
