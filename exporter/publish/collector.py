"""The snapshot as Prometheus metrics, made anew for every scrape; no series outlives what it stands for.

How old the knowledge is, is measured here, by the clock that also dated it: a rule that subtracts a timestamp of this
machine from the time of Prometheus would compare two clocks.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from canary import names
from canary.names import LABELS
from canary.timing.clock import Clock
from exporter.judge.blindness import BLIND_REASONS
from exporter.publish.consistency_metrics import consistency_metrics, replica_metrics
from exporter.publish.experiment_metrics import experiment_metrics
from exporter.publish.rollout_metrics import rollout_metrics
from exporter.publish.snapshot import Snapshot


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
            yield from rollout_metrics(snapshot, snapshot.evidence)
        yield from consistency_metrics(snapshot)
        yield from replica_metrics(snapshot)
        yield from experiment_metrics(snapshot.service, snapshot.experiments)


class VerdictCollector(Collector):
    """What of the running rollout rolls back at once: few series, none while nothing runs."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def describe(self) -> Iterable[Metric]:
        """Nothing: no rollout runs yet."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Fresh families for one scrape, as among all others."""
        snapshot = self._snapshot()
        if snapshot.evidence is not None:
            for family in rollout_metrics(snapshot, snapshot.evidence):
                if family.name in names.URGENT and family.samples:
                    yield family


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
        (
            names.SAMPLE_RATIO,
            "The part of the customers whose single rows are judged; counters count all.",
            snapshot.sample_ratio,
        ),
        (names.SCHEMA_COMPATIBLE, "Whether everything that both versions need is there.", snapshot.schema_compatible),
    )
    for name, text, value in gauges:
        if value is not None:
            yield _gauge(service, name, text, float(value))
    yield from _unseen(snapshot)
    counters = (
        (names.EXPORTER_ERRORS_TOTAL, "Questions to the database that failed, by kind.", snapshot.errors),
        (
            names.CORRECTIONS_TOTAL,
            "Times that rows vanished from under a counter, which then waited.",
            snapshot.corrections,
        ),
        (
            names.RECONCILED_ROWS_TOTAL,
            "Rows that the ledger lacked or had in excess, and got right.",
            snapshot.reconciled,
        ),
    )
    for name, text, values in counters:
        yield _counter(service, name, text, values)


def _unseen(snapshot: Snapshot) -> Iterator[Metric]:
    """What the judge cannot see, and why."""
    service = snapshot.service
    blind = GaugeMetricFamily(
        names.BLIND,
        "Why the judge cannot see; 1 for each reason that holds.",
        labels=[names.SERVICE, *LABELS[names.BLIND]],
    )
    for reason in BLIND_REASONS:
        blind.add_metric([service, reason], float(reason in snapshot.blind))
    yield blind
    unknown = GaugeMetricFamily(
        names.UNKNOWN_VERSION_RATIO,
        "Share of an event's rows that no version is known of; they are in no verdict. Of the trailing window; while a"
        " rollout runs, of its own rows that are older than `database.lateness`.",
        labels=[names.SERVICE, *LABELS[names.UNKNOWN_VERSION_RATIO]],
    )
    rows = GaugeMetricFamily(
        names.VERSION_ROWS,
        f"Rows of an event that `{names.UNKNOWN_VERSION_RATIO}` is a share of.",
        labels=[names.SERVICE, *LABELS[names.VERSION_ROWS]],
    )
    for event, share in snapshot.unknown_versions.items():
        unknown.add_metric([service, event], share.ratio)
        rows.add_metric([service, event], share.rows)
    yield from (unknown, rows)


def _gauge(service: str, name: str, text: str, value: float) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[names.SERVICE])
    family.add_metric([service], float(value))
    return family


def _counter(service: str, name: str, text: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[names.SERVICE, *LABELS[name]])
    for label, value in values.items():
        family.add_metric([service, label], value)
    return family
