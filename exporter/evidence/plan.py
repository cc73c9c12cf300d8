"""The parameters of a rollout's judgement."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from exporter.evidence.verdict import Action, Harm


class Kind(StrEnum):
    """How a KPI is measured."""

    CONVERSION = "conversion"
    SUCCESS = "success"
    MEAN = "mean"


@dataclass(frozen=True, slots=True)
class KpiPlan:
    """What the policy says about one KPI.

    `tolerance` is the relative change that is let pass (0.10 = 10 %), None for a KPI that only has a
    floor. A conversion whose complement is published (cart abandonment) is judged on its conversions.
    `harm` matters for means; conversions and success ratios are harmed by a decrease.
    """

    name: str
    kind: Kind
    tolerance: float | None = None
    floor: float | None = None
    action: Action = Action.ROLLBACK
    harm: Harm = Harm.DECREASE
    pending_timeout_seconds: float | None = None
    """A unit pending for longer has failed. A conversion's floor needs it: by then a unit converted or it did not."""

    def __post_init__(self) -> None:
        if self.tolerance is None and self.floor is None:
            raise ValueError(f"KPI {self.name}: a tolerance or a floor expected, found neither")
        if self.floor is not None and (self.kind is Kind.MEAN or not 0.0 < self.floor < 1.0):
            raise ValueError(
                f"KPI {self.name}: a floor between 0 and 1 on a share of units expected, found {self.floor}"
            )
        if self.floor is not None and self.kind is Kind.CONVERSION and self.pending_timeout_seconds is None:
            raise ValueError(f"KPI {self.name}: a conversion's floor needs pending_timeout_seconds")
        if self.kind is not Kind.MEAN and self.harm is not Harm.DECREASE:
            raise ValueError(f"KPI {self.name}: a {self.kind} is harmed by a decrease only")


@dataclass(frozen=True, slots=True)
class JudgePlan:
    """The rollout's parameters; `alpha` is the chance of rolling back a healthy rollout, all KPIs together."""

    started_at: float
    kpis: tuple[KpiPlan, ...]
    alpha: float = 0.01
    bucket_seconds: float = 1.0
    lateness_seconds: float = 120.0
    """How long a row may appear or change after its time."""

    mismatch_tolerance: float = 0.20
    """Relative deviation of the canary's share of entries from its weight that is let pass."""

    def alpha_of(self, kpi: KpiPlan) -> float:
        """The KPI's share of alpha for each of its tests: KPIs with the same action share alpha among themselves."""
        sharing = sum(other.action is kpi.action for other in self.kpis)
        tests = (kpi.tolerance is not None) + (kpi.floor is not None)
        return self.alpha / sharing / tests
