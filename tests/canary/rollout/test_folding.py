"""What the journal means: entries fold into rollouts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from canary.rollout.commands.commands import Advance
from canary.rollout.entries import Entry
from canary.rollout.folding import fold, newest
from canary.rollout.kinds import Kind, Step
from canary.rollout.state import Rollout, State, Weight
from scripts import journals
from tests.support.receiving.entries import entry as entry_of
from tests.support.receiving.entries import started

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
_JOURNALS = Path(__file__).parents[2] / "golden" / "journals.txt"


STARTED = started("r1", NOON)


def after(*entries: Entry) -> Rollout:
    """Rollout r1, which began at noon and went on as told."""
    return fold([STARTED, *entries])["r1"]


def told(kind: Kind, minutes: float = 1, **data: object) -> Entry:
    """An entry about r1, some minutes after noon."""
    return entry_of("r1", kind, NOON + timedelta(minutes=minutes), "bob", "because", data)


HELD = told(Kind.HELD, cause="CanaryBlind", lifts=True)
ROLLBACK = told(Kind.ROLLBACK, 2, cause="CanaryHighErrorRate")
FINISHING = (told(Kind.PROMOTED, 5), told(Kind.FINISHING, 6, weights=(0.5, 0.0), step_seconds=60.0))


def test_a_journal_means_what_it_meant() -> None:
    """Of entries of all kinds, in all states, none makes of its rollout anything else than it did."""
    assert journals.folding() == _JOURNALS.read_text(encoding="utf-8")


def test_nothing_is_nothing() -> None:
    """Without entries there is no rollout."""
    assert newest(fold([])) is None


def test_a_start_is_the_first_phase() -> None:
    """A rollout begins in its first phase, with that phase's share and what the policy said then."""
    rollout = after()

    assert (rollout.state, rollout.phase, rollout.weight) == (State.PHASE, 0, 0.05)
    assert rollout.traffic == (0.05, 0.25, 0.5, 1)
    assert rollout.durations_seconds == (300, 900, 1200, 1800)
    assert rollout.running


def test_advancing_through_all_phases_bakes_then_promotes() -> None:
    """Each advance is the next phase's share from that moment; at 100 % the rollout bakes, then it is promoted."""
    rollouts = fold([STARTED])
    states = []
    for minute in range(1, 5):
        advance = Advance(actor="alertmanager", reason="complete")
        rollouts = fold([advance.entry(rollouts["r1"], NOON + timedelta(minutes=minute))], rollouts)
        states.append((rollouts["r1"].state, rollouts["r1"].weight))

    assert states == [(State.PHASE, 0.25), (State.PHASE, 0.5), (State.BAKING, 1.0), (State.PROMOTED, 1.0)]
    assert rollouts["r1"].ended_at == NOON + timedelta(minutes=4)
    assert [weight.ratio for weight in rollouts["r1"].weights] == [0.05, 0.25, 0.5, 1]


def test_a_hold_keeps_share_and_clock() -> None:
    """Held, the share and the phase's beginning stay; resumed, the rollout is where it was."""
    held = after(told(Kind.ADVANCED, 5, phase=1), HELD)
    resumed = after(told(Kind.ADVANCED, 5, phase=1), HELD, told(Kind.RESUMED, 9))

    assert (held.state, held.weight, held.lifts, held.cause) == (State.HOLDING, 0.25, True, "CanaryBlind")
    assert (resumed.state, resumed.weight) == (State.PHASE, 0.25)
    assert resumed.phase_started_at == NOON + timedelta(minutes=5)
    assert resumed.resumed_at == NOON + timedelta(minutes=9)


def test_a_freeze_of_the_finishing_ends_with_its_cause() -> None:
    """Frozen, nobody leaves the canary's servers, and a person may raise them; resumed, the step's share is back."""
    stepped = (*FINISHING, told(Kind.FINISH_STEP, 7, step=0))
    shares = [after(*stepped, told(Kind.HELD, 8, weight=weight)).weight for weight in (None, 0.2, 0.5, 0.8)]
    assert shares == [0.5, 0.5, 0.5, 0.8]

    frozen = (*stepped, told(Kind.HELD, 8, cause="servers", lifts=True, weight=0.8))
    assert (after(*frozen).frozen, after(*frozen).cause, after(*frozen).lifts) == (True, "servers", True)

    resumed = after(*frozen, told(Kind.RESUMED, 9))
    assert (resumed.state, resumed.frozen, resumed.cause, resumed.lifts) == (State.FINISHING, False, "", False)
    assert resumed.weights[-2:] == (
        Weight(NOON + timedelta(minutes=8), 0.8),
        Weight(NOON + timedelta(minutes=9), 0.5),
    )


def test_a_hold_after_an_interrupted_finishing_can_be_resumed() -> None:
    """A journal may say that a rollout went to a phase from the middle of its finishing: it is held as in any other."""
    advanced = (*FINISHING, told(Kind.ADVANCED, 7, phase=1), told(Kind.HELD, 8))

    assert after(*advanced).state is State.HOLDING
    assert after(*advanced, told(Kind.RESUMED, 9)).state is State.PHASE


def test_a_hold_while_baking_goes_back_to_baking() -> None:
    """A rollout that was held at 100 % bakes on when it is resumed."""
    baking = [told(Kind.ADVANCED, 5, phase=3), HELD]

    assert after(*baking).baking
    assert after(*baking, told(Kind.RESUMED)).state is State.BAKING


def test_a_rollback_takes_everybody_off_and_collects_its_steps() -> None:
    """From the entry on nobody should be on the canary; steps are remembered, then it is over."""
    rolling = after(ROLLBACK, told(Kind.STEP_DONE, step="traffic"))
    done = after(ROLLBACK, told(Kind.STEP_DONE, step="traffic"), told(Kind.ROLLED_BACK, 3))

    assert (rolling.state, rolling.weight, rolling.cause) == (State.ROLLING_BACK, 0, "CanaryHighErrorRate")
    assert rolling.steps == {Step.TRAFFIC}
    assert (done.state, done.weight, done.reason) == (State.ROLLED_BACK, 0, "because")
    assert not done.running


def test_a_rollback_ends_a_countdown() -> None:
    """Nobody can cancel any more what has begun, so no end of the countdown is shown."""
    counting = told(Kind.HELD, cause="CanaryX", rollback_at="2026-01-31T12:30:00Z")

    assert after(counting).rollback_at == NOON + timedelta(minutes=30)
    assert after(counting, ROLLBACK).rollback_at is None


def test_whoever_agreed_to_another_plan_has_not_agreed_to_this_one() -> None:
    """An amendment makes every approval void: the phase that it was about may be another one now."""
    agreed = told(Kind.APPROVED, approver="cleo", target=1)
    amended = told(
        Kind.AMENDED, 2, phase=0, traffic=[0.05, 1], durations_seconds=[60, 60], digest="d2", policy={"service": "shop"}
    )

    assert after(agreed).approvals == {("cleo", 1)}
    assert after(agreed, amended).approvals == frozenset()


def test_entries_of_older_rollouts_stay_with_them() -> None:
    """What is written about a rollout that is no longer the newest changes that one, and not the newest."""
    other = started("r2", NOON)
    rollouts = fold([STARTED, ROLLBACK, other, told(Kind.STEP_DONE, step="log")])

    assert list(rollouts) == ["r1", "r2"]
    assert rollouts["r1"].steps == {Step.LOG}
    assert rollouts["r2"] == fold([other])["r2"]
    assert newest(rollouts) == rollouts["r2"]


def test_who_has_been_told_is_remembered() -> None:
    """By entry: the targets that took the message, added up, and whether it was given up."""
    rollout = after(
        told(Kind.NOTIFIED, entry=1, targets=["chat"]),
        told(Kind.NOTIFIED, entry=1, targets=["mail"]),
        told(Kind.NOTIFIED, entry=7, targets=[], expired=True),
    )

    assert rollout.notified == {1: {"chat", "mail"}, 7: frozenset()}
    assert rollout.expired == {7}


def test_only_decisions_count_as_seen() -> None:
    """The number that a caller saw changes with each decision, and with nothing else."""
    entries = [
        replace(told(Kind.HELD, cause="manual"), seq=5),
        replace(told(Kind.NOTIFIED, entry=5), seq=6),
        replace(told(Kind.RECORDED, key="k"), seq=7),
        replace(told(Kind.ELAPSED, phase=0, seconds=3), seq=8),
    ]
    assert after(*entries).decision == 5
    assert after(*entries, replace(told(Kind.RESUMED), seq=9)).decision == 9


def test_a_phase_that_is_none_is_passed_over() -> None:
    """A damaged entry about a phase that the plan has not changes nothing."""
    assert after(told(Kind.ADVANCED, phase=17)) == after(told(Kind.ADVANCED, phase=-1)) == after()


def test_nobody_is_on_what_was_rolled_back_although_its_decision_is_damaged() -> None:
    """The row that decided the rollback may be one that cannot be read; that it is complete says enough."""
    rollout = after(told(Kind.ADVANCED, phase=1), told(Kind.ROLLED_BACK, 3))

    assert (rollout.state, rollout.weight) == (State.ROLLED_BACK, 0)


_ENTRIES = st.lists(
    st.one_of(
        st.builds(lambda phase: told(Kind.ADVANCED, phase=phase), st.integers(0, 3)),
        st.builds(lambda cause: told(Kind.HELD, cause=cause), st.sampled_from(["manual", "CanaryBlind"])),
        st.sampled_from(
            [told(Kind.RESUMED), told(Kind.PROMOTED), ROLLBACK, told(Kind.ROLLED_BACK), told(Kind.RECORDED, key="k")]
        ),
    ),
    max_size=12,
)


@given(_ENTRIES, st.integers(0, 12))
def test_folding_may_be_interrupted(entries: list[Entry], cut: int) -> None:
    """Folding some entries now and the rest later gives the same rollout as folding all at once."""
    everything = [STARTED, *entries]

    assert fold(everything[cut:], fold(everything[:cut])) == fold(everything)


@given(_ENTRIES)
def test_a_rollback_wins_over_everything(entries: list[Entry]) -> None:
    """Once the journal says rollback, nobody should be on this canary any more, whatever it says afterwards."""
    rollout = after(*entries)

    rolled_back = any(entry.kind in (Kind.ROLLBACK, Kind.ROLLED_BACK) for entry in entries)
    assert (rollout.weight == 0) == rolled_back
    assert not (rolled_back and rollout.running)


def test_with_slots_finishing_is_a_change_of_roles() -> None:
    """Slot b has everybody and becomes the stable one: nobody is on the canary's slot, and no step was taken."""
    slotted = fold([replace(STARTED, stable_slot="a"), told(Kind.PROMOTED, 2)])
    assert (slotted["r1"].stable_slot, slotted["r1"].weight) == ("a", 1.0)
    begun = fold([told(Kind.FINISHING, 3, weights=(0.0,), step_seconds=60.0)], slotted)
    assert begun == slotted, "traffic does not return from one slot to the other"

    finished = fold([told(Kind.FINISHED, 3)], slotted)["r1"]
    assert (finished.state, finished.stable_slot, finished.weight) == (State.FINISHED, "b", 0.0)
    assert finished.version_weight == 1.0
    reported = [told(Kind.STEP_DONE, 2, step=step) for step in ("log", "report")]
    again = fold([*reported, told(Kind.FINISHED, 3)], slotted)["r1"]
    assert again.steps == {Step.LOG}, "the report is made anew"

    late = fold([told(Kind.FINISHED, 3)], fold([replace(STARTED, stable_slot="b"), HELD]))["r1"]
    assert (late.state, late.stable_slot) == (State.HOLDING, "b"), (
        "a rollout that is not promoted has no roles to change"
    )
