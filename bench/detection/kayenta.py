"""Kayenta: Mann-Whitney on one value a minute, three hours at 5 % against 95 %, looked at every hour."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.stats import rankdata

from bench.detection.rules import Decision
from bench.detection.shops.shop import Scene, Traffic
from exporter.evidence.grid import Bools, Floats

# Kayenta wants some fifty values of each metric for a look: one a minute, an hour each, three looks.
MINUTES = 180.0
# Of the 98 % interval that Kayenta asks its Mann-Whitney test for.
_QUANTILE = 2.326
_PHASES = ((MINUTES, 0.05),)


def kayenta(_scene: Scene, units: Traffic) -> Decision:
    """Fail, and roll back, as soon as the ratio is classed as low after 1, 2 or 3 hours."""
    canary = units.on_canary(_PHASES)
    edges = np.arange(0.0, MINUTES + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        experiment = _per_minute(units, canary, units.good_on_canary, edges)
        control = _per_minute(units, ~canary, units.good, edges)
    for minute in (60, 120, 180):
        if is_low(experiment[:minute], control[:minute]):
            return Decision(float(minute), int(np.count_nonzero(canary & (units.entered < minute))))
    return Decision(None, int(np.count_nonzero(canary)))


def is_low(experiment: Floats, control: Floats) -> bool:
    """Kayenta's classification of a decrease; missing minutes are dropped."""
    experiment, control = experiment[np.isfinite(experiment)], control[np.isfinite(control)]
    if not experiment.size or not control.size or np.unique(np.concatenate([experiment, control])).size == 1:
        return False
    low, high = experiment.min() - control.max(), experiment.max() - control.min()

    def root(target: float) -> float:
        if _z(experiment, control, low) <= target:
            return float(low)
        if _z(experiment, control, high) >= target:
            return float(high)
        return float(brentq(lambda mu: _z(experiment, control, mu) - target, low, high, xtol=1e-4))

    upper, estimate = root(-_QUANTILE), root(0.0)
    mean = control.mean()
    return bool(upper < -0.25 * abs(estimate) and (mean == 0 or experiment.mean() / mean <= 1.0))


def _z(experiment: Floats, control: Floats, mu: float) -> float:
    n, m = experiment.size, control.size
    pooled = np.concatenate([experiment - mu, control])
    statistic = rankdata(pooled)[:n].sum() - n * (n + 1) / 2 - n * m / 2
    ties = np.unique(pooled, return_counts=True)[1].astype(np.float64)
    total = n + m
    variance = n * m / 12 * (total + 1 - (ties**3 - ties).sum() / (total * (total - 1)))
    return float((statistic - 0.5 * np.sign(statistic)) / np.sqrt(max(variance, 1e-12)))


def _per_minute(units: Traffic, side: Bools, good: Bools, edges: Floats) -> Floats:
    came = np.histogram(units.entered[side], edges)[0]
    went_well = np.histogram(units.known[side & good], edges)[0]
    ratio: Floats = went_well / came
    return ratio
