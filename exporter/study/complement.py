"""What people read of a plan about a KPI that is published as one minus the conversion that is judged.

The arithmetic is `exporter.publish.complement`'s; here are the plan's own numbers: rates, and what can be detected.
"""

from dataclasses import replace

from canary.policy.kpis import Kpi
from exporter.publish.complement import complement_factor, is_complement
from exporter.study.power import Rates, Reach


def shown_rates(kpi: Kpi, rates: Rates) -> Rates:
    """Rates with the ratio that the KPI publishes. It is its own inverse: what people give becomes what is judged."""
    return replace(rates, ratio=1.0 - rates.ratio) if is_complement(kpi) else rates


def shown_harm(kpi: Kpi, harm: float, rates: Rates) -> float:
    """How much a harm of the judged size changes what the KPI publishes: a fall, or for a complement a rise."""
    return harm * complement_factor(rates.ratio) if is_complement(kpi) else harm


def shown_reach(kpi: Kpi, reach: Reach, rates: Rates) -> Reach:
    """The same reach with harms as the KPI publishes them."""
    least, surely = (None if harm is None else shown_harm(kpi, harm, rates) for harm in reach.smallest_harm)
    return replace(reach, smallest_harm=(least, surely))
