"""Evidence that restarts: harm that begins late is not hidden by the healthy time before it.

Evidence from the start never forgets: a harm of minute 19 has to make up for nineteen healthy minutes, one of minute 35
is never proven. So besides the evidence from the start there is evidence from later moments on, each with a weight that
is fixed beforehand. The weights sum to at most one, and a start that is still ahead counts as one, so that the sum
`E = sum_k w_k E_k` is an e-process like each of them (an e-detector: Shin, Ramdas, Rinaldo 2023).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from exporter.evidence.grid import LN10, Bools, EffectGrid, Floats, Ints
from exporter.evidence.progress.timeline import Timeline

FROM_START = 0.75
"""Weight of the evidence from the start: most bad releases are bad from the first minute on, and lose 4 % of the time
by this. What begins late needs twice the evidence that it would with one half, which is seconds of such harm."""
_PHASES, _PLANNED, _BEYOND = 0.0625, 0.125, 0.0625
"""The rest: the beginnings of later phases, the planned minutes, and what comes after the plan."""
_MINUTE = 60.0
_BEYOND_SECONDS = 300.0
"""Beyond the plan evidence restarts every so often, the j-th time with a weight in proportion to 1/(j(j+1)), which
sums to one over any length."""
_MOST_PLANNED = 1440
"""Starts in the plan; a longer one has them less often than each minute."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What was planned: how long the canary shares its traffic with stable, and in how many phases; 0: nothing."""

    seconds: float = 0.0
    phases: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Starts:
    """When evidence restarts: buckets in ascending order with their weights, and what is left for the start."""

    buckets: Ints
    weights: Floats

    @property
    def from_start(self) -> float:
        """The weight of the evidence from the start; all of it where nothing restarts."""
        return FROM_START if len(self.buckets) else 1.0

    @classmethod
    def of(cls, plan: Plan, timeline: Timeline, until: int) -> Starts:
        """The starts before bucket `until`; none without a plan."""
        if plan.seconds <= 0.0:
            return cls(np.zeros(0, dtype=np.int64), np.zeros(0))
        step = max(_MINUTE, plan.seconds / _MOST_PLANNED)
        minutes = np.arange(1, max(2, int(np.ceil(plan.seconds / step)))) * step
        found = list(zip(minutes, np.full(len(minutes), _PLANNED / len(minutes)), strict=True))
        if plan.phases > 1:
            begun = [segment.start - timeline.origin for segment in timeline.segments[1:] if segment.comparable]
            found += [(start, _PHASES / (plan.phases - 1)) for start in begun[: plan.phases - 1]]
        last = until * timeline.bucket_seconds
        numbers = np.arange(1, max(1, int((last - plan.seconds) / _BEYOND_SECONDS) + 2))
        found += [
            (plan.seconds + (number - 1) * _BEYOND_SECONDS, _BEYOND / (number * (number + 1))) for number in numbers
        ]
        found.sort()
        starts = np.ceil(np.asarray([start for start, _ in found]) / timeline.bucket_seconds).astype(np.int64)
        return cls(starts, np.asarray([weight for _, weight in found]))


@dataclass(frozen=True, slots=True, eq=False)
class Restarted:
    """What the restarts say at each of some moments.

    Attributes:
        log10_evidence: of the weighted sum.
        likelihood: from the loudest start on, a row per moment.
        quiet: whether no start but the first has evidence above one, weighed.
    """

    log10_evidence: Floats
    likelihood: Floats
    quiet: Bools


@dataclass(frozen=True, slots=True, eq=False)
class Bases:
    """The likelihood at each start that has passed, by which what came since is told from what came before."""

    buckets: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    likelihoods: Floats = field(default_factory=lambda: np.zeros((0, 0)))

    def passed(self, starts: Starts, before: Floats, buckets: Ints, path: Floats, until: int) -> Bases:
        """With the starts that passed up to `until`; `path` is the likelihood after each of `buckets`."""
        new = starts.buckets[len(self.buckets) :]
        new = new[new < until]
        every = np.concatenate([before[None], path])
        at = np.searchsorted(buckets, new, side="left")
        old = self.likelihoods if len(self.buckets) else np.zeros((0, every.shape[1]))
        return Bases(np.concatenate([self.buckets, new]), np.concatenate([old, every[at]]))

    def divided(self, factor: float) -> Bases:
        """The same of likelihoods that are divided by a factor."""
        return self if factor == 1.0 else Bases(self.buckets, self.likelihoods / factor)

    def evidence(self, grid: EffectGrid, starts: Starts, buckets: Ints, path: Floats) -> Restarted:
        """The evidence after each of `buckets`, all starts together.

        The starts' evidences are one product of two matrices. What is so far off that a double cannot hold it next to
        the rest counts as none, which understates the evidence.
        """
        parts = [
            self._block(grid, starts, buckets[first : first + _BLOCK_ROWS], path[first : first + _BLOCK_ROWS])
            for first in range(0, len(path), _BLOCK_ROWS)
        ]
        log10, likelihood, quiet = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return Restarted(log10, likelihood, quiet)

    def _block(self, grid: EffectGrid, starts: Starts, buckets: Ints, path: Floats) -> tuple[Floats, Floats, Bools]:
        harmful = np.flatnonzero(np.isfinite(grid.log_prior_harm))
        prior = grid.log_prior_harm[harmful]
        relative = path[:, harmful] - path[:, grid.null, None]
        weighed = np.log(starts.from_start) + _log_sum_exp(relative + prior)[:, None]
        reference = relative[0]
        bases = self.likelihoods if len(self.buckets) else np.zeros((0, path.shape[1]))
        now = relative - reference
        then = reference + prior - (bases[:, harmful] - bases[:, grid.null, None])
        top_now, top_then = now.max(axis=1, keepdims=True), then.max(axis=1, keepdims=True, initial=-_FAR)
        product = np.exp(now - top_now) @ np.exp(then - top_then).T
        weights = starts.weights[: len(self.buckets)]
        begun = self.buckets <= buckets[:, None]
        with np.errstate(divide="ignore"):
            later = np.where(begun, np.log(weights) + np.log(product) + top_now + top_then.T, -np.inf)
            ahead = np.log(np.maximum(1.0 - starts.from_start - (begun * weights).sum(axis=1), 0.0))
        weighed = np.concatenate([weighed, later], axis=1)
        total = np.logaddexp(_log_sum_exp(weighed), ahead)
        since = np.concatenate([np.zeros((1, path.shape[1])), bases])[weighed.argmax(axis=1)]
        quiet: Bools = np.all(later <= 0.0, axis=1)
        return total / LN10, path - since, quiet


_BLOCK_ROWS = 60
"""So many moments share one point of reference: near enough to each that no difference leaves a double's range."""
_FAR = 1e9
"""The logarithm of nothing, where there are no restarts."""


def _log_sum_exp(values: Floats) -> Floats:
    top = values.max(axis=-1, keepdims=True)
    summed: Floats = np.log(np.exp(values - top).sum(axis=-1)) + top[..., 0]
    return summed
