"""From evidence to verdicts: pass, fail, hold or blind, per KPI and for the rollout; and all that the judge hands out.

A fail is forever, because the evidence is valid at every moment at once. A pass is not: it says that the bounds exclude
harm *now*. A mismatch of the sample ratio may heal (a router that switched late), so it is judged by its newest value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from exporter.evidence.grid import Bools
from exporter.evidence.trajectory import Trajectory


class Verdict(StrEnum):
    """What may be said about a KPI. Only `fail` rolls back; `blind` freezes the weight and pages."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    HOLD = "hold"
    BLIND = "blind"


class Harm(StrEnum):
    """The direction of change that hurts."""

    DECREASE = "decrease"
    INCREASE = "increase"


class Action(StrEnum):
    """What a proven harm leads to."""

    ROLLBACK = "rollback"
    HOLD = "hold"
    WARN = "warn"


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What one test says at the end of its trajectory, and when it first proved harm (None: never)."""

    verdict: Verdict
    decided_at: float | None


def judge_comparison(path: Trajectory, log10_threshold: float, tolerance: float, harm: Harm) -> Conclusion:
    """`fail` once evidence reached the threshold with the estimate past the tolerance; `pass` when
    the bounds exclude a harm larger than the tolerance.

    A fail stays: evidence is valid at every moment at once, so that a threshold once reached is a
    proof, whoever looked at that moment.
    """
    if not len(path):
        return Conclusion(Verdict.HOLD, None)
    sign = -1.0 if harm is Harm.DECREASE else 1.0
    decided_at = _first_time(path, (path.log10_evidence >= log10_threshold) & (sign * path.estimate > tolerance))
    worst = path.lower[-1] if harm is Harm.DECREASE else path.upper[-1]
    return _conclusion(decided_at, passed=bool(sign * worst < tolerance))


def judge_floor(path: Trajectory, log10_threshold: float, floor: float) -> Conclusion:
    """`fail` once the canary is proven below the floor; `pass` when the bounds exclude that."""
    if not len(path):
        return Conclusion(Verdict.HOLD, None)
    decided_at = _first_time(path, path.log10_evidence >= log10_threshold)
    return _conclusion(decided_at, passed=bool(path.lower[-1] >= floor))


def judge_mismatch(path: Trajectory, log10_threshold: float, tolerated: float) -> Conclusion:
    """`fail` while a shift of the canary's share larger than tolerated is proven; unlike the others it can heal."""
    if not len(path):
        return Conclusion(Verdict.HOLD, None)
    shifted = path.log10_evidence >= log10_threshold
    if shifted[-1]:
        return Conclusion(Verdict.FAIL, _first_time(path, shifted))
    within = path.lower[-1] >= -tolerated and path.upper[-1] <= tolerated
    return Conclusion(Verdict.PASS if within else Verdict.HOLD, None)


def combine(conclusions: Iterable[Conclusion]) -> Conclusion:
    """One KPI's verdict from its tests: any fail fails, the earliest decides; all must pass to pass."""
    found = list(conclusions)
    times = [conclusion.decided_at for conclusion in found if conclusion.decided_at is not None]
    if times:
        return Conclusion(Verdict.FAIL, min(times))
    passed = bool(found) and all(conclusion.verdict is Verdict.PASS for conclusion in found)
    return Conclusion(Verdict.PASS if passed else Verdict.HOLD, None)


def of_rollout(verdicts: Iterable[tuple[Verdict, Action]], *, mismatch: bool) -> Verdict:
    """The rollout's verdict.

    `fail` when a KPI that may roll back fails; otherwise `blind` when one of those is blind or the
    sample ratio is off; otherwise `hold` while a KPI that may roll back or hold has not passed.
    """
    judged = [(verdict, action) for verdict, action in verdicts if action is not Action.WARN]
    rollback = [verdict for verdict, action in judged if action is Action.ROLLBACK]
    if Verdict.FAIL in rollback:
        return Verdict.FAIL
    if mismatch or Verdict.BLIND in rollback:
        return Verdict.BLIND
    passed = bool(judged) and all(verdict is Verdict.PASS for verdict, _ in judged)
    return Verdict.PASS if passed else Verdict.HOLD


def _conclusion(decided_at: float | None, *, passed: bool) -> Conclusion:
    if decided_at is not None:
        return Conclusion(Verdict.FAIL, decided_at)
    return Conclusion(Verdict.PASS if passed else Verdict.HOLD, None)


def _first_time(path: Trajectory, holds: Bools) -> float | None:
    return float(path.time[np.argmax(holds)]) if holds.any() else None


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
        )


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
