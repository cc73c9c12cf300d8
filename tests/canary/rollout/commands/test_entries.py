"""Exactly which entry each command is, and exactly why it is none: what acts, and what people read."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from canary.errors import RefusedError
from canary.rollout.commands.commands import Adopt, Advance, Command, GiveUp, Hold, Promote, Resume, RollBack, Start
from canary.rollout.commands.refusals import described
from canary.rollout.commands.seen import Seen
from canary.rollout.entries import (
    Adopted,
    Advanced,
    Entry,
    Failed,
    FinishBegan,
    FinishStepped,
    Held,
    Promoted,
    Resumed,
    RollbackDecided,
    RolledBack,
    Started,
    StepDone,
)
from canary.rollout.folding import fold
from canary.rollout.kinds import Category, Step
from canary.rollout.passport import Passport
from canary.rollout.plan.planentries import Approved
from canary.rollout.state import Rollout

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=5)
ANN: dict[str, Any] = {"actor": "ann", "reason": "because"}
WHO: dict[str, Any] = {"rollout": "r1", "at": LATER, **ANN}
PHASES: dict[str, Any] = {"traffic": (0.05, 0.5, 1.0), "durations_seconds": (60.0, 120.0, 180.0)}
PLAN: dict[str, Any] = {"plan": "risky", "digest": "d1", "policy": {"service": "shop"}}
VERSIONS: dict[str, Any] = {"stable": "v1.0", "canary": "v2.0"}
GATED = {"phases": [{}, {"gate": {"approvers": 2}}, {}]}


def began(**more: Any) -> Started:
    """Rollout r1, at noon."""
    return Started(rollout="r1", at=NOON, actor="bob", **VERSIONS, **PHASES, **more)


def after(*entries: Entry, **more: Any) -> Rollout:
    """What r1 is after these."""
    return fold([began(**more), *entries])["r1"]


RUNNING = after()
LAST = after(Advanced(**WHO, phase=2))
HELD = after(Held(**WHO, cause="CanaryBlind", lifts=True))
COUNTING = after(Held(**WHO, cause="CanaryX", rollback_at=LATER))
PROMOTED = after(Promoted(**WHO))
FINISH = (Promoted(**WHO), FinishBegan(**WHO, weights=(0.5, 0.0), step_seconds=60.0))
FINISHING = after(*FINISH)
HALF_BACK = after(*FINISH, FinishStepped(**WHO, step=0))
STOPPING = after(*FINISH, FinishStepped(**WHO, step=1), StepDone(**WHO, step=Step.TRAFFIC))
ROLLING_BACK = after(RollbackDecided(**WHO, cause="CanaryX"))
ROLLED_BACK = after(RollbackDecided(**WHO, cause="CanaryX"), RolledBack(**WHO))
TWO_NEEDED = after(Advanced(**WHO, phase=1), policy=GATED)
ONE_AGREED = after(Advanced(**WHO, phase=1), Approved(**WHO, approver="cleo", target=2), policy=GATED)

START = Start(**ANN, rollout="r2", **VERSIONS, **PHASES, **PLAN, passport=Passport(before="never"), stable_slot="b")
ADOPT = Adopt(**ANN, rollout="r2", **VERSIONS, **PHASES, weight=0.25, salts=(7,))
AGREED = "2 of 2 approvals (cleo, dora)"


@pytest.mark.parametrize(
    ("command", "rollout", "entry"),
    [
        (
            START,
            None,
            Started(
                rollout="r2", at=LATER, actor="ann", reason="v2.0 against v1.0: because",
                **VERSIONS, **PHASES, **PLAN, passport=Passport(before="never"), stable_slot="b",
            ),
        ),
        (
            Start(actor="ann", rollout="r2", **VERSIONS, **PHASES),
            None,
            Started(rollout="r2", at=LATER, actor="ann", reason="v2.0 against v1.0", **VERSIONS, **PHASES),
        ),
        (
            ADOPT,
            RUNNING,
            Adopted(
                rollout="r2", at=LATER, actor="ann", reason="v2.0 against v1.0, adopted at 25%: because",
                **VERSIONS, **PHASES, weight=0.25, salts=(7,),
            ),
        ),
        (Advance(**ANN), RUNNING, Advanced(**WHO, phase=1)),
        (Advance(**ANN, to=1.0), RUNNING, Advanced(**WHO, phase=2)),
        (Advance(**ANN, to=0.5 + 1e-9), RUNNING, Advanced(**WHO, phase=1)),
        (Advance(**ANN), LAST, Promoted(**WHO)),
        (
            Advance(**ANN, approver="cleo"),
            TWO_NEEDED,
            Approved(
                **{**WHO, "reason": "1 of 2 approvals (cleo) to go on to 100%, 1 more needed: because"},
                approver="cleo", target=2,
            ),
        ),
        (
            Promote(actor="ann", approver="cleo"),
            TWO_NEEDED,
            Approved(
                **{**WHO, "reason": "1 of 2 approvals (cleo) to promote, 1 more needed"}, approver="cleo", target=3
            ),
        ),
        (Advance(**ANN, approver="dora"), ONE_AGREED, Advanced(**WHO, phase=2)),
        (Promote(**ANN), RUNNING, Promoted(**WHO)),
        (Promote(**ANN), HELD, Promoted(**WHO)),
        (Hold(**ANN), RUNNING, Held(**WHO, cause="manual")),
        (Hold(**ANN), HELD, Held(**WHO, cause="manual")),
        (
            Hold(**ANN, cause="CanaryY", lifts=True, phase=0, kpi="orders"),
            RUNNING,
            Held(**WHO, cause="CanaryY", lifts=True, kpi="orders"),
        ),
        (Hold(**ANN, cause="CanaryY", rollback_at=LATER), HELD, Held(**WHO, cause="CanaryY", rollback_at=LATER)),
        (Hold(**ANN, cause="CanaryY"), HELD, Held(**WHO, cause="CanaryY")),
        (Hold(**ANN, cause="by_hand", weight=0.02), RUNNING, Held(**WHO, cause="by_hand", weight=0.02)),
        (Hold(**ANN, cause="by_hand", weight=0.5), PROMOTED, Held(**WHO, cause="by_hand", weight=0.5)),
        (Hold(**ANN, cause="by_hand", weight=0.8), HALF_BACK, Held(**WHO, cause="by_hand", weight=0.8)),
        (Resume(**ANN), HELD, Resumed(**WHO)),
        (
            RollBack(**ANN, category=Category.CODE),
            RUNNING,
            RollbackDecided(**WHO, cause="manual", category=Category.CODE),
        ),
        (RollBack(**ANN), PROMOTED, RollbackDecided(**WHO, cause="manual")),
        (
            RollBack(**ANN, cause="CanaryX", automatic=True, countdown=True, kpi="orders"),
            COUNTING,
            RollbackDecided(**WHO, cause="CanaryX", kpi="orders"),
        ),
        (GiveUp(**ANN), ROLLING_BACK, Failed(**WHO)),
    ],
)  # fmt: skip
def test_a_command_is_this_entry(command: Command, rollout: Rollout | None, entry: Entry) -> None:
    """Who, when, why and what of it, with nothing left out."""
    assert command.entry(rollout, LATER) == entry


@pytest.mark.parametrize(
    ("command", "rollout", "why"),
    [
        (
            Start(**ANN, rollout="r1", **VERSIONS, **PHASES),
            ROLLED_BACK,
            "rollout r1 began in this very second; try again",
        ),
        (
            Start(**ANN, rollout="r2", stable="v2.0", canary="v2.0", **PHASES),
            None,
            "--canary and --stable are both 'v2.0', expected two versions; correct one of them",
        ),
        (
            Advance(**ANN, to=0.3),
            RUNNING,
            "cannot advance: no phase ahead has 30%; ahead are 50%, 100%; name one of them, or `canary promote`",
        ),
        (
            Advance(**ANN, to=1.0),
            LAST,
            "cannot advance: no phase ahead has 100%; ahead is none; name one of them, or `canary promote`",
        ),
        (Hold(**ANN, weight=0.05), RUNNING, "cannot hold: the weight is 5% already"),
        (Hold(**ANN, weight=1.0), FINISHING, "cannot hold: the weight is 100% already"),
        (Hold(**ANN, weight=0.3), HALF_BACK, "cannot hold: the weight is 50% already"),
        (Hold(**ANN, cause="CanaryY", phase=1), RUNNING, "phase 1 of rollout r1 has begun meanwhile"),
        (
            Hold(**ANN, cause="CanaryX", rollback_at=LATER),
            after(Held(**WHO, cause="CanaryX", rollback_at=LATER), Resumed(**WHO)),
            "a person has cancelled the rollback for CanaryX in this phase",
        ),
        (
            RollBack(**ANN, cause="CanaryX", automatic=True),
            after(Held(**WHO, cause="CanaryX", rollback_at=LATER), Resumed(**WHO)),
            "a person has cancelled the rollback for CanaryX in this phase",
        ),
        (RollBack(**ANN, cause="CanaryX", automatic=True, countdown=True), RUNNING, "the countdown was cancelled"),
    ],
)  # fmt: skip
def test_a_refusal_says_this(command: Command, rollout: Rollout | None, why: str) -> None:
    """Subject, what is so, and what to do."""
    with pytest.raises(RefusedError) as refused:
        command.entry(rollout, LATER)

    assert str(refused.value) == why


@pytest.mark.parametrize(
    ("command", "state", "what"),
    [
        (START, RUNNING, "start another rollout"),
        (Adopt(**ANN, rollout="r1", **VERSIONS, **PHASES, weight=0.2), RUNNING, "adopt"),
        (Advance(**ANN), HELD, "advance"),
        (Promote(**ANN), ROLLED_BACK, "promote"),
        (Hold(**ANN), ROLLED_BACK, "hold"),
        (Hold(**ANN), STOPPING, "hold"),
        (Hold(**ANN, cause="CanaryY", lifts=True), HELD, "hold"),
        (Hold(**ANN, cause="CanaryY", rollback_at=LATER), COUNTING, "hold"),
        (Resume(**ANN), RUNNING, "resume"),
        (Resume(**ANN), FINISHING, "resume"),
        (RollBack(**ANN), ROLLED_BACK, "roll back"),
        (RollBack(**ANN, automatic=True), PROMOTED, "roll back"),
        (GiveUp(**ANN), RUNNING, "give up the rollback"),
    ],
)
def test_a_state_that_takes_no_such_command_says_what_cannot_be_done(
    command: Command, state: Rollout, what: str
) -> None:
    """The refusal begins with what was wanted, and with the state that is in the way."""
    with pytest.raises(RefusedError) as refused:
        command.entry(state, LATER)

    assert str(refused.value).startswith(f"cannot {what}: rollout r1 is {described(state)}; possible now: ")


def test_the_same_key_means_the_same_request_only_for_the_same_thing() -> None:
    """A beginning is repeated by the same versions (and weight), every other command by the same rollout."""
    seen, other = Seen("r1", 3), Seen("r0", 3)
    adopted = Adopted(rollout="r2", at=NOON, actor="bob", **VERSIONS, **PHASES, weight=0.25)

    assert Advance(**ANN).repeats(Advanced(**WHO, phase=1), seen)
    assert not Advance(**ANN).repeats(Advanced(**WHO, phase=1), other)
    assert START.repeats(began(), other)
    assert not Start(**ANN, rollout="r3", stable="v1.0", canary="v3.0", **PHASES).repeats(began(), seen)
    assert ADOPT.repeats(adopted, other)
    assert not ADOPT.repeats(began(), seen)
    assert not Adopt(**ANN, rollout="r2", **VERSIONS, **PHASES, weight=0.5).repeats(adopted, seen)
