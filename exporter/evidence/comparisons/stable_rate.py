"""Stable's rate, and what a ratio of hazards does to it: what people are shown is a change of the rate.

A log-rank test speaks of hazards. For rare events their ratio is that of the rates; where nine of ten units convert it
is not: five percent fewer completed checkouts are twelve percent less hazard. So effects are translated through
stable's own rate, which the product-limit estimate (Kaplan, Meier 1958) takes from the same cohorts and ages: units
that are too young to tell count only for the ages they have reached.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from exporter.evidence.cohorts import CLASSES, AtRisk
from exporter.evidence.grid import Floats, Ints

_LEAST_SHARE = 0.1
"""The shown age is the oldest that so many of stable's units have reached; beyond it few units would decide."""


@dataclass(frozen=True, slots=True, eq=False)
class StableRate:
    """Stable's units at risk and events by class of ages, summed over cohorts."""

    units: Floats = field(default_factory=lambda: np.zeros(CLASSES))
    events: Floats = field(default_factory=lambda: np.zeros(CLASSES))

    def then(self, seen: list[AtRisk], buckets: Ints) -> tuple[StableRate, Hazards]:
        """With more classes that were over; also the hazards as known after each of `buckets`."""
        none = np.zeros(0, dtype=np.int64)
        at, age_class, units, events = (
            np.concatenate([none, *(getattr(one, name) for one in seen)])
            for name in ("bucket", "age_class", "units", "events")
        )
        rows = len(buckets)
        where = np.searchsorted(buckets, at, side="left") * CLASSES + age_class
        added = [
            np.bincount(where, weights=counts, minlength=(rows + 1) * CLASSES).reshape(rows + 1, CLASSES)
            for counts in (units, events)
        ]
        at_risk, happened = (
            before + np.cumsum(new, axis=0) for before, new in zip((self.units, self.events), added, strict=True)
        )
        return StableRate(at_risk[-1], happened[-1]), Hazards.of(at_risk[:-1], happened[:-1])


@dataclass(frozen=True, slots=True, eq=False)
class Hazards:
    """Stable's hazard by class of ages (columns), as known at each of some moments (rows)."""

    values: Floats

    @classmethod
    def of(cls, units: Floats, events: Floats) -> Hazards:
        """From units at risk and events."""
        known = units >= np.maximum(1.0, _LEAST_SHARE * units.max(axis=1, keepdims=True, initial=0.0))
        shown = np.flatnonzero(known.any(axis=0))
        last = int(shown[-1]) + 1 if shown.size else 0  # classes that nobody has reached would be zeros to reckon with
        with np.errstate(divide="ignore", invalid="ignore"):
            hazard = np.where(known, events / units, 0.0)[:, :last]
        return cls(np.minimum(hazard, 1.0 - 1e-9))

    def conversion_change(self, log_ratio: Floats) -> Floats:
        """The relative change of the share to whom it happened, of a (log) odds ratio of hazards."""
        stable, canary = self._spared(log_ratio)
        rate = -np.expm1(stable)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            change = np.where(rate > 0.0, np.expm1(canary) / np.expm1(stable) - 1.0, np.expm1(log_ratio))
        return np.where(np.isnan(log_ratio), np.nan, change)

    def survival_change(self, log_ratio: Floats) -> Floats:
        """The relative change of the share to whom it did not happen."""
        stable, canary = self._spared(log_ratio)
        change: Floats = np.expm1(canary - stable)
        return np.where(np.isnan(log_ratio), np.nan, change)

    def _spared(self, log_ratio: Floats) -> tuple[Floats, Floats]:
        """Logarithms of the shares to whom it did not happen: stable's, and the canary's under the ratio."""
        hazard = self.values
        with np.errstate(over="ignore", invalid="ignore"):
            more = np.where(hazard > 0.0, np.expm1(log_ratio)[:, None] * hazard, 0.0)
        stable = np.log1p(-hazard).sum(axis=1)
        canary: Floats = stable - np.log1p(np.maximum(more, -1.0 + 1e-12)).sum(axis=1)
        return stable, np.where(np.isposinf(log_ratio) & (stable < 0.0), -np.inf, canary)

    def __len__(self) -> int:
        return len(self.values)
