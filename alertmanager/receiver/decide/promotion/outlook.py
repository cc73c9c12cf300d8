"""How long a KPI's evidence still needs until it passes, of what the exporter shows now.

A KPI passes when the bounds of its relative change exclude a harm larger than the tolerance. The way from the change to
its bound shrinks with the square root of the units, and units come as they came so far; so what is left follows from
the change, the bound and the time. `canary plan` says the same before a rollout, of what the shop is used to; this is
of what the rollout has seen. It moves with the change itself, so it is an outlook and no promise.
"""

import math
from dataclasses import dataclass

from canary.policy.kpis import Conversion, Kpi, Mean
from canary.units import format_duration

# Past this, a number would only look as if somebody knew.
_LONGEST_SECONDS = 30 * 86400.0


@dataclass(frozen=True)
class Bounds:
    """A KPI's relative change and its bounds, as the exporter publishes them; NaN where it does not."""

    change: float = math.nan
    lower: float = math.nan
    upper: float = math.nan


def outlook(kpi: Kpi, bounds: Bounds, elapsed_seconds: float) -> str:
    """When the bounds will exclude a harm past the tolerance, for people; empty when nothing tells.

    Args:
        elapsed_seconds: how long the evidence has been gathered.
    """
    if isinstance(kpi, Conversion) and kpi.complement:
        return ""  # the change that is shown is that of the complement, and the tolerance is not
    worse_is_up = isinstance(kpi, Mean) and kpi.better == "lower"
    gain = -bounds.change if worse_is_up else bounds.change
    width = gain - (-bounds.upper if worse_is_up else bounds.lower)
    if not (math.isfinite(gain) and math.isfinite(width) and width > 0):
        return ""
    room = gain + kpi.tolerance
    if room <= 0:
        return f"a change of {bounds.change:+.1%} does not pass, however long it is waited for"
    seconds = elapsed_seconds * ((width / room) ** 2 - 1)
    if seconds <= 0:
        return ""
    if seconds > _LONGEST_SECONDS:
        return "it takes longer than 30d at this rate and change"
    return f"in about {format_duration(_rounded(seconds))} at this rate and change"


def _rounded(seconds: float) -> float:
    """To two digits at most: more of them would be a promise."""
    step = next(step for step in (86400, 3600, 60, 1) if seconds >= step or step == 1)
    return max(1, round(seconds / step)) * step
