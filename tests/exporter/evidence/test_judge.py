"""The judge of one rollout."""

import dataclasses

import numpy as np
import pytest

from exporter.evidence.grid import Bools, Floats
from exporter.evidence.judge import (
    ConversionRows,
    EntryRows,
    HoldReason,
    JudgeParameters,
    Kind,
    KpiParameters,
    MeanRows,
    OutcomeRows,
    RolloutEvidence,
    RolloutJudge,
    RolloutRows,
    Verdict,
)
from tests.exporter.evidence.simulation import END, PLAN, START, WEIGHTS, rollout


def _oldest(judge: RolloutJudge) -> float:
    """Since when the judge needs rows of any kind."""
    return min(judge.needs_since(name) for name in ("", *(kpi.name for kpi in judge.parameters.kpis)))


def known_at(rows: RolloutRows, now: float, since: float = -np.inf) -> RolloutRows:
    """What the database holds at `now`, cut down to what a judge asks for that needs rows `since` then."""
    visits = rows.kpis["conversion_rate"]
    payments = rows.kpis["payment_success_rate"]
    orders = rows.kpis["average_order_value"]
    assert isinstance(visits, ConversionRows)
    assert isinstance(payments, OutcomeRows)
    assert isinstance(orders, MeanRows)
    assert rows.entries is not None
    converted = np.where(visits.converted <= now, visits.converted, np.nan)
    resolved = np.where(payments.resolved <= now, payments.resolved, np.nan)

    def wanted(entered: Floats, *later: Floats) -> Bools:
        recent: Bools = (entered <= now) & np.any([entered >= since, *(time >= since for time in later)], axis=0)
        return recent

    visit = wanted(visits.entered, converted)
    payment = wanted(payments.entered, resolved) | (np.isnan(resolved) & (payments.entered <= now))
    order = wanted(orders.observed)
    entry = wanted(rows.entries.entered)
    return RolloutRows(
        kpis={
            "conversion_rate": ConversionRows(
                visits.assigned[visit], visits.entered[visit], visits.canary[visit], converted[visit]
            ),
            "payment_success_rate": OutcomeRows(
                payments.assigned[payment],
                payments.entered[payment],
                payments.canary[payment],
                resolved[payment],
                payments.failed[payment] & np.isfinite(resolved[payment]),
            ),
            "average_order_value": MeanRows.single(
                orders.assigned[order], orders.observed[order], orders.canary[order], orders.value[order]
            ),
        },
        entries=EntryRows(rows.entries.entered[entry], rows.entries.canary[entry]),
    )


def assert_same(mine: RolloutEvidence, theirs: RolloutEvidence) -> None:
    """Both judgements agree in every verdict and number, histories included."""
    assert mine.verdict is theirs.verdict
    assert mine.decided_at == theirs.decided_at
    tests = [(mine.mismatch, theirs.mismatch)]
    for name, kpi in mine.kpis.items():
        other = theirs.kpis[name]
        assert (kpi.verdict, kpi.decided_at) == (other.verdict, other.decided_at)
        tests += [(kpi.comparison, other.comparison), (kpi.floor, other.floor)]
    for one, two in tests:
        assert (one is None) == (two is None)
        if one is not None and two is not None:
            assert (one.canary_units, one.stable_units) == (two.canary_units, two.stable_units)
            for column in ("time", "estimate", "lower", "upper", "log10_evidence", "canary_units", "stable_units"):
                np.testing.assert_allclose(
                    getattr(one.history, column), getattr(two.history, column), rtol=1e-9, atol=1e-9
                )


@pytest.mark.parametrize(("per_minute", "canary_success"), [(30.0, None), (150.0, 0.8)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_rhythm_of_refreshing_does_not_matter(seed: int, per_minute: float, canary_success: float | None) -> None:
    """A judge asked at random moments with only the rows it needs agrees with one that reads all rows once."""
    rng = np.random.default_rng(seed)
    rows = rollout(rng, per_minute, canary_success=canary_success, decline_seconds=40.0, settle_seconds=400.0)
    often = RolloutJudge(PLAN)
    now = START

    while now < END:
        now = min(END, now + rng.exponential(60.0))
        often.judge(known_at(rows, now, _oldest(often)), WEIGHTS, now)
    last = often.judge(known_at(rows, END, _oldest(often)), WEIGHTS, END)

    assert_same(last, RolloutJudge(PLAN).judge(known_at(rows, END), WEIGHTS, END))


def test_rows_may_come_late_and_in_any_order_within_the_horizon() -> None:
    """Rows that appear late, but within the lateness horizon, end up in the same evidence."""
    rng = np.random.default_rng(4)
    rows = rollout(rng, 100.0, lag_seconds=60.0)
    visits = rows.kpis["conversion_rate"]
    assert isinstance(visits, ConversionRows)
    visible = visits.entered + rng.uniform(0.0, 110.0, visits.entered.size)
    order_visible = visits.converted + rng.uniform(0.0, 110.0, visits.entered.size)
    parameters = dataclasses.replace(PLAN, kpis=PLAN.kpis[:1])
    judge = RolloutJudge(parameters)

    for now in np.arange(START + 7.0, END, 31.0):
        seen = rng.permutation(np.flatnonzero(visible <= now))
        converted = np.where(order_visible[seen] <= now, visits.converted[seen], np.nan)
        late = ConversionRows(visits.assigned[seen], visits.entered[seen], visits.canary[seen], converted)
        judge.judge(RolloutRows({"conversion_rate": late}, EntryRows(late.entered, late.canary)), WEIGHTS, float(now))
    done = RolloutRows({"conversion_rate": visits}, rows.entries)

    assert_same(judge.judge(done, WEIGHTS, END), RolloutJudge(parameters).judge(done, WEIGHTS, END))


def test_a_harmful_canary_fails_and_says_which_kpi_when() -> None:
    """The first proof decides the rollout, at the end of the bucket in which it was reached."""
    evidence = RolloutJudge(PLAN).judge(rollout(np.random.default_rng(5), 400.0, canary_success=0.6), WEIGHTS, END)

    assert evidence.verdict is Verdict.FAIL
    assert evidence.kpi == "payment_success_rate"
    assert evidence.decided_at is not None
    assert START < evidence.decided_at < START + 300
    kpi = evidence.kpis["payment_success_rate"]
    assert kpi.log10_evidence > kpi.log10_threshold
    assert kpi.upper < -0.05


def test_a_healthy_canary_with_enough_traffic_passes() -> None:
    """With thousands of payments and orders every KPI of a healthy canary passes."""
    rows = rollout(np.random.default_rng(6), 6000.0, lag_seconds=30.0)

    evidence = RolloutJudge(PLAN).judge(rows, WEIGHTS, END)

    assert {kpi.verdict for kpi in evidence.kpis.values()} == {Verdict.PASS}
    assert evidence.verdict is Verdict.PASS
    assert evidence.mismatch is not None
    assert evidence.mismatch.verdict is Verdict.PASS


def test_a_proof_stays_a_proof() -> None:
    """A KPI that failed once stays failed even when later data look better, also when its data go missing."""
    bad, good = rollout(np.random.default_rng(7), 400.0, canary_success=0.6), rollout(np.random.default_rng(8), 400.0)
    judge = RolloutJudge(PLAN)

    first = judge.judge(bad, WEIGHTS, START + 600)
    later = judge.judge(good, WEIGHTS, END)
    gone = judge.judge(RolloutRows({}), WEIGHTS, END + 600)

    assert first.verdict is later.verdict is gone.verdict is Verdict.FAIL
    assert gone.kpis["conversion_rate"].verdict is Verdict.BLIND


@pytest.mark.parametrize("changing_seconds", [0.0, 900.0])
def test_a_proof_by_the_newest_rows_stays_one_when_the_next_look_has_none(changing_seconds: float) -> None:
    """What has proven harm may still be younger than the lateness horizon when a canary takes the database with it."""
    bad = rollout(np.random.default_rng(7), 400.0, canary_success=0.6)
    judge = RolloutJudge(dataclasses.replace(PLAN, changing_seconds=changing_seconds))

    seen = judge.judge(bad, WEIGHTS, START + 100).kpis["payment_success_rate"]
    gone = judge.judge(RolloutRows({}), WEIGHTS, START + 101).kpis["payment_success_rate"]

    assert seen.verdict is gone.verdict is Verdict.FAIL
    assert (gone.decided_at, gone.log10_evidence, gone.canary_units) == (
        seen.decided_at, seen.log10_evidence, seen.canary_units,
    )  # fmt: skip


def test_missing_or_stale_data_are_blind_not_bad() -> None:
    """A KPI without rows, or named stale, is blind with a reason; the rollout is blind, not failed."""
    rows = rollout(np.random.default_rng(9), 60.0)
    without = RolloutRows({name: kpi for name, kpi in rows.kpis.items() if name != "conversion_rate"}, rows.entries)

    missing = RolloutJudge(PLAN).judge(without, WEIGHTS, END)
    stale = RolloutJudge(PLAN).judge(rows, WEIGHTS, END, blind={"conversion_rate": "data are 200 s old"})

    assert missing.verdict is stale.verdict is Verdict.BLIND
    assert missing.kpis["conversion_rate"].blind_reason == "its source is missing"
    assert stale.kpis["conversion_rate"].blind_reason == "data are 200 s old"


def test_a_router_that_breaks_its_word_makes_the_rollout_blind() -> None:
    """A third of the canary's visits missing is a mismatch: the comparison is not to be trusted."""
    rows = rollout(np.random.default_rng(10), 1000.0)
    assert rows.entries is not None
    lost = rows.entries.canary & (np.random.default_rng(0).random(rows.entries.canary.size) < 0.5)
    entries = EntryRows(rows.entries.entered[~lost], rows.entries.canary[~lost])

    evidence = RolloutJudge(PLAN).judge(RolloutRows(rows.kpis, entries), WEIGHTS, END)

    assert evidence.mismatch is not None
    assert evidence.mismatch.verdict is Verdict.FAIL
    assert evidence.verdict is Verdict.BLIND


def test_after_promotion_the_comparison_is_frozen_and_the_floor_goes_on() -> None:
    """At 100 % the comparison keeps its last word and says it is frozen; a broken floor still fails."""
    rows = rollout(np.random.default_rng(11), 200.0)
    payments = rows.kpis["payment_success_rate"]
    assert isinstance(payments, OutcomeRows)
    promoted = START + 1200
    after = payments.entered >= promoted
    broken = OutcomeRows(
        payments.assigned,
        payments.entered,
        payments.canary | after,
        payments.resolved,
        payments.failed | (after & (np.arange(after.size) % 2 == 0)),
    )
    weights = [*WEIGHTS[:2], (promoted, 1.0)]
    whole = RolloutRows({**rows.kpis, "payment_success_rate": broken}, rows.entries)

    at_promotion = RolloutJudge(PLAN).judge(whole, weights, promoted)
    later = RolloutJudge(PLAN).judge(whole, weights, END)

    kpi, before = later.kpis["payment_success_rate"], at_promotion.kpis["payment_success_rate"]
    assert kpi.frozen
    assert kpi.comparison is not None
    assert before.comparison is not None
    assert kpi.comparison.log10_evidence == pytest.approx(before.comparison.log10_evidence)
    assert before.verdict is not Verdict.FAIL
    assert kpi.floor is not None
    assert kpi.floor.verdict is Verdict.FAIL
    assert later.decided_at is not None
    assert later.decided_at > promoted


def test_a_conversion_floor_waits_for_the_deadline() -> None:
    """A conversion rate far below its floor is proven where there is no stable, and no visit counts before its time."""
    kpi = KpiParameters("rate", Kind.CONVERSION, floor=0.5, pending_timeout_seconds=300)
    parameters = JudgeParameters(START, (kpi,))
    visits = rollout(np.random.default_rng(12), 200.0, conversion=0.1).kpis["conversion_rate"]
    assert isinstance(visits, ConversionRows)
    alone = dataclasses.replace(visits, canary=np.ones(len(visits.canary), dtype=np.bool_))

    evidence = RolloutJudge(parameters).judge(RolloutRows({"rate": alone}), [(START, 1.0)], END)

    assert evidence.verdict is Verdict.FAIL
    assert evidence.decided_at is not None
    assert evidence.decided_at > START + 300
    assert evidence.kpis["rate"].comparison is None
    assert evidence.kpis["rate"].estimate < 0.3


def test_both_versions_below_the_floor_hold_and_say_so() -> None:
    """A provider that fails for everybody is no harm of the canary's: hold, with its own reason."""
    rows = rollout(np.random.default_rng(12), 200.0, success=0.7)

    evidence = RolloutJudge(PLAN).judge(rows, WEIGHTS, END)

    payments = evidence.kpis["payment_success_rate"]
    assert (payments.verdict, payments.hold_reason) == (Verdict.HOLD, HoldReason.FAILS_EVERYWHERE)
    assert evidence.verdict is Verdict.HOLD


def test_rows_of_unequal_length_are_refused() -> None:
    """Arrays that do not belong together are an error, not a wrong verdict."""
    with pytest.raises(ValueError, match="EntryRows: arrays of one length"):
        EntryRows(np.zeros(3), np.zeros(2, dtype=np.bool_))
