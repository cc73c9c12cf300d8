"""What people read of a KPI's evidence, where it is another number than the one that is judged.

A KPI with `complement: true` (cart abandonment) is published as one minus a conversion, and judged on the conversion,
because the judge's tests are made for conversions. Whoever reads *cart abandonment -28 %* must not be told of the
conversion's fall: the abandonment rose. With stable's conversion p, a relative change r of the conversion is a change
of -r p / (1 - p) of the complement, so rises and falls, and the band's ends, change places. Where stable converts
nobody or everybody, a change of the one says nothing of the other.
"""

import math
from dataclasses import dataclass

from canary.policy.kpis import Conversion, Kpi
from exporter.evidence.judge import KpiEvidence, Verdict


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
    if not is_complement(kpi):
        return judged
    if stable_value is None or not 0.0 < stable_value < 1.0:
        return Change(math.nan, -1.0, math.inf)
    factor = complement_factor(1.0 - stable_value)
    return Change(-judged.estimate * factor, max(-1.0, -judged.upper * factor), -judged.lower * factor)


def shown_tolerance(kpi: Kpi, stable_value: float | None) -> float | None:
    """How much the KPI may change for the worse, of what it publishes: a line in the graph of `shown_change`.

    Args:
        kpi: as the policy has it; the tolerance of a complement is one of the conversion.
        stable_value: what the KPI publishes of stable; without it, a complement's tolerance is not known.
    """
    if not is_complement(kpi):
        return kpi.tolerance
    if stable_value is None or not 0.0 < stable_value < 1.0:
        return None
    return kpi.tolerance * complement_factor(1.0 - stable_value)


def failed_tests(evidence: KpiEvidence) -> tuple[str, ...]:
    """Which of the KPI's tests proved harm: `comparison`, `floor`, both or none; none where the KPI did not fail."""
    if evidence.verdict is not Verdict.FAIL:
        return ()
    tests = (("comparison", evidence.comparison), ("floor", evidence.floor))
    return tuple(name for name, test in tests if test is not None and test.verdict is Verdict.FAIL)


def is_complement(kpi: Kpi) -> bool:
    """Whether the KPI publishes one minus the conversion that is judged."""
    return isinstance(kpi, Conversion) and kpi.complement


def complement_factor(conversion: float) -> float:
    """By how much a relative change of a conversion is larger in its complement."""
    return conversion / (1.0 - conversion)
