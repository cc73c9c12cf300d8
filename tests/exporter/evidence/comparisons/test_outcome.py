"""The comparison of units that succeed or fail."""

import numpy as np
import pytest

from exporter.evidence.comparisons.outcome import GRID, OutcomeTest, outcomes_of, with_timeout
from exporter.evidence.grid import Floats, log10_evidence
from exporter.evidence.hypergeometric import log_pmf
from exporter.evidence.judge import (
    JudgeParameters,
    Kind,
    KpiEvidence,
    KpiParameters,
    RolloutJudge,
    RolloutRows,
    Verdict,
)
from exporter.evidence.progress.timeline import Timeline
from exporter.evidence.rows import OutcomeRows
from tests.exporter.evidence.simulation import END, START, WEIGHTS, rollout

TIMELINE = Timeline.of(START, 2.0, WEIGHTS)
ALL = TIMELINE.complete(END)


def payments(seed: int, per_minute: float, **shop: float) -> OutcomeRows:
    """The payments of one simulated rollout."""
    rows = rollout(np.random.default_rng(seed), per_minute, **shop).kpis["payment_success_rate"]
    assert isinstance(rows, OutcomeRows)
    return rows


def one_table(canary: int, stable: int, events: int, canary_events: int) -> Floats:
    """The log-probability of one table over the grid."""
    table = np.asarray([[canary], [stable], [events], [canary_events]])
    likelihood: Floats = log_pmf(table[0], table[1], table[2], table[3], GRID.effects)[0]
    return likelihood


def test_a_cohort_weighs_what_the_formula_says() -> None:
    """A cohort of eight adds exactly the hypergeometric log-probability of its failures; the open one adds nothing."""
    times = START + np.arange(11.0)
    canary = np.arange(11) == 5
    failed = np.isin(np.arange(11), [5, 7])

    test, _ = OutcomeTest.new(0.01).advance(OutcomeRows(times, times, canary, times, failed), TIMELINE, 100)

    np.testing.assert_allclose(test.likelihood, one_table(1, 7, 2, 1))
    assert test.units == (1, 10)


def test_pending_units_count_for_nothing_until_the_timeout_fails_them() -> None:
    """A payment pending past the timeout failed at that moment, even if it succeeds later."""
    entered = START + np.asarray([0.0, 0.0, 0.0])
    rows = OutcomeRows(
        entered, entered, np.zeros(3, dtype=np.bool_), START + np.asarray([np.nan, 900.0, 5.0]), np.zeros(3, np.bool_)
    )

    timed_out = with_timeout(rows, 60.0)

    assert timed_out.failed.tolist() == [True, True, False]
    assert timed_out.resolved.tolist() == [START + 60.0, START + 60.0, START + 5.0]
    assert with_timeout(rows, None) is rows


def test_where_outcomes_may_wait_only_the_open_ones_time_out() -> None:
    """A bank transfer that arrived, or was given up, on its second day is what it became, when it became it."""
    entered = START + np.asarray([0.0, 0.0, 0.0])
    resolved, failed = START + np.asarray([np.nan, 900.0, 900.0]), np.asarray([False, False, True])

    waited = with_timeout(
        OutcomeRows(entered, entered, np.zeros(3, dtype=np.bool_), resolved, failed), 60.0, may_wait=True
    )

    assert waited.failed.tolist() == [True, False, True]
    assert waited.resolved.tolist() == [START + 60.0, START + 900.0, START + 900.0]


def test_no_floor_counts_what_is_neither_good_nor_bad() -> None:
    """A third of all payments awaited for days is no reason to take the rest for less than they are, or for more."""
    entered, nobody = START + np.asarray([0.0, 0.0]), np.zeros(2, dtype=np.bool_)
    rows = OutcomeRows(entered, entered, nobody, np.asarray([np.inf, START + 5.0]), nobody)

    counted = outcomes_of(rows, 60.0, may_wait=True)

    assert counted is not None
    assert counted.resolved.tolist() == [START + 5.0]


def test_strata_do_not_depend_on_the_order_of_rows() -> None:
    """Rows in any order give the same evidence, ties in time included."""
    rows = payments(1, 100.0)
    seconds = np.floor(rows.resolved)
    shuffled = np.random.default_rng(0).permutation(seconds.size)

    mine, _ = OutcomeTest.new(0.01).advance(
        OutcomeRows(rows.assigned, rows.entered, rows.canary, seconds, rows.failed), TIMELINE, ALL
    )
    columns = OutcomeRows(
        rows.assigned[shuffled], rows.entered[shuffled], rows.canary[shuffled], seconds[shuffled], rows.failed[shuffled]
    )
    theirs, _ = OutcomeTest.new(0.01).advance(columns, TIMELINE, ALL)

    np.testing.assert_array_equal(mine.likelihood, theirs.likelihood)


@pytest.mark.parametrize(("decline_seconds", "settle_seconds"), [(1.0, 1.0), (1.0, 240.0), (240.0, 1.0)])
def test_a_healthy_canary_is_rarely_accused(decline_seconds: float, settle_seconds: float) -> None:
    """At most alpha of healthy rollouts are accused, also when failures are known sooner or later than successes."""
    alpha, rollouts = 0.05, 200

    accused = 0
    for seed in range(rollouts):
        rows = payments(seed, 60.0, decline_seconds=decline_seconds, settle_seconds=settle_seconds)
        _, path = OutcomeTest.new(alpha).advance(rows, TIMELINE, ALL)
        accused += bool((path.log10_evidence >= -np.log10(alpha)).any())

    # alpha * rollouts is 10; three standard deviations above it is 19.
    assert accused <= 19


def test_mean_evidence_of_healthy_rollouts_is_at_most_one() -> None:
    """The evidence at the end of healthy rollouts averages one at most, within four standard errors."""
    evidence = []
    for seed in range(400):
        test, _ = OutcomeTest.new(0.05).advance(payments(1000 + seed, 20.0), TIMELINE, ALL)
        evidence.append(10 ** float(log10_evidence(GRID, test.likelihood)))

    mean, error = np.mean(evidence), np.std(evidence) / np.sqrt(len(evidence))
    assert mean <= 1.0 + 4.0 * error
    assert mean > 0.05


def test_bounds_cover_the_truth() -> None:
    """The relative change of a truly worse canary lies within the bounds in nearly all rollouts."""
    truth, covered = 0.90 / 0.97 - 1.0, 0

    for seed in range(100):
        _, path = OutcomeTest.new(0.05).advance(payments(seed, 200.0, canary_success=0.90), TIMELINE, ALL)
        covered += bool(path.lower[-1] <= truth <= path.upper[-1])

    assert covered >= 93


def test_a_weight_change_closes_what_is_open() -> None:
    """Units of a stratum too small to close count from the next weight change on."""
    times = START + np.arange(6.0)
    canary = np.arange(6) == 2
    rows = OutcomeRows(times, times, canary, times, canary)

    before, _ = OutcomeTest.new(0.01).advance(rows, TIMELINE, 149)
    after, _ = before.advance(rows, TIMELINE, 151)

    assert not before.likelihood.any()
    np.testing.assert_allclose(after.likelihood, one_table(1, 5, 1, 1))


def judged(seed: int, per_minute: float, failing: tuple[float, float]) -> Verdict:
    """The verdict after 40 minutes of payments, half of them the canary's; *failing* are stable's share and its own."""
    rng, minutes = np.random.default_rng(seed), 40.0
    count = round(per_minute * minutes)
    entered = np.sort(START + rng.uniform(0.0, 60.0 * minutes, count))
    canary = rng.random(count) < 0.5
    failed = rng.random(count) < np.where(canary, failing[1], failing[0])
    kpi = KpiParameters("payment_success_rate", Kind.SUCCESS, tolerance=0.05)
    rows = RolloutRows({kpi.name: OutcomeRows(entered, entered, canary, entered + 1.0, failed)})
    judge = RolloutJudge(JudgeParameters(START, (kpi,)))
    return judge.judge(rows, [(START, 0.5)], START + 60.0 * minutes).kpis[kpi.name].verdict


def test_a_stable_that_never_fails_hides_no_canary_that_does() -> None:
    """No multiple of no failure is a failure: such a canary has the failures that it has."""
    assert {judged(seed, 20.0, (0.0, 0.12)) for seed in range(10)} == {Verdict.FAIL}


def test_where_nothing_ever_fails_many_payments_pass_and_few_say_nothing() -> None:
    """Without a failure no two rates differ; that a canary fails one time in ten shows only after a while."""
    assert judged(1, 200.0, (0.0, 0.0)) is Verdict.PASS
    assert judged(1, 1.0, (0.0, 0.0)) is Verdict.HOLD


def judged_live(rows: OutcomeRows, minutes: list[float], changing_seconds: float = 900.0) -> list[KpiEvidence]:
    """What a judge says at each of some minutes of payments at half and half, told what is known by then."""
    kpi = KpiParameters("paid", Kind.SUCCESS, tolerance=0.05, pending_timeout_seconds=900.0)
    judge = RolloutJudge(JudgeParameters(started_at=START, kpis=(kpi,), changing_seconds=changing_seconds))
    found = []
    for now in START + 60.0 * np.asarray(minutes):
        known, settled = rows.entered <= now, rows.resolved <= now
        so_far = OutcomeRows(
            rows.assigned[known], rows.entered[known], rows.canary[known],
            np.where(settled, rows.resolved, np.nan)[known], (rows.failed & settled)[known],
        )  # fmt: skip
        found.append(judge.judge(RolloutRows({"paid": so_far}), [(START, 0.5)], float(now)).kpis["paid"])
    return found


def settling(seed: int, seconds: tuple[float, float], hanging: float = 0.0) -> OutcomeRows:
    """Forty minutes, 200 payments each: stable's and the canary's seconds until they settle, and a share that hangs."""
    rng = np.random.default_rng(seed)
    entered = np.sort(rng.uniform(START, END, 8000))
    canary = rng.random(8000) < 0.5
    resolved = entered + rng.exponential(1.0, 8000) * np.where(canary, seconds[1], seconds[0])
    hangs = canary & (rng.random(8000) < hanging)
    return OutcomeRows(entered, entered, canary, np.where(hangs, np.nan, resolved), (rng.random(8000) < 0.02) & ~hangs)


@pytest.mark.parametrize("hanging", [0.2, 1.0])
def test_a_canary_whose_payments_hang_does_not_pass_until_they_time_out(hanging: float) -> None:
    """Nobody has failed yet, and stable's payments of the same minutes are settled: that is no proof of health."""
    verdicts = [one.verdict for one in judged_live(settling(1, (20.0, 20.0), hanging), [1.0, 5.0, 10.0, 14.0, 30.0])]

    assert Verdict.PASS not in verdicts
    assert verdicts[-1] is Verdict.FAIL


@pytest.mark.parametrize("seconds", [(20.0, 20.0), (60.0, 60.0), (60.0, 90.0)])
def test_a_canary_that_settles_as_stable_does_or_somewhat_later_passes(seconds: tuple[float, float]) -> None:
    """What is open on both sides alike, or for some seconds more, keeps nobody from passing."""
    assert judged_live(settling(2, seconds), [5.0, 15.0, 40.0])[-1].verdict is Verdict.PASS


def test_what_is_open_is_known_live_and_replayed_alike() -> None:
    """The bounds by which a canary passes are the same for who looked every minute and who looks once."""
    rows = settling(3, (20.0, 60.0), 0.1)
    [live] = judged_live(rows, [float(minute) for minute in range(1, 13)])[-1:]
    [replayed] = judged_live(rows, [12.0])

    assert live.history.phase_lower[-1] == pytest.approx(replayed.history.phase_lower[-1], abs=1e-9)
    assert replayed.history.phase_lower[-1] < replayed.lower


def test_what_hangs_since_the_last_news_counts_live_as_in_one_pass() -> None:
    """In a small shop nothing fails for many minutes: what is open meanwhile is not what was open at the last news."""
    entered = np.arange(START, END, 10.0)
    canary = np.arange(len(entered)) % 2 == 0
    hangs = canary & (entered >= START + 1740.0)
    failed = (np.arange(len(entered)) % 40 < 2) & (entered < START + 900.0)
    rows = OutcomeRows(entered, entered, canary, np.where(hangs, np.nan, entered + 2.0), failed)

    [*_, live] = judged_live(rows, [minute / 2.0 for minute in range(2, 81)], changing_seconds=0.0)
    [once] = judged_live(rows, [40.0], changing_seconds=0.0)

    assert live.history.time[-1] < END - 180.0
    assert live.history.phase_lower[-1] == pytest.approx(once.history.phase_lower[-1], abs=1e-9)
    assert live.history.phase_lower[-1] < live.lower - 0.02
