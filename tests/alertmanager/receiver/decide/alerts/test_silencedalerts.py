"""Alerts that are silenced or inhibited: which of them the poller leaves alone, for how long, and who gets to know."""

from datetime import UTC, datetime

import pytest

from canary import names
from canary.errors import RemoteError
from canary.prometheus import Alert, Inhibited, Matcher, Silence
from canary.rollout.kinds import Kind
from canary.rollout.state import State
from tests.support.receiving.polling import UNKNOWN, scene
from tests.support.receiving.receiver import SERVICE

FOREVER = datetime.max.replace(tzinfo=UTC)
ALL_ROLLBACKS = (Matcher(names.ACTION, "rollback"), Matcher(names.SERVICE, SERVICE))


def silence(
    *matchers: Matcher, ends_at: datetime = FOREVER, active: bool = True, silence_id: str = "5e1f", comment: str = ""
) -> Silence:
    """A silence; by default of all rollbacks of the service, in force, and set by ann."""
    return Silence(matchers or ALL_ROLLBACKS, ends_at, active, silence_id, "ann", comment)


async def test_what_is_silenced_by_its_action_does_not_act() -> None:
    """Neither while it fires nor, found in the history, once it is over, though Alertmanager forgot the silence."""
    async with scene() as now:
        now.prometheus.now = now.prometheus.past = [now.errors]
        now.alertmanager.rules = [silence()]
        assert await now.looks() is State.PHASE

        now.prometheus.now, now.alertmanager.rules = [], []
        assert await now.looks(3) is State.PHASE


@pytest.mark.parametrize("matchers", [(Matcher(names.ACTION, "hold"),), (Matcher("severity", "critical"),)])
async def test_what_a_silenced_alert_inhibits_acts_if_the_silence_binds(matchers: tuple[Matcher, ...]) -> None:
    """Whoever silences holds has not silenced the rollback; a silence for people leaves both as they are."""
    async with scene() as now:
        no_data = {**now.no_data.labels, "severity": "critical"}
        now.prometheus.now = [now.errors]
        now.alertmanager.inhibitions = [Inhibited(now.errors.labels, no_data)]
        now.alertmanager.rules = [silence(*matchers)]
        expected = State.ROLLING_BACK if matchers[0].name == names.ACTION else State.PHASE
        assert await now.looks() is expected


async def test_what_inhibits_and_runs_dry_keeps_nothing_back() -> None:
    """Whoever lets the hold run dry has not done so with the rollback that it inhibits."""
    async with scene() as now:
        now.prometheus.now = [now.errors]
        now.alertmanager.inhibitions = [Inhibited(now.errors.labels, {**now.no_data.labels, names.DRY_RUN: "true"})]
        assert await now.looks() is State.ROLLING_BACK


async def test_of_two_that_inhibit_each_other_both_act() -> None:
    """Somebody's rule that lets rollbacks inhibit holds meets ours: if each waited for the other, nobody acted."""
    async with scene() as now:
        now.prometheus.now = [now.no_data, now.errors]
        blind, errors = now.no_data.labels, now.errors.labels
        now.alertmanager.inhibitions = [Inhibited(errors, blind), Inhibited(blind, errors)]
        assert await now.looks() is State.ROLLING_BACK
        assert now.poller.held_back.inhibited == ()


async def test_what_is_inhibited_by_what_lowers_does_not_act() -> None:
    """Neither while it fires nor, found in the history, once it is over and Alertmanager has forgotten it."""
    async with scene() as now:
        now.prometheus.now = now.prometheus.past = [now.errors]
        now.alertmanager.inhibitions = [Inhibited({**now.errors.labels, "cluster": "a"}, now.no_data.labels)]
        assert await now.looks() is State.PHASE
        assert now.poller.held_back.counts == {"rollback": 0, "hold": 0}
        (said,) = now.poller.held_back.inhibited
        assert said == "rollback (CanaryHighErrorRate fires): inhibited by CanaryBlind"

        now.prometheus.now, now.alertmanager.inhibitions = [], []
        assert await now.looks(3) is State.PHASE


async def test_what_was_held_back_long_ago_acts_when_it_fires_again() -> None:
    """That an alert was silent once does not keep it from acting for the rest of the rollout."""
    async with scene() as now:
        now.prometheus.now = [now.errors]
        now.alertmanager.rules = [silence()]
        assert await now.looks() is State.PHASE
        now.prometheus.now, now.alertmanager.rules = [], []
        assert await now.looks(20) is State.PHASE

        now.prometheus.past = [now.errors]
        assert await now.looks() is State.ROLLING_BACK


PAGES_ONLY = {
    "severity": (Matcher(names.SEVERITY, "critical"),),
    "service": (Matcher(names.SERVICE, SERVICE),),
    "name": (Matcher("alertname", "Canary.*", regex=True),),
    "action by pattern": (Matcher(names.ACTION, "rollback|hold", regex=True),),
    "action and severity": (Matcher(names.ACTION, "rollback"), Matcher(names.SEVERITY, "critical")),
    "not another action": (Matcher(names.ACTION, "advance", equal=False),),
}


@pytest.mark.parametrize("matchers", PAGES_ONLY.values(), ids=PAGES_ONLY)
async def test_a_silence_for_people_does_not_keep_a_rollback_back(matchers: tuple[Matcher, ...]) -> None:
    """What keeps people from being paged, and Alertmanager's webhook away, keeps the receiver's own look from nothing.

    Alertmanager's *Silence* button fills in every label and so belongs to these, though it names the action.
    """
    async with scene() as now:
        now.prometheus.now = [Alert({**now.errors.labels, names.SEVERITY: "critical"}, {}, firing=True)]
        now.alertmanager.rules = [silence(*matchers)]
        assert now.alertmanager.rules[0].covers(now.prometheus.now[0].labels)

        assert await now.looks() is State.ROLLING_BACK


async def test_the_past_is_silent_where_a_silence_covered_it() -> None:
    """After a restart the silence itself is what tells; one on another action does not."""
    async with scene() as now:
        now.prometheus.past, now.alertmanager.rules = [now.errors], [silence()]
        assert await now.looks() is State.PHASE

        now.alertmanager.rules = [silence(Matcher(names.ACTION, "hold"))]
        assert await now.looks() is State.ROLLING_BACK


async def test_the_past_after_a_silences_end_is_not_silent() -> None:
    """An ended silence covers what fired until its end, not what fired since; not knowing, it asks again."""
    async with scene() as now:
        now.deciding.clock.advance(100)
        ended_at = now.deciding.clock.now()
        now.deciding.clock.advance(40)
        now.prometheus.past, now.alertmanager.rules = [now.errors], [silence(ends_at=ended_at, active=False)]
        now.prometheus.within = {50: [], 60: UNKNOWN, 70: [now.errors]}

        assert await now.looks() is State.PHASE
        assert now.poller.error == ""
        assert await now.looks() is State.PHASE
        assert now.poller.error == str(UNKNOWN)
        assert await now.looks() is State.ROLLING_BACK
        assert set(now.prometheus.rollouts) == {now.deciding.rollout.id}


async def test_what_is_held_back_is_known_and_told_once() -> None:
    """Who keeps what from acting: in the receiver's status, and one record for each silence."""
    async with scene() as now:
        now.alertmanager.rules = [silence(comment="maintenance")]
        await now.looks()
        (before,) = now.poller.held_back.in_force
        assert (before.action, before.alerts) == ("rollback", ())

        now.prometheus.now = [now.errors, now.no_data]
        await now.looks(2)
        (held,) = now.poller.held_back.in_force
        assert held.alerts == ("CanaryHighErrorRate",)
        assert now.poller.held_back.counts == {"rollback": 1, "hold": 0}
        second = silence(Matcher(names.ACTION, "hold"), silence_id="77aa")
        now.alertmanager.rules = [silence(comment="maintenance"), second]
        await now.looks(2)
        told = [entry for entry in await now.deciding.entries() if entry.kind is Kind.RECORDED]
        assert ["5e1f" in entry.data()["key"] for entry in told] == [True, False]
        assert told[0].reason.endswith("until 9999-12-31 23:59 UTC (maintenance)")

        now.alertmanager.rules = RemoteError("unreachable", place="Alertmanager")
        await now.looks()
        assert now.poller.held_back.in_force == ()
        assert "unreachable" in now.poller.held_back.error


async def test_a_silence_that_keeps_the_advance_away_is_known() -> None:
    """Whatever covers the advance alert pauses the rollout, for only the webhook brings it; nobody is notified."""
    async with scene() as now:
        elsewhere = silence(Matcher(names.ACTION, "rollback"), Matcher(names.ROLLOUT, "other"))
        now.alertmanager.rules = [silence(Matcher(names.SERVICE, SERVICE)), elsewhere]
        await now.looks()

        assert [one.action for one in now.poller.held_back.in_force] == ["advance"]
        assert Kind.RECORDED not in await now.deciding.kinds()


async def test_a_receiver_that_does_not_lead_tells_nobody_of_a_silence() -> None:
    """The one that acts tells."""
    async with scene() as now:
        now.leader.leading, now.alertmanager.rules = False, [silence()]
        await now.looks()

        assert Kind.RECORDED not in await now.deciding.kinds()
