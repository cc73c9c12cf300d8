"""The receiver's own look at Prometheus: when it looks, what that leads to, and what is passed on."""

import asyncio

from canary import names
from canary.policy.model import Policy
from canary.policy.release import Rollback
from canary.rollout.kinds import Kind
from canary.rollout.state import State
from tests.support.clock import StandingClock, settled
from tests.support.receiving.deciding import Deciding
from tests.support.receiving.polling import DAYS, UNKNOWN, Scene, scene
from tests.support.receiving.receiver import SERVICE


async def test_an_alert_that_no_webhook_brought_acts() -> None:
    """What fires in Prometheus holds or rolls back as if Alertmanager had told it."""
    async with scene() as now:
        now.prometheus.now = [now.no_data]
        assert await now.looks() is State.HOLDING
        now.prometheus.now = [now.errors, now.no_data]
        assert await now.looks() is State.ROLLING_BACK
        assert (now.deciding.rollout.actor, now.deciding.rollout.cause) == ("prometheus", "CanaryHighErrorRate")
        assert {alert.name for alert in now.poller.firing} == {"CanaryHighErrorRate", "CanaryBlind"}


async def test_a_dry_run_neither_rolls_back_nor_holds() -> None:
    """A rollback alert and a moment without data are told, and the rollout goes on."""
    async with scene(Rollback(dry_run=True)) as now:
        now.prometheus.now = [now.errors, now.no_data]
        assert await now.looks(3) is State.PHASE


async def test_it_looks_at_once_and_then_regularly_or_when_woken() -> None:
    """Every ten seconds, as it was told to; whoever wakes it waits for nothing."""
    clock = StandingClock()
    async with Deciding.about(Policy(service=SERVICE), clock=clock) as deciding:
        now = Scene(deciding)
        running = asyncio.ensure_future(now.poller.run())
        await settled()
        assert now.prometheus.windows == [DAYS]
        now.poller.wake_up.set()
        await settled()
        assert now.prometheus.windows == [DAYS, 60]
        await clock.wait_over()
        assert now.prometheus.windows == [DAYS, 60, 70]
        assert set(clock.waits_seconds) == {10}
        running.cancel()


async def test_a_complete_phase_is_passed_on() -> None:
    """This phase's advance alert is told to whoever waits for it, also without a history; another phase's is not."""
    async with scene() as now:
        now.prometheus.now = [now.alert(names.PHASE_COMPLETE, "advance", phase="7")]
        await now.looks()
        assert now.completed == []
        now.prometheus.now, now.prometheus.past = [now.complete], UNKNOWN
        await now.looks()
        assert [rollout.id for rollout in now.completed] == [now.deciding.rollout.id]


async def test_nothing_is_asked_about_what_is_over() -> None:
    """After a rollback there is nothing to look for; after a promotion limits are watched for a while."""
    async with scene() as now:
        await now.deciding.order("promote")
        now.prometheus.past = [now.errors]
        assert await now.looks() is State.PROMOTED
        assert Kind.RECORDED in await now.deciding.kinds()
    async with scene() as now:
        assert (now.poller.error, now.poller.firing) == ("", ())
        await now.deciding.order("rollback")
        await now.looks()
        assert now.prometheus.windows == []
        assert now.poller.firing == ()
