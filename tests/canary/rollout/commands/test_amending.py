"""Another policy for a running rollout: tighter at once, looser with a reason, alpha never."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings

from canary.errors import RefusedError
from canary.policy.gates import ApprovalGate
from canary.policy.kpis import DEFAULT_KPIS, Kpi
from canary.policy.model import Evidence, Policy
from canary.policy.pinning.changes import Effect
from canary.policy.pinning.digest import deciding, digest
from canary.policy.release import Phase, Rollback
from canary.rollout.commands.amending import Amend, amended
from canary.rollout.commands.commands import Advance, RollBack, Start
from canary.rollout.commands.records import Record
from canary.rollout.folding import fold
from canary.rollout.plan.planentries import Amended
from canary.rollout.plan.plans import Plans, plan_of
from canary.rollout.state import Rollout
from tests.canary.policy.pinning.test_changes import POLICIES
from tests.support.receiving.entries import started

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=5)
POLICY = Policy(
    service="shop",
    kpis=dict(DEFAULT_KPIS),
    phases=(
        Phase(traffic=0.05, duration=60),
        Phase(traffic=0.25, duration=600, gate="manual"),
        Phase(traffic=1, duration=60),
    ),
    plans={"hotfix": (Phase(traffic=0.05, duration=5), Phase(traffic=1, duration=5))},
)


def begun(policy: Policy = POLICY, plan: str = "normal", phase: int = 0) -> Rollout:
    """A running rollout."""
    start = Start(rollout="r1", stable="v1", canary="v2", actor="ann", **plan_of(policy, plan))
    rollout = fold([replace(start.entry(None, NOON), seq=1)])["r1"]
    for _ in range(phase):
        rollout = take(rollout, Advance(actor="ann"))
    return rollout


def take(rollout: Rollout, command: Any, at: datetime = LATER) -> Rollout:
    """The rollout after a command."""
    return fold([replace(command.entry(rollout, at), seq=rollout.decision + 1)], {"r1": rollout})["r1"]


def amend(policy: Policy, reason: str = "") -> Amend:
    """A command that takes a policy over."""
    return Amend(actor="ann", reason=reason, digest=digest(policy), policy=deciding(policy))


def kpi(name: str, **changes: Any) -> dict[str, Kpi]:
    """The KPIs with one of them changed."""
    return {**POLICY.kpis, name: replace(POLICY.kpis[name], **changes)}


def phases(**inserted: Any) -> Policy:
    """The policy with a phase of 10 % in the middle, and the next one changed."""
    first, second, last = POLICY.phases
    return replace(POLICY, phases=(first, Phase(traffic=0.1, duration=30), replace(second, **inserted), last))


def test_what_is_tighter_is_taken_over_at_once() -> None:
    """Without a reason; from then on the rollout runs by it, at the weight and in the phase that it had."""
    tighter = replace(phases(), kpis=kpi("conversion_rate", tolerance=0.05))
    rollout = take(begun(phase=1), Record(rollout="r1", key="gate:1"))

    after = take(rollout, amend(tighter))

    assert (after.weight, after.phase, after.traffic) == (0.25, 2, (0.05, 0.1, 0.25, 1.0))
    assert after.phase_began == rollout.phase_began
    assert after.decision > rollout.decision
    assert "gate:1" not in after.recorded
    assert Plans(POLICY).of(after).kpis["conversion_rate"].tolerance == 0.05
    assert Plans(POLICY).digest(after) == digest(tighter)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (replace(POLICY, kpis=kpi("payment_success_rate", tolerance=0.2)), "tolerance 5% -> 20%, looser"),
        (replace(POLICY, rollback=Rollback(dry_run=True)), "rollback.dry_run no -> yes, looser"),
        (phases(gate=None), "phases.25%.gate removed (was manual), looser"),
        (phases(duration=1), "phases.25%.duration 10m -> 1s, looser"),
    ],
)
def test_what_is_looser_needs_a_reason_and_is_marked(policy: Policy, words: str) -> None:
    """A tolerance, a limit, a duration, a gate: the refusal and the entry say in words what would be."""
    with pytest.raises(RefusedError, match="makes the guard of a running rollout looser") as refused:
        amend(policy).entry(begun(), LATER)

    entry = amend(policy, "the payment provider is down").entry(begun(), LATER)

    assert words in str(refused.value)
    assert isinstance(entry, Amended)
    assert any(words in one for one in entry.looser)
    assert entry.reason.startswith("the payment provider is down: ")


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (replace(POLICY, evidence=Evidence(alpha=0.02)), "evidence.alpha is 2%, expected 1%"),
        (replace(POLICY, kpis=kpi("average_order_value", action="rollback")), "alpha is shared by"),
        (replace(POLICY, kpis=kpi("payment_success_rate", floor=None)), "alpha is shared by"),
        (replace(POLICY, phases=POLICY.phases[1:]), "is in the phase with 5%, which the new plan normal has not"),
        (POLICY, "runs by this very policy"),
    ],
)
def test_what_cannot_be_amended(policy: Policy, words: str) -> None:
    """Alpha and who shares it, the phase that the rollout is in, and what is so already; no reason helps."""
    with pytest.raises(RefusedError, match=words):
        amend(policy, "because").entry(begun(), LATER)


def test_one_person_does_not_lower_a_gate_of_several() -> None:
    """Neither to fewer, nor to none, nor by leaving out its phase."""
    guarded = phases(gate=ApprovalGate(approvers=2))
    for policy in (
        phases(gate=ApprovalGate(approvers=1)),
        phases(gate="manual"),
        replace(POLICY, phases=POLICY.phases[::2]),
    ):
        with pytest.raises(RefusedError, match="asks for 2 people, and one alone cannot lower it"):
            amend(policy, "because").entry(begun(guarded), LATER)


def test_only_what_is_ahead_of_its_own_plan_counts() -> None:
    """Phases that are over, and other plans, need no reason."""
    over = replace(POLICY, phases=(replace(POLICY.phases[0], duration=1), *POLICY.phases[1:]), plans={})

    assert amend(over).entry(begun(phase=1), LATER).reason == "nothing that this rollout's plan has differs"
    with pytest.raises(RefusedError, match="has no plan 'hotfix'"):
        amend(over).entry(begun(plan="hotfix"), LATER)


def test_nothing_is_amended_after_a_rollback_or_without_a_pinned_policy() -> None:
    """What runs no longer, and what an older version began."""
    with pytest.raises(RefusedError, match="cannot amend"):
        amend(phases()).entry(take(begun(), RollBack(actor="ann")), LATER)
    with pytest.raises(RefusedError, match="begun by an older version"):
        amend(phases()).entry(fold([started("r1", NOON)])["r1"], LATER)


@settings(max_examples=50)
@given(before=POLICIES, after=POLICIES)
def test_nothing_looser_ever_passes_without_a_reason(before: Policy, after: Policy) -> None:
    """Whatever the policies are: no difference ahead is looser then, and alpha is the same."""
    rollout = begun(before)
    try:
        entry = amend(after).entry(rollout, LATER)
    except RefusedError:
        return
    assert isinstance(entry, Amended)
    assert before.evidence.alpha == after.evidence.alpha
    assert not entry.looser
    assert all(change.effect is not Effect.LOOSER for change in amended(rollout, rollout.pinned or {}, entry.policy))
    assert entry.traffic[entry.phase] == rollout.weight
