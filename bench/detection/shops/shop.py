"""A simulated shop: every unit's fate on either version is drawn first, a rule then decides who meets the canary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exporter.evidence.grid import Bools, Floats

START = 1_700_000_000.0
PHASES = ((5.0, 0.05), (15.0, 0.25), (20.0, 0.50))
"""The strategy's rollout: minutes and the canary's traffic weight."""
MINUTES = 40.0

SUCCESS_RATIO = 0.97
CONVERSION_RATIO = 0.03
DAY_SECONDS = 7200.0
"""The daily pattern is run through in two hours, which is harsher than a day."""


@dataclass(frozen=True)
class Scene:
    """One cell of the table.

    Attributes:
        kpi: `payments` (97 % succeed, known at once) or `conversion` (3 % of visits become orders, later).
        per_minute: payments or visits of the whole shop.
        harm: relative loss of success or conversion on the canary.
        lag_minutes: mean time from visit to order.
        daily: traffic and conversion rise and fall by half.
    """

    kpi: str
    per_minute: float
    harm: float
    lag_minutes: float = 0.0
    daily: bool = False

    @property
    def ratio(self) -> float:
        """What share succeeds or converts on stable."""
        return SUCCESS_RATIO if self.kpi == "payments" else CONVERSION_RATIO


@dataclass(frozen=True, eq=False)
class Traffic:
    """Units in order of entry; times in minutes since the start.

    Attributes:
        entered: when the unit came.
        luck: the unit is the canary's while the canary's traffic weight is above this number.
        good: whether it succeeds or converts on stable.
        good_on_canary: the same on the canary; a unit that is bad on stable is bad on the canary.
        known: when the outcome is known or the order comes.
    """

    entered: Floats
    luck: Floats
    good: Bools
    good_on_canary: Bools
    known: Floats

    def on_canary(self, phases: tuple[tuple[float, float], ...]) -> Bools:
        """Who meets the canary under a fixed plan of (minutes, share)."""
        ends = np.cumsum([minutes for minutes, _ in phases])
        shares = np.asarray([share for _, share in phases])
        at = np.minimum(np.searchsorted(ends, self.entered, side="right"), len(shares) - 1)
        chosen: Bools = self.luck < shares[at]
        return chosen


def traffic(scene: Scene, rng: np.random.Generator, minutes: float) -> Traffic:
    """Draw the units of one rollout."""
    peak = 1.5 if scene.daily else 1.0
    entered = np.sort(rng.uniform(0.0, minutes, rng.poisson(scene.per_minute * minutes * peak)))
    wave = np.ones(entered.size)
    if scene.daily:
        wave = 1.0 + 0.5 * np.sin(2 * np.pi * (entered * 60 / DAY_SECONDS + rng.random()))
        kept = rng.random(entered.size) * peak < wave
        entered, wave = entered[kept], wave[kept]
    ratio = np.minimum(scene.ratio * (wave if scene.kpi == "conversion" else 1.0), 1.0)
    fate = rng.random(entered.size)
    lag = rng.exponential(scene.lag_minutes, entered.size) if scene.lag_minutes else np.zeros(entered.size)
    return Traffic(
        entered=entered,
        luck=rng.random(entered.size),
        good=fate < ratio,
        good_on_canary=fate < ratio * (1.0 - scene.harm),
        known=entered + lag,
    )
