"""What people read of a KPI's evidence, where it is another number than the one that is judged.

A KPI with `complement: true` (cart abandonment) is published as one minus a conversion, and judged on the conversion,
because the judge's tests are made for conversions. Whoever reads *cart abandonment -28 %* must not be told of the
conversion's fall: the abandonment rose. With stable's conversion p, a relative change r of the conversion is a change
of -r p / (1 - p) of the complement, so rises and falls, and the band's ends, change places.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from canary.policy.kpis import Conversion, Kpi
from exporter.evidence.judge import KpiEvidence, Verdict
from exporter.study.power import Rates, Reach


@dataclass(frozen=True, slots=True)
class Change:
    """A relative change, canary against stable, and its band; nan: not known, infinity: not bounded on that side."""

    estimate: float
    lower: float
    upper: float


def shown_change(kpi: Kpi, evidence: KpiEvidence, stable_value: float | None) -> Change:
    """The change of what the KPI publishes.

    Args:
        kpi: as the policy has it.
        evidence: what the judge says.
        stable_value: what the KPI publishes of stable; None when it is not known.
    """
    judged = Change(evidence.estimate, evidence.lower, evidence.upper)
    if not _complement(kpi):
        return judged
    if stable_value is None or not 0.0 < stable_value <= 1.0:
        return Change(math.nan, -1.0, math.inf)
    factor = _factor(1.0 - stable_value)
    return Change(-judged.estimate * factor, max(-1.0, -judged.upper * factor), -judged.lower * factor)


def shown_rates(kpi: Kpi, rates: Rates) -> Rates:
    """Rates with the ratio that the KPI publishes. It is its own inverse: what people give becomes what is judged."""
    return replace(rates, ratio=1.0 - rates.ratio) if _complement(kpi) else rates


def shown_harm(kpi: Kpi, harm: float, rates: Rates) -> float:
    """How much a harm of the judged size changes what the KPI publishes: a fall, or for a complement a rise."""
    return harm * _factor(rates.ratio) if _complement(kpi) else harm


def shown_reach(kpi: Kpi, reach: Reach, rates: Rates) -> Reach:
    """The same reach with harms as the KPI publishes them."""
    least, surely = (None if harm is None else shown_harm(kpi, harm, rates) for harm in reach.smallest_harm)
    return replace(reach, smallest_harm=(least, surely))


def failed_tests(evidence: KpiEvidence) -> tuple[str, ...]:
    """Which of the KPI's tests proved harm: `comparison`, `floor`, both or none."""
    tests = (("comparison", evidence.comparison), ("floor", evidence.floor))
    return tuple(name for name, test in tests if test is not None and test.verdict is Verdict.FAIL)


def _complement(kpi: Kpi) -> bool:
    return isinstance(kpi, Conversion) and kpi.complement


def _factor(conversion: float) -> float:
    """By how much a relative change of a conversion is larger in its complement."""
    return conversion / (1.0 - conversion)
