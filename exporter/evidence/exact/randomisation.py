"""The test itself: follow a KPI under the real and the redrawn assignments, and remove the most extreme, look by look.

At each look the draws under which the canary looks worst leave, as many as the plan's spending allows by then. When the
real assignment is among those that leave, harm is proven. All draws are equally likely to be the real one if the
version changes nothing, so at most `alpha` of healthy rollouts ever see that happen, whatever customers are like.

A look is made once, on what was known then; nothing is decided again. Looks fall on multiples of `LOOK_SECONDS`, and
one that was missed is left out: what it might have spent is there for the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from exporter.evidence.exact.cohorts import Cohorts
from exporter.evidence.exact.pairs import Counted, Pairs
from exporter.evidence.exact.redraw import Redraw, Words
from exporter.evidence.exact.spending import Plan
from exporter.evidence.grid import Bools, Floats, Ints

LOOK_SECONDS = 15.0
"""More looks find harm no sooner than customers show it, and each costs a pass over all draws."""
_DRAWS_PER_ALPHA = 30.0
_MOST_DRAWS = 1 << 16
"""Thirty draws may be removed in all, so that the spending has steps as fine as phases are; beyond 65,536 draws memory
counts for more, and the test stays exact with any number."""
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
    """

    alpha: float
    harm: float
    of_entries: bool = False
    by_information: bool = True


@dataclass(slots=True, eq=False)
class Randomisation:
    """One KPI's test of one rollout, with all that it has to remember.

    Attributes:
        sums: under each draw, the sum of the canary's amounts; the real assignment is the first.
        share: the sum that the router's weights alone let expect.
        alive: the draws that have not been removed.
        used: how many have been.
        next_look: when the next look is due, seconds since the epoch.
        proven_at: the look at which harm was proven; None before that.
    """

    parameters: ExactParameters
    plan: Plan
    redraw: Redraw
    next_look: float
    cohorts: Cohorts = field(init=False)
    counted: Counted = field(default_factory=Counted)
    sums: Floats = field(init=False)
    share: float = 0.0
    alive: Bools = field(init=False)
    used: int = 0
    proven_at: float | None = None

    def __post_init__(self) -> None:
        """Begin with all draws, and nobody counted."""
        self.cohorts = Cohorts(self.redraw.draws)
        self.sums = np.zeros(self.redraw.draws)
        self.alive = np.ones(self.redraw.draws, dtype=np.bool_)

    @property
    def spent_ratio(self) -> float:
        """How much of its alpha has been spent."""
        return self.used / (self.parameters.alpha * self.redraw.draws)

    def count(self, pairs: Pairs, weights: Sequence[tuple[float, float]]) -> None:
        """Count new pairs, and the difference of those that count as something else by now.

        *pairs* may leave out any whose amount has not changed. *weights* is the history of `(time, the canary's weight
        from then on)`; a pair's phase is a position in it.
        """
        if self.proven_at is not None or not len(pairs):
            return
        share = np.asarray([weight for _, weight in weights])
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
        if budget < 1:
            return
        extremity = self.extremity()
        alive = extremity[self.alive]
        # The draw that is just not removed; those that tie with it stay, all of them.
        limit = float(np.partition(alive, -budget - 1)[-budget - 1]) if budget < len(alive) else 0.0
        gone = self.alive & (extremity > max(limit, 0.0))
        self.used += int(gone.sum())
        self.alive &= ~gone
        if gone[0]:
            self.proven_at = float(now)

    def extremity(self) -> Floats:
        """Under each draw, by how much the canary's customers did worse than their cohorts."""
        harm = self.parameters.harm
        worse = harm * (self.sums - self.cohorts.expected())
        if self.parameters.of_entries:
            worse = np.minimum(worse, harm * (self.sums - self.share))
        scale = float(np.abs(worse).max())
        return np.round(worse / scale, _DIGITS) if scale > 0.0 else worse

    def saved(self) -> dict[str, npt.NDArray[Any]]:
        """All that has to be remembered, as arrays; draws are computed again."""
        cohorts, counted = self.cohorts, self.counted
        proven_at = np.nan if self.proven_at is None else self.proven_at
        arrays = {
            "numbers": np.asarray([self.redraw.draws, self.next_look, self.used, self.share, proven_at]),
            "cohort_phase": cohorts.phase, "cohort_start": cohorts.start, "cohort_pairs": cohorts.pairs,
            "cohort_amount": cohorts.amount, "cohort_canary": cohorts.canary.astype(np.int32),
            "sums": self.sums, "alive": np.packbits(self.alive),
            "key": counted.key, "unit": counted.unit, "canary": np.packbits(counted.canary),
            "cohort": counted.cohort.astype(np.int32), "amount": counted.amount,
        }  # fmt: skip
        return {name: np.array(array) for name, array in arrays.items()}

    def restore(self, saved: Mapping[str, npt.NDArray[Any]]) -> bool:
        """Go on from what another process has saved; False, and nothing changed, when it is no state of this test."""
        try:
            draws, next_look, used, share, proven_at = (float(number) for number in saved["numbers"])
            cohorts = Cohorts(
                self.redraw.draws,
                saved["cohort_phase"], saved["cohort_start"], saved["cohort_pairs"], saved["cohort_amount"],
            )  # fmt: skip
            cohorts.canary[:] = saved["cohort_canary"]
            pairs = len(saved["key"])
            counted = Counted(
                saved["key"], saved["unit"], np.unpackbits(saved["canary"], count=pairs).astype(np.bool_),
                saved["cohort"].astype(np.int64), saved["amount"],
            )  # fmt: skip
            alive = np.unpackbits(saved["alive"], count=self.redraw.draws).astype(np.bool_)
            sums = saved["sums"]
        except (KeyError, ValueError):
            return False
        if draws != self.redraw.draws or len(sums) != len(alive):
            return False
        self.cohorts, self.counted, self.sums, self.alive, self.share = cohorts, counted, sums, alive, share
        self.next_look, self.used = next_look, int(used)
        self.proven_at = None if np.isnan(proven_at) else proven_at
        return True

    def _arrive(self, keys: Words, pairs: Pairs, share: Floats) -> None:
        cohort = np.empty(len(pairs), dtype=np.int64)
        for phase in np.unique(pairs.phase):
            ours = pairs.phase == phase
            cohort[ours] = self.cohorts.place(int(phase), pairs.entered[ours])
        self._add(pairs.unit, pairs.canary, cohort, pairs.amount, share, new=True)
        self.counted.add(keys, pairs, cohort)
        renumbered = self.cohorts.merge()
        if len(renumbered) > len(self.cohorts):
            self.counted.cohort = renumbered[self.counted.cohort]

    def _change(self, at: Ints, pairs: Pairs, share: Floats) -> None:
        by = pairs.amount - self.counted.amount[at]
        changed = by != 0.0
        at, by = at[changed], by[changed]
        if len(at):
            counted = self.counted
            self._add(counted.unit[at], counted.canary[at], counted.cohort[at], by, share, new=False)
            counted.amount[at] += by

    def _add(self, units: Words, canary: Bools, cohort: Ints, by: Floats, share: Floats, *, new: bool) -> None:
        """Add *by* to what the pairs count as, under every draw; *new* pairs are themselves counted too."""
        weights = share[self.cohorts.phase[cohort]]
        np.add.at(self.cohorts.amount, cohort, by)
        self.share += float(weights @ by)
        # Pairs of one cohort met one weight. What changes needs no cohort of its own, and is quicker in larger pieces.
        group = cohort if new else self.cohorts.phase[cohort]
        for number in np.unique(group):
            ours = group == number
            counts, sums = self.redraw.sums(units[ours], float(weights[ours][0]), by[ours])
            counts[0], sums[0] = canary[ours].sum(), by[ours][canary[ours]].sum()
            if new:
                self.cohorts.canary[number] += counts
            self.sums += sums
