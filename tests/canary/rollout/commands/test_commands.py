"""What may be done to a rollout, when, and what a caller must have seen."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from canary.errors import RefusedError
from canary.rollout.commands.commands import Advance, Command, GiveUp, Hold, Promote, Resume, RollBack, Start
from canary.rollout.commands.finishing import Finish, FinishBack, FinishStep
from canary.rollout.commands.verbs import Verb, accepted
from canary.rollout.entries import (
    Advanced,
    Entry,
    Failed,
    FinishBegan,
    Finished,
    FinishStepped,
    Held,
    Promoted,
    RollbackDecided,
    RolledBack,
    StepDone,
)
from canary.rollout.folding import fold
from canary.rollout.kinds import Step
from canary.rollout.state import Rollout, State
from tests.support.receiving.entries import started

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
WHO: dict[str, Any] = {"rollout": "r1", "at": NOON + timedelta(minutes=2), "actor": "bob", "reason": "because"}
HELD = Held(**WHO, cause="CanaryBlind", lifts=True, seq=2)
HELD_BY_HAND = Held(**WHO, seq=2)
ROLLBACK = RollbackDecided(**WHO, cause="CanaryHighErrorRate", seq=2)
FINISHING = (Promoted(**WHO), FinishBegan(**WHO, weights=(0.5, 0.0), step_seconds=60.0))
BAKING = started("r1", NOON, traffic=(1.0,), durations_seconds=(300,))


def after(*entries: Entry) -> Rollout:
    """Rollout r1, which began at noon and went on as told."""
    return fold([started("r1", NOON), *entries])["r1"]


STATES: dict[str, Rollout | None] = {
    "idle": None,
    "phase": after(),
    "holding": after(HELD),
    "holding by hand": after(HELD_BY_HAND),
    "baking": fold([BAKING])["r1"],
    "promoted": after(Promoted(**WHO)),
    "finishing": after(*FINISHING),
    "finishing, frozen": after(*FINISHING, HELD),
    "finishing, frozen by hand": after(*FINISHING, HELD_BY_HAND),
    "finishing, all back": after(*FINISHING, FinishStepped(**WHO, step=1)),
    "finishing, stopping": after(*FINISHING, FinishStepped(**WHO, step=1), StepDone(**WHO, step=Step.TRAFFIC)),
    "finished": after(*FINISHING, FinishStepped(**WHO, step=1), Finished(**WHO)),
    "rolling_back": after(ROLLBACK),
    "rolled_back": after(ROLLBACK, RolledBack(**WHO)),
    "failed": after(ROLLBACK, Failed(**WHO)),
}
COMMANDS: dict[str, Command] = {
    "start": Start(rollout="r2", stable="v2.0", canary="v3.0", traffic=(1.0,), durations_seconds=(60.0,), actor="ann"),
    "hold": Hold(actor="ann"),
    "resume": Resume(actor="ann"),
    "advance": Advance(actor="ann"),
    "promote": Promote(actor="ann"),
    "finish": Finish(actor="ann", weights=(0.5, 0.0), step_seconds=60.0),
    "finish --now": FinishStep(actor="ann", last=True),
    "finish --back": FinishBack(actor="ann"),
    "rollback": RollBack(actor="ann"),
    "rollback --give-up": GiveUp(actor="ann"),
}


def refused(command: Command, rollout: Rollout | None) -> RefusedError | None:
    """Why a state does not take a command."""
    try:
        command.entry(rollout, NOON)
    except RefusedError as error:
        return error
    return None


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_refusal_names_only_what_the_state_accepts(state: str, name: str) -> None:
    """Whatever is refused in whatever state, each command that the refusal proposes would be taken there."""
    error = refused(COMMANDS[name], STATES[state])
    if error is None:
        return

    proposed = re.findall(r"`canary ([a-z]+(?: --(?:give-up|now|back))?)", error.remedy)
    assert proposed
    assert all(refused(COMMANDS[one], STATES[state]) is None for one in proposed), str(error)


@pytest.mark.parametrize("state", STATES)
def test_accepted_says_what_is_accepted(state: str) -> None:
    """The verbs that the page offers are exactly those that the state takes; giving up is a way to roll back."""
    rollout = STATES[state]
    taken = {Verb(name.split()[0]) for name, command in COMMANDS.items() if refused(command, rollout) is None}

    assert set(accepted(rollout)) == taken


def test_a_person_takes_over_an_automatic_hold() -> None:
    """A person may hold what an alert holds already; from then on only a person lifts it."""
    held = after(HELD)

    assert isinstance(refused(Hold(actor="alertmanager", cause="CanaryBlind", lifts=True), held), RefusedError)
    taken = after(HELD, Hold(actor="ann").entry(held, NOON))
    assert (taken.cause, taken.lifts) == ("manual", False)


def test_a_hold_that_a_person_must_decide_about_replaces_one_that_would_end_by_itself() -> None:
    """Not the other way round; and a countdown goes on."""
    decide, blind = (
        Hold(actor="alertmanager", cause=cause, lifts=lifts) for cause, lifts in (("X", False), ("Y", True))
    )

    held = after(HELD, decide.entry(after(HELD), NOON))

    assert (held.cause, held.lifts) == ("X", False)
    assert isinstance(refused(blind, held), RefusedError)
    counting = Hold(actor="alertmanager", cause="Z", lifts=True, rollback_at=NOON + timedelta(minutes=3))
    assert isinstance(refused(decide, after(counting.entry(after(), NOON))), RefusedError)


@pytest.mark.parametrize("cancel", [Resume, Hold])
def test_a_countdown_is_cancelled_and_its_cause_overridden(cancel: Callable[..., Command]) -> None:
    """Resuming, or holding by hand, ends a countdown; its cause does not count down again in this phase."""
    deadline = NOON + timedelta(minutes=3)
    counting = after(Hold(actor="alertmanager", cause="CanaryX", rollback_at=deadline).entry(after(), NOON))
    assert counting.rollback_at == deadline

    cancelled = fold([cancel(actor="ann").entry(counting, NOON)], {"r1": counting})["r1"]

    assert cancelled.rollback_at is None
    assert cancelled.overridden == {"CanaryX"}
    assert refused(RollBack(actor="receiver", cause="CanaryX", automatic=True), cancelled) is not None
    resumed = cancelled if cancelled.state is State.PHASE else fold(
        [Resume(actor="ann").entry(cancelled, NOON)], {"r1": cancelled}
    )["r1"]  # fmt: skip
    advanced = fold([Advance(actor="ann").entry(resumed, NOON)], {"r1": resumed})["r1"]
    assert advanced.overridden == frozenset()
    late = RollBack(actor="receiver", cause="CanaryX", automatic=True, countdown=True)
    assert str(refused(late, advanced)) == "the countdown was cancelled"


def test_a_countdown_ends_in_a_rollback_whoever_counted() -> None:
    """Of two receivers one wrote its hold first, by its own clock; what the other lowers in the end is wanted too."""
    theirs = Hold(actor="alertmanager", cause="CanaryX", rollback_at=NOON + timedelta(hours=3))
    counting = after(theirs.entry(after(), NOON))

    ended = RollBack(actor="receiver", cause="CanaryX", automatic=True, countdown=True).entry(counting, NOON)

    assert isinstance(ended, RollbackDecided)


def test_a_promoted_rollout_is_rolled_back_by_people_only() -> None:
    """As long as the old version is there a person may roll back after the promotion; an alert may not."""
    promoted = STATES["promoted"]

    assert refused(RollBack(actor="ann"), promoted) is None
    assert refused(RollBack(actor="alertmanager", cause="CanaryX", automatic=True), promoted) is not None


def test_refusals_say_why() -> None:
    """A second rollback is refused with since when, a start with what runs, or with what is wrong with it."""
    again = refused(RollBack(actor="ann"), after(ROLLBACK))
    assert "already rolling back since 2026-01-31 12:02:00 UTC (because)" in str(again)
    assert "rollout r1 is in phase 1 (5%)" in str(refused(COMMANDS["start"], after()))
    same = Start(rollout="r2", stable="a", canary="a", traffic=(1.0,), durations_seconds=(1.0,), actor="ann")
    assert "expected two versions" in str(refused(same, None))
    assert "no rollout has been started" in str(refused(RollBack(actor="ann"), None))


def test_a_hold_about_one_phase_does_not_hold_the_next() -> None:
    """A phase that lasted too long is not held any more once the next one has begun."""
    assert refused(Hold(actor="receiver", cause="max_duration", phase=1), after()) is not None
    assert refused(Hold(actor="receiver", cause="max_duration", phase=0), after()) is None


def test_a_jump_stays_within_the_plan() -> None:
    """`advance --to` goes to the phase with that share, which is judged as any other; another share is refused."""
    jumped = Advance(actor="ann", to=1.0).entry(after(), NOON)

    assert isinstance(jumped, Advanced)
    assert jumped.phase == 3
    assert fold([jumped], {"r1": after()})["r1"].state is State.BAKING
    for share in (0.05, 0.3):
        with pytest.raises(RefusedError, match=r"no phase ahead has .*; ahead are 25%, 50%, 100%"):
            Advance(actor="ann", to=share).entry(after(), NOON)
