"""From evidence to verdicts: pass, fail, hold or blind, per KPI and for the rollout.

A fail is forever, because the evidence is valid at every moment at once. A pass is not: it says that the bounds exclude
harm *now*. A mismatch of the sample ratio may heal (a router that switched late), so it is judged by its newest value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from exporter.evidence.grid import Bools, Floats
from exporter.evidence.progress.trajectory import Trajectory


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


MOST_SIDES_APART = 0.05
"""Of the canary's customers: so many may be testers, or have come back with another cookie."""


class Action(StrEnum):
    """What a proven harm leads to."""

    ROLLBACK = "rollback"
    HOLD = "hold"
    WARN = "warn"


class HoldReason(StrEnum):
    """Why something that looks like harm only holds the rollout."""

    LAGS_UNKNOWN = "lags_unknown"
    """Orders are missing, and how late they usually come is not known: they may only be slower."""
    MISMATCH = "mismatch"
    """The canary has more customers than its weight, which explains as much."""
    SIDES_DIFFER = "sides_differ"
    """Only the exact half has proven it, and rows and the router's hash name two sides for too many customers."""
    NO_UNIT = "no_unit"
    """No column names the customer, and no calibration has shown that the judge may be trusted all the same."""
    FAILS_EVERYWHERE = "fails_everywhere"
    """Both versions are proven to be below the floor."""
    NOT_TOLD_APART = "not_told_apart"
    """The canary is proven to be below the floor, and not yet to be worse than stable."""
    WATCH_FLOOR = "watch_floor"
    """Below the floor where stable has no traffic, and the policy asks to hold there."""
    STABLE_HARMED = "stable_harmed"
    """Stable is proven to be worse than the shop was before the start: the canary may hurt both."""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What one test says at the end of its trajectory, and when it first proved harm (None: never)."""

    verdict: Verdict
    decided_at: float | None
    hold_reason: HoldReason | None = None


@dataclass(frozen=True, slots=True)
class Gates:
    """What else must be so before a proven difference fails a canary.

    Attributes:
        tolerance: the relative change for the worse that is let pass.
        log10_not_slower: evidence against "only slower" that is enough.
        proven_at: when another test of the same KPI has refuted "no difference"; None when it has not.
        doubted: what that test rests on is not so; its proof alone only holds.
    """

    tolerance: float
    harm: Harm
    log10_not_slower: float = float(np.log10(50.0))
    proven_at: float | None = None
    doubted: bool = False


def doubted(sides_apart_ratio: float | None) -> bool:
    """Whether too many of the canary's customers are on another side by their rows than by the router's hash."""
    return sides_apart_ratio is not None and sides_apart_ratio > MOST_SIDES_APART


def proven_at(path: Trajectory, log10_threshold: float, other: float | None = None) -> float | None:
    """When "no difference" was first refuted, by this test or another (None: not yet)."""
    times = [time for time in (_first_time(path, path.log10_evidence >= log10_threshold), other) if time is not None]
    return min(times, default=None)


def judge_comparison(
    path: Trajectory, log10_threshold: float, gates: Gates, mismatch: Trajectory | None = None
) -> Conclusion:
    """`fail` once "no difference" is refuted and, then or later, the estimate is past the tolerance.

    Only the refutation is what alpha is about, and it stays; the other conditions keep small and apparent harm from
    failing anybody: the estimate since the loudest beginning, that the canary is not only slower, and that a surplus of
    canary units does not explain as much. `pass` when the bounds exclude a harm larger than the tolerance, from the
    start and in the present phase, and no later beginning has evidence of its own.
    """
    if not len(path):
        return Conclusion(Verdict.HOLD, None)
    if gates.doubted:
        alone = judge_comparison(path, log10_threshold, replace(gates, proven_at=None, doubted=False), mismatch)
        both = judge_comparison(path, log10_threshold, replace(gates, doubted=False), mismatch)
        if both.verdict is Verdict.FAIL and alone.verdict is not Verdict.FAIL:
            return Conclusion(Verdict.HOLD, None, alone.hold_reason or HoldReason.SIDES_DIFFER)
        return alone
    proof = proven_at(path, log10_threshold, gates.proven_at)
    sign = -1.0 if gates.harm is Harm.DECREASE else 1.0
    if proof is not None:
        proven = path.time >= proof
        proven[max(0, int(proven.argmax() if proven.any() else len(path)) - 1)] = True  # what is known at that moment
        past = proven & (sign * path.recent_estimate > gates.tolerance)
        beyond = past & (sign * path.recent_estimate > gates.tolerance + _explained(path, mismatch))
        told = beyond & (path.log10_not_slower >= gates.log10_not_slower)
        if told.any():
            return Conclusion(Verdict.FAIL, max(proof, float(path.time[np.argmax(told)])))
        if beyond[-1] and np.isneginf(path.log10_not_slower[-1]):
            return Conclusion(Verdict.HOLD, None, HoldReason.LAGS_UNKNOWN)
        if past[-1] and not beyond[-1]:
            return Conclusion(Verdict.HOLD, None, HoldReason.MISMATCH)
    decrease = gates.harm is Harm.DECREASE
    worst = (path.lower, path.phase_lower) if decrease else (path.upper, path.phase_upper)
    within = all(sign * ends[-1] < gates.tolerance for ends in worst)
    return Conclusion(Verdict.PASS if within and path.quiet[-1] else Verdict.HOLD, None)


def _explained(path: Trajectory, mismatch: Trajectory | None) -> Floats:
    """By how much the rate falls, at each moment, because the canary has a proven surplus of units."""
    if mismatch is None or not len(mismatch):
        return np.zeros(len(path))
    at = np.searchsorted(mismatch.time, path.time, side="right") - 1
    surplus = np.where((at >= 0) & (mismatch.lower[at] > 0.0), mismatch.estimate[at], 0.0)
    explained: Floats = surplus / (1.0 + surplus)
    return explained


def judge_floor(
    canary: Trajectory, stable: Trajectory, log10_threshold: float, floor: float, told_apart_at: float | None
) -> Conclusion:
    """`fail` once the canary is proven below the floor and worse than stable; `pass` when the bounds exclude the first.

    Both tests have the KPI's whole alpha, as both must speak. `told_apart_at` is when the comparison has proven any
    harm. Below the floor without that, the canary may share its trouble with stable: hold.
    """
    if not len(canary):
        return Conclusion(Verdict.HOLD, None)
    below_at = _first_time(canary, canary.log10_evidence >= log10_threshold)
    if below_at is None:
        return Conclusion(Verdict.PASS if canary.lower[-1] >= floor else Verdict.HOLD, None)
    if told_apart_at is not None:
        return Conclusion(Verdict.FAIL, max(below_at, told_apart_at))
    everywhere = len(stable) > 0 and bool((stable.log10_evidence >= log10_threshold).any())
    return Conclusion(Verdict.HOLD, None, HoldReason.FAILS_EVERYWHERE if everywhere else HoldReason.NOT_TOLD_APART)


def judge_watched_floor(path: Trajectory, again: Trajectory, log10_threshold: float, floor: float) -> Conclusion:
    """The floor alone, where stable has no traffic that the canary could be compared with.

    `again` is the evidence that restarts every minute and proves harm; `path`, which never does, excludes it.
    """
    below_at = _first_time(again, again.log10_evidence >= log10_threshold)
    if below_at is not None:
        return Conclusion(Verdict.FAIL, below_at)
    return Conclusion(Verdict.PASS if len(path) and path.lower[-1] >= floor else Verdict.HOLD, None)


def judge_mismatch(path: Trajectory, log10_threshold: float, tolerated: float) -> Conclusion:
    """`fail` while a shift of the canary's share of customers larger than tolerated is proven; it can heal."""
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
    reason = next((conclusion.hold_reason for conclusion in found if conclusion.hold_reason is not None), None)
    passed = bool(found) and all(conclusion.verdict is Verdict.PASS for conclusion in found)
    return Conclusion(Verdict.PASS if passed else Verdict.HOLD, None, reason)


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


def _first_time(path: Trajectory, holds: Bools) -> float | None:
    return float(path.time[np.argmax(holds)]) if holds.any() else None
