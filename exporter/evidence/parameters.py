"""What the judge is told before a rollout: which KPIs there are, what of each is harm, and how alpha is shared out.

A parameter that cannot be judged by is refused here, before a customer meets the canary, and not at the first look.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from exporter.evidence.progress.restarts import Plan
from exporter.evidence.verdict import Action, Harm

_QUICK = 0.3
"""Three tenths of alpha prove large harm within seconds; small harm is what the exact half needs the rest for."""


_SEGMENTS = 0.5
"""What of a KPI's share its segments have together: proof of a harm to all is later by a few percent, and one to a
single segment is found at all."""


class Kind(StrEnum):
    """How a KPI is measured."""

    CONVERSION = "conversion"
    SUCCESS = "success"
    MEAN = "mean"


@dataclass(frozen=True, slots=True)
class KpiParameters:
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
    from_entry: bool = False
    """Whether a conversion's units are those who enter the shop: it is held against the router's weight too."""
    slower_up_to: float | None = None
    """Conversions that come up to so many times later are not taken for lost; None: that is not asked."""
    slower_evidence: float = 50.0
    """How much evidence against "only slower" it takes."""
    watch_fails: bool = True
    """Whether the floor alone fails the canary where stable has no traffic; otherwise it holds."""
    may_fail: bool = True
    """Whether a proven harm fails the canary; otherwise it holds, as the units are not what the router assigns."""
    segments: int = field(default=0, repr=False)
    """How many segments are tested besides, `other` among them; they have half of the KPI's share of alpha."""
    may_wait: bool = field(default=False, repr=False)
    """Whether a success or a failure that became final after the time-out is one: outcomes may be pending and fine."""
    watch_stable: bool = field(default=False, repr=False)
    """Whether stable is held against the shop's level before the start. It only holds, so that no measurement of how
    often healthy canaries fail (which knows these parameters by their text) depends on it."""

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
class JudgeParameters:
    """The rollout's parameters; `alpha` is the chance of rolling back a healthy rollout, all KPIs together."""

    started_at: float
    kpis: tuple[KpiParameters, ...]
    alpha: float = 0.01
    bucket_seconds: float = 1.0
    lateness_seconds: float = 120.0
    """How long a row may appear or change after its time."""

    changing_seconds: float = 0.0
    """How long an outcome may change after the attempt."""

    warmup_seconds: float = 0.0
    """Units that enter, and what happens, so soon after a change of the weight are in no test."""

    plan: Plan = Plan()  # noqa: RUF009 - immutable
    """What was planned; without a plan evidence never restarts."""

    mismatch_tolerance: float = 0.20
    """Relative deviation of the canary's share of entries from its weight that is let pass."""

    rows_per_customer: float = field(default=1.0, repr=False)
    """What the sample ratio's evidence is divided by where no column names the customer."""

    exact: bool = False
    """The exact half takes its part of each KPI's share of alpha; without it all of that is the quick half's."""

    def share_of(self, kpi: KpiParameters) -> float:
        """The KPI's share of alpha: KPIs with the same action share it among themselves."""
        return self.alpha / sum(other.action is kpi.action for other in self.kpis)

    def alpha_of(self, kpi: KpiParameters) -> float:
        """What of it is the quick half's.

        Its comparison and its floor have all of it each, because a floor fails a canary only together with the
        comparison. Segments take their part of it.
        """
        return self._quick(kpi) * (1.0 - _SEGMENTS if kpi.segments else 1.0)

    def exact_alpha_of(self, kpi: KpiParameters) -> float:
        """What of it is the exact half's, which looks at a KPI and its segments in one test."""
        return self.share_of(kpi) - self._quick(kpi)

    def segment_alpha_of(self, kpi: KpiParameters) -> float:
        """What of it each segment has in the quick half."""
        return self._quick(kpi) * _SEGMENTS / kpi.segments

    def _quick(self, kpi: KpiParameters) -> float:
        return self.share_of(kpi) * (_QUICK if self.exact else 1.0)
