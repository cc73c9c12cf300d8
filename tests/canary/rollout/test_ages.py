"""Ages are measured by a clock that nobody sets."""

from hypothesis import given
from hypothesis import strategies as st

from canary.rollout.ages import Ages
from canary.rollout.state import Moment
from tests.support.clock import FakeClock

STEPS = st.lists(st.tuples(st.floats(0, 1e6), st.floats(-1e8, 1e8)), max_size=20)


@given(steps=STEPS)
def test_no_step_of_the_clock_changes_an_age(steps: list[tuple[float, float]]) -> None:
    """Whatever is done to the wall clock, an age is the time that has passed: of this boot's moments from the event
    on, of another boot's from the first look on."""
    clock = FakeClock()
    ages = Ages(clock)
    ours = Moment(clock.now(), clock.boot, clock.monotonic())
    theirs = Moment(clock.now(), "other", 7.0)
    assert ages.seconds(theirs) == 0
    passed = 0.0
    for seconds, step in steps:
        clock.advance(seconds)
        clock.set_wall(step)
        passed += seconds

        assert abs(ages.seconds(ours) - passed) < 1e-3
        assert abs(ages.seconds(theirs) - passed) < 1e-3


def test_the_wall_clock_is_asked_once_for_what_must_not_be_news_again() -> None:
    """After a reboot, last year's entry is a year old; a step afterwards changes nothing."""
    clock = FakeClock()
    last_year = Moment(clock.now(), "before", 7.0)
    clock.set_wall(365 * 86400.0)
    ages = Ages(clock)

    assert ages.seconds(last_year, by_wall=True) == 365 * 86400.0
    clock.set_wall(-1e6)
    clock.advance(10)
    assert ages.seconds(last_year, by_wall=True) == 365 * 86400.0 + 10
