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
from exporter.evidence.grid import Bools
from exporter.evidence.mean import DECREASE_GRID, INCREASE_GRID, MeanTest
from exporter.evidence.mismatch import MismatchTest
from exporter.evidence.outcome import OutcomeTest, with_timeout
from exporter.evidence.restarts import Plan
from exporter.evidence.rows import ConversionRows, EntryRows, MeanRows, OutcomeRows, RolloutRows, Rows
from exporter.evidence.slower import LagShape
from exporter.evidence.timeline import Timeline
from exporter.evidence.trajectory import Track, Trajectory
from exporter.evidence.verdict import (
    Action,
    Conclusion,
    Harm,
    HoldReason,
    KpiEvidence,
    RolloutEvidence,
    TestEvidence,
    Verdict,
)
from exporter.evidence.warmup import Warmup

_QUICK = 0.2
"""Large harm is proven within seconds by a fifth of alpha; small harm is what the exact half needs the rest for."""


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
    from_entry: bool = False
    """Whether a conversion's units are those who enter the shop: it is held against the router's weight too."""
    slower_up_to: float | None = None
    """Conversions that come up to so many times later are not taken for lost; None: that is not asked."""
    slower_evidence: float = 50.0
    """How much evidence against "only slower" it takes."""
    watch_fails: bool = True
    """Whether the floor alone fails the canary where stable has no traffic; otherwise it holds."""
    may_fail: bool = True
    """Whether a proven harm fails the canary; otherwise it holds, as the units are not what the router assigns."""

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

    warmup_seconds: float = 0.0
    """Units that enter, and what happens, so soon after a change of the weight are in no test."""

    plan: Plan = Plan()  # noqa: RUF009 - immutable
    """What was planned; without a plan evidence never begins again."""

    mismatch_tolerance: float = 0.20
    """Relative deviation of the canary's share of entries from its weight that is let pass."""

    exact: bool = False
    """The exact half takes its part of each KPI's share of alpha; without it all of that is the quick half's."""

    def share_of(self, kpi: KpiParameters) -> float:
        """The KPI's share of alpha: KPIs with the same action share it among themselves."""
        return self.alpha / sum(other.action is kpi.action for other in self.kpis)

    def alpha_of(self, kpi: KpiParameters) -> float:
        """What of it is the quick half's.

        Its comparison and its floor have all of it each, because a floor fails a canary only together with the
        comparison.
        """
        return self.share_of(kpi) * (_QUICK if self.exact else 1.0)

    def exact_alpha_of(self, kpi: KpiParameters) -> float:
        """What of it is the exact half's."""
        return self.share_of(kpi) - self.alpha_of(kpi)


@dataclass(slots=True)
class RolloutJudge:
    """Judges one rollout again and again, keeping only sums of what is older than the lateness horizon."""

    parameters: JudgeParameters
    _tracks: dict[str, Track] = field(init=False)
    _ends: int = field(init=False, default=1 << 40)
    """The bucket with which comparisons end, because stable has no traffic any more."""
    _warmup: Warmup = field(init=False)

    def __post_init__(self) -> None:
        self._tracks = {_ENTRIES: Track(MismatchTest(self.parameters.alpha, self.parameters.mismatch_tolerance))}
        for kpi in self.parameters.kpis:
            self._begin(kpi, None)

    def know_lags(self, kpi: str, lags: LagShape) -> None:
        """How soon a conversion's events came before the rollout. To be told before the first look."""
        parameters = next(one for one in self.parameters.kpis if one.name == kpi)
        if parameters.slower_up_to is not None and not self._tracks[kpi].test.bucket:
            self._begin(parameters, lags)

    def _begin(self, kpi: KpiParameters, lags: LagShape | None) -> None:
        alpha = self.parameters.alpha_of(kpi)
        self._tracks[kpi.name] = Track(_comparison(kpi, alpha, self.parameters.plan, lags))
        if kpi.floor is not None:
            for name, of_canary in ((_floor(kpi.name), True), (_stable_floor(kpi.name), False)):
                self._tracks[name] = Track(
                    FloorTest(kpi.floor, alpha, kpi.pending_timeout_seconds, of_canary=of_canary)
                )
            watch = FloorTest(kpi.floor, alpha / 2.0, kpi.pending_timeout_seconds)
            self._tracks[_watch(kpi.name)] = Track(watch)

    def needs_since(self, kpi: str = "") -> float:
        """The next call needs every unit of a KPI that entered, converted or resolved at or after this time.

        Units that are pending are needed besides. Without a KPI it is about the entries.
        """
        names = (kpi, _floor(kpi), _stable_floor(kpi), _watch(kpi)) if kpi else (_ENTRIES,)
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
        proven_at: Mapping[str, float] | None = None,
    ) -> RolloutEvidence:
        """Judge what is known at `as_of` (seconds since the epoch).

        `rows` may hold more than `needs_since` asks for. `weights` is the whole history of `(time,
        canary's share from then on)`. `blind` names the KPIs whose data are too old, with the
        reason; a KPI without rows is blind by itself. `proven_at` says of which KPIs another test has refuted
        "no difference", and when. Calls must not go back in time.
        """
        timeline = Timeline.of(self.parameters.started_at, self.parameters.bucket_seconds, weights)
        self._ends = timeline.complete(timeline.judged_until)
        self._warmup = Warmup(timeline, self.parameters.warmup_seconds)
        rows = self._warmup.without(rows)
        mismatch = self._mismatch(rows.entries, timeline, as_of)
        kpis = {
            kpi.name: self._kpi(
                kpi,
                rows.kpis.get(kpi.name),
                timeline,
                as_of,
                (blind or {}).get(kpi.name),
                (proven_at or {}).get(kpi.name),
            )
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
        self,
        kpi: KpiParameters,
        rows: Rows | None,
        timeline: Timeline,
        as_of: float,
        blind: str | None,
        proven_at: float | None,
    ) -> KpiEvidence:
        if isinstance(rows, OutcomeRows):
            rows = self._warmup.outcomes(with_timeout(rows, kpi.pending_timeout_seconds))
        threshold = -float(np.log10(self.parameters.alpha_of(kpi)))
        path, units = self._follow(kpi.name, rows, timeline, min(as_of, timeline.judged_until), as_of)
        told_apart_at = verdicts.proven_at(path, threshold, proven_at)
        comparison = floor = None
        conclusions = []
        if kpi.tolerance is not None:
            gates = verdicts.Gates(kpi.tolerance, kpi.harm, float(np.log10(kpi.slower_evidence)), proven_at)
            mismatch = self._tracks[_ENTRIES].path if kpi.from_entry else None
            conclusion = verdicts.judge_comparison(path, threshold, gates, mismatch)
            comparison = TestEvidence.of(path, conclusion, threshold, units)
            conclusions.append(conclusion)
        if kpi.floor is not None:
            floor = self._floor(kpi, kpi.floor, rows, timeline, as_of, told_apart_at)
            conclusions.append(Conclusion(floor.verdict, floor.decided_at, floor.hold_reason))
        combined = verdicts.combine(conclusions)
        if combined.verdict is Verdict.FAIL and not kpi.may_fail:
            combined = Conclusion(Verdict.HOLD, None, HoldReason.NO_UNIT)
        reason = blind or (None if rows is not None else "its source is missing")
        if reason is not None and combined.verdict is not Verdict.FAIL:
            combined = replace(combined, verdict=Verdict.BLIND)
        return KpiEvidence(
            kpi.name,
            combined.verdict,
            kpi.action,
            combined.decided_at,
            comparison,
            floor,
            frozen=timeline.judged_until <= as_of,
            blind_reason=reason,
            hold_reason=combined.hold_reason,
            slower=combined.verdict is not Verdict.FAIL and len(path) > 0 and bool(path.log10_slower[-1] >= threshold),
        )

    def _floor(
        self,
        kpi: KpiParameters,
        floor: float,
        rows: Rows | None,
        timeline: Timeline,
        as_of: float,
        told_apart_at: float | None,
    ) -> TestEvidence:
        """The floor beside stable; from when stable has no traffic any more, the floor alone."""
        outcomes = _outcomes(kpi, rows)
        beside = watched = outcomes
        if outcomes is not None and np.isfinite(timeline.judged_until):
            late = outcomes.entered >= timeline.judged_until
            beside, watched = _some(outcomes, ~late), _some(outcomes, late)
        alpha = self.parameters.alpha_of(kpi)
        threshold = -float(np.log10(alpha))
        path, units = self._follow(_floor(kpi.name), beside, timeline, as_of, as_of)
        stable = self._folded(_stable_floor(kpi.name), beside, timeline, as_of)
        conclusion = verdicts.judge_floor(path, stable, threshold, floor, told_apart_at)
        if as_of < timeline.judged_until or conclusion.verdict is Verdict.FAIL:
            return TestEvidence.of(path, conclusion, threshold, units)
        threshold = -float(np.log10(alpha / 2.0))
        path, units = self._follow(_watch(kpi.name), watched, timeline, as_of, as_of)
        watched_conclusion = verdicts.judge_watched_floor(path, threshold, floor)
        if watched_conclusion.verdict is Verdict.FAIL and not kpi.watch_fails:
            watched_conclusion = Conclusion(Verdict.HOLD, None, HoldReason.WATCH_FLOOR)
        return TestEvidence.of(path, watched_conclusion, threshold, units)

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

    def _folded(self, name: str, rows: Rows | None, timeline: Timeline, as_of: float) -> Trajectory:
        """A test's path up to the lateness horizon: what nobody acts upon need not be looked at before."""
        track = self._tracks[name]
        if rows is not None:
            track = track.advance(rows, timeline, timeline.complete(as_of - self.parameters.lateness_seconds))
            self._tracks[name] = track
        return track.path

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


def _stable_floor(name: str) -> str:
    return f"{name} floor of stable"


def _watch(name: str) -> str:
    return f"{name} watch"


def _some(rows: OutcomeRows, chosen: Bools) -> OutcomeRows:
    return OutcomeRows(
        rows.assigned[chosen], rows.entered[chosen], rows.canary[chosen], rows.resolved[chosen], rows.failed[chosen]
    )


def _comparison(
    kpi: KpiParameters, alpha: float, plan: Plan, lags: LagShape | None
) -> ConversionTest | OutcomeTest | MeanTest:
    if kpi.kind is Kind.CONVERSION:
        if kpi.slower_up_to is not None and lags is None:
            lags = LagShape.unknown()
        return ConversionTest.new(alpha, plan, lags=lags, against_weight=kpi.from_entry)
    if kpi.kind is Kind.SUCCESS:
        return OutcomeTest.new(alpha, plan)
    return MeanTest(alpha, DECREASE_GRID if kpi.harm is Harm.DECREASE else INCREASE_GRID)


def _outcomes(kpi: KpiParameters, rows: Rows | None) -> OutcomeRows | None:
    """What a floor is judged on: a conversion is a success, a unit that did not convert in time a failure."""
    if isinstance(rows, OutcomeRows):
        return rows
    if not isinstance(rows, ConversionRows):
        return None
    unknown = np.zeros(len(rows.entered), dtype=np.bool_)
    outcomes = OutcomeRows(rows.assigned, rows.entered, rows.canary, rows.converted, unknown)
    return with_timeout(outcomes, kpi.pending_timeout_seconds)


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
