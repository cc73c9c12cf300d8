"""Sample-ratio mismatch: does the canary get the share of visits that the router was told to give it?

Too few or too many canary units mean that routing or version stamping is broken, or that the canary
loses sessions; then the two sides are not comparable (Lindon, Malek 2020).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from exporter.evidence.grid import Floats, confidence_sequence, estimate, log10_evidence_against, symmetric_grid
from exporter.evidence.progress.timeline import Timeline
from exporter.evidence.progress.trajectory import Trajectory
from exporter.evidence.rows import EntryRows

GRID = symmetric_grid(((0.5, 0.0125), (1.5, 0.05), (6.0, 0.25)), sd=0.5, harm_sign=-1)
"""Shifts of the log odds of being on the canary; far ones too, because a router may ignore its weight altogether."""

SETTLE_SECONDS = 10.0
"""Entries this soon after a weight change do not count: routers switch at slightly different moments."""


@dataclass(frozen=True, slots=True, eq=False)
class MismatchTest:
    """Canary entries against their expected number, all buckets before `bucket` folded in; immutable."""

    alpha: float
    tolerated: float = 0.20
    """Relative change of the canary's traffic weight that is let pass."""
    bucket: int = 0
    likelihood: Floats = field(default_factory=lambda: np.zeros(GRID.size))
    expected: Floats = field(default_factory=lambda: np.zeros(GRID.size))
    """Canary entries that each log-odds shift would have brought."""
    units: tuple[int, int] = (0, 0)
    dispersion: float = 1.0
    """By what likelihoods are divided where units are not customers: rows of one hang together."""

    def dispersed(self, factor: float) -> MismatchTest:
        """The same, from now on with likelihoods divided by the over-dispersion of its units."""
        return replace(self, dispersion=factor)

    def advance(self, rows: EntryRows, timeline: Timeline, until: int) -> tuple[MismatchTest, Trajectory]:
        """Fold the buckets up to `until`; `rows` holds at least the entries in them."""
        if until <= self.bucket:
            return self, Trajectory.empty()
        bucket = timeline.bucket(rows.entered)
        segment_of = timeline.segment_of(rows.entered)
        wanted = (bucket >= self.bucket) & (bucket < until)
        buckets = np.unique(bucket[wanted])
        canary = np.zeros((len(timeline.segments), buckets.size))
        everyone = np.zeros_like(canary)
        for segment in timeline.segments:
            if segment.comparable:
                settled = rows.entered >= segment.start + SETTLE_SECONDS
                inside = wanted & settled & (segment_of == segment.index)
                for target, members in ((canary, inside & rows.canary), (everyone, inside)):
                    target[segment.index] = np.searchsorted(np.sort(bucket[members]), buckets, side="right")
        weights = np.asarray([segment.weight if segment.comparable else 0.5 for segment in timeline.segments])
        log_odds = np.log(weights / (1.0 - weights))[:, None] + GRID.effects
        stay, go = -np.logaddexp(0.0, log_odds), -np.logaddexp(0.0, -log_odds)
        path = self.likelihood + canary.T @ go + (everyone - canary).T @ stay
        expected = self.expected + everyone.T @ np.exp(go)
        n_c = self.units[0] + canary.sum(axis=0).astype(np.int64)
        n_s = self.units[1] + (everyone - canary).sum(axis=0).astype(np.int64)
        test = replace(self, bucket=until)
        if buckets.size:
            test = replace(test, likelihood=path[-1], expected=expected[-1], units=(int(n_c[-1]), int(n_s[-1])))
        with np.errstate(invalid="ignore"):
            let_pass = np.abs(expected / expected[:, [GRID.null]] - 1.0) <= self.tolerated
        let_pass[:, GRID.null] = True
        weighed = path / self.dispersion
        lower, upper = confidence_sequence(GRID, weighed, self.alpha)
        return test, Trajectory.plain(
            time=timeline.end_of(buckets),
            estimate=_share_change(estimate(GRID, path), expected),
            lower=_share_change(lower, expected),
            upper=_share_change(upper, expected),
            log10_evidence=log10_evidence_against(GRID, weighed, let_pass),
            canary_units=n_c,
            stable_units=n_s,
        )


def _share_change(shift: Floats, expected: Floats) -> Floats:
    """What a log-odds shift does to the canary's expected share, as a relative change; -1 and inf without bound."""
    known = np.where(np.isfinite(shift), shift, 0.0)
    left = np.clip(np.searchsorted(GRID.effects, known, side="right") - 1, 0, GRID.effects.size - 2)
    rows = np.arange(len(shift))
    below, above = expected[rows, left], expected[rows, left + 1]
    slope = (above - below) / (GRID.effects[left + 1] - GRID.effects[left])
    at = np.where(np.isfinite(shift), below + slope * (known - GRID.effects[left]), np.maximum(shift, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        change: Floats = at / expected[:, GRID.null] - 1.0
    return change
