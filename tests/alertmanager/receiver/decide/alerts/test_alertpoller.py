"""The receiver's own look at Prometheus: what it leads to, and that knowing nothing is not seeing nothing."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alertmanager.receiver.decide.alerts.alertpoller import AlertPoller
from alertmanager.receiver.decide.alerts.objections import Objections
from alertmanager.receiver.decide.alerts.silences import HeldBack
from alertmanager.receiver.decide.promotion.waiting import Evidence, Reason, Waiting
from canary import names
from canary.errors import JournalError, RemoteError
from canary.policy.model import Policy
from canary.policy.release import Rollback
from canary.prometheus import (
    Alert,
    Alertmanager,
    Inhibited,
    Matcher,
    Prometheus,
    ServiceAlerts,
    Silence,
    UnevaluatedError,
)
from canary.prometheus.client import Sample
from canary.rollout.commands.commands import Hold, Resume
from canary.rollout.commands.seen import Seen
from canary.rollout.entries import Entry
from canary.rollout.kinds import Cause, Kind
from canary.rollout.state import Rollout, State
from canary.rollout.store.store import RolloutStore
from tests.support.clock import StandingClock, settled
from tests.support.receiving.answering import answering, http
from tests.support.receiving.deciding import Deciding
from tests.support.receiving.receiver import SERVICE

T = TypeVar("T")

DAYS = 15 * 86400
UNKNOWN = RemoteError("answers, but does not evaluate the rules of service shop", place="Prometheus")


@dataclass
class ToldAlerts:
    """What Prometheus says: alerts, or why there is no answer."""

    now: list[Alert] | RemoteError = field(default_factory=list)
    past: list[Alert] | RemoteError = field(default_factory=list)
    windows: list[int] = field(default_factory=list)
    rollouts: list[str] = field(default_factory=list)
    within: dict[int, list[Alert] | RemoteError] = field(default_factory=dict)

    async def about(self, rollout: str) -> list[Alert]:
        """What fires; about which rollout is recorded."""
        self.rollouts.append(rollout)
        return _told(self.now)

    async def fired(self, rollout: str, seconds: int) -> list[Alert]:
        """What has fired; about which rollout, and how far back, is recorded."""
        self.rollouts.append(rollout)
        self.windows.append(seconds)
        return _told(self.within.get(seconds, self.past))


@dataclass
class ToldSilences:
    """What Alertmanager says: what is silenced or inhibited, or that it does not answer."""

    inhibitions: list[Inhibited] | RemoteError = field(default_factory=list)
    rules: list[Silence] | RemoteError = field(default_factory=list)
    since: list[datetime] = field(default_factory=list)

    async def kept_back_by(self, labels: Mapping[str, str]) -> str:
        """Nothing is kept from people."""
        assert labels == {names.SERVICE: SERVICE, "alertname": names.WATCHDOG}
        return ""

    async def inhibited(self, service: str) -> list[Inhibited]:
        """What is inhibited now."""
        assert service == SERVICE
        return _told(self.inhibitions)

    async def silences(self, since: datetime) -> list[Silence]:
        """The silences; since when is recorded."""
        self.since.append(since)
        return _told(self.rules)


class NoSeries:
    """A Prometheus that has scraped nothing."""

    place = "Prometheus"

    async def alerts(self) -> list[Alert]:
        """Asked of others here."""
        raise AssertionError

    async def query(self, expression: str) -> list[Sample]:
        """Nothing."""
        assert names.SERVICE in expression
        return []


@dataclass
class Leader:
    """A receiver that may act, or may not."""

    leading: bool = True
    unknown: bool = False

    async def may_act(self) -> bool:
        """Whether it may."""
        return self.leading

    async def run(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to close."""


def _told(said: list[T] | RemoteError) -> list[T]:
    if isinstance(said, RemoteError):
        raise said
    return list(said)


@dataclass
class Scene:
    """A poller with everything around it, in the first phase of a rollout."""

    deciding: Deciding
    prometheus: Any = field(default_factory=ToldAlerts)
    alertmanager: Any = field(default_factory=ToldSilences)
    leader: Leader = field(default_factory=Leader)
    blind: bool = False
    completed: list[Rollout] = field(default_factory=list)
    store: RolloutStore | None = None

    def __post_init__(self) -> None:
        """Build the poller."""

        async def complete(rollout: Rollout) -> None:
            self.completed.append(rollout)

        store = self.store or self.deciding.store
        silences = HeldBack(
            self.alertmanager, store, self.leader, self.deciding.clock, SERVICE, watchdog=self.deciding.watchdog
        )
        evidence = Evidence(NoSeries(), self.deciding.plans)
        self.objections = Objections(self.prometheus, silences, self.deciding.plans, evidence, self.deciding.clock)
        self.poller = AlertPoller(
            store,
            self.deciding.handler,
            self.prometheus,
            silences,
            self.leader,
            self.deciding.clock,
            10.0,
            blind=lambda: self.blind,
            on_complete=complete,
        )

    def alert(self, name: str, action: str, **labels: str) -> Alert:
        """An alert about the rollout."""
        own = {"alertname": name, names.SERVICE: SERVICE, names.ACTION: action, names.ROLLOUT: self.deciding.rollout.id}
        return Alert({**own, **labels}, {}, firing=True)

    @property
    def errors(self) -> Alert:
        """One that rolls back."""
        return self.alert("CanaryHighErrorRate", "rollback")

    @property
    def no_data(self) -> Alert:
        """One that holds."""
        return self.alert("CanaryBlind", "hold")

    @property
    def complete(self) -> Alert:
        """The second key."""
        phase = str(self.deciding.rollout.phase)
        return self.alert(names.PHASE_COMPLETE, "advance", phase=phase)

    async def looks(self, times: int = 1) -> State:
        """Let the poller look, every ten seconds; gives the rollout's state then."""
        for _ in range(times):
            self.deciding.clock.advance(10)
            await self.poller.look()
        return self.deciding.state()

    async def held(self) -> None:
        """Let it be held by an alert that is over then."""
        self.prometheus.now = [self.no_data]
        assert await self.looks() is State.HOLDING
        self.prometheus.now = []


@asynccontextmanager
async def scene(rollback: Rollback | None = None) -> AsyncIterator[Scene]:
    """A poller that has not looked yet."""
    policy = Policy(service=SERVICE, rollback=rollback or Rollback())
    async with Deciding.about(policy) as deciding:
        yield Scene(deciding)


# What is wrong acts.


async def test_an_alert_that_no_webhook_brought_acts() -> None:
    """What fires in Prometheus holds or rolls back as if Alertmanager had told it."""
    async with scene() as now:
        now.prometheus.now = [now.no_data]
        assert await now.looks() is State.HOLDING
        now.prometheus.now = [now.errors, now.no_data]
        assert await now.looks() is State.ROLLING_BACK
        assert (now.deciding.rollout.actor, now.deciding.rollout.cause) == ("prometheus", "CanaryHighErrorRate")
        assert {alert.name for alert in now.poller.firing} == {"CanaryHighErrorRate", "CanaryBlind"}


async def test_an_alert_that_came_and_went_acts() -> None:
    """A rollback alert in the history rolls back, although nothing fires now."""
    async with scene() as now:
        now.prometheus.past = [now.errors]

        assert await now.looks() is State.ROLLING_BACK


@pytest.mark.parametrize("unknown", ["now", "past"])
async def test_one_answer_is_enough_to_lower(unknown: str) -> None:
    """What one question shows acts although the other was not answered; the look counts as failed."""
    async with scene() as now:
        now.prometheus.now = now.prometheus.past = [now.errors]
        setattr(now.prometheus, unknown, UNKNOWN)

        assert await now.looks() is State.ROLLING_BACK
        assert now.poller.error == str(UNKNOWN)
        assert now.poller.looked_at is None


async def test_an_alert_without_the_watchdog_lowers_and_opens_nothing() -> None:
    """A list without the watchdog: what asks for less traffic acts; that a phase is complete is not passed on."""
    async with scene() as now:
        now.prometheus.now = UnevaluatedError(SERVICE, "Prometheus", [now.no_data, now.complete])
        assert await now.looks() is State.HOLDING
        assert now.poller.error == str(now.prometheus.now)
        now.alertmanager.inhibitions = [Inhibited(now.no_data.labels, now.errors.labels)]
        assert await now.looks(5) is State.HOLDING
        assert now.completed == []
        assert now.poller.firing == ()


# What is silent does not.


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


async def test_without_alertmanager_every_alert_counts() -> None:
    """When nobody can say what is silent, nothing is."""
    async with scene() as now:
        now.prometheus.now = [now.errors]
        now.alertmanager.inhibitions = now.alertmanager.rules = RemoteError("unreachable", place="Alertmanager")

        assert await now.looks() is State.ROLLING_BACK


# Holds end.


async def test_a_hold_ends_after_three_looks_that_showed_nothing() -> None:
    """Not after two; the journal says who and why."""
    async with scene() as now:
        await now.held()
        assert await now.looks(2) is State.HOLDING
        assert await now.looks() is State.PHASE
        assert (now.deciding.rollout.actor, now.deciding.rollout.reason) == ("prometheus", "CanaryBlind is over")


async def test_what_a_person_has_overruled_keeps_no_hold_from_ending() -> None:
    """Whoever cancels a countdown has decided about its alert; another cause's hold ends with that cause."""
    async with scene(Rollback(countdown=60)) as now:
        now.prometheus.now = [now.errors]
        await now.looks()
        await now.deciding.order("resume")
        now.prometheus.now = [now.errors, now.no_data]
        assert await now.looks() is State.HOLDING

        now.prometheus.now = [now.errors]

        assert await now.looks(3) is State.PHASE


async def test_a_dry_run_neither_rolls_back_nor_holds() -> None:
    """A rollback alert and a moment without data are told, and the rollout goes on."""
    async with scene(Rollback(dry_run=True)) as now:
        now.prometheus.now = [now.errors, now.no_data]
        assert await now.looks(3) is State.PHASE


async def test_a_rollout_that_began_as_a_dry_run_stays_one() -> None:
    """Whatever the policy file says by now, what only pretends keeps no hold from ending."""
    async with scene(Rollback(dry_run=True)) as now:
        store = now.deciding.store
        hold = Hold(actor="alertmanager", reason="", cause="CanaryBlind", lifts=True)
        await store.propose(Seen.of(store.rollout), hold)
        now.deciding.plans.file = Policy(service=SERVICE)
        now.prometheus.now = [now.errors]

        assert await now.looks(2) is State.HOLDING
        assert await now.looks() is State.PHASE


@pytest.mark.parametrize("question", ["now", "past"])
async def test_a_hold_stays_while_prometheus_knows_nothing(question: str) -> None:
    """A Prometheus that does not evaluate the rules, or has no history of them, lifts nothing, however often asked."""
    async with scene() as now:
        await now.held()
        setattr(now.prometheus, question, UNKNOWN)
        assert await now.looks(10) is State.HOLDING
        assert "does not evaluate" in now.poller.error

        setattr(now.prometheus, question, [])
        assert await now.looks(2) is State.HOLDING
        assert await now.looks() is State.PHASE
        assert now.poller.error == ""


async def test_a_hold_that_was_set_anew_needs_three_looks_of_its_own() -> None:
    """What was seen of one hold says nothing about the next, which looks the same."""
    async with scene() as now:
        await now.held()
        await now.looks(2)
        store = now.deciding.store
        await store.propose(Seen.of(store.rollout), Resume(actor="ann"))
        await store.propose(
            Seen.of(store.rollout), Hold(actor="alertmanager", reason="", cause="CanaryBlind", lifts=True)
        )

        assert await now.looks(2) is State.HOLDING
        assert await now.looks() is State.PHASE


async def test_a_hold_that_is_set_anew_while_the_lead_is_asked_stays() -> None:
    """What ends is the hold that was looked at, and no other."""
    async with scene() as now:
        await now.held()
        await now.looks(2)

        async def hold_anew() -> bool:
            await now.deciding.order("resume")
            await now.deciding.order("hold")
            return True

        now.leader.may_act = hold_anew  # type: ignore[method-assign]
        assert await now.looks() is State.HOLDING
        assert now.deciding.rollout.actor == "ann"


@pytest.mark.parametrize("cause", [Cause.MANUAL, Cause.MAX_DURATION, Cause.WATCHDOG])
async def test_only_an_alerts_hold_ends_by_itself(cause: Cause) -> None:
    """A person's hold is for a person to lift, and the heartbeat's for the heartbeat."""
    async with scene() as now:
        store = now.deciding.store
        hold = Hold(actor="receiver", reason="", cause=cause, lifts=cause is Cause.WATCHDOG)
        await store.propose(Seen.of(store.rollout), hold)

        assert await now.looks(5) is State.HOLDING


async def test_no_hold_ends_without_a_heartbeat_or_the_lead() -> None:
    """The receiver must hear, and must be the one that acts; then it is done at once."""
    async with scene() as now:
        await now.held()
        now.blind = True
        assert await now.looks(5) is State.HOLDING
        now.blind, now.leader.leading = False, False
        assert await now.looks(5) is State.HOLDING
        now.leader.leading = True
        assert await now.looks() is State.PHASE


class FullStore(RolloutStore):
    """A store whose journal takes nothing that raises."""

    async def propose(self, *_arguments: object, **_more: object) -> Entry:
        """Refuse."""
        raise JournalError("no space", place="journal")


async def test_a_journal_that_takes_nothing_does_not_end_the_poller() -> None:
    """The hold stays, and the next look tries again."""
    async with scene() as now:
        await now.held()
        broken = FullStore(now.deciding.store._reader.journal, now.deciding.clock)
        await broken.refresh()
        second = Scene(now.deciding, store=broken)

        assert await second.looks(4) is State.HOLDING
        assert await now.looks(3) is State.PHASE


LOOKS = st.lists(st.sampled_from(["clear", "wrong", "unknown", "unrecorded", "deaf"]), max_size=12)


@settings(max_examples=100, deadline=None)
@given(looks=LOOKS)
async def test_whatever_the_looks_show(looks: list[str]) -> None:
    """A hold ends if and only if three looks in a row knew everything and showed nothing wrong, with a heartbeat."""
    async with scene() as now:
        await now.held()
        clear = 0
        for look in looks:
            now.prometheus.now = UNKNOWN if look == "unknown" else [now.no_data] if look == "wrong" else []
            now.prometheus.past = UNKNOWN if look == "unrecorded" else []
            now.blind = look == "deaf"
            clear = clear + 1 if look in ("clear", "deaf") else 0
            expected = State.PHASE if clear >= 3 and look == "clear" else State.HOLDING
            assert await now.looks() is expected
            if expected is State.PHASE:
                return


GARBAGE = [
    http(b"<html>Sign in</html>"),
    http(b"[]"),
    http(b'"success"'),
    http(b'{"status":"success","data":null}'),
    http(b'{"status":"success","data":{"alerts":{}}}'),
    http(b'{"status":"success","data":{"alerts":[null]}}'),
    http(b'{"status":"success","data":{"alerts":[{"labels":[],"annotations":7,"state":"firing"}]}}'),
    http(b'{"status":"success","data":{"alerts":[{"labels":{"phase":"x"},"state":{},"activeAt":"yesterday"}]}}'),
    http(b'{"status":"success","data":{"resultType":"vector","result":[{"metric":7,"value":[0,"NaN"]}]}}'),
    http(b'{"status":"success","data":{"alerts":[]}}'),
    http(b"\xff\xfe"),
    http(b"", 204),
    b"no HTTP",
    b"",
]


@pytest.mark.parametrize("answer", GARBAGE, ids=range(len(GARBAGE)))
async def test_no_answer_breaks_the_poller_or_lifts_a_hold(answer: bytes) -> None:
    """Whatever Prometheus and Alertmanager send back over real connections, the hold stays, and the error says why."""
    async with scene() as now, answering(answer) as url, aiohttp.ClientSession() as session:
        await now.held()
        real = Scene(now.deciding, ServiceAlerts(Prometheus(session, url), SERVICE), Alertmanager(session, url))

        assert await real.looks(4) is State.HOLDING
        assert real.poller.error
        assert await real.objections.to(now.deciding.rollout)


async def test_trouble_with_prometheus_is_logged_when_it_begins(caplog: pytest.LogCaptureFixture) -> None:
    """Not at every look, and again when it comes back."""
    async with scene() as now:
        answers: list[list[Alert] | RemoteError] = [UNKNOWN, UNKNOWN, [], UNKNOWN]
        for answer in answers:
            now.prometheus.now = answer
            await now.looks()
        told = [record for record in caplog.records if record.name == "canary.alerts"]
        said = ("WARNING", "Prometheus gives no usable answer", str(UNKNOWN))
        assert [(record.levelname, record.getMessage(), vars(record)["canary_fields"]["error"]) for record in told] == [
            said,
            said,
        ]


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


# How far back it asks.


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


# Who else asks.


async def test_a_complete_phase_is_passed_on() -> None:
    """This phase's advance alert is told to whoever waits for it, also without a history; another phase's is not."""
    async with scene() as now:
        now.prometheus.now = [now.alert(names.PHASE_COMPLETE, "advance", phase="7")]
        await now.looks()
        assert now.completed == []
        now.prometheus.now, now.prometheus.past = [now.complete], UNKNOWN
        await now.looks()
        assert [rollout.id for rollout in now.completed] == [now.deciding.rollout.id]


async def test_prometheus_objects() -> None:
    """It objects when it knows nothing, when an alert lowers, and, asked for a key, when the phase is not complete."""
    async with scene() as now:
        objections, rollout = now.objections, now.deciding.rollout
        assert await objections.to(rollout) == ""
        not_judged = await objections.to_phase_end(rollout)
        assert not_judged is not None
        assert not_judged.reason is Reason.PROMETHEUS

        now.prometheus.now = [now.complete]
        assert await objections.to_phase_end(rollout) is None
        now.prometheus.now = [now.alert(names.PHASE_COMPLETE, "advance", phase="1")]
        assert await objections.to_phase_end(rollout)
        now.prometheus.now = [now.alert(names.PHASE_COMPLETE, "none", phase="0")]
        assert await objections.to_phase_end(rollout)

        now.prometheus.now = [now.complete, now.errors, now.no_data]
        assert await objections.to(rollout) == f"CanaryBlind, CanaryHighErrorRate fires for rollout {rollout.id}"
        assert await objections.to_step(rollout) == Waiting(Reason.HOLD, "CanaryBlind, CanaryHighErrorRate to clear")
        down = now.alert("CanaryDown", "rollback").labels
        now.alertmanager.inhibitions = [Inhibited(one.labels, down) for one in (now.errors, now.no_data)]
        assert await objections.to_phase_end(rollout) is None

        now.prometheus.now = UNKNOWN
        assert await objections.to(rollout) == str(UNKNOWN)
        unanswered = await objections.to_step(rollout)
        assert unanswered is not None
        assert unanswered.reason is Reason.PROMETHEUS


async def test_what_runs_dry_does_not_object() -> None:
    """Where rollbacks only pretend, by the policy or by the alert's label, they do not stand in the way; holds do."""
    async with scene() as now:
        now.prometheus.now = [now.alert("CanaryHighErrorRate", "rollback", dry_run="true")]
        assert await now.objections.to(now.deciding.rollout) == ""
    async with scene(Rollback(dry_run=True)) as now:
        now.prometheus.now = [now.errors]
        assert await now.objections.to(now.deciding.rollout) == ""
        now.prometheus.now = [now.no_data]
        assert await now.objections.to(now.deciding.rollout)


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


async def test_what_was_wrong_with_the_answer_is_over_with_the_rollout() -> None:
    """Nobody is left to wonder about an answer that is no longer needed."""
    async with scene() as now:
        now.prometheus.now = UNKNOWN
        await now.looks()
        await now.deciding.order("rollback")
        await now.looks()
        assert now.poller.error == ""
