"""How the rows of a rollout's two versions fit together, as Prometheus metrics."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from canary import names
from canary.names import LABELS
from exporter.publish.snapshot import Snapshot

_ROWS = "Newest rows of a version that were looked at for a kind of fault, since the rollout began."
_FAULTY = "How many of them do not fit together: orphan, childless, amount or empty."
_BROKEN = "Whether the canary has more of them than stable, and chance does not explain it."


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
