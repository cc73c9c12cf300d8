"""From evidence to verdicts."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from exporter.evidence.progress.trajectory import Trajectory
from exporter.evidence.verdict import (
    Action,
    Conclusion,
    Gates,
    Harm,
    HoldReason,
    Verdict,
    combine,
    judge_comparison,
    judge_floor,
    judge_mismatch,
    judge_watched_floor,
    of_rollout,
)


def path(*rows: tuple[float, float, float, float]) -> Trajectory:
    """A trajectory of (estimate, lower, upper, log10 evidence), ten seconds apart."""
    estimate, lower, upper, evidence = np.asarray(rows, dtype=np.float64).reshape(-1, 4).T
    units = np.full(len(rows), 100)
    return Trajectory.plain(
        time=np.linspace(10.0, 10.0 * len(rows), len(rows)), estimate=estimate, lower=lower, upper=upper,
        log10_evidence=evidence, canary_units=units, stable_units=units,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], Conclusion(Verdict.HOLD, None)),
        ([(-0.3, -0.5, -0.2, 1.9)], Conclusion(Verdict.HOLD, None)),
        ([(-0.3, -0.5, -0.2, 2.0)], Conclusion(Verdict.FAIL, 10.0)),
        ([(-0.05, -0.09, -0.02, 4.0)], Conclusion(Verdict.PASS, None)),
        ([(-0.05, -0.12, -0.02, 4.0)], Conclusion(Verdict.HOLD, None)),
        ([(0.0, -0.3, 0.3, 0.1), (-0.2, -0.4, -0.1, 2.5), (-0.02, -0.05, 0.0, -1.0)], Conclusion(Verdict.FAIL, 20.0)),
        ([(np.nan, -1.0, np.inf, 0.0)], Conclusion(Verdict.HOLD, None)),
    ],
)
def test_a_comparison_fails_on_proof_past_the_tolerance_only(rows: list[Any], expected: Conclusion) -> None:
    """Fail needs proof and an estimate past the tolerance, once is for good; pass needs the bounds; else hold."""
    assert judge_comparison(path(*rows), 2.0, Gates(0.10, Harm.DECREASE)) == expected


def test_a_comparison_harmed_by_an_increase_looks_up() -> None:
    """For a KPI that should not rise, a proven rise fails and an upper bound below the tolerance passes."""
    assert judge_comparison(path((0.3, 0.2, 0.5, 3.0)), 2.0, Gates(0.10, Harm.INCREASE)).verdict is Verdict.FAIL
    assert judge_comparison(path((-0.3, -0.5, 0.05, -3.0)), 2.0, Gates(0.10, Harm.INCREASE)).verdict is Verdict.PASS


def test_a_floor_fails_on_proof_and_passes_on_bounds() -> None:
    """A floor fails once proven broken, passes once its lower bound is above it, and holds between."""
    below, fine, open_ = path((0.8, 0.7, 0.88, 2.5)), path((0.97, 0.93, 0.99, -3.0)), path((0.92, 0.85, 0.97, 0.3))

    assert judge_watched_floor(fine, below, 2.0, 0.9) == Conclusion(Verdict.FAIL, 10.0)
    assert judge_watched_floor(fine, fine, 2.0, 0.9) == Conclusion(Verdict.PASS, None)
    assert judge_watched_floor(open_, open_, 2.0, 0.9) == Conclusion(Verdict.HOLD, None)
    assert judge_watched_floor(path(), path(), 2.0, 0.9) == Conclusion(Verdict.HOLD, None)


def test_beside_stable_a_floor_fails_together_with_the_comparison_only() -> None:
    """Below the floor holds until the canary is told apart from stable, and says when stable is below it too."""
    below, fine = path((0.8, 0.7, 0.88, 2.5)), path((0.97, 0.93, 0.99, -3.0))

    assert judge_floor(below, fine, 2.0, 0.9, 25.0) == Conclusion(Verdict.FAIL, 25.0)
    assert judge_floor(below, fine, 2.0, 0.9, 5.0) == Conclusion(Verdict.FAIL, 10.0)
    assert judge_floor(below, fine, 2.0, 0.9, None) == Conclusion(Verdict.HOLD, None, HoldReason.NOT_TOLD_APART)
    assert judge_floor(below, below, 2.0, 0.9, None) == Conclusion(Verdict.HOLD, None, HoldReason.FAILS_EVERYWHERE)
    assert judge_floor(fine, below, 2.0, 0.9, 5.0) == Conclusion(Verdict.PASS, None)


def test_a_proven_difference_fails_when_the_estimate_passes_the_tolerance_later() -> None:
    """Alpha is about the refutation, which stays; the tolerance may be passed at any later moment."""
    rows = path((-0.05, -0.1, -0.01, 2.5), (-0.3, -0.5, 0.0, 1.0))

    assert judge_comparison(rows, 2.0, Gates(0.10, Harm.DECREASE)) == Conclusion(Verdict.FAIL, 20.0)


def test_another_proof_of_the_same_kpi_counts() -> None:
    """Evidence that never reaches its threshold fails all the same once the other half has proven a difference.

    What was known at that moment decides, and not only what comes later: a quiet shop may have no news for minutes.
    """
    rows = path((-0.3, -0.5, 0.1, 0.5), (-0.3, -0.5, 0.1, 0.6))

    assert judge_comparison(rows, 2.0, Gates(0.10, Harm.DECREASE, proven_at=15.0)) == Conclusion(Verdict.FAIL, 15.0)


def test_what_may_be_only_slower_holds() -> None:
    """Without knowledge of the lags a proven loss holds, and says why; told from every stretch it fails."""
    rows = path((-0.3, -0.5, -0.1, 3.0))
    unknown = replace(rows, log10_not_slower=np.asarray([-np.inf]))
    weak = replace(rows, log10_not_slower=np.asarray([1.0]))

    gates = Gates(0.10, Harm.DECREASE)
    assert judge_comparison(unknown, 2.0, gates) == Conclusion(Verdict.HOLD, None, HoldReason.LAGS_UNKNOWN)
    assert judge_comparison(weak, 2.0, gates) == Conclusion(Verdict.HOLD, None)
    assert judge_comparison(rows, 2.0, gates).verdict is Verdict.FAIL


def test_a_proven_surplus_of_canary_units_explains_as_much() -> None:
    """Thirteen percent more units explain a fall of 11.5 %: 20 % is within the tolerance beyond that, 25 % is not."""
    surplus = path((0.13, 0.05, 0.2, 1.0))
    deficit = path((-0.13, -0.2, -0.05, 1.0))

    explained = judge_comparison(path((-0.2, -0.3, -0.1, 3.0)), 2.0, Gates(0.10, Harm.DECREASE), surplus)
    beyond = judge_comparison(path((-0.25, -0.3, -0.1, 3.0)), 2.0, Gates(0.10, Harm.DECREASE), surplus)

    assert explained == Conclusion(Verdict.HOLD, None, HoldReason.MISMATCH)
    assert beyond.verdict is Verdict.FAIL
    assert (
        judge_comparison(path((-0.2, -0.3, -0.1, 3.0)), 2.0, Gates(0.10, Harm.DECREASE), deficit).verdict
        is Verdict.FAIL
    )


def test_a_mismatch_heals() -> None:
    """A mismatch is said while it is proven, from when it was first proven, and no longer."""
    proven, healed = (0.5, 0.3, 0.7, 2.5), (0.1, -0.1, 0.15, 0.0)

    assert judge_mismatch(path(healed, proven), 2.0, 0.2) == Conclusion(Verdict.FAIL, 20.0)
    assert judge_mismatch(path(proven, healed), 2.0, 0.2) == Conclusion(Verdict.PASS, None)
    assert judge_mismatch(path((0.1, -0.3, 0.4, 0.5)), 2.0, 0.2) == Conclusion(Verdict.HOLD, None)


def test_any_test_fails_a_kpi_and_all_must_pass_it() -> None:
    """The earliest proof decides; one undecided test holds."""
    passed, held = Conclusion(Verdict.PASS, None), Conclusion(Verdict.HOLD, None)

    assert combine([passed, Conclusion(Verdict.FAIL, 30.0), Conclusion(Verdict.FAIL, 20.0)]) == Conclusion(
        Verdict.FAIL, 20.0
    )
    assert combine([passed, held]) == held
    assert combine([passed, passed]) == passed
    assert combine([]) == held


@pytest.mark.parametrize(
    ("verdicts", "mismatch", "expected"),
    [
        ([("pass", "rollback"), ("fail", "rollback"), ("blind", "rollback")], True, "fail"),
        ([("pass", "rollback"), ("blind", "rollback")], False, "blind"),
        ([("pass", "rollback")], True, "blind"),
        ([("pass", "rollback"), ("fail", "hold")], False, "hold"),
        ([("pass", "rollback"), ("hold", "hold")], False, "hold"),
        ([("pass", "rollback"), ("fail", "warn")], False, "pass"),
        ([("fail", "warn")], False, "hold"),
        ([], False, "hold"),
    ],
)
def test_the_rollouts_verdict(verdicts: list[tuple[str, str]], mismatch: bool, expected: str) -> None:
    """Only a KPI that may roll back can fail a rollout; blindness and mismatch stop it; warnings never do."""
    given = [(Verdict(verdict), Action(action)) for verdict, action in verdicts]

    assert of_rollout(given, mismatch=mismatch) is Verdict(expected)
