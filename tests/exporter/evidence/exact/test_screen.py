"""What a few of the draws tell about all of them."""

from dataclasses import replace

import numpy as np
import pytest

from exporter.evidence.exact.randomisation import LOOK_SECONDS, Randomisation
from exporter.evidence.exact.redraw import HashedPlaces
from exporter.evidence.exact.screen import PART, never_removed
from exporter.evidence.exact.steps import Customers, Steps
from exporter.evidence.rows import OutcomeRows
from tests.exporter.evidence.exact.shop import END, START, WEIGHTS, Payments, fresh, payments

MOMENTS = np.arange(START + LOOK_SECONDS, END + 1.0, LOOK_SECONDS)


def steps_of(shop: Payments) -> Steps:
    """What became of these customers, and when."""
    found = []
    for phase in range(len(WEIGHTS)):
        ours = shop.pairs.where(shop.pairs.phase == phase)
        known = shop.known[shop.pairs.phase == phase]
        rows = OutcomeRows(
            ours.entered, ours.entered, ours.canary, np.where(np.isfinite(known), known, np.nan), np.isfinite(known)
        )
        customers = Customers(ours.unit, 0 * ours.phase, np.ones(len(ours), dtype=np.bool_))
        found.append(Steps.of(rows, customers, phase))
    return Steps.all_of(found)


def ruled_out(test: Randomisation, rollout: str, steps: Steps) -> bool:
    """Whether a few draws are enough to know that nothing is proven."""
    return never_removed(test, HashedPlaces(rollout, test.redraw.draws // PART), steps, WEIGHTS, MOMENTS)


def looked_at_in_full(test: Randomisation, steps: Steps) -> Randomisation:
    """All looks, one after the other."""
    before = -np.inf
    for now in MOMENTS.tolist():
        test.count(steps.between(before, now), WEIGHTS)
        test.look(WEIGHTS, now)
        before = now
    return test


@pytest.mark.parametrize("harm", [0.0, 0.1])
def test_what_is_ruled_out_is_never_proven(harm: float) -> None:
    """Healthy or not, whatever a few draws rule out all of them do not prove; many healthy ones are ruled out."""
    without_need = 0
    for seed in range(40):
        steps, rollout = steps_of(payments(seed, harm=harm)), f"r{seed}"
        if ruled_out(fresh(rollout), rollout, steps):
            without_need += 1
            assert looked_at_in_full(fresh(rollout), steps).proven_at is None

    assert harm or without_need >= 10


def test_a_harm_is_not_ruled_out() -> None:
    """What all draws prove is never spared the full look."""
    proven = 0
    for seed in range(10):
        steps, rollout = steps_of(payments(seed, harm=0.3)), f"r{seed}"
        if looked_at_in_full(fresh(rollout), steps).proven_at is not None:
            proven += 1
            assert not ruled_out(fresh(rollout), rollout, steps)

    assert proven >= 5


def test_nobody_proves_nothing() -> None:
    """Before the first customer, and before the first look."""
    nobody = steps_of(payments(1)).pairs.where(np.zeros(0, dtype=np.int64))

    assert ruled_out(fresh("r1"), "r1", Steps(nobody, np.zeros(0)))
    assert never_removed(fresh("r1"), HashedPlaces("r1", 64), steps_of(payments(1)), WEIGHTS, np.zeros(0))


def test_so_many_cohorts_that_neighbours_are_added_up_are_left_to_the_full_look() -> None:
    """Which of them are depends on when anybody looks, and nothing is said of all looks at once."""
    shop = payments(1, customers=4000)
    slow = replace(shop.pairs, entered=START + 3.0 * (shop.pairs.entered - START))
    steps = steps_of(Payments(slow, np.full(len(slow), np.inf)))

    assert ruled_out(fresh("r1"), "r1", steps_of(Payments(shop.pairs, np.full(len(slow), np.inf))))
    assert not never_removed(fresh("r1"), HashedPlaces("r1", 64), steps, WEIGHTS, MOMENTS[:1] + 3.0 * (END - START))
