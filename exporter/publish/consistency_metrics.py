"""How rows fit together, of a rollout's two versions and of a replica and its primary, as Prometheus metrics."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from canary import names
from canary.names import LABELS
from exporter.publish.snapshot import Snapshot

_ROWS = "Newest rows of a version that were looked at for a kind of fault, since the rollout began."
_FAULTY = "Newest rows of a version that do not fit together: orphan, childless, amount or empty."
_BROKEN = "Whether more rows of the canary than of stable do not fit together, and chance does not explain it."

_REPLICA_ROWS = "Newest rows of the primary that were looked for in the read replica, at the last look."
_REPLICA_FAULTY = (
    "How many of the replica's rows are not as in its primary, its lag apart: missing, surplus, differing."
)


def consistency_metrics(snapshot: Snapshot) -> Iterator[Metric]:
    """Rows and faulty rows by version, and what is proven; nothing while no rollout runs or nothing was looked at."""
    rows, faulty, broken = (
        GaugeMetricFamily(name, text, labels=[names.SERVICE, *LABELS[name]])
        for name, text in (
            (names.CONSISTENCY_ROWS, _ROWS),
            (names.CONSISTENCY_FAULTY_ROWS, _FAULTY),
            (names.CONSISTENCY_BROKEN, _BROKEN),
        )
    )
    for one in snapshot.consistency:
        about = [snapshot.service, snapshot.consistency_of, *one.key]
        for version, (such, of) in one.counts.items():
            rows.add_metric([*about, version], of)
            faulty.add_metric([*about, version], such)
        broken.add_metric(about, float(one.broken))
    yield from (family for family in (rows, faulty, broken) if family.samples)


def replica_metrics(snapshot: Snapshot) -> Iterator[Metric]:
    """How many rows were looked for in the replica, and how many of each kind are not as in its primary."""
    rows, faulty = (
        GaugeMetricFamily(name, text, labels=[names.SERVICE, *LABELS[name]])
        for name, text in (
            (names.REPLICA_ROWS, _REPLICA_ROWS),
            (names.REPLICA_FAULTY_ROWS, _REPLICA_FAULTY),
        )
    )
    for one in snapshot.replicated:
        about = [snapshot.service, snapshot.consistency_of, one.event]
        if one.unread:
            continue
        rows.add_metric(about, one.rows)
        for kind in names.REPLICA_FAULTS:
            faulty.add_metric([*about, kind], len(one.faulty.get(kind, ())))
    yield from (family for family in (rows, faulty) if family.samples)
