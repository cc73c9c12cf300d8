"""Later is not fewer: what the log-rank test would see of a canary whose events all come, but later.

Orders that come 1.3 times as late are missing at every age for a while, and a test of hazards takes them for lost. How
soon stable's events came in the days before says what such a stretch does to the hazard of each class of ages; the same
tables are weighed under that. A harm has to be told from every stretch up to the policy's before it fails a canary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exporter.evidence.cohorts import AGE_ENDS, CLASSES
from exporter.evidence.grid import EffectGrid, Floats, Ints

LEAST_EVENTS = 50
"""Events of the days before that it takes to know their lags."""
_STEP = 1.1
"""Stretches are tried in steps of at most so much: finer ones differ by less than chance."""


@dataclass(frozen=True, slots=True, eq=False)
class LagShape:
    """The log hazard ratio of each stretch (rows, the first is none) in each class of ages (columns).

    Without rows nothing is known of the lags, and nothing can be told from a slower canary.
    """

    log_ratios: Floats

    @property
    def size(self) -> int:
        """How many stretches."""
        return len(self.log_ratios)

    @classmethod
    def unknown(cls) -> LagShape:
        """Nothing is known of the lags."""
        return cls(np.zeros((0, CLASSES)))

    @classmethod
    def of(cls, entered: Floats, happened: Floats, until: float, up_to: float, bucket_seconds: float) -> LagShape:
        """From units that entered before the rollout, with nan where the event had not happened at `until`."""
        came = np.where(happened < until, happened - entered, np.nan)
        known = np.isfinite(came)
        if known.sum() < LEAST_EVENTS:
            return cls.unknown()
        survival = _Survival.of(np.where(known, came, until - entered), known)
        steps = max(1, int(np.ceil(np.log(up_to) / np.log(_STEP))))
        stretches = np.exp(np.linspace(0.0, np.log(up_to), steps + 1))
        ends = np.concatenate([[0], AGE_ENDS]) * bucket_seconds
        hazards = np.stack([survival.hazards(ends / stretch) for stretch in stretches])
        with np.errstate(divide="ignore", invalid="ignore"):
            odds = hazards / (1.0 - hazards)
            ratios = np.log(odds / odds[0])
        return cls(np.nan_to_num(ratios, nan=0.0, posinf=_FARTHEST, neginf=-_FARTHEST).clip(-_FARTHEST, _FARTHEST))

    def terms(self, grid: EffectGrid, terms: Floats, age_class: Ints) -> Floats:
        """Each table's log-probability under every stretch, from those under the grid's effects."""
        ratio = self.log_ratios[:, age_class].T
        above = np.clip(np.searchsorted(grid.effects, ratio), 1, grid.size - 1)
        low, high = grid.effects[above - 1], grid.effects[above]
        share = (ratio - low) / (high - low)
        rows = np.arange(len(terms))[:, None]
        between: Floats = terms[rows, above - 1] * (1.0 - share) + terms[rows, above] * share
        return between


_FARTHEST = 3.0
"""Log hazard ratios beyond this come from ages at which hardly anything happens."""


@dataclass(frozen=True, slots=True, eq=False)
class _Survival:
    """The product-limit estimate of how long nothing happens, smoothed between its steps."""

    times: Floats
    log_survival: Floats

    @classmethod
    def of(cls, times: Floats, happened: np.typing.NDArray[np.bool_]) -> _Survival:
        order = np.argsort(times, kind="stable")
        times, happened = times[order], happened[order]
        at_risk = len(times) - np.arange(len(times))
        log_survival = np.cumsum(np.log1p(-1.0 * happened / (at_risk + 1.0)))
        # A few points, evenly in probability: the hazard of single events would be noise.
        events = np.flatnonzero(happened)
        chosen = events[np.linspace(0, len(events) - 1, min(len(events), _POINTS)).astype(np.int64)]
        return cls(np.append(0.0, times[chosen]), np.append(0.0, log_survival[chosen]))

    def hazards(self, ends: Floats) -> Floats:
        """The share of those at risk to whom it happens in each class of ages between `ends`."""
        log_survival = np.interp(ends, self.times, self.log_survival)
        hazards: Floats = -np.expm1(np.diff(log_survival))
        return hazards


_POINTS = 12
"""Points of the curve of lags: enough for its shape."""
