"""Where several people must agree, a step is taken when so many different ones have, under names that they proved."""

from dataclasses import replace
from datetime import UTC, datetime

import hypothesis.strategies as st
import pytest
from hypothesis import given

from canary.errors import RefusedError
from canary.policy.gates import ApprovalGate
from canary.policy.model import Policy
from canary.policy.release import Phase
from canary.rollout.commands.commands import Advance, Command, Hold, Promote, Resume, Start
from canary.rollout.entries import Advanced, Promoted
from canary.rollout.folding import fold
from canary.rollout.plan.approvals import approvals
from canary.rollout.plan.planentries import Approved
from canary.rollout.plan.plans import plan_of
from canary.rollout.state import Rollout, State

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def begun(*approvers: int) -> Rollout:
    """A rollout whose phases ask for so many people, one phase each; 0 asks for nobody."""
    shares = [(index + 1) / len(approvers) for index in range(len(approvers))]
    phases = tuple(
        Phase(traffic=share, duration=60, gate=ApprovalGate(approvers=count) if count else None)
        for share, count in zip(shares, approvers, strict=True)
    )
    start = Start(
        rollout="r1", stable="v1", canary="v2", actor="ann", **plan_of(Policy(service="s", phases=phases), "normal")
    )
    return fold([start.entry(None, NOON)])["r1"]


def take(rollout: Rollout, command: Command) -> Rollout:
    """The rollout after a command."""
    entry = replace(command.entry(rollout, NOON), seq=rollout.decision + 1)
    return fold([entry], {"r1": rollout})["r1"]


@given(needed=st.integers(1, 5), people=st.lists(st.sampled_from(("", "ann", "bob", "cid", "dan", "eve")), max_size=12))
def test_as_many_different_people_as_are_asked_for(needed: int, people: list[str]) -> None:
    """Whoever comes in whatever order, the same person counts once, and who has proven no name never."""
    rollout = begun(needed, 0)
    agreed: set[str] = set()
    for name in people:
        try:
            rollout = take(rollout, Advance(actor=name or "ann", approver=name))
        except RefusedError as error:
            assert not name or name in agreed, error  # noqa: PT017  # which refusals there are is the promise
            continue
        agreed.add(name)
        assert name
        if rollout.phase:
            break

    assert (rollout.phase == 1) is (len(agreed) == needed)
    assert len(agreed) <= needed


def test_what_is_missing_is_said() -> None:
    """The entry that is not yet enough says who has agreed, to what, and how many more are needed."""
    entry = Advance(actor="ann", approver="ann", reason="looks good").entry(begun(2, 0), NOON)

    assert isinstance(entry, Approved)
    assert entry.reason == "1 of 2 approvals (ann) to go on to 100%, 1 more needed: looks good"
    with pytest.raises(RefusedError, match=r"ann has agreed already, and counts once; 1 of 2 approvals \(ann\)"):
        Advance(actor="ann", approver="ann").entry(take(begun(2, 0), Advance(actor="ann", approver="ann")), NOON)
    with pytest.raises(RefusedError, match=r"needs 2 people who agree: a name that is not proven counts for nobody"):
        Advance(actor="alertmanager").entry(begun(2, 0), NOON)


@pytest.mark.parametrize(
    "command", [Advance(actor="ann", approver="ann", to=1.0), Promote(actor="ann", approver="ann")]
)
def test_no_way_up_leads_around_a_gate(command: Command) -> None:
    """A jump over it, or a promotion, asks for as many people as the gate."""
    over, before = begun(0, 3, 0), begun(0, 0, 3)

    assert isinstance(command.entry(over, NOON), Approved)
    passes = not isinstance(command, Promote)
    assert isinstance(command.entry(before, NOON), Advanced if passes else Approved)


def test_agreement_is_to_one_step_and_ends_with_what_changes() -> None:
    """It counts for the phase that was meant, and not after a hold or in the next phase."""
    ann, bob = (Advance(actor=name, approver=name) for name in ("ann", "bob"))
    once = take(begun(2, 2, 0), ann)

    assert approvals(once, 2).given == ()
    assert take(take(once, Hold(actor="eve")), Resume(actor="eve")).approvals == frozenset()
    advanced = take(once, bob)
    assert (advanced.phase, advanced.approvals) == (1, frozenset())
    assert isinstance(ann.entry(advanced, NOON), Approved)


def test_nobody_is_asked_without_such_a_gate() -> None:
    """Other gates and older journals know no agreement."""
    rollout = begun(0, 0)

    assert isinstance(Advance(actor="ann").entry(rollout, NOON), Advanced)
    assert isinstance(Promote(actor="ann").entry(replace(rollout, pinned=None), NOON), Promoted)
    assert approvals(rollout, 1).needed == 0
    assert rollout.state is State.PHASE
