"""The rollout's state machine: what entries mean, and which commands fit when."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary import commands
from canary.errors import RefusedError
from canary.policy.model import Policy
from canary.rollout import Entry, Kind, Rollout, State, Step, fold

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
POLICY = Policy(service="shop")


def started(at: datetime = NOON) -> Entry:
    """The entry that begins rollout r1."""
    return commands.start(None, POLICY, rollout="r1", stable="v1.0", canary="v2.0", at=at, actor="ann")


def after(*entries: Entry) -> Rollout:
    """The rollout that began at noon and went on as told."""
    rollout = fold([started(), *entries])
    assert rollout is not None
    return rollout


def told(kind: Kind, minutes: float = 1, **data: object) -> Entry:
    """An entry about r1, some minutes after noon."""
    return Entry("r1", kind, NOON + timedelta(minutes=minutes), "bob", "because", data)


HELD = told(Kind.HELD, cause="CanaryBlind", lifts=True)
ROLLBACK = told(Kind.ROLLBACK, 2, cause="CanaryHighErrorRate")
ENDINGS = {
    State.PROMOTED: [told(Kind.PROMOTED)],
    State.ROLLING_BACK: [ROLLBACK],
    State.ROLLED_BACK: [ROLLBACK, told(Kind.ROLLED_BACK)],
    State.FAILED: [ROLLBACK, told(Kind.FAILED)],
}


def test_nothing_is_nothing() -> None:
    """Without entries there is no rollout."""
    assert fold([]) is None


def test_a_start_is_the_first_phase() -> None:
    """A rollout begins in its first phase, with that phase's share and what the policy said then."""
    rollout = after()

    assert (rollout.state, rollout.phase, rollout.weight) == (State.PHASE, 0, 0.05)
    assert rollout.traffic == (0.05, 0.25, 0.5, 1)
    assert rollout.durations_seconds == (300, 900, 1200, 1800)
    assert rollout.running


def test_advancing_through_all_phases_bakes_then_promotes() -> None:
    """Each advance is the next phase's share from that moment; at 100 % the rollout bakes, then it is promoted."""
    rollout = after()
    states = []
    for minute in range(1, 5):
        entry = commands.advance(rollout, at=NOON + timedelta(minutes=minute), actor="alertmanager", reason="complete")
        advanced = fold([entry], rollout)
        assert advanced is not None
        rollout = advanced
        states.append((rollout.state, rollout.weight))

    assert states == [(State.PHASE, 0.25), (State.PHASE, 0.5), (State.BAKING, 1.0), (State.PROMOTED, 1.0)]
    assert rollout.ended_at == NOON + timedelta(minutes=4)
    assert [weight.ratio for weight in rollout.weights] == [0.05, 0.25, 0.5, 1]


def test_a_hold_keeps_share_and_clock() -> None:
    """Held, the share and the phase's beginning stay; resumed, the rollout is where it was."""
    held = after(told(Kind.ADVANCED, 5, phase=1), HELD)
    resumed = after(told(Kind.ADVANCED, 5, phase=1), HELD, told(Kind.RESUMED, 9))

    assert (held.state, held.weight, held.lifts, held.cause) == (State.HOLDING, 0.25, True, "CanaryBlind")
    assert (resumed.state, resumed.weight) == (State.PHASE, 0.25)
    assert resumed.phase_started_at == NOON + timedelta(minutes=5)
    assert resumed.resumed_at == NOON + timedelta(minutes=9)


def test_a_hold_while_baking_goes_back_to_baking() -> None:
    """A rollout that was held at 100 % bakes on when it is resumed."""
    baking = [told(Kind.ADVANCED, 5, phase=3), HELD]

    assert after(*baking).baking
    assert after(*baking, told(Kind.RESUMED)).state is State.BAKING


def test_a_person_takes_over_an_automatic_hold() -> None:
    """A person may hold what an alert holds already; from then on only a person lifts it."""
    held = after(HELD)

    entry = commands.hold(held, at=NOON, actor="ann", reason="let me look")
    with pytest.raises(RefusedError, match="is held"):
        commands.hold(held, at=NOON, actor="alertmanager", reason="again", cause="CanaryBlind")

    taken = after(HELD, entry)
    assert (taken.cause, taken.lifts) == ("manual", False)
    with pytest.raises(RefusedError, match="is held"):
        commands.hold(taken, at=NOON, actor="bob", reason="me too")


@pytest.mark.parametrize("verb", [commands.resume, commands.hold])
def test_a_countdown_is_cancelled_and_its_cause_forgiven(verb: Callable[..., Entry]) -> None:
    """Resuming, or holding by hand, ends a countdown; its cause does not count down again in this phase."""
    deadline = NOON + timedelta(minutes=3)
    counting = after(
        commands.hold(after(), at=NOON, actor="alertmanager", reason="", cause="CanaryX", rollback_at=deadline)
    )
    assert counting.rollback_at == deadline

    cancelled = fold([verb(counting, at=NOON, actor="ann", reason="known")], counting)
    assert cancelled is not None
    assert cancelled.rollback_at is None
    assert cancelled.forgiven == {"CanaryX"}

    resumed = cancelled if cancelled.state is State.PHASE else fold([told(Kind.RESUMED)], cancelled)
    advanced = fold([told(Kind.ADVANCED, phase=1)], resumed)
    assert advanced is not None
    assert advanced.forgiven == frozenset()


def test_a_rollback_takes_everybody_off_and_collects_its_steps() -> None:
    """From the entry on nobody should be on the canary; steps are remembered, then it is over."""
    rolling = after(ROLLBACK, told(Kind.STEP_DONE, step="traffic"))
    done = after(ROLLBACK, told(Kind.STEP_DONE, step="traffic"), told(Kind.ROLLED_BACK, 3))

    assert (rolling.state, rolling.weight, rolling.cause) == (State.ROLLING_BACK, 0, "CanaryHighErrorRate")
    assert rolling.steps == {Step.TRAFFIC}
    assert (done.state, done.weight, done.reason) == (State.ROLLED_BACK, 0, "because")
    assert not done.running


@pytest.mark.parametrize("state", ENDINGS)
def test_what_is_over_takes_no_command_that_moves_it(state: State) -> None:
    """Ended or ending, a rollout is neither advanced nor held, resumed or promoted."""
    rollout = after(*ENDINGS[state])
    assert rollout.state is state

    for verb in (commands.advance, commands.hold, commands.resume, commands.promote):
        with pytest.raises(RefusedError, match="rollout r1"):
            verb(rollout, at=NOON, actor="ann", reason="")


def test_a_promoted_rollout_can_still_be_rolled_back() -> None:
    """As long as the old version is there, a person may roll back after the promotion."""
    entry = commands.roll_back(after(told(Kind.PROMOTED)), at=NOON, actor="ann", reason="", cause="manual")

    assert after(told(Kind.PROMOTED), entry).weight == 0


def test_refusals_say_why() -> None:
    """A second rollback is refused with since when, a start with what runs, or with what is wrong with it."""
    with pytest.raises(RefusedError, match=r"already rolling back since 12:02:00 UTC \(because\)"):
        commands.roll_back(after(ROLLBACK), at=NOON, actor="ann", reason="", cause="manual")
    with pytest.raises(RefusedError, match=r"rollout r1 is in phase 1 \(5%\); wait until it is over"):
        commands.start(after(), POLICY, rollout="r2", stable="a", canary="b", at=NOON, actor="ann")
    with pytest.raises(RefusedError, match="needs two versions"):
        commands.start(None, POLICY, rollout="r2", stable="a", canary="a", at=NOON, actor="ann")
    with pytest.raises(RefusedError, match="no rollout has been started"):
        commands.roll_back(None, at=NOON, actor="ann", reason="", cause="manual")


def test_giving_up_ends_a_rollback_only() -> None:
    """A person may end a rollback that cannot be completed, and nothing else; the share stays 0."""
    entry = commands.give_up(after(ROLLBACK), at=NOON, actor="ann", reason="did it by hand")

    assert (after(ROLLBACK, entry).state, after(ROLLBACK, entry).weight) == (State.FAILED, 0)
    with pytest.raises(RefusedError):
        commands.give_up(after(), at=NOON, actor="ann", reason="")


def test_entries_of_older_rollouts_change_nothing() -> None:
    """What is written about a rollout that is no longer the newest does not touch the newest."""
    foreign = Entry("r0", Kind.ROLLBACK, NOON, "alertmanager", "", {"cause": "CanaryHighErrorRate"})

    assert after(foreign) == after()


_ENTRIES = st.lists(
    st.one_of(
        st.builds(lambda phase: told(Kind.ADVANCED, phase=phase), st.integers(0, 3)),
        st.builds(lambda cause: told(Kind.HELD, cause=cause), st.sampled_from(["manual", "CanaryBlind"])),
        st.sampled_from(
            [told(Kind.RESUMED), told(Kind.PROMOTED), ROLLBACK, told(Kind.ROLLED_BACK), told(Kind.NOTED, key="k")]
        ),
    ),
    max_size=12,
)


@given(_ENTRIES, st.integers(0, 12))
def test_folding_may_be_interrupted(entries: list[Entry], cut: int) -> None:
    """Folding some entries now and the rest later gives the same rollout as folding all at once."""
    everything = [started(), *entries]

    assert fold(everything[cut:], fold(everything[:cut])) == fold(everything)


@given(_ENTRIES)
def test_a_rollback_wins_over_everything(entries: list[Entry]) -> None:
    """Once the journal says rollback, nobody should be on this canary any more, whatever it says afterwards."""
    rollout = after(*entries)

    rolled_back = any(entry.kind is Kind.ROLLBACK for entry in entries)
    assert (rollout.weight == 0) == rolled_back
    assert not (rolled_back and rollout.running)
