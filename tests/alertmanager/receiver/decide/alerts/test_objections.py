"""What Prometheus says against going on: an alert that lowers, no answer, or no word that the phase is complete."""

import dataclasses
from datetime import UTC, datetime

import pytest

from alertmanager.receiver.decide.alerts.objections import Objections, completes, lowering
from alertmanager.receiver.decide.alerts.silences import HeldBack, InForce
from alertmanager.receiver.decide.promotion.waiting import (
    Evidence,
    Reason,
    Waiting,
    objecting,
    unanswered,
    undelivered,
)
from canary import names
from canary.errors import RemoteError
from canary.policy.model import Policy
from canary.policy.pinning.digest import deciding
from canary.policy.release import Phase, Rollback
from canary.prometheus import Alert, Inhibited, Silence, Suppression
from canary.rollout.folding import fold
from canary.rollout.plan.plans import Plans
from canary.rollout.state import Rollout
from tests.support.clock import FakeClock
from tests.support.receiving.entries import started
from tests.support.receiving.polling import UNKNOWN, scene

STARTED = started("r1", datetime(2026, 1, 31, 12, tzinfo=UTC))
ROLLOUT = fold([STARTED])["r1"]


def alert(name: str, action: str, **labels: str) -> Alert:
    """An alert about the rollout that fires."""
    return Alert({"alertname": name, names.ACTION: action, names.ROLLOUT: "r1", **labels}, {}, firing=True)


COMPLETE = alert(names.PHASE_COMPLETE, "advance", phase="0")
PLANS = Plans(Policy(service="shop"))
DRY_POLICY = Policy(service="shop", rollback=Rollback(dry_run=True))
DRY = Plans(DRY_POLICY)
BEGUN_DRY = fold([dataclasses.replace(STARTED, policy=deciding(DRY_POLICY))])["r1"]
MANUAL = Plans(Policy(service="shop", phases=(Phase(traffic=0.05, duration=60, gate="manual"),)))
HARM = alert("CanaryHighErrorRate", "rollback")
NOT_SHOWN = Waiting(Reason.PROMETHEUS, "the alert is not shown")
NOW = FakeClock().now()


class Asked:
    """Prometheus' answers, as a test says."""

    def __init__(self, *firing: Alert, error: str = "") -> None:
        self.firing, self.error = list(firing), error

    async def about(self, rollout: str) -> list[Alert]:
        """What fires, or why that is not known."""
        assert rollout == "r1"
        if self.error:
            raise RemoteError(self.error)
        return self.firing

    async def fired(self, rollout: str, seconds: int) -> list[Alert]:
        """Objections are about now."""
        raise AssertionError((rollout, seconds))


class Nothing(HeldBack):
    """Knows of these inhibitions, and of this silence on the advance."""

    def __init__(self, *inhibited: Alert, silence: Silence | None = None, keeps: str = "") -> None:
        blind = alert(names.BLIND_ALERT, "hold").labels
        self.known = Suppression((), [Inhibited(one.labels, blind) for one in inhibited])
        self.in_force = (InForce(silence, "advance"),) if silence else ()
        self.keeps = keeps

    async def ask(self, rollout: Rollout, window_seconds: float) -> Suppression:
        """What is known."""
        assert (rollout.id, window_seconds) == (ROLLOUT.id, 0)
        return self.known

    async def keeps_key_back(self, rollout: Rollout) -> str:
        """What else keeps the advance back; where a silence is known, nobody asks."""
        assert rollout == ROLLOUT
        assert not self.in_force
        return self.keeps


class Shown(Evidence):
    """Every KPI agrees."""

    def __init__(self) -> None:
        pass

    async def missing(self, rollout: Rollout, elapsed_seconds: float) -> Waiting:
        """Nothing but the alert."""
        assert (rollout, elapsed_seconds) == (ROLLOUT, (NOW - ROLLOUT.started_at).total_seconds())
        return NOT_SHOWN


def objections(asked: Asked, held_back: HeldBack | None = None, plans: Plans = PLANS) -> Objections:
    """What Prometheus objects."""
    return Objections(asked, held_back or Nothing(), plans, Shown(), FakeClock())


@pytest.mark.parametrize(
    ("asked", "objection"),
    [
        (Asked(), ""),
        (Asked(alert("CanarySlow", "none")), ""),
        (Asked(HARM), "CanaryHighErrorRate fires for rollout r1"),
        (Asked(alert("CanaryBlind", "hold"), HARM), "CanaryBlind, CanaryHighErrorRate fires"),
        (Asked(error="Prometheus is unreachable"), "Prometheus is unreachable"),
    ],
)
async def test_whatever_lowers_objects_and_so_does_silence_on_the_line(asked: Asked, objection: str) -> None:
    """An alert that lowers or holds objects; an answer that is none objects in its own words."""
    found = await objections(asked).to(ROLLOUT)

    assert objection in found
    assert bool(found) == bool(objection)


async def test_the_key_is_the_advance_alert_of_this_phase() -> None:
    """Where Prometheus must confirm an advance, nothing wrong is not enough: this phase's alert has to fire."""
    elsewhere = alert(names.PHASE_COMPLETE, "advance", phase="1")
    by_hand = alert(names.PHASE_COMPLETE, "none", phase="0")

    assert await objections(Asked(COMPLETE)).to_phase_end(ROLLOUT) is None
    for asked in (Asked(), Asked(elsewhere), Asked(by_hand)):
        assert await objections(asked).to_phase_end(ROLLOUT) == NOT_SHOWN
    assert await objections(Asked(COMPLETE, HARM)).to_phase_end(ROLLOUT) == objecting([HARM])
    away = await objections(Asked(COMPLETE, error="away")).to_phase_end(ROLLOUT)
    assert away == unanswered(RemoteError("away"))


async def test_the_next_step_of_a_finish_needs_no_key() -> None:
    """It goes on unless an alert speaks against it, or Prometheus does not answer."""
    assert await objections(Asked()).to_step(ROLLOUT) is None
    assert await objections(Asked(HARM)).to_step(ROLLOUT) == objecting([HARM])
    assert await objections(Asked(error="away")).to_step(ROLLOUT) == unanswered(RemoteError("away"))


async def test_a_key_that_alertmanager_keeps_is_waited_for_with_what_keeps_it() -> None:
    """A silence that is known says enough; without one Alertmanager is asked what else it may be."""
    silence = Silence((), NOW, active=True, author="bob", comment="lunch")
    mute = "a mute time"

    assert await objections(Asked(), Nothing(silence=silence)).to_delivery(ROLLOUT) == undelivered(silence, "")
    assert await objections(Asked(), Nothing(keeps=mute)).to_delivery(ROLLOUT) == undelivered(None, mute)


async def test_where_a_person_decides_the_alert_asks_for_nothing() -> None:
    """A phase with a manual gate is complete by the alert that people get."""
    by_hand = alert(names.PHASE_COMPLETE, "none", phase="0")

    assert await objections(Asked(by_hand), plans=MANUAL).to_phase_end(ROLLOUT) is None


async def test_a_dry_run_does_not_stand_in_the_way() -> None:
    """Rollback alerts that would not act do not object; holds still do."""
    dry = alert("CanaryHighErrorRate", "rollback", dry_run="true")

    assert await objections(Asked(dry)).to(ROLLOUT) == ""
    assert await objections(Asked(HARM), plans=DRY).to(ROLLOUT) == ""
    assert await objections(Asked(HARM), plans=PLANS).to(BEGUN_DRY) == ""
    assert await objections(Asked(alert("CanaryBlind", "hold")), plans=DRY).to(ROLLOUT) != ""


async def test_what_is_kept_from_acting_does_not_object() -> None:
    """An alert that another one of the same rollout inhibits counts for nothing here."""
    assert await objections(Asked(HARM), Nothing(HARM)).to(ROLLOUT) == ""
    assert lowering([HARM, COMPLETE], Suppression()) == [HARM]
    assert completes(COMPLETE, ROLLOUT)


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
