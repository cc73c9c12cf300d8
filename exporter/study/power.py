"""What a rollout can prove: how fast evidence grows against a harm of a given size, before any of it has happened.

Under a true harm the log-likelihood of each grid point grows on average by a known amount a minute, and so does the
evidence that is their mixture. Its fluctuation is taken as normal, so powers are approximate (a test holds
them against the judge itself).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from exporter.evidence.cohorts import COHORT_UNITS
from exporter.evidence.comparisons import conversion, mean, outcome
from exporter.evidence.grid import EffectGrid, Floats, Ints, log10_evidence
from exporter.evidence.hypergeometric import log_pmf
from exporter.evidence.judge import Harm, Kind, KpiParameters
from exporter.evidence.progress.restarts import FROM_START

POWERS = (0.5, 0.9)
"""Even odds, and what trials are usually planned for."""
LONGEST_MINUTES = 60.0 * 24 * 365
"""What takes longer than a year is called not provable."""
_LARGEST_HARM = 0.999
"""Nearly a total loss; at a whole one the odds ratio has no logarithm."""
_HALVINGS = 30
"""Bisections of an interval: nine digits, more than anybody reads."""
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Rates:
    """How much of a KPI the whole shop has, on a version on which nothing is wrong.

    Attributes:
        per_minute: units (visits, payments, orders with a value) a minute.
        ratio: share of them that converts or succeeds; for means the standard deviation over the mean.
        lag_minutes: mean time from a unit to its conversion.
    """

    per_minute: float
    ratio: float
    lag_minutes: float = 0.0


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of constant share: minutes, and the canary's traffic weight."""

    minutes: float
    traffic: float


@dataclass(frozen=True, slots=True, eq=False)
class Growth:
    """Growth a minute of each grid point's log-likelihood over the null's, and the variance of the true point's."""

    grid: EffectGrid
    likelihood: Floats
    variance: float


@dataclass(frozen=True, slots=True)
class Reach:
    """What one KPI can prove in one phase; None: nothing, or not within a year.

    Attributes:
        smallest_harm: relative harm that is caught by the end of the phase, all phases before it included, with a
            power of 50 % and of 90 %.
        minutes: how long this share alone takes to prove a harm of the policy's tolerance, at the same powers.
        customers: units that such a harm costs until it is caught with 50 % power: orders or payments lost; for
            means, units on the canary.
    """

    phase: int
    traffic: float
    kpi: str
    smallest_harm: tuple[float | None, float | None]
    minutes: tuple[float | None, float | None]
    customers: float | None


def reaches(kpi: KpiParameters, alpha: float, rates: Rates, phases: Sequence[Stretch]) -> list[Reach]:
    """What each phase can prove about a KPI; phases without stable traffic compare nothing and are left out."""
    found = []
    tolerance = kpi.tolerance or 0.0
    for number, phase in enumerate(phases):
        if not 0.0 < phase.traffic < 1.0:
            continue
        until = [stretch for stretch in phases[: number + 1] if 0.0 < stretch.traffic < 1.0]
        harms = tuple(smallest_harm(kpi, alpha, rates, until, power_wanted) for power_wanted in POWERS)
        minutes = tuple(minutes_until(kpi, alpha, rates, phase.traffic, tolerance, wanted) for wanted in POWERS)
        lost = None
        if minutes[0] is not None:
            share = tolerance * rates.ratio if kpi.kind is not Kind.MEAN else 1.0
            lost = minutes[0] * rates.per_minute * phase.traffic * share
        found.append(Reach(number, phase.traffic, kpi.name, (harms[0], harms[1]), (minutes[0], minutes[1]), lost))
    return found


def power(kpi: KpiParameters, alpha: float, rates: Rates, stretches: Sequence[Stretch], harm: float) -> float:
    """Chance that a harm of this size is proven by the end of the stretches."""
    likelihood, variance, elapsed = np.zeros(1), 0.0, 0.0
    grid: EffectGrid | None = None
    for stretch in stretches:
        growth = growth_of(kpi, rates, stretch.traffic, harm)
        grid = growth.grid
        # What is under way at the end of the last stretch has not been seen yet.
        remaining = sum(later.minutes for later in stretches) - elapsed
        seen = _seen_minutes(remaining, stretch.minutes, rates.lag_minutes)
        likelihood = likelihood + seen * growth.likelihood
        variance += seen * growth.variance
        elapsed += stretch.minutes
    if grid is None or variance <= 0.0 or (kpi.kind is Kind.MEAN and _fewer_side(rates, stretches) < mean.LEAST_UNITS):
        return 0.0
    # The evidence from the start is one of several that begin at other moments.
    weight = FROM_START if kpi.kind is not Kind.MEAN else 1.0
    margin = float(log10_evidence(grid, likelihood)) * math.log(10) + math.log(alpha * weight)
    return _NORMAL.cdf(margin / math.sqrt(variance))


def smallest_harm(
    kpi: KpiParameters, alpha: float, rates: Rates, stretches: Sequence[Stretch], wanted: float
) -> float | None:
    """The smallest harm past the tolerance that is proven with the wanted power; None when not even a total loss is."""
    low, high = kpi.tolerance or 0.0, _LARGEST_HARM
    if power(kpi, alpha, rates, stretches, high) < wanted:
        return None
    if power(kpi, alpha, rates, stretches, low) >= wanted:
        return low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if power(kpi, alpha, rates, stretches, middle) >= wanted else (middle, high)
    return high


def minutes_until(
    kpi: KpiParameters, alpha: float, rates: Rates, traffic: float, harm: float, wanted: float
) -> float | None:
    """How long a phase with this share alone takes to prove the harm with the wanted power; None beyond a year."""
    low, high = 0.0, 1.0
    while power(kpi, alpha, rates, [Stretch(high, traffic)], harm) < wanted:
        low, high = high, high * 2
        if high > LONGEST_MINUTES:
            return None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = power(kpi, alpha, rates, [Stretch(middle, traffic)], harm) >= wanted
        low, high = (low, middle) if enough else (middle, high)
    return high


def growth_of(kpi: KpiParameters, rates: Rates, traffic: float, harm: float) -> Growth:
    """How fast the evidence against a harm grows."""
    if kpi.kind is Kind.CONVERSION:
        return _conversion_growth(rates, traffic, harm)
    if kpi.kind is Kind.SUCCESS:
        return _success_growth(rates, traffic, harm)
    return _mean_growth(rates, traffic, -harm if kpi.harm is Harm.DECREASE else harm)


def _conversion_growth(rates: Rates, traffic: float, harm: float) -> Growth:
    """Each conversion is a draw between the sides, with odds of the shares at risk times the hazard ratio."""
    grid = conversion.GRID
    hazard_ratio = max(1.0 - harm, 1e-9)
    mixed = traffic * hazard_ratio + 1.0 - traffic
    on_canary = traffic * hazard_ratio / mixed
    events = rates.per_minute * rates.ratio * mixed
    growth = on_canary * grid.effects - np.log(traffic * np.exp(grid.effects) + 1.0 - traffic)
    best = max(math.log(hazard_ratio), float(grid.effects[0]))
    return Growth(grid, events * growth, events * on_canary * (1 - on_canary) * best**2)


def _success_growth(rates: Rates, traffic: float, harm: float) -> Growth:
    """Every cohort is a 2x2 table; its average over all outcomes, and over how many are the canary's, is summed."""
    grid = outcome.GRID
    least, most = COHORT_UNITS
    size = max(least, min(most, round(rates.per_minute)))
    fail = (1.0 - rates.ratio * (1.0 - harm), 1.0 - rates.ratio)
    canary, x, y, gained = _cohort_tables(size)
    failures = [np.stack([np.pad(_binomial(n, p), (0, size - n)) for n in range(size + 1)]) for p in fail]
    chance = _binomial(size, traffic)[canary] * failures[0][canary, x] * failures[1][size - canary, y]
    growth = chance @ gained
    best = gained[:, int(np.argmax(growth))]
    cohorts = rates.per_minute / size
    variance = float(chance @ best**2 - (chance @ best) ** 2)
    return Growth(grid, cohorts * growth, cohorts * variance)


@lru_cache(maxsize=len(range(*COHORT_UNITS)) + 1)
def _cohort_tables(size: int) -> tuple[Ints, Ints, Ints, Floats]:
    """All tables of a cohort: canary units, failures of both sides, and what each adds to the evidence per effect."""
    grid = outcome.GRID
    canary, x, y = (counts.ravel() for counts in np.meshgrid(*(np.arange(size + 1),) * 3, indexing="ij"))
    possible = (x <= canary) & (y <= size - canary) & (canary > 0) & (canary < size) & (x + y > 0)
    canary, x, y = canary[possible], x[possible], y[possible]
    tables = log_pmf(canary, size - canary, x + y, x, grid.effects)
    return canary, x, y, tables - tables[:, [grid.null]]


def _mean_growth(rates: Rates, traffic: float, change: float) -> Growth:
    """Differences of means are normal; what counts is their precision in units of the mean."""
    grid = mean.DECREASE_GRID if change < 0 else mean.INCREASE_GRID
    precision = rates.per_minute * traffic * (1.0 - traffic) / max(rates.ratio, 1e-9) ** 2
    growth = precision * (change * grid.effects - 0.5 * grid.effects**2)
    return Growth(grid, growth, precision * change**2)


def _fewer_side(rates: Rates, stretches: Sequence[Stretch]) -> float:
    """How many units come to the side that gets fewer."""
    canary = sum(rates.per_minute * stretch.minutes * stretch.traffic for stretch in stretches)
    return min(canary, sum(rates.per_minute * stretch.minutes for stretch in stretches) - canary)


def _seen_minutes(until_end: float, minutes: float, lag: float) -> float:
    """How many minutes' worth of a stretch's conversions have come by the end, `until_end` minutes after it began."""
    if lag <= 0.0:
        return minutes
    since_over = until_end - minutes
    return minutes - lag * (math.exp(-since_over / lag) - math.exp(-until_end / lag))


def _binomial(n: int, chance: float) -> Floats:
    chance = min(max(chance, 1e-12), 1 - 1e-12)
    counts = np.arange(n + 1)
    log_choose = np.asarray([math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in counts])
    probabilities: Floats = np.exp(log_choose + counts * math.log(chance) + (n - counts) * math.log1p(-chance))
    return probabilities
