"""What the judge hands out."""

import math
from dataclasses import replace

import numpy as np
import pytest

from exporter.evidence import results
from exporter.evidence.progress.trajectory import Trajectory
from exporter.evidence.results import ExactEvidence, KpiEvidence
from exporter.evidence.verdict import Action, Conclusion, HoldReason, Verdict

LIMIT = 2.0
FAILED = Conclusion(Verdict.FAIL, 20.0)
HELD = Conclusion(Verdict.HOLD, None, HoldReason.MISMATCH)


def path(*evidence: float) -> Trajectory:
    """A trajectory of so much log10 evidence, ten seconds apart."""
    units = np.full(len(evidence), 7)
    change = np.full(len(evidence), -0.2)
    return Trajectory.plain(
        time=np.linspace(10.0, 10.0 * len(evidence), len(evidence)),
        estimate=change, lower=change - 0.1, upper=change + 0.1,
        log10_evidence=np.asarray(evidence, dtype=np.float64), canary_units=units, stable_units=units,
    )  # fmt: skip


def ended(conclusion: Conclusion, *evidence: float) -> results.TestEvidence:
    """A test that came to this."""
    return results.TestEvidence.of(path(*evidence), conclusion, LIMIT, (3, 4))


def kpi(comparison: results.TestEvidence | None, floor: results.TestEvidence | None = None) -> KpiEvidence:
    """A KPI with these tests."""
    return KpiEvidence("kpi", Verdict.HOLD, Action.ROLLBACK, None, comparison, floor, frozen=False, blind_reason=None)


def test_a_test_that_has_seen_nobody_claims_nothing() -> None:
    """Without a bucket the estimate is unknown, the bounds are open and there is no evidence."""
    nothing = ended(Conclusion(Verdict.HOLD, None))

    assert math.isnan(nothing.estimate)
    assert (nothing.lower, nothing.upper, nothing.log10_evidence) == (-1.0, math.inf, 0.0)


@pytest.mark.parametrize("conclusion", [FAILED, HELD])
def test_a_test_says_what_it_concluded_and_its_newest_numbers(conclusion: Conclusion) -> None:
    """Nothing of a conclusion is lost on the way, and the numbers are those of the last bucket."""
    said = ended(conclusion, 1.0, 2.5)

    assert said.conclusion == conclusion
    assert (said.log10_evidence, said.canary_units, said.stable_units) == (2.5, 3, 4)


def test_who_proved_harm_is_told_apart() -> None:
    """The halves of the comparison and the floor are named when they proved it themselves, of a test that failed."""
    exact = ExactEvidence(proven_at=15.0, spent_ratio=0.1, replayed=False)

    assert kpi(ended(FAILED, 1.0, 2.5)).proofs == ("quick",)
    assert replace(kpi(ended(FAILED, 1.0)), exact=exact).proofs == ("exact",)
    assert replace(kpi(ended(FAILED, 2.5), ended(FAILED, 3.0)), exact=exact).proofs == ("quick", "exact", "floor")
    assert replace(kpi(ended(HELD, 2.5)), exact=exact).proofs == ()


def test_a_doubted_proof_is_not_named_beside_a_sound_one() -> None:
    """While what the exact half rests on is not so, the quick half's proof stands alone."""
    exact = ExactEvidence(proven_at=15.0, spent_ratio=0.1, replayed=False, doubted=True)

    assert replace(kpi(ended(FAILED, 2.5)), exact=exact).proofs == ("quick",)


def test_a_kpi_without_a_comparison_speaks_by_its_floor() -> None:
    """The numbers of a KPI are the comparison's where it has one."""
    comparison, floor = ended(HELD, 1.0), ended(HELD, 3.0)

    assert kpi(comparison, floor).main is comparison
    assert kpi(None, floor).log10_evidence == 3.0


def test_who_is_told_to_be_blind_shows_what_was_known_and_hides_no_proof() -> None:
    """Only the KPIs that are named are relied on no more; of a router's mismatch somebody who sees must still speak."""
    harmed, fine = kpi(ended(FAILED, 2.5)), replace(kpi(ended(HELD, 1.0)), name="other", verdict=Verdict.PASS)
    harmed = replace(harmed, verdict=Verdict.FAIL, decided_at=20.0)
    evidence = results.RolloutEvidence(
        Verdict.FAIL, "kpi", 20.0, 30.0, {"kpi": harmed, "other": fine}, ended(Conclusion(Verdict.FAIL, 20.0), 3.0)
    )

    one, both = evidence.blinded({"other": "database"}), evidence.blinded({"kpi": "database", "other": "database"})

    assert one.kpis["kpi"] is harmed
    assert (one.kpis["other"].verdict, one.kpis["other"].blind_reason) == (Verdict.BLIND, "database")
    assert one.kpis["other"].comparison is fine.comparison
    assert (both.kpis["kpi"].verdict, both.kpis["kpi"].blind_reason) == (Verdict.FAIL, "database")
    assert one.mismatch is evidence.mismatch
    assert both.mismatch is None
    assert (one.verdict, both.verdict) == (Verdict.FAIL, Verdict.FAIL)


def test_a_rollout_whose_kpi_turns_blind_is_blind() -> None:
    """Without a proof, whoever may roll back and is not to be relied on freezes the weight."""
    passed = replace(kpi(ended(HELD, 1.0)), verdict=Verdict.PASS)
    evidence = results.RolloutEvidence(Verdict.PASS, None, None, 30.0, {"kpi": passed}, None)

    assert evidence.blinded({"kpi": "database"}).verdict is Verdict.BLIND
    assert evidence.blinded({}).verdict is Verdict.PASS
