"""The comparison of units to which something may happen later: a stratified sequential log-rank test.

Cox's partial likelihood (1972) of to whom it happens next, turned into a test martingale (ter Schure, Perez-Ortiz, Ly,
Gruenwald 2020). `conversion` looks for orders that fail to come, `outcome` for failures that come; both are this test
with a grid of their own, so that a difference in lag is no difference in what happens, and nothing waits for the
slowest unit. Units are customers, tables come from `cohorts`, later beginnings from `restarts`, the shown rates from
`rates`.

Where customers enter the shop (visits), the canary's share of the *events* must be off the router's weight besides: a
crawler or a health check makes visits, on one side perhaps, and never an order. Both tests must have proven harm.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from exporter.evidence import cohorts as cohort
from exporter.evidence.cohorts import AtRisk, Cohorts, EnteredUnits, Tables
from exporter.evidence.comparisons.events import Events, undecided
from exporter.evidence.comparisons.rates import Hazards, Rates
from exporter.evidence.comparisons.slower import LagShape
from exporter.evidence.grid import (
    LN10,
    EffectGrid,
    Floats,
    Ints,
    confidence_sequence,
    estimate,
    log10_harm_mixture,
)
from exporter.evidence.hypergeometric import log_pmf
from exporter.evidence.progress.restarts import Plan, Restarted, Starts
from exporter.evidence.progress.timeline import Timeline, distinct
from exporter.evidence.progress.trajectory import Trajectory
from exporter.evidence.progress.walk import Walk, in_buckets


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """What is compared, and how; fixed for a rollout.

    Attributes:
        grid: log odds ratios of hazards.
        event_is_good: whether the event is what one hopes for, so that fewer are harm.
        plan: what was planned, by which evidence restarts.
        lags: how soon stable's events came before the rollout; None where that is not asked.
        against_weight: whether the events' share must be off the router's weight too.
    """

    grid: EffectGrid
    event_is_good: bool
    plan: Plan = Plan()  # noqa: RUF009 - immutable
    lags: LagShape | None = None
    against_weight: bool = False

    @property
    def width(self) -> int:
        """How many likelihoods are kept: the grid's, and those of canaries that are only slower."""
        return self.grid.size + (self.lags.size if self.lags is not None else 0)


_UNBOUNDED = 100.0
"""A change by more than a hundredfold is bounded by nothing but how small stable's rate may be."""

_MILESTONES = np.unique(np.geomspace(8.0, 1e9, 200).astype(np.int64))
"""Numbers of units, each a tenth more than the one before. Where nothing ever happens there is no other moment."""


@dataclass(frozen=True, slots=True, eq=False)
class CohortTest(ABC):
    """One comparison, all buckets before `bucket` folded in.

    Immutable: `advance` gives the test with more buckets folded, and how it got there.
    """

    alpha: float
    setting: Setting
    bucket: int = 0
    walk: Walk = field(default_factory=lambda: Walk(np.zeros(0)))
    share: Walk = field(default_factory=lambda: Walk(np.zeros(0)))
    """The same of the events' share against the router's weight."""
    rates: Rates = field(default_factory=Rates)
    cohorts: Mapping[int, Cohorts] = field(default_factory=dict)
    dispersion: float = 1.0
    """By what likelihoods are divided where units are not customers: rows of one hang together."""

    @classmethod
    def of(cls, alpha: float, setting: Setting) -> Self:
        """A test that has seen nothing."""
        return cls(alpha, setting, 0, Walk(np.zeros(setting.width)), Walk(np.zeros(setting.grid.size)))

    @property
    def likelihood(self) -> Floats:
        """The log-likelihood over the grid."""
        return self.walk.likelihood[: self.setting.grid.size]

    @property
    def units(self) -> tuple[int, int]:
        """Canary and stable units that entered and were folded in."""
        totals = sum((known.entered.sum(axis=0) for known in self.cohorts.values()), np.zeros(2, dtype=np.int64))
        return int(totals[0]), int(totals[1])

    def dispersed(self, factor: float) -> Self:
        """The same, from now on with likelihoods divided by the over-dispersion of its units."""
        return replace(self, dispersion=factor)

    @abstractmethod
    def events(self, rows: Any) -> Events:  # each comparison reads its own kind of rows
        """What the comparison waits for, and when it is known whether it comes."""

    def advance(self, rows: Any, timeline: Timeline, until: int) -> tuple[Self, Trajectory]:
        """Fold the buckets up to `until`; `rows` holds at least the units that entered or had the event in them."""
        if until <= self.bucket:
            return self, Trajectory.empty()
        rows = self.events(rows)
        segment_of = timeline.segment_of(rows.assigned)
        entered = timeline.bucket(rows.entered)
        happened = cohort.happened_within(timeline, rows.happened, entered)
        boundaries = timeline.changes_within(self.bucket, until)
        known = dict(self.cohorts)
        tables: list[Tables] = []
        at_risk: list[AtRisk] = []
        for segment in timeline.segments:
            inside = (segment_of == segment.index) & (entered < until) & (happened >= self.bucket)
            if segment.comparable and segment.start < timeline.end_of(np.asarray(until - 1)):
                units = EnteredUnits(entered[inside], rows.canary[inside], happened[inside])
                before = known.get(segment.index) or Cohorts.first(segment, timeline)
                known[segment.index], found, seen = cohort.fold(before, units, timeline, self.bucket, until, boundaries)
                tables.append(found)
                at_risk.append(seen)
        every = Tables.together(tables)
        weighed = self._against_weight(rows, timeline, segment_of, happened, until)
        new = self._new_units(rows, timeline, segment_of, entered)
        milestones = self._milestones(new[0], until)
        buckets = distinct(np.concatenate([every.bucket, weighed[0], milestones]), self.bucket, until)
        starts = Starts.of(self.setting.plan, timeline, until)
        phases = [timeline.first_bucket_from(segment.start) for segment in timeline.segments[1:]]
        walk, path = self.walk.advance(
            buckets, in_buckets(buckets, every.bucket, self._terms(every)), starts, phases, until
        )
        share, share_path = self.share.advance(buckets, in_buckets(buckets, *weighed), starts, phases, until)
        rates, hazards = self.rates.then(at_risk, buckets, boundaries)
        test = replace(self, bucket=until, walk=walk, share=share, rates=rates, cohorts=known)
        if not len(buckets):
            return test, Trajectory.empty()
        return test, self._trajectory(
            test, timeline, (buckets, path, share_path), starts, hazards, self._counted(new, buckets)
        )

    def _terms(self, tables: Tables) -> Floats:
        """Each table's log-probability under every effect, and under every stretch of stable's lags."""
        if not len(tables.bucket):
            return np.zeros((0, self.setting.width))
        terms = log_pmf(tables.canary, tables.stable, tables.events, tables.canary_events, self.setting.grid.effects)
        if self.setting.lags is None:
            return terms
        return np.concatenate([terms, self.setting.lags.terms(self.setting.grid, terms, tables.age_class)], axis=1)

    def _against_weight(
        self, rows: Events, timeline: Timeline, segment_of: Ints, happened: Ints, until: int
    ) -> tuple[Ints, Floats]:
        """Bucket and log-probability of each event's side, given the weight with which its unit was assigned."""
        size = self.setting.grid.size
        if not self.setting.against_weight:
            return np.zeros(0, dtype=np.int64), np.zeros((0, size))
        comparable = np.asarray([segment.comparable for segment in timeline.segments], dtype=np.bool_)
        wanted = (happened >= self.bucket) & (happened < until) & (segment_of >= 0) & comparable[segment_of]
        weight = np.asarray([segment.weight for segment in timeline.segments])[segment_of[wanted]]
        effects = self.setting.grid.effects
        expected = np.log1p(weight[:, None] * np.expm1(effects))
        return happened[wanted], rows.canary[wanted, None] * effects - expected

    def _new_units(self, rows: Events, timeline: Timeline, segment_of: Ints, entered: Ints) -> tuple[Ints, Ints]:
        """Buckets of entry of the canary's and of stable's units that were not folded in before, in order."""
        comparable = np.asarray([segment.comparable for segment in timeline.segments], dtype=np.bool_)
        new = (segment_of >= 0) & comparable[segment_of] & (entered >= self.bucket)
        return np.sort(entered[new & rows.canary]), np.sort(entered[new & ~rows.canary])

    def _milestones(self, new: Ints, until: int) -> Ints:
        """Buckets in which the canary has so many units that no event says something too: a tenth more each time."""
        before, after = self.units[0], self.units[0] + int(np.searchsorted(new, until))
        reached = _MILESTONES[
            np.searchsorted(_MILESTONES, before, "right") : np.searchsorted(_MILESTONES, after, "right")
        ]
        return new[reached - before - 1]

    def _counted(self, new: tuple[Ints, Ints], buckets: Ints) -> tuple[Ints, Ints]:
        """Canary and stable units up to each bucket."""
        canary, stable = (
            before + np.searchsorted(side, buckets, side="right") for before, side in zip(self.units, new, strict=True)
        )
        return canary, stable

    def _trajectory(
        self,
        after: CohortTest,
        timeline: Timeline,
        paths: tuple[Ints, Floats, Floats],
        starts: Starts,
        hazards: Hazards,
        units: tuple[Ints, Ints],
    ) -> Trajectory:  # long: one figure after the other, each from the ones before
        grid, buckets = self.setting.grid, paths[0]
        path, share_path = paths[1] / self.dispersion, paths[2] / self.dispersion
        size = grid.size
        ranks = after.walk.bases.divided(self.dispersion).evidence(grid, starts, buckets, path)
        evidence, recent = ranks.log10_evidence, self._change(hazards, estimate(grid, ranks.likelihood[:, :size]))
        if self.setting.against_weight:
            weighed = after.share.bases.divided(self.dispersion).evidence(grid, starts, buckets, share_path)
            evidence = np.minimum(evidence, weighed.log10_evidence)
            # What is less by only one of the two counts is not less.
            recent = np.fmax(recent, np.expm1(estimate(grid, weighed.likelihood)))
        lower, upper = self._bounds(hazards, path[:, :size])
        plain = Trajectory.plain(
            time=timeline.end_of(buckets),
            # The grid ends somewhere, and the rates' own bounds may be beyond.
            estimate=np.clip(self._change(hazards, estimate(grid, path[:, :size])), lower, upper),
            lower=lower,
            upper=upper,
            log10_evidence=evidence,
            canary_units=units[0],
            stable_units=units[1],
        )
        return replace(
            plain,
            recent_estimate=recent,
            log10_not_slower=self._not_slower(ranks),
            quiet=ranks.quiet,
            phase_lower=np.full(len(buckets), -1.0),
            phase_upper=np.full(len(buckets), np.inf),
            log10_slower=self._slower(path),
        )

    def present(self, path: Trajectory, rows: Any, timeline: Timeline) -> Trajectory:
        """The path, its newest row with the bounds by which the canary may pass now.

        Rows are of moments that brought news, and the last one may be of another phase, or of many minutes ago. What
        is still open counts as a failure: who hangs has not failed yet, and brings no news.
        """
        if not len(path):
            return path
        hazards, size = self.rates.present, self.setting.grid.size
        lower, upper = self._bounds(hazards, self.walk.since_phase[None, :size] / self.dispersion)
        open_ = undecided(self.events(rows), timeline, self.cohorts, self.bucket)
        lower = np.maximum(lower - open_ / np.maximum(1.0 - hazards.stable.value, 1e-9), -1.0)
        return replace(
            path,
            phase_lower=np.append(path.phase_lower[:-1], lower),
            phase_upper=np.append(path.phase_upper[:-1], upper),
        )

    def _change(self, hazards: Hazards, log_ratio: Floats) -> Floats:
        if self.setting.event_is_good:
            return hazards.conversion_change(log_ratio)
        return hazards.survival_change(log_ratio)

    def _bounds(self, hazards: Hazards, likelihood: Floats) -> tuple[Floats, Floats]:
        """The ends of the change: half of alpha is the ratio's, half that of the rate that it is a ratio to."""
        ends = confidence_sequence(self.setting.grid, likelihood, self.alpha / 2.0)
        bounds = hazards.conversion_bounds if self.setting.event_is_good else hazards.survival_bounds
        lower, upper = bounds(ends, self.alpha / 2.0)
        return lower, np.where(upper > _UNBOUNDED, np.inf, upper)

    def _not_slower(self, ranks: Restarted) -> Floats:
        """log10 of the evidence that the canary is worse, and not only slower: against every stretch at once."""
        size = self.setting.grid.size
        if self.setting.lags is None:
            return np.full(len(ranks.likelihood), np.inf)
        if not self.setting.lags.size:
            return np.full(len(ranks.likelihood), -np.inf)
        stretched = ranks.likelihood[:, size:].max(axis=1)
        evidence: Floats = log10_harm_mixture(self.setting.grid, ranks.likelihood[:, :size]) - stretched / LN10
        return evidence

    def _slower(self, path: Floats) -> Floats:
        """log10 of the evidence that the canary's events come later, and as many."""
        size = self.setting.grid.size
        if self.setting.lags is None or self.setting.lags.size < 2:
            return np.zeros(len(path))
        stretches = path[:, size + 1 :] - path[:, size, None]
        top = stretches.max(axis=1)
        mixture: Floats = (np.log(np.exp(stretches - top[:, None]).mean(axis=1)) + top) / LN10
        return mixture
