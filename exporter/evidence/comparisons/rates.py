"""Both sides' rates, and what a ratio of hazards does to them: what people are shown is a change of the rate.

A log-rank test speaks of hazards. For rare events their ratio is that of the rates; where nine of ten units convert it
is not: five percent fewer completed checkouts are twelve percent less hazard. So effects are translated through
stable's own rate, which the product-limit estimate (Kaplan, Meier 1958) takes from the same cohorts and ages: units
that are too young to tell count only for the ages they have reached.

How far that rate may be off counts too. With a small shop's stable without a single failure the plain estimate is 0,
and so would every multiple of it be: a canary on which each fourth payment fails would have changed nothing. Where all
of its customers convert it is 1, and so is every multiple. So bounds are taken at the ends of the rate's own confidence
sequence, and the estimate of such a canary is its own rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from exporter.evidence.cohorts import CLASSES, AtRisk
from exporter.evidence.grid import Floats, Ints

_LEAST_SHARE = 0.1
"""Effects are translated at the oldest age at which so many of stable's units are at risk; beyond it few decide."""
_SURELY = 1.0 - 1e-9
"""A rate of one, as far as logarithms go."""
_STEPS = 7
_CLOSE = 1e-10
"""Newton's method doubles the digits with each step once it is near; a step as short as this is the last."""
_FARTHEST = 40.0
"""Log odds of a rate that no number of units tells from 0 or 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Rates:
    """Units at risk and events by side (stable, canary) and class of ages, summed over cohorts.

    Attributes:
        before_phase: the canary's units and events of what was over before the present phase began.
    """

    units: Floats = field(default_factory=lambda: np.zeros((2, CLASSES)))
    events: Floats = field(default_factory=lambda: np.zeros((2, CLASSES)))
    before_phase: Floats = field(default_factory=lambda: np.zeros((2, CLASSES)))

    def then(self, seen: list[AtRisk], buckets: Ints, phases: list[int]) -> tuple[Rates, Hazards]:
        """With more classes that were over; also the hazards as known after each of `buckets`.

        Args:
            phases: buckets with which a phase begins among them.
        """
        none, rows = np.zeros(0, dtype=np.int64), len(buckets)
        at, age_class = (
            np.concatenate([none, *(getattr(one, name) for one in seen)]) for name in ("bucket", "age_class")
        )
        counts = {
            name: [np.concatenate([none, *(getattr(one, name)[side] for one in seen)]) for side in (0, 1)]
            for name in ("units", "events")
        }
        where = np.searchsorted(buckets, at, side="left") * CLASSES + age_class
        at_risk, happened = (
            np.stack([
                before[side] + np.cumsum(_counted(where, counts[name][side], rows + 1), axis=0) for side in (0, 1)
            ])
            for name, before in (("units", self.units), ("events", self.events))
        )  # fmt: skip
        before_phase = self.before_phase
        if phases:
            early = at < phases[-1]
            before_phase = np.stack([
                before[1] + _counted(age_class[early], counts[name][1][early], 1)[0]
                for name, before in (("units", self.units), ("events", self.events))
            ])  # fmt: skip
        hazards = Hazards.of(at_risk[:, :-1], happened[:, :-1])
        return Rates(at_risk[:, -1], happened[:, -1], before_phase), hazards

    @property
    def present(self) -> Hazards:
        """The hazards as known by now, the canary's bounds held against its own share of the present phase alone."""
        units, events = np.maximum(np.stack([self.units[1], self.events[1]]) - self.before_phase, 0.0)
        hazards = Hazards.of(self.units[:, None], self.events[:, None])
        return replace(hazards, own=Share.of(units[None], events[None])[0])


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """The share of one side's units to whom it happened by some age, at each of some moments.

    Attributes:
        value: the product-limit estimate.
        units: of how many units a plain share would vary as much (Greenwood 1926; all that entered, while it has
            happened to nobody).
    """

    value: Floats
    units: Floats

    @classmethod
    def of(cls, units: Floats, events: Floats, least_share: float = 0.0) -> tuple[Share, Floats]:
        """From units at risk and events (rows: moments, columns: classes of ages); also the hazards by class.

        Args:
            least_share: the age is the oldest at which so many of the side's units are at risk.
        """
        most = units.max(axis=1, initial=0.0)
        known = units >= np.maximum(1.0, least_share * most)[:, None]
        shown = np.flatnonzero(known.any(axis=0))
        last = int(shown[-1]) + 1 if shown.size else 1  # classes that nobody has reached would be zeros to reckon with
        units, events, known = units[:, :last], events[:, :last], known[:, :last]
        with np.errstate(divide="ignore", invalid="ignore"):
            hazard = np.minimum(np.where(known, events / units, 0.0), _SURELY)
            log_spared = np.log1p(-hazard).sum(axis=1)
            varies = np.exp(log_spared) * np.where(known, hazard / (1.0 - hazard) / units, 0.0).sum(axis=1)
            plain = -np.expm1(log_spared) / varies
        return cls(-np.expm1(log_spared), np.where(np.isfinite(plain), plain, most)), hazard

    def bounds(self, alpha: float) -> tuple[Floats, Floats]:
        """The share's confidence sequence: a mixture over Jeffreys' prior (Howard, Ramdas et al. 2021)."""
        happened = self.value * self.units
        spared = self.units - happened
        against = _log_beta(happened + 0.5, spared + 0.5) - _log_beta(0.5, 0.5) + math.log(alpha)
        # A likelihood is concave in the log odds: one step of Newton's method leads outside, the next ones only nearer.
        middle = np.log((happened + 0.5) / (spared + 0.5))
        reach = np.sqrt(
            2.0 * np.maximum(_log_likelihood(middle, happened, spared) - against, 0.0)
            * (1.0 / (happened + 0.5) + 1.0 / (spared + 0.5))
        )  # fmt: skip
        sign = np.asarray([[1.0], [-1.0]])
        ends = middle - sign * reach
        for _ in range(_STEPS):
            step = (_log_likelihood(ends, happened, spared) - against) / _slope(ends, happened, spared, sign)
            ends = ends - step
            if not (np.abs(step) > _CLOSE).any():
                break
        low, high = ends
        return np.where(happened > 0.0, _rate(low), 0.0), np.where(spared > 0.0, _rate(high), 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Hazards:
    """Stable's hazard by class of ages (columns), as known at each of some moments (rows), and both sides' shares.

    Attributes:
        stable: at the age at which effects are translated.
        canary: at any age that any of its units have reached: what evidence has counted, estimates count too.
        own: of the canary, the share that its bounds are held against.
    """

    values: Floats
    stable: Share
    canary: Share
    own: Share

    @classmethod
    def of(cls, units: Floats, events: Floats) -> Hazards:
        """From units at risk and events, each by side (stable, canary), moment and class of ages."""
        stable, hazard = Share.of(units[0], events[0], _LEAST_SHARE)
        canary = Share.of(units[1], events[1])[0]
        return cls(hazard, stable, canary, canary)

    def conversion_change(self, log_ratio: Floats, rate: Floats | None = None) -> Floats:
        """The relative change of the share to whom it happened, of a (log) odds ratio of hazards.

        Args:
            rate: stable's share, where another one than the estimate is to be reckoned with.
        """
        stable, canary = self._spared(log_ratio, rate)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            change = np.where(stable < 0.0, np.expm1(canary) / np.expm1(stable) - 1.0, np.expm1(log_ratio))
        return np.where(np.isnan(log_ratio), np.nan, change)

    def survival_change(self, log_ratio: Floats, rate: Floats | None = None) -> Floats:
        """The relative change of the share to whom it did not happen, likewise."""
        stable, canary = self._spared(log_ratio, rate)
        change: Floats = np.expm1(canary - stable)
        return np.where(np.isnan(log_ratio), np.nan, change)

    def conversion_bounds(self, ends: tuple[Floats, Floats], alpha: float) -> tuple[Floats, Floats]:
        """The ends of that change, of those of the ratio and, by *alpha*, of stable's share.

        Half of *alpha* is the canary's own share's: whatever stable's is, no more is lost than what did not convert.
        Where nearly everybody does, that is known long before the ratio of the others.
        """
        rates = self.stable.bounds(alpha / 2.0)
        lower, upper = _extremes([self.conversion_change(end, rate) for end in ends for rate in rates])
        with np.errstate(divide="ignore"):
            return np.maximum(lower, self.own.bounds(alpha / 2.0)[0] - 1.0), np.minimum(upper, 1.0 / rates[0] - 1.0)

    def survival_bounds(self, ends: tuple[Floats, Floats], alpha: float) -> tuple[Floats, Floats]:
        """The same of the share to whom it did not happen.

        Half of *alpha* is the canary's own share's: it cannot harm more than that, whatever stable's is. Where hardly
        anything ever fails that is known long before the ratio of the failures.
        """
        rates = self.stable.bounds(alpha / 2.0)
        lower, upper = _extremes([self.survival_change(end, rate) for end in ends for rate in rates])
        with np.errstate(divide="ignore"):
            most = np.where(rates[1] < 1.0, np.minimum(upper, rates[1] / (1.0 - rates[1])), np.inf)
        return np.maximum(lower, -self.own.bounds(alpha / 2.0)[1]), most

    def _spared(self, log_ratio: Floats, rate: Floats | None) -> tuple[Floats, Floats]:
        """Logarithms of the shares to whom it did not happen: stable's, and the canary's under the ratio."""
        hazard = self._scaled(self._likely(log_ratio) if rate is None else rate)
        with np.errstate(over="ignore", invalid="ignore"):
            more = np.where(hazard > 0.0, np.expm1(log_ratio)[:, None] * hazard, 0.0)
        stable = np.log1p(-hazard).sum(axis=1)
        canary: Floats = stable - np.log1p(np.maximum(more, -1.0 + 1e-12)).sum(axis=1)
        return stable, np.where(np.isposinf(log_ratio) & (stable < 0.0), -np.inf, canary)

    def _scaled(self, rate: Floats) -> Floats:
        """The hazards at which stable's share is *rate*; all of it in the first class while none is known."""
        rate = np.minimum(rate, _SURELY)
        with np.errstate(divide="ignore", invalid="ignore"):
            times = np.log1p(-rate) / np.log1p(-self.stable.value)
        scaled: Floats = -np.expm1(np.where(np.isfinite(times), times, 0.0)[:, None] * np.log1p(-self.values))
        scaled[:, 0] = np.where(self.stable.value > 0.0, scaled[:, 0], rate)
        return scaled

    def _likely(self, log_ratio: Floats) -> Floats:
        """Stable's share; where it happened to none or to all of its units, what is likeliest by ratio and canary.

        A multiple of nothing is nothing, and of everything everything, whatever the canary does.
        """
        share = self.stable.value
        none = self._likeliest(self.canary.value * self.canary.units, log_ratio)
        spared = self._likeliest((1.0 - self.canary.value) * self.canary.units, -log_ratio)
        likely: Floats = np.where(share <= 0.0, none, np.where(share >= 1.0 - 1e-6, 1.0 - spared, share))
        return likely

    def _likeliest(self, events: Floats, log_ratio: Floats) -> Floats:
        """The share h of stable, of whose units none had the event, and of the canary's so many.

        The root of `n_s h + n_c r h / (1 - h + r h) = m`, of m events on the canary.
        """
        more = np.expm1(np.minimum(log_ratio, _FARTHEST))
        square = self.stable.units * more
        linear = self.stable.units + self.canary.units * (more + 1.0) - events * more
        with np.errstate(divide="ignore", invalid="ignore"):
            root = 2.0 * events / (linear + np.sqrt(np.maximum(linear**2 + 4.0 * square * events, 0.0)))
        return np.nan_to_num(root)

    def __len__(self) -> int:
        return len(self.values)


def _counted(where: Ints, counts: Ints, rows: int) -> Floats:
    """Counts added up by row and class of ages."""
    counted: Floats = np.bincount(where, weights=counts, minlength=rows * CLASSES).astype(np.float64)
    return counted.reshape(rows, CLASSES)


def _extremes(changes: list[Floats]) -> tuple[Floats, Floats]:
    lower: Floats = np.fmin.reduce(changes)
    upper: Floats = np.fmax.reduce(changes)
    return lower, upper


def _log_likelihood(odds: Floats, happened: Floats, spared: Floats) -> Floats:
    likelihood: Floats = happened * odds - (happened + spared) * np.logaddexp(0.0, odds)
    return likelihood


def _slope(odds: Floats, happened: Floats, spared: Floats, sign: Floats) -> Floats:
    """Of the likelihood; never without the sign that it has on this side of its top."""
    rate = _rate(odds)
    slope: Floats = sign * np.maximum(sign * (happened * (1.0 - rate) - spared * rate), 1e-12)
    return slope


def _rate(odds: Floats) -> Floats:
    rate: Floats = 1.0 / (1.0 + np.exp(-np.clip(odds, -_FARTHEST, _FARTHEST)))
    return rate


def _log_beta(one: Floats | float, other: Floats | float) -> Floats:
    beta: Floats = _log_gamma(one) + _log_gamma(other) - _log_gamma(np.asarray(one) + other)
    return beta


def _log_gamma(values: Floats | float) -> Floats:
    """Logarithms of the gamma function: Stirling's series, three terms, from eight on."""
    shifted = np.asarray(values, dtype=np.float64) + 8.0
    product = np.prod([shifted - step for step in range(1, 9)], axis=0)
    series = 1.0 / 12.0 - (1.0 / 360.0 - 1.0 / (1260.0 * shifted**2)) / shifted**2
    stirling = (shifted - 0.5) * np.log(shifted) - shifted + 0.5 * math.log(2.0 * math.pi) + series / shifted
    found: Floats = stirling - np.log(product)
    return found
