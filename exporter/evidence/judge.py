"""The judge of one rollout: event-level rows in, evidence and verdicts out.

    kpis = (KpiParameters("conversion_rate", Kind.CONVERSION, tolerance=0.10), …)
    judge = RolloutJudge(JudgeParameters(started_at=…, kpis=kpis))
    evidence = judge.judge(RolloutRows(kpis={"conversion_rate": ConversionRows(…)}, entries=EntryRows(…)),
                           weights=[(started_at, 0.05), (…, 0.25)], as_of=now)
    evidence.kpis["conversion_rate"].log10_evidence

The same rows give the same evidence whatever the rhythm of the calls, restarts, or the order in which rows arrived
within the lateness horizon: only complete buckets count, and buckets younger than the horizon are judged anew each
time. A fresh judge that is given all rows and an old one that is given the rows since `needs_since()` agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from exporter.evidence import verdict as verdicts
from exporter.evidence.comparisons.level import events_of
from exporter.evidence.comparisons.outcome import outcomes_of, with_timeout
from exporter.evidence.comparisons.slower import LagShape
from exporter.evidence.parameters import JudgeParameters, Kind, KpiParameters
from exporter.evidence.progress.restarts import Plan
from exporter.evidence.progress.timeline import Timeline
from exporter.evidence.progress.trajectory import Trajectory
from exporter.evidence.progress.warmup import Warmup
from exporter.evidence.results import (
    ExactEvidence,
    KpiEvidence,
    RolloutEvidence,
    StableLevel,
    TestEvidence,
    combined,
    decision,
)
from exporter.evidence.rows import (
    ConversionRows,
    EntryRows,
    MeanRows,
    OutcomeRows,
    RolloutRows,
    Rows,
    segment_rows,
    some_rows,
)
from exporter.evidence.tracks import ENTRIES, Part, Tracks, segment_part
from exporter.evidence.verdict import Action, Conclusion, Harm, HoldReason, Verdict


@dataclass(slots=True)
class RolloutJudge:
    """Judges one rollout again and again, keeping only sums of what is older than the lateness horizon."""

    parameters: JudgeParameters
    _tracks: Tracks = field(init=False)
    _ends: int = field(init=False, default=1 << 40)
    """The bucket with which comparisons end, because stable has no traffic any more."""
    _warmup: Warmup = field(init=False)
    _levels: dict[str, float] = field(init=False, default_factory=dict)
    """By KPI, the shop's level before the rollout."""
    _dispersion: dict[str, float] = field(init=False, default_factory=dict)
    """By KPI whose units are not customers, by what its likelihoods are divided now."""
    _no_customers: set[str] = field(init=False, default_factory=set)
    """KPIs that only hold, as hardly any row named its customer before the start."""
    _segment_names: dict[str, tuple[str, ...]] = field(init=False, default_factory=dict)
    _sides_apart_ratio: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._tracks = Tracks(self.parameters)

    def know_lags(self, kpi: str, lags: LagShape) -> None:
        """How soon a conversion's events came before the rollout. To be told before the first look."""
        self._tracks.know_lags(next(one for one in self.parameters.kpis if one.name == kpi), lags)

    def know_segments(self, kpi: str, names: Sequence[str]) -> None:
        """The names of a KPI's segments, in the order in which their rows are numbered."""
        self._segment_names[kpi] = tuple(names)
        self._tracks.know_segments(kpi, len(names))

    def know_level(self, kpi: str, before: float) -> None:
        """What share of units usually succeeds or converts by now; told again as the hour of the day goes on."""
        ours = next(one for one in self.parameters.kpis if one.name == kpi)
        limit = before * (1.0 - (ours.tolerance or 0.0))
        if ours.watch_stable and 0.0 < limit < 1.0:
            self._levels[kpi] = before
            self._tracks.know_level(ours, limit)

    def know_dispersion(self, kpi: str, steps: Sequence[tuple[float, float]]) -> None:
        """From which moment on a KPI's likelihoods, or without one the sample ratio's, are divided by how much."""
        self._dispersion[kpi], start = steps[-1][1], self.parameters.started_at
        width = self.parameters.bucket_seconds
        self._tracks.know_dispersion(kpi, [(round((at - start) / width), factor) for at, factor in steps])

    def know_no_customers(self, kpi: str) -> None:
        """A KPI's units turn out not to be customers, whatever the policy says: a proven harm only holds."""
        self._no_customers.add(kpi)

    def know_sides(self, apart_ratio: float | None) -> None:
        """For which part of the canary's customers rows and the router's hash name two sides; None: not known."""
        self._sides_apart_ratio = apart_ratio

    def needs_since(self, kpi: str = "") -> float:
        """The next call needs every unit of a KPI that entered, converted or resolved at or after this time.

        Units that are pending are needed besides. Without a KPI it is about the entries.
        """
        oldest = self._tracks.oldest_bucket(kpi, self._ends)
        return self.parameters.started_at + oldest * self.parameters.bucket_seconds

    def judge(
        self,
        rows: RolloutRows,
        weights: Sequence[tuple[float, float]],
        as_of: float,
        blind: Mapping[str, str] | None = None,
        exact: Mapping[str, ExactEvidence] | None = None,
        waiting: Mapping[str, KpiEvidence] | None = None,
    ) -> RolloutEvidence:
        """Judge what is known at `as_of` (seconds since the epoch).

        `rows` may hold more than `needs_since` asks for. `weights` is the whole history of `(time, canary's traffic
        weight from then on)`. `blind` names the KPIs whose data are too old, with the reason; a KPI without rows is
        blind by itself. `exact` is what the exact half says, `waiting` what is said again of KPIs that are not looked
        at. Calls must not go back in time.
        """
        timeline = Timeline.of(self.parameters.started_at, self.parameters.bucket_seconds, weights)
        self._ends = timeline.complete(timeline.judged_until)
        self._warmup = Warmup(timeline, self.parameters.warmup_seconds)
        rows = self._warmup.without(rows)
        mismatch = self._mismatch(rows.entries, timeline, as_of)
        blind, exact, said = blind or {}, exact or {}, waiting or {}
        kpis = {
            name: said.get(name) or self._kpi(kpi, rows, timeline, as_of, blind.get(name), exact.get(name))
            for name, kpi in ((one.name, one) for one in self.parameters.kpis)
        }
        verdict = verdicts.of_rollout(
            ((kpi.verdict, kpi.action) for kpi in kpis.values()),
            mismatch=mismatch is not None and mismatch.verdict is Verdict.FAIL,
        )
        decided_at, decider = decision(kpis.values())
        return RolloutEvidence(verdict, decider, decided_at, as_of, kpis, mismatch, self._sides_apart_ratio)

    def _kpi(
        self,
        kpi: KpiParameters,
        every: RolloutRows,
        timeline: Timeline,
        as_of: float,
        blind: str | None,
        exact: ExactEvidence | None,
    ) -> KpiEvidence:
        rows, gates = self._rows(kpi, every, kpi.name), self._gates(kpi, exact)
        threshold = -float(np.log10(self.parameters.alpha_of(kpi)))
        until = min(as_of, timeline.judged_until)
        path, units = self._tracks.follow((kpi.name, Part.COMPARISON), rows, timeline, until, as_of)
        segments = self._segments(kpi, every, timeline, until, as_of, exact)
        comparison = floor = None
        if kpi.tolerance is not None:
            comparison = self._comparison(kpi, gates, path, units, threshold)
        if kpi.floor is not None:
            told_apart_at = verdicts.proven_at(path, threshold, None if gates.doubted else gates.proven_at)
            floor = self._floor(kpi, kpi.floor, every.kpis.get(kpi.name), timeline, as_of, told_apart_at)
        reason = blind or (None if rows is not None else "its source is missing")
        tests, level = (comparison, floor), self._stable_level(kpi, rows, timeline, until, as_of)
        found = combined(tests, segments.values(), level, self._may_fail(kpi), is_blind=reason is not None)
        return KpiEvidence(
            kpi.name,
            found.verdict,
            kpi.action,
            found.decided_at,
            *tests,
            frozen=timeline.judged_until <= as_of,
            blind_reason=reason,
            hold_reason=found.hold_reason,
            slower=found.verdict is not Verdict.FAIL and len(path) > 0 and bool(path.log10_slower[-1] >= threshold),
            stable_level=level,
            segments=segments,
            over_dispersion=self._dispersion.get(kpi.name),
            exact=replace(exact, doubted=gates.doubted) if exact is not None else None,
        )

    def _gates(self, kpi: KpiParameters, exact: ExactEvidence | None) -> verdicts.Gates:
        slower, proven_at = float(np.log10(kpi.slower_evidence)), exact.proven_at if exact is not None else None
        doubted = verdicts.doubted(self._sides_apart_ratio)
        return verdicts.Gates(kpi.tolerance or 0.0, kpi.harm, slower, proven_at, doubted)

    def _may_fail(self, kpi: KpiParameters) -> bool:
        return kpi.may_fail and kpi.name not in self._no_customers

    def _rows(self, kpi: KpiParameters, every: RolloutRows, name: str) -> Rows | None:
        """A KPI's rows, or those of a segment of it; outcomes that are pending for too long count as failed."""
        rows = every.kpis.get(name)
        if isinstance(rows, OutcomeRows):
            rows = with_timeout(rows, kpi.pending_timeout_seconds, may_wait=kpi.may_wait)
        return self._warmup.happened(rows) if rows is not None else None

    def _comparison(
        self, kpi: KpiParameters, gates: verdicts.Gates, path: Trajectory, units: tuple[int, int], threshold: float
    ) -> TestEvidence:
        """Canary against stable, of all customers or of a segment."""
        mismatch = self._tracks.path(ENTRIES) if kpi.from_entry else None
        return TestEvidence.of(path, verdicts.judge_comparison(path, threshold, gates, mismatch), threshold, units)

    def _segments(
        self,
        kpi: KpiParameters,
        rows: RolloutRows,
        timeline: Timeline,
        until: float,
        as_of: float,
        exact: ExactEvidence | None,
    ) -> dict[str, TestEvidence]:
        """The comparison of each segment, by name; the exact half speaks for the one that it names."""
        if kpi.tolerance is None or not kpi.segments:
            return {}
        threshold = -float(np.log10(self.parameters.segment_alpha_of(kpi)))
        found = {}
        for number, name in enumerate(self._segment_names.get(kpi.name, ())):
            ours = self._rows(kpi, rows, segment_rows(kpi.name, number))
            path, units = self._tracks.follow((kpi.name, segment_part(number)), ours, timeline, until, as_of)
            gates = self._gates(kpi, exact if exact is not None and exact.segment == name else None)
            found[name] = self._comparison(kpi, gates, path, units, threshold)
        return found

    def _stable_level(
        self, kpi: KpiParameters, rows: Rows | None, timeline: Timeline, until: float, as_of: float
    ) -> StableLevel | None:
        """Stable next to the shop before the start; a finding of the newest moment, and none once stable is idle."""
        key = (kpi.name, Part.LEVEL)
        if not self._tracks.has(key):
            return None
        path, _ = self._tracks.follow(key, events_of(rows), timeline, until, as_of)
        evidence = float(path.log10_evidence[-1]) if len(path) else 0.0
        proven = evidence >= -float(np.log10(self.parameters.share_of(kpi)))
        now = float(path.estimate[-1]) if len(path) else np.nan
        return StableLevel(self._levels[kpi.name], now, evidence, proven and as_of < timeline.judged_until)

    def _floor(
        self,
        kpi: KpiParameters,
        floor: float,
        rows: Rows | None,
        timeline: Timeline,
        as_of: float,
        told_apart_at: float | None,
    ) -> TestEvidence:
        """The floor next to stable; from when stable has no traffic any more, the floor alone."""
        outcomes = outcomes_of(rows, kpi.pending_timeout_seconds, may_wait=kpi.may_wait)
        beside = watched = None if outcomes is None else self._warmup.happened(outcomes)
        if beside is not None and np.isfinite(timeline.judged_until):
            late = beside.entered >= timeline.judged_until
            beside, watched = some_rows(beside, ~late), some_rows(beside, late)
        alpha = self.parameters.alpha_of(kpi)
        threshold = -float(np.log10(alpha))
        path, units = self._tracks.follow((kpi.name, Part.FLOOR), beside, timeline, as_of, as_of)
        stable = self._tracks.folded((kpi.name, Part.STABLE_FLOOR), beside, timeline, as_of)
        conclusion = verdicts.judge_floor(path, stable, threshold, floor, told_apart_at)
        if as_of < timeline.judged_until or conclusion.verdict is Verdict.FAIL:
            return TestEvidence.of(path, conclusion, threshold, units)
        threshold = -float(np.log10(alpha / 2.0))
        path, units = self._tracks.follow((kpi.name, Part.WATCH), watched, timeline, as_of, as_of)
        again, _ = self._tracks.follow((kpi.name, Part.WATCH_AGAIN), watched, timeline, as_of, as_of)
        watched_conclusion = verdicts.judge_watched_floor(path, again, threshold, floor)
        if watched_conclusion.verdict is Verdict.FAIL and not kpi.watch_fails:
            watched_conclusion = Conclusion(Verdict.HOLD, None, HoldReason.WATCH_FLOOR)
        found = TestEvidence.of(path, watched_conclusion, threshold, units)
        return replace(found, log10_evidence=float(again.log10_evidence[-1])) if len(again) else found

    def _mismatch(self, entries: EntryRows | None, timeline: Timeline, as_of: float) -> TestEvidence | None:
        if entries is None:
            return None
        path, units = self._tracks.follow(ENTRIES, entries, timeline, min(as_of, timeline.judged_until), as_of)
        threshold = -float(np.log10(self.parameters.alpha))
        conclusion = verdicts.judge_mismatch(path, threshold, self.parameters.mismatch_tolerance)
        return TestEvidence.of(path, conclusion, threshold, units)


__all__ = [
    "Action",
    "ConversionRows",
    "EntryRows",
    "Harm",
    "HoldReason",
    "JudgeParameters",
    "Kind",
    "KpiEvidence",
    "KpiParameters",
    "MeanRows",
    "OutcomeRows",
    "Plan",
    "RolloutEvidence",
    "RolloutJudge",
    "RolloutRows",
    "TestEvidence",
    "Trajectory",
    "Verdict",
]
