"""The judge of one rollout: event-level rows in, evidence and verdicts out.

    kpis = (KpiParameters("conversion_rate", Kind.CONVERSION, tolerance=0.10), …)
    judge = RolloutJudge(JudgeParameters(started_at=…, kpis=kpis))
    evidence = judge.judge(RolloutRows(kpis={"conversion_rate": ConversionRows(…)}, entries=EntryRows(…)),
                           weights=[(started_at, 0.05), (…, 0.25)], as_of=now)
    evidence.kpis["conversion_rate"].log10_evidence

The same rows give the same evidence whatever the rhythm of the calls, restarts, or the order in
which rows arrived within the lateness horizon: only complete buckets count, and buckets younger than
the horizon are judged anew each time. A fresh judge that is given all rows of the rollout and an old
one that is given the rows since `needs_since()` agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from exporter.evidence import verdict as verdicts
from exporter.evidence.conversion import ConversionTest
from exporter.evidence.floor import FloorTest
from exporter.evidence.mean import DECREASE_GRID, INCREASE_GRID, MeanTest
from exporter.evidence.mismatch import MismatchTest
from exporter.evidence.outcome import OutcomeTest, with_timeout
from exporter.evidence.rows import ConversionRows, EntryRows, MeanRows, OutcomeRows, RolloutRows, Rows
from exporter.evidence.timeline import Timeline
from exporter.evidence.trajectory import Track, Trajectory
from exporter.evidence.verdict import Action, Harm, KpiEvidence, RolloutEvidence, TestEvidence, Verdict


class Kind(StrEnum):
    """How a KPI is measured."""

    CONVERSION = "conversion"
    SUCCESS = "success"
    MEAN = "mean"


@dataclass(frozen=True, slots=True)
class KpiParameters:
    """What the policy says about one KPI.

    `tolerance` is the relative change that is let pass (0.10 = 10 %), None for a KPI that only has a
    floor. A conversion whose complement is published (cart abandonment) is judged on its conversions.
    `harm` matters for means; conversions and success ratios are harmed by a decrease.
    """

    name: str
    kind: Kind
    tolerance: float | None = None
    floor: float | None = None
    action: Action = Action.ROLLBACK
    harm: Harm = Harm.DECREASE
    pending_timeout_seconds: float | None = None
    """A unit pending for longer has failed. A conversion's floor needs it: by then a unit converted or it did not."""

    def __post_init__(self) -> None:
        if self.tolerance is None and self.floor is None:
            raise ValueError(f"KPI {self.name}: a tolerance or a floor expected, found neither")
        if self.floor is not None and (self.kind is Kind.MEAN or not 0.0 < self.floor < 1.0):
            raise ValueError(
                f"KPI {self.name}: a floor between 0 and 1 on a share of units expected, found {self.floor}"
            )
        if self.floor is not None and self.kind is Kind.CONVERSION and self.pending_timeout_seconds is None:
            raise ValueError(f"KPI {self.name}: a conversion's floor needs pending_timeout_seconds")
        if self.kind is not Kind.MEAN and self.harm is not Harm.DECREASE:
            raise ValueError(f"KPI {self.name}: a {self.kind} is harmed by a decrease only")


@dataclass(frozen=True, slots=True)
class JudgeParameters:
    """The rollout's parameters; `alpha` is the chance of rolling back a healthy rollout, all KPIs together."""

    started_at: float
    kpis: tuple[KpiParameters, ...]
    alpha: float = 0.01
    bucket_seconds: float = 1.0
    lateness_seconds: float = 120.0
    """How long a row may appear or change after its time."""

    changing_seconds: float = 0.0
    """How long an outcome may change after the attempt."""

    mismatch_tolerance: float = 0.20
    """Relative deviation of the canary's share of entries from its weight that is let pass."""

    def alpha_of(self, kpi: KpiParameters) -> float:
        """The KPI's share of alpha for each of its tests: KPIs with the same action share alpha among themselves."""
        sharing = sum(other.action is kpi.action for other in self.kpis)
        tests = (kpi.tolerance is not None) + (kpi.floor is not None)
        return self.alpha / sharing / tests


@dataclass(slots=True)
class RolloutJudge:
    """Judges one rollout again and again, keeping only sums of what is older than the lateness horizon."""

    parameters: JudgeParameters
    _tracks: dict[str, Track] = field(init=False)
    _ends: int = field(init=False, default=1 << 40)
    """The bucket with which comparisons end, because stable has no traffic any more."""

    def __post_init__(self) -> None:
        self._tracks = {_ENTRIES: Track(MismatchTest(self.parameters.alpha, self.parameters.mismatch_tolerance))}
        for kpi in self.parameters.kpis:
            alpha = self.parameters.alpha_of(kpi)
            if kpi.tolerance is not None:
                self._tracks[kpi.name] = Track(_comparison(kpi, alpha))
            if kpi.floor is not None:
                self._tracks[_floor(kpi.name)] = Track(FloorTest(kpi.floor, alpha, kpi.pending_timeout_seconds))

    def needs_since(self, kpi: str = "") -> float:
        """The next call needs every unit of a KPI that entered, converted or resolved at or after this time.

        Units that are pending are needed besides. Without a KPI it is about the entries.
        """
        names = (kpi, _floor(kpi)) if kpi else (_ENTRIES,)
        buckets = [self._tracks[name].test.bucket for name in names if name in self._tracks]
        # A comparison that has ended needs nothing more.
        oldest = min((bucket for bucket in buckets if bucket < self._ends), default=max(buckets))
        return self.parameters.started_at + oldest * self.parameters.bucket_seconds

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
        timeline = Timeline.of(self.parameters.started_at, self.parameters.bucket_seconds, weights)
        self._ends = timeline.complete(timeline.judged_until)
        mismatch = self._mismatch(rows.entries, timeline, as_of)
        kpis = {
            kpi.name: self._kpi(kpi, rows.kpis.get(kpi.name), timeline, as_of, (blind or {}).get(kpi.name))
            for kpi in self.parameters.kpis
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

    def _kpi(
        self, kpi: KpiParameters, rows: Rows | None, timeline: Timeline, as_of: float, blind: str | None
    ) -> KpiEvidence:
        if isinstance(rows, OutcomeRows):
            rows = with_timeout(rows, kpi.pending_timeout_seconds)
        alpha = self.parameters.alpha_of(kpi)
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
        threshold = -float(np.log10(self.parameters.alpha))
        conclusion = verdicts.judge_mismatch(path, threshold, self.parameters.mismatch_tolerance)
        return TestEvidence.of(path, conclusion, threshold, units)

    def _follow(
        self, name: str, rows: Rows | EntryRows | None, timeline: Timeline, until: float, as_of: float
    ) -> tuple[Trajectory, tuple[int, int]]:
        """Fold what is past the horizon, look at what is not; without rows, repeat what is known."""
        track = self._tracks[name]
        if rows is None:
            return track.path, track.test.units
        last = timeline.complete(until)
        horizon = min(last, timeline.complete(as_of - self._changing_seconds(rows)))
        folded = track.advance(rows, timeline, horizon)
        self._tracks[name] = folded
        seen = folded.advance(rows, timeline, last)
        return seen.path, seen.test.units

    def _changing_seconds(self, rows: Rows | EntryRows) -> float:
        """How long what is known of a unit may change; a long time is waited for only where that costs little."""
        lateness = self.parameters.lateness_seconds
        few = isinstance(rows, OutcomeRows) and len(rows.entered) <= _FEW_OUTCOMES
        return max(lateness, self.parameters.changing_seconds) if few else lateness


_FEW_OUTCOMES = 20_000
"""Up to so many outcomes are judged anew at every look: a failure that a second try turns into a success, and outcomes
of a shop that does not write down when they became final, then count as what they became."""

_ENTRIES = " entries"
"""The mismatch's key among the KPIs'; no KPI's name begins with a space."""


def _floor(name: str) -> str:
    return f"{name} floor"


def _comparison(kpi: KpiParameters, alpha: float) -> ConversionTest | OutcomeTest | MeanTest:
    if kpi.kind is Kind.CONVERSION:
        return ConversionTest(alpha)
    if kpi.kind is Kind.SUCCESS:
        return OutcomeTest(alpha)
    return MeanTest(alpha, DECREASE_GRID if kpi.harm is Harm.DECREASE else INCREASE_GRID)


def _outcomes(kpi: KpiParameters, rows: Rows | None) -> Rows | None:
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
    "JudgeParameters",
    "Kind",
    "KpiEvidence",
    "KpiParameters",
    "MeanRows",
    "OutcomeRows",
    "RolloutEvidence",
    "RolloutJudge",
    "RolloutRows",
    "TestEvidence",
    "Trajectory",
    "Verdict",
]
