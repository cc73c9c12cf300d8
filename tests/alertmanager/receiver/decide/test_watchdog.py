"""The heartbeat's silence: how long it is, and what it asks for."""

import dataclasses
import math
from datetime import UTC, datetime

import pytest

from alertmanager.receiver.decide.pauses import Pauses
from alertmanager.receiver.decide.watchdog import Watchdog
from canary.policy.release import Watchdog as Section
from canary.rollout.folding import fold
from canary.rollout.kinds import Cause
from canary.rollout.state import Rollout, State
from canary.rollout.store.store import RolloutStore
from canary.testing.journal import MemoryJournal, Table
from tests.support.clock import FakeClock
from tests.support.receiving.entries import started
from tests.support.receiving.receiver import SERVICE

MOMENT = datetime(2026, 3, 3, 12, tzinfo=UTC)
SECTION = Section(timeout=180, then=600, action="rollback", up_to=0.1)


def rollout(state: State = State.PHASE, cause: str = "", traffic: tuple[float, ...] = (0.05, 1.0)) -> Rollout:
    """A rollout in a state."""
    begun = fold([started("v2.0-1", MOMENT, traffic=traffic, durations_seconds=(60, 60))])["v2.0-1"]
    return dataclasses.replace(begun, state=state, cause=cause)


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands."""
    return FakeClock()


def listening(clock: FakeClock, section: Section = SECTION) -> Watchdog:
    """A watchdog of a receiver that is never stopped, however far a test moves its clock."""
    store = RolloutStore(MemoryJournal(Table(), SERVICE), clock)
    return Watchdog(section, clock, Pauses(store, clock, asks_seconds=0, longest_seconds=math.inf))


@pytest.fixture
def watchdog(clock: FakeClock) -> Watchdog:
    """A receiver that has just started to listen."""
    return listening(clock)


@pytest.mark.parametrize(
    ("silence", "state", "cause", "asked"),
    [
        (180, State.PHASE, "", ""),
        (181, State.PHASE, "", "hold"),
        (780, State.PHASE, "", "hold"),
        (781, State.PHASE, "", "rollback"),
        (181, State.HOLDING, Cause.WATCHDOG, ""),
        (781, State.HOLDING, Cause.WATCHDOG, "rollback"),
        (781, State.HOLDING, Cause.MANUAL, "rollback"),
        (180, State.HOLDING, Cause.WATCHDOG, "resume"),
        (180, State.HOLDING, Cause.MANUAL, ""),
        (10_000, State.ROLLING_BACK, "", ""),
        (10_000, State.PROMOTED, "", ""),
    ],
)
def test_silence_holds_and_then_rolls_back(
    watchdog: Watchdog, clock: FakeClock, silence: float, state: State, cause: str, asked: str
) -> None:
    """Up to the second; what is held is not held again, and only the heartbeat's own hold ends with it."""
    clock.advance(silence)

    assert watchdog.verdict(rollout(state, cause)) == asked


@pytest.mark.parametrize(
    ("section", "traffic"), [(Section(timeout=180, then=600, action="stay"), 0.05), (SECTION, 0.11), (SECTION, 0.5)]
)
def test_many_customers_are_not_moved_blindly(clock: FakeClock, section: Section, traffic: float) -> None:
    """Where the policy says so, or above the share that it names, silence holds and never rolls back."""
    watchdog = listening(clock, section)
    clock.advance(100_000)

    assert watchdog.verdict(rollout(traffic=(traffic, 1.0))) == "hold"
    assert watchdog.verdict(rollout(State.HOLDING, traffic=(traffic, 1.0))) == ""


def test_the_share_that_the_policy_names_is_itself_rolled_back(watchdog: Watchdog, clock: FakeClock) -> None:
    """Up to 10 % includes 10 %."""
    clock.advance(781)

    assert watchdog.verdict(rollout(traffic=(SECTION.up_to, 1.0))) == "rollback"


@pytest.mark.parametrize(
    ("state", "blind"),
    [
        (State.PHASE, True),
        (State.HOLDING, True),
        (State.FINISHING, True),
        (State.PROMOTED, False),
        (State.ROLLED_BACK, False),
    ],
)
def test_only_what_moves_customers_flies_blind(
    watchdog: Watchdog, clock: FakeClock, state: State, *, blind: bool
) -> None:
    """A rollout, and the finish of one, are blind after more silence than is allowed; what is over never is."""
    clock.advance(180)
    assert not watchdog.blind(rollout(state))
    clock.advance(1)
    assert watchdog.blind(rollout(state)) == blind


def test_a_heartbeat_that_is_only_kept_from_people_is_no_silence(watchdog: Watchdog, clock: FakeClock) -> None:
    """Worth asking about after half of the time-out; once it is excused time counts anew, and nobody has heard it."""
    clock.advance(90)
    assert not watchdog.overdue
    clock.advance(100)
    assert watchdog.overdue
    watchdog.excuse()
    assert (watchdog.silence_seconds(), watchdog.overdue, watchdog.heard_at) == (0, False, None)


def test_a_heartbeat_ends_the_silence(watchdog: Watchdog, clock: FakeClock) -> None:
    """It is counted from the last one."""
    clock.advance(1000)
    watchdog.hear()
    clock.advance(100)

    assert watchdog.silence_seconds() == 100
    assert watchdog.heard_at is not None
    assert not watchdog.blind(rollout())


def test_silence_of_before_the_rollout_does_not_count(watchdog: Watchdog, clock: FakeClock) -> None:
    """Nothing needs to be heard while nothing runs; a rollout begins with a full allowance."""
    clock.advance(1000)
    assert watchdog.blind(rollout())
    watchdog.notice(started("v2.0-2", clock.now()))

    assert not watchdog.blind(rollout())
    assert watchdog.heard_at is None


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_setting_the_clock_is_no_silence(watchdog: Watchdog, clock: FakeClock, seconds: float) -> None:
    """A wall clock that jumps neither rolls a healthy canary back nor hides that nothing is heard."""
    watchdog.hear()
    clock.advance(3)
    clock.set_wall(seconds)
    assert watchdog.verdict(rollout()) == ""
    clock.advance(181)
    assert watchdog.verdict(rollout()) == "hold"
