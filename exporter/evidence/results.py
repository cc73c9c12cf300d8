"""What the judge hands out: verdicts with all that they rest on, for the rollout, its KPIs and each of their tests.

Plain values of one moment. Metrics, alerts, reports and studies read them, and none of them asks the judge again: what
was said and why stays one thing, whoever tells it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from exporter.evidence.progress.trajectory import Trajectory
from exporter.evidence.verdict import Action, Conclusion, HoldReason, Verdict, combine, of_rollout


@dataclass(frozen=True, slots=True, eq=False)
class TestEvidence:
    """What one test (a comparison, a floor, the sample ratio) says.

    For comparisons `estimate`, `lower` and `upper` are relative changes, canary against stable
    (-0.10 = 10 % less); for a floor the canary's own success ratio. nan: nothing is known yet;
    -1 and infinity: not bounded on that side. `history` has a row for each bucket that brought news.
    """

    verdict: Verdict
    estimate: float
    lower: float
    upper: float
    log10_evidence: float
    log10_threshold: float
    canary_units: int
    stable_units: int
    decided_at: float | None
    history: Trajectory
    hold_reason: HoldReason | None = None

    @classmethod
    def of(cls, path: Trajectory, conclusion: Conclusion, threshold: float, units: tuple[int, int]) -> TestEvidence:
        """What a trajectory and its conclusion come to; *units* are the canary's and stable's."""
        known = len(path) > 0
        return cls(
            verdict=conclusion.verdict,
            estimate=float(path.estimate[-1]) if known else np.nan,
            lower=float(path.lower[-1]) if known else -1.0,
            upper=float(path.upper[-1]) if known else np.inf,
            log10_evidence=float(path.log10_evidence[-1]) if known else 0.0,
            log10_threshold=threshold,
            canary_units=units[0],
            stable_units=units[1],
            decided_at=conclusion.decided_at,
            history=path,
            hold_reason=conclusion.hold_reason,
        )

    @property
    def conclusion(self) -> Conclusion:
        """What the test says."""
        return Conclusion(self.verdict, self.decided_at, self.hold_reason)


@dataclass(frozen=True, slots=True)
class ExactEvidence:
    """What the exact half of a KPI's test says.

    Attributes:
        proven_at: the look that refuted "no difference", seconds since the epoch; None before that.
        spent_ratio: how much of its alpha has been spent.
        replayed: looks were made up for from rows, because their state was lost.
        segment: the one in which harm was proven; None where it was in all of them together, or there are none.
        doubted: what it rests on is not so, see `HoldReason.SIDES_DIFFER`; what it has proven is no proof meanwhile.
    """

    proven_at: float | None
    spent_ratio: float
    replayed: bool
    segment: str | None = None
    doubted: bool = False


@dataclass(frozen=True, slots=True)
class StableLevel:
    """Stable next to the shop as it was before the start.

    Attributes:
        before: the lowest level of the time before the start, in equal parts.
        now: stable's level since the change of the weight from which on there is most evidence; nan without units.
        log10_evidence: that stable is worse than before by more than the tolerance.
        harmed: whether that is proven.
    """

    before: float
    now: float
    log10_evidence: float
    harmed: bool


@dataclass(frozen=True, slots=True, eq=False)
class KpiEvidence:
    """A KPI's verdict and what it rests on.

    `estimate`, `lower` and so on speak of the comparison, or of the floor of a KPI without one.
    """

    name: str
    verdict: Verdict
    action: Action
    decided_at: float | None
    comparison: TestEvidence | None
    floor: TestEvidence | None
    frozen: bool
    """The comparison ended: stable gets no traffic any more. The floor goes on."""
    blind_reason: str | None
    hold_reason: HoldReason | None = None
    """Why what looks like harm only holds the rollout; None where nothing does."""
    slower: bool = False
    """The canary is proven to be slower, while a loss is not."""
    exact: ExactEvidence | None = None
    """What the exact half says; None where it is off."""
    stable_level: StableLevel | None = None
    """Stable next to the shop before the start; None where that is not asked, or not known."""

    segments: Mapping[str, TestEvidence] = field(default_factory=dict)
    """The comparison of each segment, by its value."""
    over_dispersion: float | None = None
    """By what the likelihoods are divided, as no column names the customer; None where units are customers."""

    def blinded(self, reason: str) -> KpiEvidence:
        """The same, known not to be relied on any more; old data hide no proof."""
        verdict = self.verdict if self.verdict is Verdict.FAIL else Verdict.BLIND
        return replace(self, verdict=verdict, blind_reason=reason)

    @property
    def proofs(self) -> tuple[str, ...]:
        """Which tests have proven harm: the halves of the comparison (`quick`, `exact`), the `floor`, a `segment`."""
        found = []
        if self.comparison is not None and self.comparison.verdict is Verdict.FAIL:
            if (self.comparison.history.log10_evidence >= self.comparison.log10_threshold).any():
                found.append("quick")
            if self.exact is not None and self.exact.proven_at is not None and not self.exact.doubted:
                found.append("exact")
        if self.floor is not None and self.floor.verdict is Verdict.FAIL:
            found.append("floor")
        if any(segment.verdict is Verdict.FAIL for segment in self.segments.values()):
            found.append("segment")
        return tuple(found)

    @property
    def main(self) -> TestEvidence:
        """The comparison, or the floor of a KPI that has nothing else."""
        main = self.comparison or self.floor
        assert main is not None
        return main

    @property
    def estimate(self) -> float:
        """Relative change, canary against stable."""
        return self.main.estimate

    @property
    def lower(self) -> float:
        """Lower end of the confidence sequence."""
        return self.main.lower

    @property
    def upper(self) -> float:
        """Upper end of the confidence sequence."""
        return self.main.upper

    @property
    def log10_evidence(self) -> float:
        """log10 of the evidence of harm."""
        return self.main.log10_evidence

    @property
    def log10_threshold(self) -> float:
        """What the evidence must reach to be a proof."""
        return self.main.log10_threshold

    @property
    def canary_units(self) -> int:
        """Canary units seen."""
        return self.main.canary_units

    @property
    def stable_units(self) -> int:
        """Stable units seen."""
        return self.main.stable_units

    @property
    def history(self) -> Trajectory:
        """How the evidence grew."""
        return self.main.history


@dataclass(frozen=True, slots=True, eq=False)
class RolloutEvidence:
    """The rollout's verdict, the KPI that decided a fail, and every KPI's evidence."""

    verdict: Verdict
    kpi: str | None
    decided_at: float | None
    as_of: float
    kpis: Mapping[str, KpiEvidence]
    mismatch: TestEvidence | None
    sides_apart_ratio: float | None = None
    """The part of the canary's customers whose rows and the router's hash name two sides; None where not known."""

    def blinded(self, blind: Mapping[str, str]) -> RolloutEvidence:
        """The same, but some KPIs must not be relied on any more: names, each with the reason. A proof stays one."""
        kpis = {name: kpi.blinded(blind[name]) if name in blind else kpi for name, kpi in self.kpis.items()}
        mismatch = None if kpis.keys() <= blind.keys() else self.mismatch
        verdict = of_rollout(
            ((kpi.verdict, kpi.action) for kpi in kpis.values()),
            mismatch=mismatch is not None and mismatch.verdict is Verdict.FAIL,
        )
        return replace(self, verdict=verdict, kpis=kpis, mismatch=mismatch)


def decision(kpis: Iterable[KpiEvidence]) -> tuple[float | None, str | None]:
    """When the rollout failed, and by which KPI: the first that may roll back; nothing where none has failed."""
    failed = [(kpi.decided_at, kpi.name) for kpi in kpis if kpi.action is Action.ROLLBACK]
    return min(((at, name) for at, name in failed if at is not None), default=(None, None))


def combined(
    tests: Iterable[TestEvidence | None],
    segments: Iterable[TestEvidence],
    level: StableLevel | None,
    may_fail: bool,
    *,
    is_blind: bool,
) -> Conclusion:
    """A KPI's verdict from its tests: harm to others than the router's units only holds, and old data hide no proof."""
    # A segment of few customers says nothing for long, and need not pass.
    telling = [one for one in segments if one.verdict is Verdict.FAIL or one.hold_reason is not None]
    conclusions = [test.conclusion for test in (*tests, *telling) if test is not None]
    if level is not None and level.harmed:
        conclusions.append(Conclusion(Verdict.HOLD, None, HoldReason.STABLE_HARMED))
    found = combine(conclusions)
    if found.verdict is Verdict.FAIL and not may_fail:
        found = Conclusion(Verdict.HOLD, None, HoldReason.NO_UNIT)
    return replace(found, verdict=Verdict.BLIND) if is_blind and found.verdict is not Verdict.FAIL else found
