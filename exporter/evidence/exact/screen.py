"""Whether the real assignment can have been removed at any look: told by a few of the draws, all looks at once.

A study asks of thousands of pseudo-rollouts whether harm is proven, and in nearly all it is not. At a look the real
assignment leaves only when fewer others look as bad as may have left by then. So where an eighth of the draws has as
many that look worse, it has stayed, whatever all the others do. What this cannot rule out is looked at in full, so that
no verdict is another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exporter.evidence.exact.cohorts import MOST, Cohorts
from exporter.evidence.exact.pairs import Pairs
from exporter.evidence.exact.randomisation import Randomisation
from exporter.evidence.exact.redraw import HashedPlaces
from exporter.evidence.exact.steps import Steps
from exporter.evidence.grid import Floats, Ints

PART = 8
"""Of the draws. An eighth rules out six healthy tests of seven; with fewer draws more would be looked at in full."""
_PIECE = 255
"""Pairs whose sides are summed up together: the sum fits a byte."""
_PAIRS_AT_ONCE = 16 * _PIECE
_LOOKS_AT_ONCE = 512
"""Some megabytes each."""
_MARGIN = 1e-6
"""Draws that are so near to the real one may tie with it, as sums are rounded."""


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """What was known at each look: rows are looks, columns cohorts.

    Attributes:
        pairs: in order of phase and entry.
        seen: by pair, the look that first counts it.
        cohort: by pair.
        changed, look, by: of each change of an amount the pair, the look that first counts it, and the difference.
    """

    pairs: Pairs
    seen: Ints
    cohort: Ints
    changed: Ints
    look: Ints
    by: Floats
    cohorts: int

    @classmethod
    def of(cls, steps: Steps, moments: Floats) -> _Known:
        """Pairs and changes up to the last of *moments*."""
        look = np.searchsorted(moments, steps.time, side="left")
        known = look < len(moments)
        every, look = steps.pairs.where(known), look[known]
        _, first, pair = np.unique(every.keys, return_index=True, return_inverse=True)
        pairs = every.where(first)
        order = np.lexsort((pairs.unit, pairs.entered, pairs.phase))
        pairs, seen = pairs.where(order), look[first][order]
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        cohorts, cohort = Cohorts(0), np.empty(len(order), dtype=np.int64)
        for phase in np.unique(pairs.phase):
            ours = pairs.phase == phase
            cohort[ours] = cohorts.place(int(phase), 0, pairs.entered[ours])
        pair = place[pair]
        successive = np.argsort(pair, kind="stable")
        amount = every.amount[successive]
        before = np.append(0.0, amount[:-1])
        before[np.append(True, pair[successive][1:] != pair[successive][:-1])] = 0.0
        by = np.empty(len(amount))
        by[successive] = amount - before
        changes = np.flatnonzero(by)
        return cls(pairs, seen, cohort, pair[changes], look[changes], by[changes], len(cohorts))

    def means(self, looks: int) -> Floats:
        """What pairs count as on average, by look and cohort."""
        count, amount = np.zeros((looks, self.cohorts)), np.zeros((looks, self.cohorts))
        np.add.at(count, (self.seen, self.cohort), 1.0)
        np.add.at(amount, (self.look, self.cohort[self.changed]), self.by)
        means: Floats = amount.cumsum(axis=0) / np.maximum(count.cumsum(axis=0), 1.0)
        return means


def never_removed(
    test: Randomisation, few: HashedPlaces, steps: Steps, weights: Sequence[tuple[float, float]], moments: Floats
) -> bool:
    """Whether a test that looks at *moments* certainly never proves harm; False where that cannot be told.

    That of a KPI with segments is looked at in full: what is extreme in one of them shows in no sum.

    Args:
        test: in its beginning.
        few: the first of the test's own draws.
        weights: the history of `(time, the canary's weight from then on)`.
    """
    if test.parameters.segments > 1:
        return False
    known = _Known.of(steps, moments)
    if known.cohorts > MOST:  # neighbours are added up then, and which depends on the looks
        return False
    share = np.asarray([weight for _, weight in weights])[known.pairs.phase]
    begins = _pieces(known)
    counts, sums = _counted(few, known, share, begins, len(moments))
    routed = np.bincount(known.look, known.by * share[known.changed], len(moments)).cumsum()
    means, allowed = known.means(len(moments)), test.allowed(weights, moments)
    seen, cohort = known.seen[begins], known.cohort[begins]

    def worse(looks: Ints, draws: slice) -> Floats:
        expected = np.where(seen <= looks[:, None], means[looks][:, cohort], 0.0) @ counts[:, draws]
        worse = test.parameters.harm * (sums[looks, draws] - expected)
        if test.parameters.of_entries:
            worse = np.minimum(worse, test.parameters.harm * (sums[looks, draws] - routed[looks, None]))
        return worse

    every = np.arange(len(moments))
    suspect = np.flatnonzero((worse(every, slice(1))[:, 0] > 0.0) & (allowed > 0))
    for start in range(0, len(suspect), _LOOKS_AT_ONCE):
        looks = suspect[start : start + _LOOKS_AT_ONCE]
        found = worse(looks, slice(None))
        margin = _MARGIN * np.abs(found).max(axis=1, keepdims=True)
        if np.any((found > found[:, :1] + margin).sum(axis=1) < allowed[looks]):
            return False
    return True


def _pieces(known: _Known) -> Ints:
    """Where pairs of another phase, cohort or look begin, and after so many that a sum of sides fits a byte."""
    differs = np.ones(len(known.seen), dtype=np.bool_)
    columns = (known.pairs.phase, known.cohort, known.seen)
    differs[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    differs[::_PIECE] = True
    return np.flatnonzero(differs)


def _counted(few: HashedPlaces, known: _Known, share: Floats, begins: Ints, looks: int) -> tuple[Floats, Floats]:
    """Under each draw, how many of each piece are on the canary, and what the canary amounts to at each look."""
    pairs = known.pairs
    counts, sums = np.zeros((len(begins), few.draws)), np.zeros((looks, few.draws))
    piece = 0
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        some = slice(start, start + _PAIRS_AT_ONCE)
        sides = few.sides(pairs.unit[some], share[some])
        sides[:, 0] = pairs.canary[some]
        ends = np.append(begins, len(pairs))
        while piece < len(begins) and begins[piece] < start + len(sides):
            counts[piece] = np.add.reduce(
                sides[begins[piece] - start : ends[piece + 1] - start], axis=0, dtype=np.uint8
            )
            piece += 1
        changes = np.flatnonzero((known.changed >= start) & (known.changed < start + len(sides)))
        rows = zip(
            known.look[changes].tolist(), known.by[changes].tolist(), known.changed[changes].tolist(), strict=True
        )
        for look, by, pair in rows:
            sums[look] += by * sides[pair - start]
    return counts, sums.cumsum(axis=0)
