"""The judge of one rollout: event-level rows in, evidence and verdicts out.

    plan = JudgePlan(started_at=…, kpis=(KpiPlan("conversion_rate", Kind.CONVERSION, tolerance=0.10), …))
    judge = RolloutJudge(plan)
    evidence = judge.judge(RolloutRows(kpis={"conversion_rate": ConversionRows(…)}, entries=EntryRows(…)),
                           weights=[(started_at, 0.05), (…, 0.25)], as_of=now)
    evidence.kpis["conversion_rate"].log10_evidence

The same rows give the same evidence whatever the rhythm of the calls, restarts, or the order in
which rows arrived within the lateness horizon: only complete buckets count, and buckets younger than
the horizon are judged anew each time. A fresh judge that is given all rows of the rollout and an old
one that is given the rows since `needs_since` agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from exporter.evidence import verdict as verdicts
from exporter.evidence.conversion import ConversionTest
from exporter.evidence.findings import KpiEvidence, RolloutEvidence, TestEvidence
from exporter.evidence.floor import FloorTest
from exporter.evidence.mean import DECREASE_GRID, INCREASE_GRID, MeanTest
from exporter.evidence.mismatch import MismatchTest
from exporter.evidence.outcome import OutcomeTest, with_timeout
from exporter.evidence.plan import JudgePlan, Kind, KpiPlan
from exporter.evidence.rows import ConversionRows, EntryRows, MeanRows, OutcomeRows, RolloutRows, Rows
from exporter.evidence.timeline import Timeline
from exporter.evidence.track import Track
from exporter.evidence.trajectory import Trajectory
from exporter.evidence.verdict import Action, Harm, Verdict


@dataclass(slots=True)
class RolloutJudge:
    """Judges one rollout again and again, keeping only sums of what is older than the lateness horizon."""

    plan: JudgePlan
    _tracks: dict[str, Track] = field(init=False)

    def __post_init__(self) -> None:
        self._tracks = {_ENTRIES: Track(MismatchTest(self.plan.alpha, self.plan.mismatch_tolerance))}
        for kpi in self.plan.kpis:
            alpha = self.plan.alpha_of(kpi)
            if kpi.tolerance is not None:
                self._tracks[kpi.name] = Track(_comparison(kpi, alpha))
            if kpi.floor is not None:
                self._tracks[_floor(kpi.name)] = Track(FloorTest(kpi.floor, alpha, kpi.pending_timeout_seconds))

    @property
    def needs_since(self) -> float:
        """The next call needs every unit that entered, converted or resolved at or after this time, or is pending."""
        oldest = min(track.test.bucket for track in self._tracks.values())
        return self.plan.started_at + oldest * self.plan.bucket_seconds

    def judge(
        self,
        rows: RolloutRows,
        weights: Sequence[tuple[float, float]],
        as_of: float,
        blind: Mapping[str, str] | None = None,
    ) -> RolloutEvidence:
        """Judge what is known at `as_of` (seconds since the epoch).

        `rows` may hold more than `needs_since` asks for. `weights` is the whole history of `(time,
        canary's share from then on)`. `blind` names the KPIs whose data are too old, with the
        reason; a KPI without rows is blind by itself. Calls must not go back in time.
        """
        timeline = Timeline.of(self.plan.started_at, self.plan.bucket_seconds, weights)
        mismatch = self._mismatch(rows.entries, timeline, as_of)
        kpis = {
            kpi.name: self._kpi(kpi, rows.kpis.get(kpi.name), timeline, as_of, (blind or {}).get(kpi.name))
            for kpi in self.plan.kpis
        }
        verdict = verdicts.of_rollout(
            ((kpi.verdict, kpi.action) for kpi in kpis.values()),
            mismatch=mismatch is not None and mismatch.verdict is Verdict.FAIL,
        )
        failed = [
            (kpi.decided_at, kpi.name)
            for kpi in kpis.values()
            if kpi.decided_at is not None and kpi.action is Action.ROLLBACK
        ]
        decided_at, decider = min(failed, default=(None, None))
        return RolloutEvidence(verdict, decider, decided_at, as_of, kpis, mismatch)

    def _kpi(self, kpi: KpiPlan, rows: Rows | None, timeline: Timeline, as_of: float, blind: str | None) -> KpiEvidence:
        if isinstance(rows, OutcomeRows):
            rows = with_timeout(rows, kpi.pending_timeout_seconds)
        alpha = self.plan.alpha_of(kpi)
        threshold = -float(np.log10(alpha))
        comparison = floor = None
        conclusions = []
        if kpi.tolerance is not None:
            path, units = self._follow(kpi.name, rows, timeline, min(as_of, timeline.judged_until), as_of)
            conclusion = verdicts.judge_comparison(path, threshold, kpi.tolerance, kpi.harm)
            comparison = TestEvidence.of(path, conclusion, threshold, units)
            conclusions.append(conclusion)
        if kpi.floor is not None:
            path, units = self._follow(_floor(kpi.name), _outcomes(kpi, rows), timeline, as_of, as_of)
            conclusion = verdicts.judge_floor(path, threshold, kpi.floor)
            floor = TestEvidence.of(path, conclusion, threshold, units)
            conclusions.append(conclusion)
        combined = verdicts.combine(conclusions)
        reason = blind or (None if rows is not None else "its source is missing")
        if reason is not None and combined.verdict is not Verdict.FAIL:
            combined = replace(combined, verdict=Verdict.BLIND)
        frozen = timeline.judged_until <= as_of
        return KpiEvidence(
            kpi.name, combined.verdict, kpi.action, combined.decided_at, comparison, floor, frozen, reason
        )

    def _mismatch(self, entries: EntryRows | None, timeline: Timeline, as_of: float) -> TestEvidence | None:
        if entries is None:
            return None
        path, units = self._follow(_ENTRIES, entries, timeline, min(as_of, timeline.judged_until), as_of)
        threshold = -float(np.log10(self.plan.alpha))
        conclusion = verdicts.judge_mismatch(path, threshold, self.plan.mismatch_tolerance)
        return TestEvidence.of(path, conclusion, threshold, units)

    def _follow(
        self, name: str, rows: Rows | EntryRows | None, timeline: Timeline, until: float, as_of: float
    ) -> tuple[Trajectory, tuple[int, int]]:
        """Fold what is past the horizon, look at what is not; without rows, repeat what is known."""
        track = self._tracks[name]
        if rows is None:
            return track.path, track.test.units
        last = timeline.complete(until)
        horizon = min(last, timeline.complete(as_of - self.plan.lateness_seconds))
        folded = track.advance(rows, timeline, horizon)
        self._tracks[name] = folded
        seen = folded.advance(rows, timeline, last)
        return seen.path, seen.test.units


_ENTRIES = " entries"


def _floor(name: str) -> str:
    return f"{name} floor"


def _comparison(kpi: KpiPlan, alpha: float) -> ConversionTest | OutcomeTest | MeanTest:
    if kpi.kind is Kind.CONVERSION:
        return ConversionTest(alpha)
    if kpi.kind is Kind.SUCCESS:
        return OutcomeTest(alpha)
    return MeanTest(alpha, DECREASE_GRID if kpi.harm is Harm.DECREASE else INCREASE_GRID)


def _outcomes(kpi: KpiPlan, rows: Rows | None) -> Rows | None:
    """What a floor is judged on: a conversion is a success, a unit that did not convert in time a failure."""
    if not isinstance(rows, ConversionRows):
        return rows
    unknown = np.zeros(len(rows.entered), dtype=np.bool_)
    outcomes = OutcomeRows(rows.assigned, rows.entered, rows.canary, rows.converted, unknown)
    return with_timeout(outcomes, kpi.pending_timeout_seconds)


__all__ = [
    "Action",
    "ConversionRows",
    "EntryRows",
    "Harm",
    "JudgePlan",
    "Kind",
    "KpiEvidence",
    "KpiPlan",
    "MeanRows",
    "OutcomeRows",
    "RolloutEvidence",
    "RolloutJudge",
    "RolloutRows",
    "TestEvidence",
    "Trajectory",
    "Verdict",
]
