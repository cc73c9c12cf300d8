"""Why something does not fit: the state in words, and what does fit."""

from datetime import UTC, datetime
from typing import Any

import pytest

from canary.errors import RefusedError
from canary.rollout.commands.refusals import described, refusal, required
from canary.rollout.commands.verbs import usage
from canary.rollout.entries import Entry, Failed, Held, Promoted, RollbackDecided, RolledBack
from canary.rollout.folding import fold
from canary.rollout.state import RUNNING, Rollout, State
from tests.support.receiving.entries import started

NOON = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
WHO: dict[str, Any] = {"rollout": "r1", "at": NOON, "actor": "bob", "reason": "because"}
ROLLBACK = RollbackDecided(**WHO, cause="CanaryX")


def after(*entries: Entry) -> Rollout:
    """Rollout r1, which began at noon and went on as told."""
    return fold([started("r1", NOON), *entries])["r1"]


STATES = {
    "in phase 1 (5%)": after(),
    "held in phase 1 (because)": after(Held(**WHO)),
    "held in phase 1 (CanaryBlind)": after(Held(**{**WHO, "reason": ""}, cause="CanaryBlind")),
    "baking at 100%": fold([started("r1", NOON, traffic=(1.0,), durations_seconds=(60,))])["r1"],
    "promoted": after(Promoted(**WHO)),
    "already rolling back since 2026-01-31 12:30:00 UTC (because)": after(ROLLBACK),
    "rolled back (because)": after(ROLLBACK, RolledBack(**WHO)),
    "failed (because)": after(ROLLBACK, Failed(**WHO)),
}


@pytest.mark.parametrize("words", STATES)
def test_a_state_is_said_in_words(words: str) -> None:
    """With since when and why, where that matters."""
    assert described(STATES[words]) == words


@pytest.mark.parametrize("rollout", [None, *STATES.values()])
def test_a_refusal_says_the_state_and_every_way_on(rollout: Rollout | None) -> None:
    """What was wanted, what is, and all that is possible now."""
    error = refusal("promote", rollout)

    assert error.place == "cannot promote"
    assert all(f"`{line}`" in error.remedy for line in usage(rollout))
    assert ("no rollout has been started" if rollout is None else described(rollout)) in error.what


@pytest.mark.parametrize("rollout", [None, *STATES.values()])
def test_a_rollout_in_another_state_is_refused(rollout: Rollout | None) -> None:
    """The rollout is given where its state is allowed, and only there."""
    if rollout is not None and rollout.state in RUNNING:
        assert required(rollout, RUNNING, "hold") is rollout
        return
    with pytest.raises(RefusedError, match="cannot hold"):
        required(rollout, RUNNING, "hold")
    assert rollout is None or required(rollout, State, "hold") is rollout
