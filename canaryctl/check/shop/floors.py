"""Whether a shop is near one of its floors by itself, without any canary.

A floor holds or rolls back whoever is below it. One that the shop's own ordinary hours hardly reach holds every
release, and nobody would guess from the alert that the number was wrong from the beginning.
"""

from collections.abc import Iterator, Sequence

from canary.finding import Finding, warning
from canary.policy import Policy
from canary.policy.kpis import Success
from canary.units import format_ratio
from exporter.source.consistency.newest import NewestRows
from exporter.study.rates import near_floor

_FEW_FINAL = 60
"""Of fewer outcomes a healthy shop may seem to be near its floor."""


def near_floors(policy: Policy, one: NewestRows, old: Sequence[str]) -> Iterator[Finding]:
    """Whether the shop is at a floor by itself, which would hold every rollout."""
    good = sum(outcome in one.event.succeeded for outcome in old)
    final = good + sum(outcome in one.event.failed for outcome in old)
    for name, kpi in policy.kpis.items():
        floored = isinstance(kpi, Success) and kpi.of == one.name and kpi.floor is not None
        if floored and kpi.floor is not None and final >= _FEW_FINAL and near_floor(good / final, kpi.floor):
            what = f"{format_ratio(good / final)} of the newest {final} outcomes are a success, near the floor of"
            remedy = "set a lower floor: an ordinary bad hour of both versions holds the rollout"
            yield warning(one.where(("kpis", name, "floor")), f"{what} {format_ratio(kpi.floor)}", remedy)
