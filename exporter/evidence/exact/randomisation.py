"""The test itself: follow a KPI under the real and the redrawn assignments, and remove the most extreme, look by look.

At each look the draws under which the canary looks worst leave, as many as the plan's spending allows by then. When the
real assignment is among those that leave, harm is proven. All draws are equally likely to be the real one if the
version changes nothing, so at most `alpha` of healthy rollouts ever see that happen, whatever customers are like.

Where a KPI has segments, a draw is as extreme as it is in the worst of them, or in all together, each in its own
standard deviations: a canary that breaks one payment provider stands out there long before it does in the sum.

A look is made once, on what was known then; nothing is decided again. Looks fall on multiples of `LOOK_SECONDS`, and
one that was missed is left out: what it might have spent is there for the next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from exporter.evidence.exact.cohorts import Cohorts, most
from exporter.evidence.exact.pairs import Counted, Pairs
from exporter.evidence.exact.redraw import Redraw, Words
from exporter.evidence.exact.spending import Plan
from exporter.evidence.grid import Bools, Floats, Ints

LOOK_SECONDS = 15.0
"""More looks find harm no sooner than customers show it, and each costs a pass over all draws."""
_DRAWS_PER_ALPHA = 28.0
_MOST_DRAWS = 1 << 16
"""Some thirty draws may be removed in all, so that the spending has steps as fine as phases are; beyond 65,536 draws
memory counts for more, and the test stays exact with any number."""
_LEAST_VARIANCE = 0.5
"""Added to each segment's variance over the draws: half a failure. The first few failures of a small segment would be
several deviations under every draw that has them on the canary, and harm to all customers would wait behind such
draws."""
_DIGITS = 9
"""Sums of the same amounts in another order differ in their last digits; rounded, draws that tie do tie."""


def draws_for(alpha: float) -> int:
    """How many assignments to follow, the real one among them: a power of two."""
    wanted = min(_DRAWS_PER_ALPHA / alpha, float(_MOST_DRAWS))
    return int(2 ** np.ceil(np.log2(max(wanted, 64.0))))


@dataclass(frozen=True)
class ExactParameters:
    """What is fixed for one KPI when a rollout starts.

    Attributes:
        alpha: the exact half's share of alpha under this plan.
        harm: +1 where larger amounts are harm (failures, seconds), -1 where smaller ones are (purchases, values).
        of_entries: the KPI divides by the event with which customers come in; then it must also be worse against the
            router's share, which no crawler on one side can fake.
        by_information: how alpha is spent, see `Plan.spent`.
        segments: how many there are; 1 where the KPI has none.
    """

    alpha: float
    harm: float
    of_entries: bool = False
    by_information: bool = True
    segments: int = 1


@dataclass(slots=True, eq=False)
class Randomisation:
    """One KPI's test of one rollout, with all that it has to remember.

    Attributes:
        sums: by segment and draw, the sum of the canary's amounts; the real assignment is the first.
        share: by segment, the sum that the router's weights alone let expect.
        alive: the draws that have not been removed.
        used: how many have been.
        next_look: when the next look is due, seconds since the epoch.
        proven_at: the look at which harm was proven; None before that.
        worst: the segment in which that look saw most of it; None where that was all of them together.
        names: of the segments, by number; kept, as they may be counted otherwise after a restart.
        replayed: looks were made up for from rows.
    """

    parameters: ExactParameters
    plan: Plan
    redraw: Redraw
    next_look: float
    cohorts: Cohorts = field(init=False)
    counted: Counted = field(default_factory=Counted)
    sums: Floats = field(init=False)
    share: Floats = field(init=False)
    alive: Bools = field(init=False)
    used: int = 0
    proven_at: float | None = None
    worst: int | None = None
    names: tuple[str, ...] = ()
    replayed: bool = False

    def __post_init__(self) -> None:
        """Begin with all draws, and nobody counted."""
        segments = self.parameters.segments
        self.cohorts = Cohorts(self.redraw.draws, most(segments))
        self.sums, self.share = np.zeros((segments, self.redraw.draws)), np.zeros(segments)
        self.alive = np.ones(self.redraw.draws, dtype=np.bool_)

    @property
    def spent_ratio(self) -> float:
        """How much of its alpha has been spent."""
        return self.used / (self.parameters.alpha * self.redraw.draws)

    def misses(self, now: float) -> bool:
        """Whether a whole look is missing before the one of this moment."""
        return self.next_look + LOOK_SECONDS <= now

    def count(self, pairs: Pairs, weights: Sequence[tuple[float, float]]) -> None:
        """Count new pairs, and the difference of those that count as something else by now.

        *pairs* may leave out any whose amount has not changed. *weights* is the history of `(time, the canary's weight
        from then on)`; a pair's phase is a position in it.
        """
        if self.proven_at is not None or not len(pairs):
            return
        share = _ratios(weights)
        pairs = pairs.in_order()
        keys = pairs.keys
        at = self.counted.find(keys)
        known = at >= 0
        if known.any():
            self._change(at[known], pairs.where(known), share)
        if not known.all():
            self._arrive(keys[~known], pairs.where(~known), share)

    def allowed(self, weights: Sequence[tuple[float, float]], moments: Floats) -> Ints:
        """How many draws may have been removed in all by each of some moments."""
        planned, waited = self.plan.clock(weights, moments)
        spent = self.plan.spent(planned, waited, by_information=self.parameters.by_information)
        return np.floor(self.parameters.alpha * spent * self.redraw.draws).astype(np.int64)

    def look(self, weights: Sequence[tuple[float, float]], now: float, allowed: int | None = None) -> None:
        """Remove the most extreme draws, when a look is due; whatever is known has been counted before.

        *allowed* is that of this moment, where it has been asked for already.
        """
        if now < self.next_look:
            return
        self.next_look += LOOK_SECONDS * (np.floor((now - self.next_look) / LOOK_SECONDS) + 1.0)
        if self.proven_at is not None:
            return
        allowed = int(self.allowed(weights, np.asarray([now]))[0]) if allowed is None else allowed
        budget = allowed - self.used
        if budget < 1 or self._is_too_early(weights, allowed):
            return
        extremity = self.extremity(weights)
        alive = extremity[self.alive]
        # The draw that is just not removed; those that tie with it stay, all of them.
        limit = float(np.partition(alive, -budget - 1)[-budget - 1]) if budget < len(alive) else 0.0
        gone = self.alive & (extremity > max(limit, 0.0))
        self.used += int(gone.sum())
        self.alive &= ~gone
        if gone[0]:
            self.proven_at = float(now)
            term = int(np.argmax(self._worse(weights)[:, 0]))
            self.worst = term - 1 if term else None

    def _is_too_early(self, weights: Sequence[tuple[float, float]], allowed: int) -> bool:
        """Whether not even the worst that could be, all failures on the canary, is rarer than what may be spent by now.

        Draws that left then would only have been the luckiest of those with one failure of two, and what they spent
        would be missing later: harm to small shops is found more often so, and a broken checkout (20 payments a minute)
        half a minute later. It looks at both sides' failures together, which no draw changes, so the proof holds.
        """
        if self.parameters.by_information:
            return False
        log_chance = float(self.cohorts.amount @ np.log(_ratios(weights)[self.cohorts.phase]))
        return log_chance > math.log(allowed / self.redraw.draws)

    def extremity(self, weights: Sequence[tuple[float, float]]) -> Floats:
        """Under each draw, by how much the canary's customers did worse than their cohorts, where that is most."""
        worse: Floats = self._worse(weights).max(axis=0)
        scale = float(np.abs(worse).max())
        return np.round(worse / scale, _DIGITS) if scale > 0.0 else worse

    def _worse(self, weights: Sequence[tuple[float, float]]) -> Floats:
        """By draw, how much worse: of all customers, and then of each segment's where there are several."""
        harm, segments = self.parameters.harm, self.parameters.segments
        worse = _with_total(harm * (self.sums - self.cohorts.expected(segments)))
        if self.parameters.of_entries:
            worse = np.minimum(worse, _with_total(harm * (self.sums - self.share[:, None])))
        if segments == 1:
            return worse
        variances = _with_total(self.cohorts.variances(segments, _ratios(weights))[:, None])
        return worse / np.sqrt(variances + _LEAST_VARIANCE)

    def saved(self) -> dict[str, npt.NDArray[Any]]:
        """All that has to be remembered, as arrays; draws are computed again."""
        cohorts, counted = self.cohorts, self.counted
        proven_at = np.nan if self.proven_at is None else self.proven_at
        worst = np.nan if self.worst is None else self.worst
        arrays = {
            "numbers": np.asarray([self.redraw.draws, self.next_look, self.used, proven_at, worst]),
            "cohort_phase": cohorts.phase, "cohort_segment": cohorts.segment, "cohort_start": cohorts.start,
            "cohort_pairs": cohorts.pairs, "cohort_amount": cohorts.amount, "cohort_square": cohorts.square,
            "cohort_canary": cohorts.canary.astype(np.int32),
            "sums": self.sums, "share": self.share, "alive": np.packbits(self.alive),
            "key": counted.key, "unit": counted.unit, "canary": np.packbits(counted.canary),
            "cohort": counted.cohort.astype(np.int32), "amount": counted.amount,
            "names": np.asarray(self.names, dtype=np.str_), "replayed": np.asarray(self.replayed),
        }  # fmt: skip
        return {name: np.array(array) for name, array in arrays.items()}

    def restore(self, saved: Mapping[str, npt.NDArray[Any]]) -> bool:
        """Go on from what another process has saved; False, and nothing changed, when it is no state of this test."""
        try:
            draws, next_look, used, proven_at, worst = (float(number) for number in saved["numbers"])
            cohorts = Cohorts(
                self.redraw.draws, self.cohorts.most, saved["cohort_phase"], saved["cohort_segment"],
                saved["cohort_start"], saved["cohort_pairs"], saved["cohort_amount"], saved["cohort_square"],
            )  # fmt: skip
            cohorts.canary[:] = saved["cohort_canary"]
            pairs = len(saved["key"])
            counted = Counted(
                saved["key"], saved["unit"], np.unpackbits(saved["canary"], count=pairs).astype(np.bool_),
                saved["cohort"].astype(np.int64), saved["amount"],
            )  # fmt: skip
            alive = np.unpackbits(saved["alive"], count=self.redraw.draws).astype(np.bool_)
            sums, share, names = saved["sums"], saved["share"], tuple(saved["names"].tolist())
        except (KeyError, ValueError):
            return False
        if draws != self.redraw.draws or sums.shape != self.sums.shape or share.shape != self.share.shape:
            return False
        self.cohorts, self.counted, self.sums, self.alive, self.share = cohorts, counted, sums, alive, share
        self.next_look, self.used, self.names = next_look, int(used), names
        self.proven_at = None if np.isnan(proven_at) else proven_at
        self.worst = None if np.isnan(worst) else int(worst)
        self.replayed = bool(saved.get("replayed", False))  # nobody wrote that down before
        return True

    def _arrive(self, keys: Words, pairs: Pairs, share: Floats) -> None:
        cohort = np.empty(len(pairs), dtype=np.int64)
        for stratum in _strata(pairs.phase * self.parameters.segments + pairs.segment):
            at = stratum[0]
            cohort[stratum] = self.cohorts.place(int(pairs.phase[at]), int(pairs.segment[at]), pairs.entered[stratum])
        np.add.at(self.cohorts.square, cohort, pairs.amount**2)
        self._add(pairs.unit, pairs.canary, cohort, pairs.amount, share, new=True)
        self.counted.add(keys, pairs, cohort)
        renumbered = self.cohorts.merge()
        if len(renumbered) > len(self.cohorts):
            self.counted.cohort = renumbered[self.counted.cohort]

    def _change(self, at: Ints, pairs: Pairs, share: Floats) -> None:
        counted, changed = self.counted, pairs.amount != self.counted.amount[at]
        at, amount = at[changed], pairs.amount[changed]
        if not len(at):
            return
        before, cohort = counted.amount[at], counted.cohort[at]
        np.add.at(self.cohorts.square, cohort, amount**2 - before**2)
        self._add(counted.unit[at], counted.canary[at], cohort, amount - before, share, new=False)
        counted.amount[at] = amount

    def _add(self, units: Words, canary: Bools, cohort: Ints, by: Floats, share: Floats, *, new: bool) -> None:
        """Add *by* to what the pairs count as, under every draw; *new* pairs are themselves counted too."""
        cohorts, phase, segment = self.cohorts, self.cohorts.phase[cohort], self.cohorts.segment[cohort]
        np.add.at(cohorts.amount, cohort, by)
        np.add.at(self.share, segment, share[phase] * by)
        # Pairs of one cohort met one weight. What changes needs no cohort of its own, and is quicker in larger pieces.
        for ours in _strata(cohort if new else phase * self.parameters.segments + segment):
            at = ours[0]
            counts, sums = self.redraw.sums(units[ours], float(share[phase[at]]), by[ours])
            counts[0], sums[0] = canary[ours].sum(), by[ours][canary[ours]].sum()
            if new:
                cohorts.canary[cohort[at]] += counts
            self.sums[segment[at]] += sums


def _ratios(weights: Sequence[tuple[float, float]]) -> Floats:
    """The canary's share of traffic, by phase."""
    return np.asarray([weight for _, weight in weights])


def _with_total(by_segment: Floats) -> Floats:
    """The sum over all segments, and then each where there are several."""
    if len(by_segment) == 1:
        return by_segment
    return np.concatenate([by_segment.sum(axis=0, keepdims=True), by_segment])


def _strata(number: Ints) -> list[Ints]:
    """The positions of rows of one number, stratum by stratum."""
    _, stratum = np.unique(number, return_inverse=True)
    return np.split(np.argsort(stratum, kind="stable"), np.cumsum(np.bincount(stratum))[:-1])
