"""What the last releases add up to: ten that each cost 3 % pass one by one, and together cost 26 %.

Each release is compared with the version before it, so changes multiply. The releases' errors are independent, because
each one's customers were drawn anew: so the distances from the estimates to the bands' ends, as logarithms, add up as
squares. The product of the bands would hold without that, and is so wide that after ten releases it proves nothing.
What the band leaves out: a release is shipped only when no harm was proven, and one that was lucky passes more easily.
So the truth is rather a little worse than the estimate.

Only versions that all customers have got count: what was rolled back is not in the shop.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from canary.policy import Policy
from canary.policy.kpis import Conversion, Kpi, Mean
from canary.report.past import PastReport
from canary.report.review.money import Band
from canary.units import format_change, format_ratio


@dataclass(frozen=True)
class Drift:
    """What a KPI's changes add up to over the releases whose band is known.

    Attributes:
        releases: how many these are.
        change: relative to the version before the first of them.
        budget: how much of that may be in the bad direction, a ratio; None for a KPI that the policy no longer has.
        rises: whether more is worse.
    """

    kpi: str
    releases: int
    change: Band
    budget: float | None = None
    rises: bool = False

    @property
    def exceeded(self) -> bool:
        """Whether the estimate is beyond the budget, and at least some harm is beyond doubt."""
        if self.budget is None:
            return False
        if self.rises:
            return self.change.expected > self.budget and self.change.lower > 0
        return self.change.expected < -self.budget and self.change.upper < 0

    def __str__(self) -> str:
        band = self.change
        sign = "+" if self.rises else "-"
        limit = "" if self.budget is None else f", budget {sign}{format_ratio(self.budget)}"
        return (
            f"{self.kpi.replace('_', ' ')} {format_change(band.expected)} "
            f"({format_change(band.lower)} to {format_change(band.upper)}, "
            f"releases with a band: {self.releases}{limit})"
            f"{'; budget exceeded' if self.exceeded else ''}"
        )


def drifts(policy: Policy, reports: Iterable[PastReport]) -> list[Drift]:
    """By KPI, for the last `evidence.drift.releases` of *reports* (oldest first) that all customers have got."""
    shipped = [report for report in reports if report.shipped][-policy.evidence.drift.releases :]
    bands: dict[str, list[Band]] = {}
    for report in shipped:
        for name, kpi in report.kpis.items():
            if kpi.band is not None:
                bands.setdefault(name, []).append(kpi.band)
    return [_drift(policy, name, found) for name, found in sorted(bands.items())]


def _drift(policy: Policy, name: str, bands: Sequence[Band]) -> Drift:
    kpi = policy.kpis.get(name)
    budget = None if kpi is None else policy.evidence.drift.budgets.get(name, kpi.tolerance)
    return Drift(name, len(bands), _together(bands), budget, kpi is not None and _rises(kpi))


def _rises(kpi: Kpi) -> bool:
    """Whether more is worse."""
    return kpi.better == "lower" if isinstance(kpi, Mean) else isinstance(kpi, Conversion) and kpi.complement


def _together(bands: Sequence[Band]) -> Band:
    expected = sum(_log(band.expected) for band in bands)
    lower = expected - math.hypot(*_distances(bands, [band.lower for band in bands]))
    upper = expected + math.hypot(*_distances(bands, [band.upper for band in bands]))
    return Band(*(_change(one) for one in (expected, lower, upper)))


def _distances(bands: Sequence[Band], ends: Sequence[float]) -> Iterator[float]:
    """From each estimate to an end of its band; nothing is further than a KPI that is gone."""
    for band, end in zip(bands, ends, strict=True):
        yield 0.0 if band.expected <= -1 else abs(_log(end) - _log(band.expected))


def _log(change: float) -> float:
    """A KPI cannot fall by more than all of it, whatever a band says."""
    return math.log1p(change) if change > -1 else -math.inf


def _change(log: float) -> float:
    """Back again; what no float holds is without bound."""
    return math.expm1(log) if log < math.log(1e300) else math.inf
