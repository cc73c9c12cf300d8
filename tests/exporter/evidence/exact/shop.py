"""Healthy and harmful rollouts of shops whose customers are not independent, for the exact half's tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exporter.evidence.exact.pairs import Pairs
from exporter.evidence.exact.randomisation import LOOK_SECONDS, ExactParameters, Randomisation, draws_for
from exporter.evidence.exact.redraw import HashedPlaces, splitmix64
from exporter.evidence.exact.spending import Plan, PlannedPhase
from exporter.evidence.grid import Bools, Floats

START = 1_700_000_000.0
PHASES = ((300.0, 0.05), (900.0, 0.25), (1200.0, 0.5))
WEIGHTS = [(START, 0.05), (START + 300.0, 0.25), (START + 1200.0, 0.5)]
END = START + 2400.0
PLAN = Plan(tuple(PlannedPhase(weight, seconds) for seconds, weight in PHASES))


@dataclass(frozen=True)
class Payments:
    """First attempts of customers who fail by what they are; arrays by pair of customer and phase.

    Attributes:
        pairs: as they stand at the end.
        known: when each failure is known, infinite where there is none.
    """

    pairs: Pairs
    known: Floats

    def at(self, now: float) -> Pairs:
        """What is known of them at *now*."""
        come = self.pairs.entered <= now
        pairs = self.pairs.where(come)
        return Pairs(
            pairs.unit,
            pairs.phase,
            pairs.entered,
            pairs.canary,
            (self.known[come] <= now).astype(float),
            pairs.segment,
        )


def payments(
    seed: int, customers: int = 250, harm: float = 0.0, segments: int = 1, segment: int | None = None
) -> Payments:
    """Customers who come back in each phase; a tenth always fails, companies come most, an outage hits both sides.

    One in eight is in the last of one or two *segments*; *harm* is to those of one *segment*, or to all.
    """
    rng = np.random.default_rng(seed)
    luck = rng.random(customers)
    chronic = rng.random(customers) < 0.1
    often = np.where(rng.random(customers) < 0.1, 0.95, 0.3)
    unit, phase, entered = [], [], []
    for number, (start, (seconds, _)) in enumerate(zip([0.0, 300.0, 1200.0], PHASES, strict=True)):
        comes = np.flatnonzero(rng.random(customers) < often)
        unit.append(comes)
        phase.append(np.full(len(comes), number))
        entered.append(START + start + 10.0 + rng.random(len(comes)) * (seconds - 10.0))
    who, phases, times = np.concatenate(unit), np.concatenate(phase), np.concatenate(entered)
    canary: Bools = luck[who] < np.asarray([weight for _, weight in PHASES])[phases]
    outage = (times > START + 600.0) & (times < START + 900.0)
    ours = np.where(who % 8 == 0, segments - 1, 0)
    harmed = canary if segment is None else canary & (ours == segment)
    odds = np.where(outage, 0.5, 0.03) + np.where(harmed, harm, 0.0)
    failed = chronic[who] | (rng.random(len(who)) < odds)
    known = np.where(failed, times + rng.exponential(60.0, len(who)), np.inf)
    keys = splitmix64(np.arange(customers, dtype=np.uint64) + np.uint64(seed * 1_000_003))
    return Payments(Pairs(keys[who], phases, times, canary, failed.astype(np.float64), ours), known)


def fresh(rollout: str, alpha: float = 0.05) -> Randomisation:
    """A fresh test of payments at *alpha*."""
    return _fresh(rollout, ExactParameters(alpha, harm=1.0, by_information=False))


def fresh_by_segment(rollout: str, alpha: float = 0.05) -> Randomisation:
    """The same, by segment too."""
    return _fresh(rollout, ExactParameters(alpha, harm=1.0, by_information=False, segments=2))


def _fresh(rollout: str, parameters: ExactParameters) -> Randomisation:
    return Randomisation(parameters, PLAN, HashedPlaces(rollout, draws_for(parameters.alpha)), START + LOOK_SECONDS)


def follow(test: Randomisation, shop: Payments, step: float = LOOK_SECONDS, until: float = END) -> Randomisation:
    """Count and look every *step* seconds."""
    for now in np.arange(START + step, until + 1.0, step):
        test.count(shop.at(now), WEIGHTS)
        test.look(WEIGHTS, float(now))
    return test
