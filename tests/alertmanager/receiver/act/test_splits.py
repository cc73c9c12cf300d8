"""What is wanted of a router, and what a reading of one says: pure, held against random weights."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertmanager.receiver.act.confirmations import Confirmation
from alertmanager.receiver.act.splits import (
    is_above,
    lowered_at,
    lowering,
    moved_by_hand,
    only_lowers,
    wanted_split,
)
from canary.rollout.entries import Advanced, Entry, Promoted, RollbackDecided
from canary.rollout.folding import fold
from canary.rollout.state import Rollout
from canary.routers import Observation, Reading, Split
from tests.support.receiving.entries import started

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
WEIGHTS = st.integers(0, 10_000).map(lambda hundredths: hundredths / 10_000)


def after(*entries: Entry) -> Rollout:
    """Rollout r1, which began at noon."""
    return fold([started("r1", NOON), *entries])["r1"]


ADVANCED = Advanced(rollout="r1", at=NOON + timedelta(minutes=5), actor="ann", phase=1)
ROLLBACK = RollbackDecided(rollout="r1", at=NOON + timedelta(minutes=9), actor="ann", cause="manual")


def read(weight: float | None, wanted: Split, *, process: str = "p1") -> Observation:
    """One instance with this weight of the same rollout."""
    return Observation((Reading("a", weight, wanted.salt, wanted.testers, process=process),))


def test_without_a_rollout_everybody_is_on_stable() -> None:
    """Nobody, and no tester, is sent to a canary that is not there."""
    assert wanted_split(None) == Split("none", 0.0, testers=False)


def test_testers_reach_the_canary_while_it_is_on_trial() -> None:
    """From the start to the rollback; after a promotion it is no trial any more."""
    assert wanted_split(after()) == Split("r1", 0.05, testers=True)
    assert wanted_split(after(ROLLBACK)) == Split("r1", 0.0, testers=False)
    assert not wanted_split(after(Promoted(rollout="r1", at=NOON, actor="ann"))).testers


def test_what_was_decided_to_lower_is_known_by_its_moment() -> None:
    """A start and an advance lower nothing; a rollback does, and is told from an earlier one."""
    assert lowered_at(None) is lowered_at(after()) is lowered_at(after(ADVANCED)) is None
    assert lowering(after(ADVANCED, ROLLBACK)) == ("r1", ROLLBACK.at)


@given(WEIGHTS, WEIGHTS)
def test_above_is_what_must_come_down(weight: float, wanted: float) -> None:
    """An instance with more than wanted is above, one with clearly less is not; an unread one may be."""
    split = Split("r1", wanted, testers=True)
    observation = read(weight, split)

    if weight > wanted + 0.0001:
        assert is_above(observation.readings[0], split)
    if weight < wanted - 0.0001:
        assert not is_above(observation.readings[0], split)
    assert is_above(Reading("a", None), split)


@given(WEIGHTS, WEIGHTS)
def test_only_what_is_there_already_is_only_lowering(weight: float, wanted: float) -> None:
    """A split that needs more customers than an instance has, or another rollout's, is no lowering."""
    split = Split("r1", wanted, testers=True)

    assert only_lowers(read(weight, split), split) == (weight >= wanted)
    assert not only_lowers(Observation((Reading("a", weight, split.salt + 1, testers=True),)), split)
    assert not only_lowers(Observation((Reading("a", None),)), split)


@pytest.mark.parametrize(
    ("confirmation", "process", "found"),
    [
        (Confirmation(Split("r1", 0.25, testers=True), {"a": "p1"}), "p1", 0.1),
        (Confirmation(Split("r1", 0.25, testers=True), {"a": "p1"}), "p2", None),
        (Confirmation(Split("r1", 0.25, testers=True), {"a": "p1"}), "", None),
        (Confirmation(Split("r1", 0.25, testers=True), {"a": "p1"}, writing=True), "p1", None),
        (Confirmation(Split("r0", 0.25, testers=True), {"a": "p1"}), "p1", None),
        (None, "p1", None),
    ],
)
def test_a_hand_is_told_from_a_loss(confirmation: Confirmation | None, process: str, found: float | None) -> None:
    """Only this very process, confirmed at more for this rollout, with no write of ours open, was lowered by hand."""
    wanted = Split("r1", 0.25, testers=True)

    assert moved_by_hand(read(0.1, wanted, process=process), wanted, confirmation) == found
    assert moved_by_hand(read(0.25, wanted, process=process), wanted, confirmation) is None


def test_the_lowest_instance_counts() -> None:
    """Where two of three instances were lowered, it is to the lower of the two."""
    wanted = Split("r1", 0.25, testers=True)
    readings = [
        Reading(name, weight, wanted.salt, process="p") for name, weight in (("a", 0.2), ("b", 0.1), ("c", 0.25))
    ]
    known = Confirmation(wanted, dict.fromkeys("abc", "p"))

    assert moved_by_hand(Observation(tuple(readings)), wanted, known) == 0.1
