"""A log-likelihood on its way: where it stands, where it stood at each restart and at the beginning of the phase."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from exporter.evidence.grid import Floats, Ints
from exporter.evidence.progress.restarts import Bases, Starts


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """A vector of log-likelihoods that grows by increments in order of time; immutable."""

    likelihood: Floats
    bases: Bases = field(default_factory=Bases)
    phase_start: int = -1
    """The bucket with which the present phase began."""
    phase_base: Floats = field(default_factory=lambda: np.zeros(0))
    """The likelihood at that moment; empty before the first change of the weight."""

    def advance(
        self, buckets: Ints, increments: Floats, starts: Starts, phases: list[int], until: int
    ) -> tuple[Walk, Floats]:
        """With the increments of some buckets, all before `until`; and the path, a row per bucket."""
        path = self.likelihood + np.cumsum(increments, axis=0)
        bases = self.bases.passed(starts, self.likelihood, buckets, path, until)
        begun = [start for start in phases if self.phase_start < start < until]
        phase_start, phase_base = self.phase_start, self.phase_base
        if begun:
            phase_start = begun[-1]
            at = int(np.searchsorted(buckets, phase_start, side="left"))
            phase_base = path[at - 1] if at else self.likelihood
        last = path[-1] if len(path) else self.likelihood
        return Walk(last, bases, phase_start, phase_base), path

    @property
    def since_phase(self) -> Floats:
        """The likelihood of what came in the present phase alone."""
        return self.likelihood - self.phase_base if self.phase_base.size else self.likelihood


def in_buckets(buckets: Ints, at: Ints, terms: Floats) -> Floats:
    """The terms summed by bucket: a row for each of `buckets`, all of which `at` falls into."""
    summed = np.zeros((len(buckets), terms.shape[1]))
    if len(at):
        order = np.argsort(at, kind="stable")
        found, firsts = np.unique(at[order], return_index=True)
        summed[np.searchsorted(buckets, found)] = np.add.reduceat(terms[order], firsts, axis=0)
    return summed
