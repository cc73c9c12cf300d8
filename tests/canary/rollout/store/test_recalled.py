"""What was decided before a restart: carried out when the journal shows its rollout, and not over what says more."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.errors import RefusedError
from canary.rollout.entries import Advanced, Entry, Held, Promoted, Resumed, RollbackDecided, RolledBack
from canary.rollout.folding import fold
from canary.rollout.state import Rollout
from canary.rollout.store.recalled import UNKNOWN, Recalled
from tests.support.receiving.entries import started

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = datetime(2026, 1, 31, 13, tzinfo=UTC)
ROLLBACK = RollbackDecided(rollout="r1", at=NOON, actor="bob", reason="because", cause="manual")
HOLD = Held(rollout="r1", at=NOON, actor="alertmanager", cause="CanaryBlind")
ADVANCED = Advanced(rollout="r1", at=NOON, actor="ann", phase=1)


def after(*entries: Entry) -> Rollout:
    """Rollout r1, which began at noon and went on as told."""
    return fold([started("r1", NOON), *entries])["r1"]


def decided(recalled: Entry, rollout: Rollout | None) -> Entry | None:
    """What the journal gets; None where it is refused."""
    try:
        return Recalled(recalled=recalled, actor=recalled.actor).entry(rollout, LATER)
    except RefusedError:
        return None


@pytest.mark.parametrize("since", [(), (ADVANCED,), (HOLD,), (HOLD, Resumed(rollout="r1", at=NOON, actor="ann"))])
def test_a_rollback_is_obeyed_whatever_was_decided_since(since: tuple[Entry, ...]) -> None:
    """As it was decided then: with its own time, actor and reason."""
    assert decided(ROLLBACK, after(*since)) == ROLLBACK


def test_a_rollback_after_the_promotion_is_obeyed_too() -> None:
    """The old version may still be there."""
    assert decided(ROLLBACK, after(Promoted(rollout="r1", at=NOON, actor="ann"))) == ROLLBACK


def test_what_is_over_is_not_lowered_again() -> None:
    """The journal says it already, or the rollout has ended, or another one runs."""
    assert decided(ROLLBACK, after(ROLLBACK)) is None
    assert decided(ROLLBACK, after(ROLLBACK, RolledBack(rollout="r1", at=NOON, actor="x"))) is None
    assert decided(ROLLBACK, fold([started("r2", NOON)])["r2"]) is None
    assert decided(ROLLBACK, None) is None


def test_what_was_decided_blind_is_about_the_rollout_that_is_found() -> None:
    """Nobody could read which one ran."""
    assert decided(replace(ROLLBACK, rollout=UNKNOWN), after()) == ROLLBACK
    assert decided(replace(ROLLBACK, rollout=UNKNOWN), None) is None


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_hold_is_added_to_a_hold_only_where_it_lowers(lowered: float, then: float) -> None:
    """One hold is as good as another, but for the weight that customers are lowered to."""
    held = after(ADVANCED, replace(HOLD, weight=lowered))

    assert (decided(replace(HOLD, weight=then), held) is not None) == (then < held.weight)
    assert decided(HOLD, held) is None
