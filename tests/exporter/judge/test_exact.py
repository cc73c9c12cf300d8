"""The exact half, fed with customers' rows."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from canary.policy.database.section import DEFAULT_EVENTS
from canary.policy.gates import ApprovalGate, Gate, UrlGate
from canary.rollout.state import Weight
from exporter.evidence.judge import RolloutEvidence
from exporter.judge.exact import plan_of
from exporter.judge.exactfile import ExactFiles
from exporter.judge.rollout import JudgedRollout
from exporter.ledger.rows import FAILED_CODE, SUCCEEDED_CODE, EventRows
from tests.exporter.judge.customers import END, POLICY, START, STARTS, VERSIONS, known_at, rollout, shop

PAYMENTS = "payment_success_rate"
POWERFUL = replace(POLICY, evidence=replace(POLICY.evidence, alpha=0.2))
"""So much alpha that a small shop comes to a verdict."""


def looks(
    judged: JudgedRollout, rows: dict[str, EventRows], moments: np.ndarray, blind: dict[str, str] | None = None
) -> RolloutEvidence:
    """Look at each of some moments; what was said last."""
    for now in moments:
        evidence = judged.look(known_at(rows, now), VERSIONS, rollout(until=now), float(now), blind or {})
    return evidence


def proofs(evidence: RolloutEvidence) -> dict[str, float | None]:
    """When the exact half has proven harm, by KPI."""
    return {name: kpi.exact.proven_at for name, kpi in evidence.kpis.items() if kpi.exact is not None}


MOMENTS = np.arange(START + 30.0, END + 1.0, 30.0)
EVERY_LOOK = np.arange(START + 7.5, START + 900.0, 7.5)
"""Two KPIs look in turns."""
HEALED = START + 600.0
"""When the canary is repaired: from then on nothing but what was seen before speaks against it."""


def test_harm_is_proven_and_fails_the_canary() -> None:
    """One payment in four that fails more is found, in payments and in nothing else, and the verdict says so."""
    evidence = looks(JudgedRollout.of(POWERFUL, rollout()), shop(1, harm=0.25), MOMENTS)

    found = proofs(evidence)
    assert found["conversion_rate"] is None
    assert found[PAYMENTS] is not None
    assert evidence.kpis[PAYMENTS].verdict == "fail"


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_phase_that_compares_nobody_is_looked_at_without_a_word(share: float) -> None:
    """While only testers, or everybody, are on the canary there is nobody to draw, and no KPI that fails or breaks."""
    rows = shop(1, harm=0.25)
    alone = replace(rollout(until=START), traffic=(share, 0.25, 0.5), weights=(Weight(rollout().started_at, share),))
    judged = JudgedRollout.of(POWERFUL, alone)
    for now in EVERY_LOOK[:20]:
        evidence = judged.look(known_at(rows, now), VERSIONS, alone, float(now), {})

    assert judged.exact is not None
    assert set(proofs(evidence).values()) == {None}
    assert all(test.next_look > EVERY_LOOK[19] for test in judged.exact.tests.values())


@pytest.mark.parametrize("gate", ["manual", ApprovalGate(approvers=2), UrlGate(url="http://gate")])
def test_any_gate_keeps_alpha_for_the_wait_before_it(gate: Gate) -> None:
    """Whoever opens it, a person, several or a check: the wait is planned, and four times as much is kept for it."""
    gated = replace(POLICY, phases=tuple(replace(phase, gate=gate) for phase in POLICY.phases))

    kept = [plan_of(policy, rollout()).kept_for_waiting for policy in (POLICY, gated)]
    assert kept == [0.05, 0.2]


def test_the_plan_that_a_rollout_runs_by_says_what_may_be_spent() -> None:
    """`when_proven` takes its part of alpha where it stands in the rollout's own plan, and in a phase that compares."""
    proven = tuple(replace(phase, advance="when_proven") for phase in POLICY.phases)
    alone = (*POLICY.phases[:-1], proven[-1])
    policy = replace(POLICY, plans={"careful": proven, "promoting": alone})

    of = {name: plan_of(policy, replace(rollout(), plan=name)) for name in ("normal", "careful", "promoting")}

    assert {name: plan.alpha(0.01) for name, plan in of.items()} == pytest.approx(
        {"normal": 0.01, "careful": 0.008, "promoting": 0.01}
    )
    assert {name: plan.when_proven for name, plan in of.items()} == {
        "normal": False,
        "careful": True,
        "promoting": False,
    }


def test_each_half_has_its_part_of_alpha() -> None:
    """Three tenths are the quick half's, the rest the exact one's; without customers all of it is the quick one's."""
    judged = JudgedRollout.of(POLICY, rollout())
    events = POLICY.database.events
    anonymous = replace(events["visits"], unit=None)
    without = replace(POLICY, database=replace(POLICY.database, events={**events, "visits": anonymous}))
    quick = JudgedRollout.of(without, rollout())

    [kpi, _] = judged.parameters.kpis
    assert abs(judged.parameters.alpha_of(kpi) - 0.0015) < 1e-12
    assert abs(judged.parameters.exact_alpha_of(kpi) - 0.0035) < 1e-12
    assert quick.exact is None
    assert quick.parameters.alpha_of(kpi) == 0.005


def test_a_process_that_is_killed_between_looks_decides_what_one_that_lives_on_decides(tmp_path: Path) -> None:
    """After each restart there is what the files remember and all rows of the rollout, and nothing else."""
    rows, moments = shop(2, harm=0.2), EVERY_LOOK[:100]
    lived = looks(JudgedRollout.of(POWERFUL, rollout()), rows, moments)
    files = ExactFiles(tmp_path / "evidence", "shop")
    for part in np.array_split(moments, 8):
        killed = looks(JudgedRollout.of(POWERFUL, rollout(), files=files), rows, part)

    assert proofs(lived)[PAYMENTS] is not None
    assert proofs(killed) == proofs(lived)
    assert not any(kpi.exact and kpi.exact.replayed for kpi in killed.kpis.values())


def test_what_was_proven_while_the_disk_was_full_is_proven_after_a_restart(tmp_path: Path) -> None:
    """An old file lacks looks that have been made and told: they are made up for, and that is said from then on."""
    rows, files = shop(3, harm=0.25), ExactFiles(tmp_path / "evidence", "shop")
    payments = rows["payments"]
    healed = replace(payments, outcome=np.where(payments.entered > HEALED, SUCCEEDED_CODE, payments.outcome))
    rows = rows | {"payments": healed}
    looks(JudgedRollout.of(POWERFUL, rollout(), files=files), rows, EVERY_LOOK[:8])
    lived = looks(JudgedRollout.of(POWERFUL, rollout()), rows, EVERY_LOOK)

    restarted = JudgedRollout.of(POWERFUL, rollout(), files=files)
    after = looks(restarted, rows, EVERY_LOOK[-1:])
    again = looks(JudgedRollout.of(POWERFUL, rollout(), files=files), rows, EVERY_LOOK[-1:])

    assert proofs(lived)[PAYMENTS] is not None
    assert proofs(after) == proofs(again) == proofs(lived)
    assert all(kpi.exact and kpi.exact.replayed for kpi in again.kpis.values())


def test_files_of_customers_by_another_column_are_not_gone_on_from(tmp_path: Path) -> None:
    """With the customer mapped anew each would be counted a second time, so that the looks are made again from rows."""
    rows, files = shop(2), ExactFiles(tmp_path / "evidence", "shop")
    looks(JudgedRollout.of(POLICY, rollout(), files=files), rows, MOMENTS[:4])
    events = DEFAULT_EVENTS | {"visits": replace(DEFAULT_EVENTS["visits"], unit="account")}
    moved = replace(POLICY, database=replace(POLICY.database, events=events))

    same, other = (JudgedRollout.of(policy, rollout(), files=files) for policy in (POLICY, moved))

    assert same.exact is not None
    assert other.exact is not None
    assert same.exact.followed == set(POLICY.kpis)
    assert other.exact.followed == set()


def test_lost_files_are_made_up_for_from_the_rows_and_that_is_said(tmp_path: Path) -> None:
    """Rows that carry their own times lead to the same looks; the evidence says that they were replayed."""
    rows = shop(3, harm=0.25)
    lived = looks(JudgedRollout.of(POWERFUL, rollout()), rows, EVERY_LOOK)
    files = ExactFiles(tmp_path / "evidence", "shop")
    replayed = looks(JudgedRollout.of(POWERFUL, rollout(), files=files), rows, EVERY_LOOK[-1:])

    assert proofs(lived)[PAYMENTS] is not None
    assert proofs(replayed) == proofs(lived)
    assert all(kpi.exact and kpi.exact.replayed for kpi in replayed.kpis.values())


def test_a_replay_looks_when_it_would_have_looked_however_long_ago_that_is() -> None:
    """What was proven, and when, is the same half a second and half an hour after the look that proved it."""
    rows = shop(3, harm=0.25)
    late = looks(JudgedRollout.of(POWERFUL, rollout()), rows, MOMENTS[-1:])
    at = proofs(late)[PAYMENTS]
    assert at is not None

    soon = looks(JudgedRollout.of(POWERFUL, rollout()), rows, np.asarray([at + 0.5]))

    assert proofs(soon)[PAYMENTS] == at


def test_a_blind_kpi_misses_its_looks_and_keeps_what_it_might_have_spent() -> None:
    """Nothing is decided while data are old; once they are fresh the next look may spend it all."""
    rows, half = shop(4, harm=0.25), len(MOMENTS) // 2
    judged = JudgedRollout.of(POWERFUL, rollout())
    blind = looks(judged, rows, MOMENTS[:half], {PAYMENTS: "database"})
    seen = looks(judged, rows, MOMENTS[half:])

    unseen = blind.kpis[PAYMENTS].exact
    assert unseen is not None
    assert unseen.spent_ratio == 0.0
    assert proofs(seen)[PAYMENTS] is not None


def test_a_customer_counts_once_in_each_phase() -> None:
    """Three pairs at most of a customer with any number of visits, and none of the first ten seconds of a phase."""
    judged = JudgedRollout.of(POLICY, rollout())
    looks(judged, shop(5), MOMENTS[::8])
    assert judged.exact is not None
    test = judged.exact.tests["conversion_rate"]

    customers, pairs = np.unique(test.counted.unit, return_counts=True)
    assert len(customers) > 500
    assert pairs.max() == 2
    assert test.cohorts.pairs.sum() == len(test.counted)
    assert all(
        cohort - STARTS[phase] >= 10.0 for phase, cohort in zip(test.cohorts.phase, test.cohorts.start, strict=True)
    )


def test_a_phase_that_is_over_within_seconds_has_nobody_in_it() -> None:
    """Who comes in the first ten seconds of a weight is in no pair, and who comes later is no pair of that phase."""
    hurried = replace(
        rollout(),
        weights=(
            Weight(rollout().started_at, 0.05),
            Weight(rollout().started_at + timedelta(seconds=6), 0.25),
            *rollout().weights[2:],
        ),
    )
    judged, rows = JudgedRollout.of(POLICY, hurried), shop(5)
    for now in MOMENTS[::8]:
        judged.look(known_at(rows, now), VERSIONS, hurried, float(now), {})
    assert judged.exact is not None

    assert set(judged.exact.tests["conversion_rate"].cohorts.phase.tolist()) == {1, 2}


def test_what_happens_in_the_warm_up_of_a_later_phase_happened_to_nobody() -> None:
    """Who came in the phase before, and fails while the caches of the next one are cold, has not failed."""
    rows = shop(5)
    payments = rows["payments"]
    cold = (payments.time >= STARTS[1]) & (payments.time < STARTS[1] + 60.0)
    rows["payments"] = replace(payments, outcome=np.where(cold, FAILED_CODE, SUCCEEDED_CODE))
    amounts = {}
    for warmup in (0.0, 60.0):
        policy = replace(POLICY, evidence=replace(POLICY.evidence, warmup=warmup))
        judged = JudgedRollout.of(policy, rollout())
        looks(judged, rows, MOMENTS[-1:])
        assert judged.exact is not None
        amounts[warmup] = float(judged.exact.tests[PAYMENTS].cohorts.amount.sum())

    assert amounts[0.0] > 0.0
    assert amounts[60.0] == 0.0


@pytest.mark.parametrize("harm", [0.0, 0.1, 0.25])
def test_a_study_that_asks_only_for_proofs_finds_the_same_ones(harm: float) -> None:
    """It looks at a few of the draws first; what is proven, and when, is what all of them say."""
    for seed in range(5):
        rows, name = shop(seed, harm=harm), f"r{seed}"
        whole, brief = (
            JudgedRollout.of(POWERFUL, rollout(name), only_proofs=only_proofs) for only_proofs in (False, True)
        )
        asked, told = (looks(judged, rows, MOMENTS[-1:]) for judged in (whole, brief))

        assert proofs(told) == proofs(asked)
        assert {name: kpi.verdict for name, kpi in told.kpis.items()} == {
            name: kpi.verdict for name, kpi in asked.kpis.items()
        }


@pytest.mark.parametrize(("apart", "verdict"), [(None, "fail"), (0.04, "fail"), (0.2, "hold")])
def test_where_rows_and_the_routers_hash_disagree_a_proof_of_this_half_alone_only_holds(
    apart: float | None, verdict: str
) -> None:
    """It draws the hash again, which says nothing of customers who are on the canary for another reason."""
    judged = JudgedRollout.of(POWERFUL, rollout())
    judged.judge.know_sides(apart)

    evidence = looks(judged, shop(2, harm=0.04), np.asarray([END]))  # too little for the quick half

    found = evidence.kpis[PAYMENTS]
    assert proofs(evidence)[PAYMENTS] is not None
    assert found.verdict == verdict
    assert found.hold_reason == ("sides_differ" if verdict == "hold" else None)
