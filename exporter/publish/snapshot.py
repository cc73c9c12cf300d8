"""What one refresh found, immutable: the only thing that a scrape reads.

Scrapes run at any moment of a refresh. Because a snapshot is replaced as a whole and never changed, none of them mixes
numbers of two refreshes, and no lock is needed. What is not known is None or absent, never zero and never yesterday's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from canary.policy.kpis import Kpi
from exporter.evidence.judge import RolloutEvidence
from exporter.judge.experiments import Arm
from exporter.judge.values import KpiValue
from exporter.ledger.unknown import UnknownShare
from exporter.publish.counters import Series
from exporter.source.consistency.primary import Replicated
from exporter.source.consistency.watch import Compared


@dataclass(frozen=True)
class Snapshot:
    """The exporter's knowledge at one moment.

    Attributes:
        service: the shop's name.
        counters: what each counter shows, in base units.
        kpis: of the trailing window; None while they are not known.
        rollout: the id of the rollout that evidence and role_values are about; empty when none is judged.
        evidence: on the running rollout; None when none runs.
        role_values: by KPI, the value of each role since the rollout began.
        policy_kpis: the KPIs as the policy has them, by name.
        blind: the reasons that hold now.
        database_up: whether the last refresh could read; None before the first.
        refreshed_at: when a refresh last worked, seconds since the epoch.
        refreshed_monotonic: the same moment on the monotonic clock; ages are measured by it.
        data_lag_seconds: age of the newest row; None while there is none.
        replica_lag_seconds: None where the database is no replica.
        backfill_ratio: how much of the past is counted, 0 to 1.
        sample_ratio: the part of the customers who are judged, 1 for all.
        schema_compatible: None before the first look.
        consistency_of: the id of the rollout that `consistency` is about.
        consistency: by kind of fault, how many rows of each version do not fit together.
        replicated: by event, how the replica's rows differ from its primary's while that rollout runs.
        unknown_versions: by event, the share of the rows that no version is known of, and of how many.
    """

    service: str
    counters: Mapping[Series, float] = field(default_factory=dict)
    kpis: Sequence[KpiValue] | None = None
    rollout: str = ""
    evidence: RolloutEvidence | None = None
    role_values: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    policy_kpis: Mapping[str, Kpi] = field(default_factory=dict)
    experiments: Sequence[Arm] = ()
    blind: frozenset[str] = frozenset({"starting"})
    database_up: bool | None = None
    refreshed_at: float | None = None
    refreshed_monotonic: float | None = None
    data_lag_seconds: float | None = None
    replica_lag_seconds: float | None = None
    backfill_ratio: float = 0.0
    sample_ratio: float = 1.0
    schema_compatible: bool | None = None
    errors: Mapping[str, int] = field(default_factory=dict)
    unknown_versions: Mapping[str, UnknownShare] = field(default_factory=dict)
    consistency_of: str = ""
    consistency: Sequence[Compared] = ()
    replicated: Sequence[Replicated] = ()
    corrections: Mapping[str, int] = field(default_factory=dict)
    reconciled: Mapping[str, int] = field(default_factory=dict)
