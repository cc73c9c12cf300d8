"""Rows whose customers nobody knows: how far they hang together, and what that does to evidence."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.policy.database.section import DEFAULT_EVENTS
from canary.policy.model import Policy
from exporter.evidence.judge import KpiEvidence
from exporter.judge.joins import JoinedRows
from exporter.judge.rollout import JudgedRollout
from exporter.judge.shop.dispersion import Told, over_dispersion
from exporter.ledger.rows import FAILED_CODE, EventRows, Floats
from exporter.source.columns.values import NO_ID
from tests.exporter.judge.customers import END, POLICY, START, VERSIONS, known_at, rollout, shop

EVENTS = {"payments": replace(DEFAULT_EVENTS["payments"], parent=None)}
NOBODY = replace(
    POLICY,
    kpis={"payment_success_rate": POLICY.kpis["payment_success_rate"]},
    database=replace(POLICY.database, events=EVENTS),
)


def alone(count: int) -> tuple[Floats, Floats]:
    """Rows of which three in a hundred fail, over an hour, each by itself."""
    rng = np.random.default_rng(count)
    return (rng.random(count) < 0.03).astype(np.float64), np.sort(rng.uniform(0.0, 3600.0, count))


def payments(seed: int, declined: int = 0, customers: int = 600) -> dict[str, EventRows]:
    """Payments that name nobody; so many of the canary's are declined one after the other within five minutes."""
    table = shop(seed, customers)["payments"]
    table = replace(table, parents=np.zeros((0, len(table)), dtype=np.int64))
    times = START + 400.0 + 300.0 * np.arange(declined) / max(1, declined)
    more = table.where(np.arange(len(table)) < declined)
    more = replace(
        more,
        ids=more.ids + 10**9,
        entered=times,
        time=times + 1.0,
        version=np.full(declined, VERSIONS.code("v2")),
        outcome=np.full(declined, FAILED_CODE),
    )
    return {"payments": table.then((more,))}


def with_a_tester(seed: int, declined: int, customers: int = 600) -> dict[str, EventRows]:
    """A shop that knows its customers, and so many declined payments of the canary's that name nobody and no order."""
    rows = shop(seed, customers)
    declines = payments(seed, declined)["payments"]
    declines = declines.where(declines.ids >= 10**9)
    nothing = np.full((len(rows["payments"].parents), declined), NO_ID, dtype=np.int64)
    return rows | {"payments": rows["payments"].then((replace(declines, parents=nothing),))}


def nameless_before(rows: dict[str, EventRows], share: float) -> dict[str, EventRows]:
    """The same with the hour before the start, in which a *share* of visits names nobody."""
    past = {}
    for event, table in shop(9).items():
        unit = np.where(np.arange(len(table)) < share * len(table), NO_ID, table.unit)
        version = np.full(len(table), VERSIONS.code("v1"))
        past[event] = replace(
            table, entered=table.entered - 2400.0, time=table.time - 2400.0, version=version, unit=unit
        )
    return {event: past[event].then((table,)) for event, table in rows.items()}


def judged(rows: dict[str, EventRows], policy: Policy, *looks: float, trusted: bool = True) -> KpiEvidence:
    """What is said of payments at the end, had a calibration vouched for them."""
    judge = JudgedRollout.of(policy, rollout(), trusted=policy.kpis if trusted else ())
    for now in (*looks, END):
        joined = JoinedRows(policy.database.events, known_at(rows, now).rows)
        evidence = judge.look(joined, VERSIONS, rollout(until=max(now, START)), now, {})
    return evidence.kpis["payment_success_rate"]


@given(st.lists(st.integers(0, 1), max_size=200), st.integers(1, 9))
def test_evidence_is_never_made_stronger(counted: list[int], of_one: int) -> None:
    """Whatever the rows are, likelihoods are divided by one or more."""
    values = np.asarray(counted, dtype=np.float64)
    assert over_dispersion(values, np.arange(len(values)) // of_one, np.arange(len(values), dtype=np.float64)) >= 1.0


def test_independent_rows_hardly_hang_together() -> None:
    """Chance alone costs less than half of the evidence."""
    counted, entered = alone(2000)
    assert over_dispersion(counted, np.arange(2000), entered) < 2.0


def test_one_buyer_counts_as_one() -> None:
    """Fifty refusals of one card weigh in as fifty times fifty, whether a key names the buyer or time alone does."""
    counted, entered = alone(1200)
    spree = slice(600, 650)
    counted[spree] = 1.0
    true = (counted.sum() - 50 + 50**2) / counted.sum()
    keys = np.arange(1200)
    by_time = over_dispersion(counted, keys, entered)
    keys[spree] = 600
    by_key = over_dispersion(counted, keys, entered)
    assert by_key > 0.8 * true
    assert by_time > 0.6 * true


@given(st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 600)), max_size=50), st.integers(0, 9000))
def test_a_moment_sees_the_hour_before_it_and_nothing_of_later(rows: list[tuple[int, int]], until: int) -> None:
    """Rows that entered within an hour before a moment, and of which it was known by then what they count for."""
    entered = np.sort(np.array([float(one) for one, _ in rows]))
    known = entered + np.array([float(late) for _, late in rows])
    rest = np.arange(len(rows))
    found = Told(rest.astype(np.float64), rest, entered, known, rest > 0).up_to(float(until))
    seen = [one for one in rest if until - 3600 <= entered[one] < until and known[one] <= until]
    assert found.keys.tolist() == found.counted.tolist() == seen
    assert found.entered.tolist() == entered[seen].tolist()
    assert found.known.tolist() == known[seen].tolist()


def test_a_card_tester_whom_no_key_names_is_no_harm() -> None:
    """Sixty declined cards on the canary prove nothing in most shops whose rows name nobody; it is an approximation."""
    found = [judged(payments(seed, declined=60), NOBODY) for seed in range(1, 11)]
    assert sum(one.verdict == "fail" for one in found) <= 3
    assert all(one.over_dispersion is not None and one.over_dispersion > 15.0 for one in found)


def test_where_a_column_names_the_customer_nothing_is_divided() -> None:
    """Customers are units, and their evidence is what it was."""
    judge = JudgedRollout.of(POLICY, rollout())
    evidence = judge.look(known_at(shop(3), END), VERSIONS, rollout(), END, {})
    assert {kpi.over_dispersion for kpi in evidence.kpis.values()} == {None}


def test_a_card_tester_is_no_harm_where_only_declined_payments_name_nobody() -> None:
    """A shop that writes the order after the payment knows its customers, but not who was declined thirty times."""
    found = judged(with_a_tester(1, declined=30), POLICY, trusted=False)
    assert found.verdict != "fail"
    assert found.over_dispersion is not None
    assert found.over_dispersion > 5.0


@pytest.mark.parametrize(
    ("nameless", "trusted", "verdict"), [(0.2, False, "fail"), (0.8, False, "hold"), (0.8, True, "fail")]
)
def test_a_column_that_is_mostly_empty_names_no_customers(nameless: float, trusted: bool, verdict: str) -> None:
    """What is proven rolls back where most rows of the time before named their customer, or a calibration vouches."""
    found = judged(nameless_before(shop(4, harm=0.6), nameless), POLICY, trusted=trusted)
    assert found.verdict == verdict
    assert found.hold_reason == ("no_unit" if verdict == "hold" else None)


def test_the_sample_ratio_trusts_nameless_visits_less() -> None:
    """Each may be one of ten of the same visitor, and the band around their ratio is wider."""
    widths = []
    for nameless in (0.0, 0.5, 1.0):
        rows = nameless_before(shop(4), nameless)
        judge = JudgedRollout.of(POLICY, rollout())
        ratio = judge.look(known_at(rows, END), VERSIONS, rollout(), END, {}).mismatch
        assert ratio is not None
        widths.append(ratio.upper - ratio.lower)
    assert widths[0] < widths[1] < widths[2]


@pytest.mark.parametrize(("policy", "written"), [(NOBODY, payments), (POLICY, with_a_tester)])
def test_watched_or_replayed_the_evidence_is_the_same(
    policy: Policy, written: Callable[[int, int, int], dict[str, EventRows]]
) -> None:
    """What is divided by depends on the moment a row belongs to, and not on when somebody looked."""
    rows = written(2, 12, 2000)
    live = judged(rows, policy, *np.arange(START + 5.0, START + 90.0, 5.0), *np.arange(START + 90.0, END, 95.0))
    again = judged(rows, policy)
    assert live.over_dispersion == again.over_dispersion
    np.testing.assert_allclose(live.log10_evidence, again.log10_evidence, rtol=1e-9)


def test_a_look_from_before_the_start_is_no_error() -> None:
    """Two machines' clocks are never the same: a rollout may begin a moment after the newest rows were read."""
    rows = payments(5)
    early = judged(rows, NOBODY, START - 2.0, START - 1.0, START)
    assert early.over_dispersion == judged(rows, NOBODY).over_dispersion
