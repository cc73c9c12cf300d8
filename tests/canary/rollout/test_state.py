"""What a rollout is: how long its phase has lasted, and in which of its states a canary is judged."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.rollout.entries import Held, Promoted
from canary.rollout.folding import fold
from canary.rollout.state import RUNNING, TERMINAL, State, Timer
from tests.support.clock import FakeClock
from tests.support.receiving.entries import started

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@given(st.lists(st.floats(0, 1e6), max_size=5), st.floats(0, 1e6))
def test_a_timer_goes_on_from_where_it_was_read(steps: list[float], before: float) -> None:
    """What had passed at the reading, and what this machine's monotonic clock has counted since."""
    clock = FakeClock()
    timer = Timer(before, clock.boot, clock.monotonic())
    for seconds in steps:
        clock.advance(seconds)

    assert timer.elapsed_seconds(clock) == pytest.approx(before + sum(steps))


def test_nobody_has_measured_since_a_reboot() -> None:
    """On another machine, or after a reboot, the time since the reading is unknown, and not zero."""
    clock = FakeClock()

    assert Timer(5.0, "another boot", clock.monotonic()).elapsed_seconds(clock) is None


def test_no_state_is_both_running_and_over() -> None:
    """A rollout that a new one may follow has nobody on its canary."""
    assert not RUNNING & TERMINAL
    assert State.ROLLING_BACK not in RUNNING | TERMINAL


def test_baking_is_baking_while_it_is_held() -> None:
    """The last phase, with all traffic; promoted, it is over."""
    last = started("r1", NOON, traffic=(1.0,), durations_seconds=(300,))
    who: dict[str, Any] = {"rollout": "r1", "at": NOON, "actor": "bob"}

    assert fold([last])["r1"].baking
    assert fold([last, Held(**who)])["r1"].baking
    assert not fold([last, Promoted(**who)])["r1"].baking
    assert not fold([started("r1", NOON)])["r1"].baking
    assert fold([last])["r1"].duration_seconds == 300
