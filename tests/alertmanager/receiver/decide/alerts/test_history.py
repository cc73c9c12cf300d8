"""Alerts that came and went: what the poller asks the history for, and how far back."""

from datetime import timedelta

from canary.rollout.state import State
from tests.support.receiving.polling import DAYS, UNKNOWN, scene


async def test_an_alert_that_came_and_went_acts() -> None:
    """A rollback alert in the history rolls back, although nothing fires now."""
    async with scene() as now:
        now.prometheus.past = [now.errors]

        assert await now.looks() is State.ROLLING_BACK


async def test_the_window_of_history_hangs_on_no_wall_clock() -> None:
    """First everything; then as long as it is since the last look that knew all, whatever people set the clock to."""
    async with scene() as now:
        await now.looks()
        now.deciding.clock.set_wall(-3600)
        await now.looks()
        now.deciding.clock.set_wall(7200)
        await now.looks()
        now.prometheus.now = UNKNOWN
        await now.looks(3)
        now.prometheus.now = []
        await now.looks(2)

        assert now.prometheus.windows == [DAYS, 70, 70, 70, 80, 90, 100, 70]


async def test_a_clock_set_back_loses_no_alert() -> None:
    """Set back by an hour, before the rollout's own start: what fired since the last look is asked for all the same."""
    async with scene() as now:
        await now.looks()
        now.deciding.clock.set_wall(-3600)
        now.prometheus.past = [now.errors]

        assert await now.looks() is State.ROLLING_BACK
        assert now.prometheus.windows[-1] == 70


async def test_another_rollout_is_asked_about_from_its_start() -> None:
    """What was known of the one before does not shorten the first look at the next."""
    async with scene() as now:
        await now.looks(2)
        first = now.deciding.rollout.id
        await now.deciding.order("promote")
        now.deciding.clock.advance(1)
        await now.deciding.order("start", canary="v3.0", stable="v2.0", force=True)
        now.prometheus.past = [now.errors]

        assert await now.looks() is State.ROLLING_BACK
        assert now.prometheus.windows == [DAYS, 70, DAYS]
        second = now.deciding.rollout.id
        assert now.prometheus.rollouts == [first, first, first, first, second, second]


async def test_ended_silences_count_for_the_time_that_is_asked_about() -> None:
    """A silence that was over before the rollout, or before the last look, covers nothing that is found now."""
    async with scene() as now:
        await now.looks(20)
        started_at, last = now.deciding.rollout.started_at, now.deciding.clock.now()

        assert now.alertmanager.since[0] == started_at
        assert now.alertmanager.since[-1] == last - timedelta(seconds=70)
