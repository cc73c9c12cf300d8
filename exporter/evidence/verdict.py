"""From evidence to verdicts: pass, fail, hold or blind, per KPI and for the rollout."""

from __future__ import annotations

from collections.abc import Iterable
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
