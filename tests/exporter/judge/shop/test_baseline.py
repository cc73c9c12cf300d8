"""What the shop was like before the rollout, and stable held against it."""

from dataclasses import replace

import numpy as np
import pytest

from canary.policy.kpis import Conversion, Success
from exporter.evidence.verdict import HoldReason, Verdict
from exporter.judge.joins import JoinedRows
from exporter.judge.rollout import JudgedRollout
from exporter.judge.shop.baseline import level_before
from exporter.judge.shop.rhythm import Rhythm
from exporter.ledger.rows import FAILED_CODE, PENDING_CODE, SUCCEEDED_CODE, EventRows, Floats
from tests.exporter.judge.customers import END, POLICY, START, STARTS, VERSIONS, known_at, rollout, shop

BEFORE = (START - 3600.0, START)


def with_an_hour_before(seed: int, *, fails_from: float = np.inf) -> dict[str, EventRows]:
    """A healthy shop and the hour before its rollout; from some moment on, a third of all payments fail besides."""
    rows, before = shop(seed, 1500), shop(seed + 100, 1500)
    earlier = {
        event: replace(table, time=_hour_before(table.time), entered=_hour_before(table.entered))
        for event, table in before.items()
    }
    every = {event: table.then((earlier[event],)) for event, table in rows.items()}
    payments = every["payments"]
    hit = (payments.entered >= fails_from) & (np.random.default_rng(seed).random(len(payments)) < 0.33)
    every["payments"] = replace(payments, outcome=np.where(hit, FAILED_CODE, payments.outcome))
    return {event: table.where(np.argsort(table.time, kind="stable")) for event, table in every.items()}


def _hour_before(times: Floats) -> Floats:
    earlier: Floats = START - 1.5 * (END - times)
    return earlier


def test_a_canary_that_hurts_both_versions_holds_the_rollout() -> None:
    """Payments that fail on both sides from the second phase on: no difference, and yet it is held and said why."""
    plain = replace(POLICY.kpis["payment_success_rate"], floor=None)
    judged = JudgedRollout.of(replace(POLICY, kpis={**POLICY.kpis, "payment_success_rate": plain}), rollout())

    for now in (START + 60.0, END):
        rows = known_at(with_an_hour_before(1, fails_from=STARTS[1]), now)
        evidence = judged.look(rows, VERSIONS, rollout(until=now), now, {})

    payments = evidence.kpis["payment_success_rate"]
    assert (payments.verdict, payments.hold_reason) == (Verdict.HOLD, HoldReason.STABLE_HARMED)
    assert payments.stable_level is not None
    assert payments.stable_level.before == pytest.approx(0.95, abs=0.03)
    assert payments.stable_level.now == pytest.approx(0.65, abs=0.05)


def test_a_shop_that_stays_as_it_was_is_not_held() -> None:
    """Nothing is said of stable where it is what it was, and nothing is asked where the policy does not ask."""
    rows = known_at(with_an_hour_before(2), END)
    asks_not = replace(POLICY, evidence=replace(POLICY.evidence, stable_harm="none"))

    fine = JudgedRollout.of(POLICY, rollout()).look(rows, VERSIONS, rollout(), END, {}).kpis
    silent = JudgedRollout.of(asks_not, rollout()).look(rows, VERSIONS, rollout(), END, {}).kpis

    for name in ("payment_success_rate", "conversion_rate"):
        level = fine[name].stable_level
        assert level is not None
        assert not level.harmed
        assert silent[name].stable_level is None


@pytest.mark.parametrize("kpi", [POLICY.kpis["payment_success_rate"], POLICY.kpis["conversion_rate"]])
def test_too_few_customers_say_nothing_of_the_level(kpi: Conversion | Success) -> None:
    """A quarter of an hour with a handful of customers is no level to hold anybody against."""
    rows = with_an_hour_before(3)
    many = JoinedRows(POLICY.database.events, rows)
    few = JoinedRows(POLICY.database.events, {event: table.where(table.ids % 40 == 0) for event, table in rows.items()})

    assert level_before(kpi, many, BEFORE, 900.0) is not None
    assert level_before(kpi, few, BEFORE, 900.0) is None
    assert level_before(kpi, many, BEFORE, 3000.0) is None or isinstance(kpi, Conversion)


def test_a_second_try_counts_where_the_policy_says_so() -> None:
    """Of customers who try twice, the last attempt succeeds more often than the first."""
    rows = with_an_hour_before(4)
    payments = rows["payments"]
    failed = np.random.default_rng(4).random(len(payments)) < 0.3
    rows["payments"] = replace(payments, outcome=np.where(failed, FAILED_CODE, SUCCEEDED_CODE))
    joined, first = JoinedRows(POLICY.database.events, rows), POLICY.kpis["payment_success_rate"]
    assert isinstance(first, Success)

    once, ever = (level_before(replace(first, attempts=which), joined, BEFORE, 900.0) for which in ("first", "last"))

    assert once is not None
    assert ever is not None
    assert ever > once


def test_where_each_attempt_counts_each_counted_before() -> None:
    """Declined cards that are tried again and again, before the start as after it, are no harm to stable."""
    rows = with_an_hour_before(5)
    payments = rows["payments"]
    failed = np.random.default_rng(5).random(len(payments)) < 0.1
    first = replace(payments, outcome=np.where(failed, FAILED_CODE, SUCCEEDED_CODE))
    again = [
        replace(tried, ids=tried.ids + 10_000_000 * number, time=tried.time + number, entered=tried.entered + number)
        for tried in [first.where(failed)]
        for number in range(1, 6)
    ]
    every = first.then(tuple(again))
    rows["payments"] = every.where(np.argsort(every.time, kind="stable"))
    joined, kpi = JoinedRows(POLICY.database.events, rows), POLICY.kpis["payment_success_rate"]
    assert isinstance(kpi, Success)

    once, each = (level_before(replace(kpi, attempts=which), joined, BEFORE, 900.0) for which in ("first", "each"))

    assert once == pytest.approx(0.9, abs=0.06)
    assert each == pytest.approx(0.9 / 1.5, abs=0.1)


def test_what_settled_after_the_time_out_had_failed_before_the_start_too() -> None:
    """Payments that settle after half an hour time out on both sides; stable has not got worse by that."""
    rows = with_an_hour_before(6)
    payments = rows["payments"]
    slow = payments.ids % 2 == 0
    rows["payments"] = replace(payments, time=np.where(slow, payments.entered + 1000.0, payments.entered + 5.0))

    level = level_before(POLICY.kpis["payment_success_rate"], JoinedRows(POLICY.database.events, rows), BEFORE, 900.0)  # type: ignore[arg-type]  # it is no mean

    assert level is not None
    assert level < 0.6


def test_outcomes_that_may_be_pending_are_what_they_become() -> None:
    """Payments that are captured long after they were authorised are good, seen one by one and all at once."""
    rows = with_an_hour_before(7)
    payments = rows["payments"]
    waits = (payments.ids % 2 == 0) & (payments.outcome == SUCCEEDED_CODE)
    rows["payments"] = replace(payments, time=np.where(waits, payments.entered + 1000.0, payments.time))
    mapped = replace(POLICY.database.events["payments"], pending=("authorised",))
    events = {**POLICY.database.events, "payments": mapped}
    policy = replace(POLICY, database=replace(POLICY.database, events=events))
    live, later = JudgedRollout.of(policy, rollout()), END + 1100.0

    for now in (*np.arange(START + 100.0, later, 100.0), later):
        known = dict(known_at(rows, now).rows)
        paid = known["payments"]
        known["payments"] = replace(paid, outcome=np.where(paid.outcome == 0, PENDING_CODE, paid.outcome))
        seen = live.look(JoinedRows(events, known), VERSIONS, rollout(until=now), now, {}).kpis["payment_success_rate"]
    once = JudgedRollout.of(policy, rollout()).look(JoinedRows(events, rows), VERSIONS, rollout(), later, {})
    payment = once.kpis["payment_success_rate"]

    assert (seen.verdict, seen.hold_reason) == (payment.verdict, payment.hold_reason) == (payment.verdict, None)
    assert (seen.estimate, seen.lower) == pytest.approx((payment.estimate, payment.lower), rel=1e-9)
    assert (seen.canary_units, seen.stable_units) == (payment.canary_units, payment.stable_units)
    assert payment.floor is not None
    assert payment.floor.estimate == pytest.approx(0.97, abs=0.02)
    assert payment.stable_level is not None
    assert payment.stable_level.before == pytest.approx(0.95, abs=0.03)


def test_what_every_evening_brings_holds_nobody() -> None:
    """Stable is worse than before the start, and no worse than it is at this hour of every day."""
    rows = with_an_hour_before(1, fails_from=STARTS[1])

    def evening(_event: str, moment: float, outcome: str) -> int:
        late = (moment - START) % 86_400.0 < 43_200.0 and START - moment > 43_200.0
        return {"succeeded": 600 if late else 970, "failed": 400 if late else 30}.get(outcome, 1000)

    judged = JudgedRollout.of(POLICY, rollout(), rhythm=Rhythm(POLICY.kpis, evening))
    for now in (START + 60.0, END):
        evidence = judged.look(known_at(rows, now), VERSIONS, rollout(until=now), now, {})

    level = evidence.kpis["payment_success_rate"].stable_level
    assert level is not None
    assert not level.harmed
