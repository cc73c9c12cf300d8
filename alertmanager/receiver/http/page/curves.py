"""What the page draws over time, asked of Prometheus in one question: each KPI's change, band and e-value, the weight.

Curves change slowly and are large, so they are asked for less often than the table of the present values, and with as
many points as a picture of a few hundred pixels can show.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from canary import names
from canary.prometheus import Series

Points = Sequence[tuple[float, float]]
"""Unix time and value, oldest first."""

_POINTS = 120
"""Points of a curve, at most: five pixels apart at the page's full width, and some kilobytes for all KPIs."""

LEAST_STEP_SECONDS = 5.0
"""Points are never closer: nothing is scraped more often."""

_OF_KPI: Mapping[str, str] = {
    names.KPI_RELATIVE_CHANGE: "change",
    names.KPI_RELATIVE_CHANGE_LOWER: "lower",
    names.KPI_RELATIVE_CHANGE_UPPER: "upper",
    names.KPI_EVIDENCE: "evidence",
    names.KPI_EVIDENCE_THRESHOLD: "threshold",
}


@dataclass(frozen=True)
class KpiCurves:
    """One KPI over the rollout.

    Attributes:
        change, lower, upper: relative change against stable, and its confidence band.
        evidence, threshold: log10 of the e-value, and what it must reach to prove harm.
    """

    change: Points = ()
    lower: Points = ()
    upper: Points = ()
    evidence: Points = ()
    threshold: Points = ()


@dataclass(frozen=True)
class Curves:
    """Everything that is drawn of one rollout.

    Attributes:
        since, until: Unix times of the pictures' left and right edges.
        step_seconds: from point to point.
        weight: the canary's traffic weight, as read back from the routers.
        fault: why nothing is known; empty when something is.
    """

    since: float = 0.0
    until: float = 0.0
    step_seconds: float = LEAST_STEP_SECONDS
    weight: Points = ()
    kpis: Mapping[str, KpiCurves] = field(default_factory=dict)
    fault: str = ""


def expression(service: str, rollout: str) -> str:
    """The one question."""
    wanted = "|".join((*_OF_KPI, names.TRAFFIC_RATIO))
    return f'{{__name__=~"{wanted}",{names.SERVICE}="{service}",{names.ROLLOUT}="{rollout}"}}'


def step_seconds(since: float, until: float) -> float:
    """From point to point, so that a curve has no more points than can be seen."""
    return max(LEAST_STEP_SECONDS, math.ceil((until - since) / _POINTS))


def curves_of(series: Sequence[Series], since: float, until: float) -> Curves:
    """The answer as curves; what is no number is a gap."""
    weight: Points = ()
    kpis: dict[str, dict[str, Points]] = {}
    for labels, points in series:
        finite = [(at, value) for at, value in points if math.isfinite(value)]
        metric = labels.get("__name__", "")
        if metric == names.TRAFFIC_RATIO and labels.get(names.ROLE) == "canary":
            weight = finite
        elif metric in _OF_KPI:
            kpis.setdefault(labels.get(names.KPI, ""), {})[_OF_KPI[metric]] = finite
    return Curves(
        since,
        until,
        step_seconds(since, until),
        weight,
        {name: KpiCurves(**found) for name, found in sorted(kpis.items()) if name},
    )
