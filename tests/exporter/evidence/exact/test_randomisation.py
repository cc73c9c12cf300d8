"""Sequential randomisation by customer."""

import math
from dataclasses import replace

import numpy as np
import pytest

from canary.routers.bucket import nginx_place, salt_of
from exporter.evidence.exact.pairs import Pairs
from exporter.evidence.exact.randomisation import LOOK_SECONDS, ExactParameters, Randomisation, draws_for
from exporter.evidence.exact.redraw import HashedPlaces, splitmix64
from tests.exporter.evidence.exact.shop import (
    END,
    PLAN,
    START,
    WEIGHTS,
    follow,
    fresh,
    payments,
)

ALPHA = 0.05


def proven(rollouts: int, step: float, harm: float = 0.0) -> int:
    """In how many rollouts harm is proven."""
    return sum(
        follow(fresh(f"r{seed}"), payments(seed, harm=harm), step).proven_at is not None for seed in range(rollouts)
    )


@pytest.mark.parametrize(("step", "rollouts"), [(60.0, 160), (7.0, 30)])
def test_no_more_than_alpha_of_healthy_rollouts_are_accused(step: float, rollouts: int) -> None:
    """Chronic failers, companies and an outage, at two rhythms: five in a hundred, three deviations more at most."""
    assert proven(rollouts, step) <= ALPHA * rollouts + 3.0 * np.sqrt(ALPHA * (1 - ALPHA) * rollouts)


@pytest.mark.parametrize(("failures", "spends"), [(0, False), (1, False), (2, True)])
def test_nothing_is_spent_before_the_worst_that_could_be_is_rare(failures: int, spends: bool) -> None:
    """One failure is the canary's in one draw of twenty, more than may be spent by now; two are in one of 400."""
    numbers = np.arange(200)
    zeros, entered = np.zeros(200, dtype=np.int64), np.linspace(START + 10.0, START + 110.0, 200)
    failed = (numbers < failures).astype(np.float64)
    shop = Pairs(splitmix64(numbers.astype(np.uint64)), zeros, entered, numbers % 20 == 0, failed, zeros)
    test = fresh("few")

    test.count(shop, WEIGHTS)
    test.look(WEIGHTS, START + 150.0)

    assert 0.05**2 < test.allowed(WEIGHTS, np.asarray([START + 150.0]))[0] / test.redraw.draws < 0.05
    assert (test.used > 0) is spends


def test_alpha_is_spent_rather_than_saved() -> None:
    """Draws that look as bad as harm leave in the end: the test is not exact by doing nothing."""
    test = follow(fresh("r1"), payments(1))

    assert 0.6 * ALPHA * test.redraw.draws <= test.used <= ALPHA * test.redraw.draws


def test_no_more_draws_leave_than_may_where_they_tie() -> None:
    """Of two customers one fails: a quarter of the draws look equally bad, and more than may leave do not."""
    test = fresh("r1")
    units, phase = np.asarray([1, 2], dtype=np.uint64), np.full(2, len(WEIGHTS) - 1)
    sides, amounts = np.asarray([True, False]), np.asarray([1.0, 0.0])
    test.count(Pairs(units, phase, np.full(2, END - 60.0), sides, amounts, 0 * phase), WEIGHTS)

    test.look(WEIGHTS, END)

    assert (test.extremity(WEIGHTS) == test.extremity(WEIGHTS).max()).mean() > 2.0 * ALPHA
    assert test.used == 0


def test_harm_is_proven_in_most_rollouts() -> None:
    """A canary on which one payment in five fails more is found."""
    assert proven(40, 60.0, harm=0.2) >= 20


def test_sums_do_not_depend_on_how_often_anybody_looks() -> None:
    """Rows counted each second or once a minute come to the same sums, under every draw."""
    often, rarely = (follow(fresh("r2"), payments(2), step, until=START + 900.0) for step in (1.0, 60.0))

    np.testing.assert_allclose(often.sums, rarely.sums)
    np.testing.assert_allclose(often.cohorts.expected(1), rarely.cohorts.expected(1))
    np.testing.assert_allclose(often.share, rarely.share)


def test_sums_do_not_depend_on_the_order_in_which_late_rows_arrive() -> None:
    """Pairs and failures that become known late, in any order, count as if they had come in time."""
    known = payments(3).at(END)
    rng = np.random.default_rng(3)
    in_time = fresh("r3")
    in_time.count(known, WEIGHTS)
    late = fresh("r3")
    for part in np.array_split(rng.permutation(len(known)), 7):
        pending = known.where(part)
        late.count(replace(pending, amount=0.0 * pending.amount), WEIGHTS)
        late.count(pending, WEIGHTS)

    np.testing.assert_allclose(late.sums, in_time.sums)
    np.testing.assert_allclose(late.cohorts.canary.sum(axis=0), in_time.cohorts.canary.sum(axis=0))
    np.testing.assert_allclose(late.share, in_time.share)


def test_a_process_killed_between_looks_goes_on_as_if_nothing_had_happened() -> None:
    """What was saved at a look, and the rows since then, come to the very decisions of a process that lived on."""
    shop = payments(4, harm=0.2)
    lived = follow(fresh("r4"), shop)
    killed = fresh("r4")
    for now in np.arange(START + LOOK_SECONDS, END + 1.0, LOOK_SECONDS):
        killed.count(shop.at(now - 5.0), WEIGHTS)
        saved = killed.saved()
        killed.count(shop.at(now - 1.0), WEIGHTS)  # lost with the process
        killed = fresh("r4")
        killed.restore(saved)
        killed.count(shop.at(now), WEIGHTS)
        killed.look(WEIGHTS, float(now))

    assert lived.proven_at is not None
    assert (killed.proven_at, killed.used) == (lived.proven_at, lived.used)
    np.testing.assert_array_equal(killed.alive, lived.alive)


def test_a_state_of_another_test_is_refused() -> None:
    """A test with another number of draws, or one that lacks something, is not gone on from."""
    test = fresh("r5")
    lacking = {name: array for name, array in test.saved().items() if name != "sums"}

    assert not test.restore(fresh("r5", alpha=0.001).saved())
    assert not test.restore(lacking)
    assert test.restore(test.saved())


def test_a_missed_look_is_left_out_and_its_budget_stays() -> None:
    """After a silence there is one look, with all that may be spent by then, and the next is due on its old rhythm."""
    shop, test = payments(6), fresh("r6")
    test.count(shop.at(END), WEIGHTS)
    test.look(WEIGHTS, END - 7.0)

    assert test.next_look == END
    assert test.used > 0.5 * ALPHA * test.redraw.draws


def test_draws_that_tie_stay_together() -> None:
    """While nothing distinguishes the draws nobody leaves, however much may be spent."""
    shop, test = payments(7), fresh("r7")
    known = shop.at(END)
    test.count(replace(known, amount=0.0 * known.amount), WEIGHTS)
    test.look(WEIGHTS, END)

    assert test.used == 0


def test_what_more_customers_of_one_side_bring_is_no_harm_to_conversion() -> None:
    """Ten times as many visitors who never buy, all on the canary, prove nothing: its share of purchases is right."""
    rng = np.random.default_rng(8)
    buyers, crawlers = 4000, 6000
    customer = rng.integers(0, 1 << 62, buyers + crawlers).astype(np.uint64)
    entered = np.sort(START + 1210.0 + 1100.0 * rng.random(buyers + crawlers))
    crawls = rng.permutation(np.arange(buyers + crawlers) < crawlers)
    canary = crawls | (rng.random(buyers + crawlers) < 0.5)
    bought = np.where(crawls, 0.0, (rng.random(buyers + crawlers) < 0.3).astype(np.float64))
    visits = Pairs(
        customer, np.full(len(customer), 2), entered, canary, bought, np.zeros(len(customer), dtype=np.int64)
    )
    found = {}
    for of_entries in (False, True):
        redraw = HashedPlaces("r8", draws_for(ALPHA))
        test = Randomisation(ExactParameters(ALPHA, -1.0, of_entries=of_entries), PLAN, redraw, START + LOOK_SECONDS)
        test.count(visits, WEIGHTS)
        test.look(WEIGHTS, END)
        found[of_entries] = test.proven_at is not None

    assert found == {False: True, True: False}


def test_a_long_rollout_keeps_the_pairs_of_its_cohorts_when_they_are_added_up() -> None:
    """Beyond 48 cohorts neighbours are merged: no pair and no amount is lost, and later changes find their cohort."""
    rng = np.random.default_rng(9)
    customer = rng.integers(0, 1 << 62, 6000).astype(np.uint64)
    entered = np.sort(START + 1210.0 + 7200.0 * rng.random(6000))
    canary = rng.random(6000) < 0.5
    visits = Pairs(customer, np.full(6000, 2), entered, canary, np.zeros(6000), np.zeros(6000, dtype=np.int64))
    test = fresh("r9")
    for part in np.array_split(np.arange(6000), 40):
        test.count(visits.where(part), WEIGHTS)
    test.count(replace(visits, amount=np.ones(6000)), WEIGHTS)

    assert len(test.cohorts) <= 48
    assert test.cohorts.pairs.sum() == test.cohorts.amount.sum() == 6000
    np.testing.assert_allclose(test.cohorts.amount, test.cohorts.pairs)
    np.testing.assert_allclose(test.sums[0], test.cohorts.canary.sum(axis=0))


def test_each_customer_is_drawn_by_itself_and_keeps_its_place_when_the_weight_grows() -> None:
    """At a hash, draws are the weight's share of customers, are not alike, and only grow with the weight."""
    places = HashedPlaces("r11", 1024)
    customers = np.arange(200, dtype=np.uint64)
    twice, amounts = places.sums(customers, 0.25, 2.0 * np.ones(200))
    one = np.stack([places.sums(customers[[number]], 0.25, np.ones(1))[0] for number in range(200)])
    more = np.stack([places.sums(customers[[number]], 0.5, np.ones(1))[0] for number in range(200)])

    np.testing.assert_array_equal(one.sum(axis=0), twice)
    np.testing.assert_array_equal(amounts, 2.0 * twice)
    assert (more >= one).all()
    assert abs(one.mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / one.size)
    alike = np.asarray(np.corrcoef(one[:, :40]))
    assert abs(alike[np.triu_indices(200, 1)].mean()) < 0.01


@pytest.mark.parametrize("weight", [0.05, 0.25, 0.5])
def test_the_routers_draw_is_by_customer_at_nginx_too(weight: float) -> None:
    """In the order of one rollout three customers share the canary as often as if each were drawn by itself."""
    salt, triples = salt_of("r12"), 20_000
    places = np.asarray([nginx_place(f"customer-{number}", salt) for number in range(3 * triples)])
    on_canary = (places < 100 * weight).reshape(triples, 3).sum(axis=1)

    for together in range(4):
        chance = math.comb(3, together) * weight**together * (1 - weight) ** (3 - together)
        assert abs((on_canary == together).mean() - chance) < 4 * np.sqrt(chance * (1 - chance) / triples)
