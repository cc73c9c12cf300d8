"""Harm to some of the customers, found by the exact half."""

from dataclasses import replace

import numpy as np

from exporter.evidence.exact.randomisation import LOOK_SECONDS
from tests.exporter.evidence.exact.shop import END, START, WEIGHTS, Payments, follow, fresh, fresh_by_segment, payments

ALPHA = 0.05
ROLLOUTS = 160


def in_one(shop: Payments) -> Payments:
    """The same customers, all in one segment."""
    return Payments(replace(shop.pairs, segment=0 * shop.pairs.segment), shop.known)


def test_no_more_than_alpha_of_healthy_rollouts_are_accused() -> None:
    """Whichever part stands out: five in a hundred, three deviations more at most."""
    proven = sum(
        follow(fresh_by_segment(f"r{seed}"), payments(seed, segments=2), 60.0).proven_at is not None
        for seed in range(ROLLOUTS)
    )

    assert proven <= ALPHA * ROLLOUTS + 3.0 * np.sqrt(ALPHA * (1 - ALPHA) * ROLLOUTS)


def test_harm_to_a_small_segment_is_proven_and_named() -> None:
    """One customer in eight fails on the canary: seen in the segment in most rollouts, in the sum in few."""
    harmed = [payments(seed, 400, harm=0.8, segments=2, segment=1) for seed in range(20)]

    found = [follow(fresh_by_segment(f"r{seed}"), shop, 60.0) for seed, shop in enumerate(harmed)]
    whole = [follow(fresh(f"r{seed}"), in_one(shop), 60.0) for seed, shop in enumerate(harmed)]

    named = [test.worst for test in found if test.proven_at is not None]
    assert len(named) >= 12
    assert len(named) > sum(test.proven_at is not None for test in whole)
    assert named.count(1) >= 0.7 * len(named)


def test_harm_to_all_is_named_as_that_of_all() -> None:
    """All customers together say more than those of one segment."""
    found = [follow(fresh_by_segment(f"r{seed}"), payments(seed, harm=0.3, segments=2), 60.0) for seed in range(20)]

    named = [test.worst for test in found if test.proven_at is not None]
    assert len(named) >= 12
    assert named.count(None) >= 0.6 * len(named)


def test_the_parts_add_up_to_the_whole() -> None:
    """Every pair and every failure is in one segment, under every draw."""
    shop = payments(3, segments=2)
    parts, whole = fresh_by_segment("r3"), fresh("r3")
    for now in (START + 400.0, START + 1500.0, END):
        parts.count(shop.at(now), WEIGHTS)
        whole.count(in_one(shop).at(now), WEIGHTS)

    np.testing.assert_allclose(parts.sums.sum(axis=0), whole.sums[0])
    np.testing.assert_allclose(parts.share.sum(), whole.share[0])
    for number in (0, 1):
        ours = parts.cohorts.segment == number
        known = shop.at(END)
        assert parts.cohorts.pairs[ours].sum() == (known.segment == number).sum()
        assert parts.cohorts.amount[ours].sum() == known.amount[known.segment == number].sum()


def test_variances_are_those_of_the_draws() -> None:
    """What a segment's residual is divided by is how far it varies over the draws, taken from no side."""
    shop = payments(5, customers=2000, segments=2)
    test = fresh_by_segment("r5")
    test.count(shop.at(END), WEIGHTS)

    residual = test.sums - test.cohorts.expected(2)
    shares = np.asarray([weight for _, weight in WEIGHTS])

    np.testing.assert_allclose(residual[:, 1:].var(axis=1), test.cohorts.variances(2, shares), rtol=0.3)


def test_a_restart_goes_on_by_segment() -> None:
    """What was saved comes to the very decision of a process that lived on, and to the same name."""
    shop = payments(1, harm=0.8, segments=2, segment=1)
    lived, killed = follow(fresh_by_segment("r1"), shop), fresh_by_segment("r1")
    for now in np.arange(START + LOOK_SECONDS, END + 1.0, LOOK_SECONDS):
        killed.count(shop.at(now - 5.0), WEIGHTS)
        saved = killed.saved()
        killed = fresh_by_segment("r1")
        assert killed.restore(saved)
        killed.count(shop.at(now), WEIGHTS)
        killed.look(WEIGHTS, float(now))

    assert lived.proven_at is not None
    assert (killed.proven_at, killed.used, killed.worst) == (lived.proven_at, lived.used, lived.worst)
    assert not fresh("r1").restore(killed.saved())
