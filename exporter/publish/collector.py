"""The snapshot as Prometheus metrics, made anew for every scrape; no series outlives what it stands for.

What judges a rollout carries the rollout's id. A series that ends without a stale marker, because Prometheus was
restarted at that moment, is answered by Prometheus for five minutes more: without the id, one rollout's proven harm
would count against the next. How old the knowledge is, is measured here, by the clock that also dated it; a rule that
subtracts a timestamp of this machine from the time of Prometheus' would compare two clocks.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from canary import names
from canary.clock import Clock
from canary.names import LABELS
from exporter.evidence.judge import KpiEvidence, RolloutEvidence
from exporter.publish.experiments import experiment_metrics
from exporter.publish.shown import Change, shown_change, shown_tolerance
from exporter.publish.snapshot import BLIND_REASONS, Snapshot

_SHOP_LABELS = (names.VERSION, names.OUTCOME, names.CURRENCY)


class ExporterCollector(Collector):
    """Shows the newest snapshot, and how old it is."""

    def __init__(self, snapshot: Callable[[], Snapshot], clock: Clock) -> None:
        self._snapshot = snapshot
        self._clock = clock

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names depend on the policy."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Fresh families for one scrape."""
        snapshot = self._snapshot()
        yield from _counters(snapshot)
        yield from _kpis(snapshot)
        yield from _own(snapshot)
        if snapshot.refreshed_monotonic is not None:
            yield _gauge(
                snapshot.service,
                names.LAST_REFRESH_AGE_SECONDS,
                "How long ago the order database was last read, by the exporter's own clock.",
                max(0.0, self._clock.monotonic() - snapshot.refreshed_monotonic),
            )
        if snapshot.evidence is not None:
            yield from _judgement(snapshot, snapshot.evidence)
        yield from experiment_metrics(snapshot.service, snapshot.experiments)


def _counters(snapshot: Snapshot) -> Iterator[Metric]:
    by_metric: dict[str, dict[tuple[str, str], float]] = {}
    for series, amount in sorted(snapshot.counters.items()):
        by_metric.setdefault(series.metric, {})[series.version, series.label] = amount
    for metric, values in by_metric.items():
        event = metric.removeprefix(names.SHOP_PREFIX).removesuffix("_total")
        if event.endswith("_value"):
            label, text = (
                names.CURRENCY,
                f"Sum of {event.removesuffix('_value')} values since database.since, by version.",
            )
        else:
            labelled = any(label for _, label in values)
            label = names.OUTCOME if labelled else ""
            text = (
                f"Rows of the event {event} in the order database since database.since, by the version that wrote them."
            )
        labels = [names.SERVICE, names.VERSION, *([label] if label else [])]
        family = CounterMetricFamily(metric, text, labels=labels)
        for (version, value), amount in values.items():
            family.add_metric([snapshot.service, version, value][: len(labels)], amount)
        yield family


def _kpis(snapshot: Snapshot) -> Iterator[Metric]:
    families: dict[str, GaugeMetricFamily] = {}
    for kpi in snapshot.kpis or ():
        labels = [names.SERVICE, names.VERSION, *([names.CURRENCY] if kpi.currency else [])]
        name = names.kpi_gauge(kpi.kpi)
        text = f"KPI {kpi.kpi} of each version's units of the trailing window, from the order database."
        family = families.setdefault(name, GaugeMetricFamily(name, text, labels=labels))
        family.add_metric([snapshot.service, kpi.version, kpi.currency][: len(labels)], kpi.value)
    yield from families.values()


def _judgement(snapshot: Snapshot, evidence: RolloutEvidence) -> Iterator[Metric]:
    identity = [snapshot.service, snapshot.rollout]
    yield from _changes(identity, snapshot, evidence)
    per_kpi: tuple[tuple[str, str, Callable[[KpiEvidence], float | None]], ...] = (
        (names.KPI_EVIDENCE, "log10 of the evidence that the canary harms the KPI.", lambda kpi: kpi.log10_evidence),
        (
            names.KPI_EVIDENCE_THRESHOLD,
            "log10 of the evidence at which harm is proven.",
            lambda kpi: kpi.log10_threshold,
        ),
        (
            names.KPI_FLOOR_EVIDENCE,
            "log10 of the evidence that the canary is below the KPI's floor.",
            lambda kpi: kpi.floor.log10_evidence if kpi.floor is not None else None,
        ),
        (names.KPI_FROZEN, "Whether the comparison ended because stable gets no traffic.", lambda kpi: kpi.frozen),
        (names.KPI_JUDGED, "Whether the KPI is judged now.", lambda kpi: kpi.blind_reason is None),
    )
    for name, text, of in per_kpi:
        yield _by_kpi(identity, name, text, {kpi.name: of(kpi) for kpi in evidence.kpis.values()})
    yield _verdicts(identity, evidence)
    yield _units(identity, evidence)
    yield _values(identity, snapshot)
    if evidence.mismatch is not None:
        mismatch = GaugeMetricFamily(
            names.TRAFFIC_MISMATCH_EVIDENCE,
            "log10 of the evidence that the canary's share of visits is not its weight.",
            labels=[names.SERVICE, *LABELS[names.TRAFFIC_MISMATCH_EVIDENCE]],
        )
        mismatch.add_metric(identity, evidence.mismatch.log10_evidence)
        yield mismatch


def _changes(identity: list[str], snapshot: Snapshot, evidence: RolloutEvidence) -> Iterator[Metric]:
    """By how much the KPI differs and may differ, of what is published: a complement is judged on its conversion."""
    changes: dict[str, Change] = {}
    tolerances: dict[str, float | None] = {}
    for kpi in evidence.kpis.values():
        ours, stable = snapshot.policy_kpis[kpi.name], snapshot.role_values.get(kpi.name, {}).get("stable")
        tolerances[kpi.name] = shown_tolerance(ours, stable)
        if kpi.comparison is not None:  # one that only has a floor is compared with nothing
            changes[kpi.name] = shown_change(ours, kpi, stable)
    for name, text, of in (
        (
            names.KPI_RELATIVE_CHANGE,
            "Estimated relative change of the KPI, canary against stable.",
            attrgetter("estimate"),
        ),
        (
            names.KPI_RELATIVE_CHANGE_LOWER,
            "Lower bound of the relative change, valid at every moment.",
            attrgetter("lower"),
        ),
        (
            names.KPI_RELATIVE_CHANGE_UPPER,
            "Upper bound of the relative change, valid at every moment.",
            attrgetter("upper"),
        ),
    ):
        yield _by_kpi(identity, name, text, {kpi: of(change) for kpi, change in changes.items()})
    yield _by_kpi(identity, names.KPI_TOLERANCE, "Relative change that the policy lets pass.", tolerances)


def _by_kpi(identity: list[str], name: str, text: str, values: Mapping[str, float | None]) -> Metric:
    """One series per KPI; what is not known has none."""
    family = GaugeMetricFamily(name, text, labels=[names.SERVICE, *LABELS[name]])
    for kpi, value in values.items():
        if value is not None and not math.isnan(value):
            family.add_metric([*identity, kpi], float(value))
    return family


def _verdicts(identity: list[str], evidence: RolloutEvidence) -> Metric:
    family = GaugeMetricFamily(
        names.KPI_VERDICT,
        "What may be said about the KPI; one of them is 1.",
        labels=[names.SERVICE, *LABELS[names.KPI_VERDICT]],
    )
    for kpi in evidence.kpis.values():
        for verdict in names.VERDICTS:
            family.add_metric([*identity, kpi.name, verdict], float(kpi.verdict.value == verdict))
    return family


def _units(identity: list[str], evidence: RolloutEvidence) -> Metric:
    family = GaugeMetricFamily(
        names.KPI_UNITS, "Units that the evidence rests on, by role.", labels=[names.SERVICE, *LABELS[names.KPI_UNITS]]
    )
    for kpi in evidence.kpis.values():
        family.add_metric([*identity, kpi.name, "canary"], kpi.canary_units)
        family.add_metric([*identity, kpi.name, "stable"], kpi.stable_units)
    return family


def _values(identity: list[str], snapshot: Snapshot) -> Metric:
    family = GaugeMetricFamily(
        names.KPI_VALUE, "The KPI since the rollout began, by role.", labels=[names.SERVICE, *LABELS[names.KPI_VALUE]]
    )
    for kpi, roles in snapshot.role_values.items():
        for role, value in roles.items():
            family.add_metric([*identity, kpi, role], value)
    return family


def _own(snapshot: Snapshot) -> Iterator[Metric]:
    service = snapshot.service
    gauges = (
        (names.DATABASE_UP, "Whether the last refresh could read the order database.", snapshot.database_up),
        (
            names.LAST_REFRESH_TIMESTAMP_SECONDS,
            "When the order database was last read; all shop_ series are as old as this.",
            snapshot.refreshed_at,
        ),
        (names.DATA_LAG_SECONDS, "Age of the newest row in the order database.", snapshot.data_lag_seconds),
        (names.REPLICA_LAG_SECONDS, "How far the read replica is behind its primary.", snapshot.replica_lag_seconds),
        (names.BACKFILL_RATIO, "How much of the past is counted since the start.", snapshot.backfill_ratio),
        (names.SCHEMA_COMPATIBLE, "Whether everything that both versions need is there.", snapshot.schema_compatible),
    )
    for name, text, value in gauges:
        if value is not None:
            yield _gauge(service, name, text, float(value))
    blind = GaugeMetricFamily(
        names.BLIND,
        "Why the judge cannot see; 1 for each reason that holds.",
        labels=[names.SERVICE, *LABELS[names.BLIND]],
    )
    for reason in BLIND_REASONS:
        blind.add_metric([service, reason], float(reason in snapshot.blind))
    yield blind
    yield _counter(
        service, names.EXPORTER_ERRORS_TOTAL, "Questions to the database that failed, by kind.", snapshot.errors
    )
    yield _counter(
        service,
        names.CORRECTIONS_TOTAL,
        "Times that rows vanished from under a counter, which then waited.",
        snapshot.corrections,
    )
    yield _counter(
        service,
        names.RECONCILED_ROWS_TOTAL,
        "Rows that the ledger lacked or had in excess, and got right.",
        snapshot.reconciled,
    )


def _gauge(service: str, name: str, text: str, value: float) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[names.SERVICE])
    family.add_metric([service], float(value))
    return family


def _counter(service: str, name: str, text: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[names.SERVICE, *LABELS[name]])
    for label, value in values.items():
        family.add_metric([service, label], value)
    return family
