"""What decides, put together: each part hears from the others what it needs."""

from collections.abc import Iterable
from typing import cast

import aiohttp
import pytest

from alertmanager.receiver.decide.alerts.admission import Outcome
from alertmanager.receiver.decide.parts import Base, Deciding, Outside
from alertmanager.receiver.lead.leader import FileLeader
from canary import names
from canary.policy.model import Policy
from canary.policy.release import Phase, Receiver, Watchdog
from canary.prometheus.alert import Alert
from canary.rollout.commands.commands import Start
from canary.rollout.plan.plans import Plans
from canary.rollout.store.store import RolloutStore
from canary.testing.http import Answer, MemoryHttp, Parameters
from canary.testing.journal import MemoryJournal, Table
from tests.support.clock import FakeClock
from tests.support.receiving.answering import alerts_answer, watchdog

POLICY = Policy(
    service="shop",
    phases=(Phase(traffic=0.05, duration=60), Phase(traffic=1, duration=60)),
    receiver=Receiver(
        prometheus="http://prometheus:9090", alertmanager="http://alertmanager:9093", watchdog=Watchdog(timeout=300)
    ),
)
START = Start(rollout="r1", stable="v1", canary="v2", traffic=(0.05, 1.0), durations_seconds=(60, 60), actor="ann")


class Scene:
    """All parts, between a journal in memory and a Prometheus that says what a test wants.

    Attributes:
        firing: labels of the alerts that fire.
    """

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.firing: list[dict[str, str]] = [watchdog()]
        self.store = RolloutStore(MemoryJournal(Table(), "shop"), self.clock)
        base = Base(self.store, FileLeader(None, self.clock), self.clock)
        session = cast("aiohttp.ClientSession", MemoryHttp({"prometheus": self._answer}))
        self.parts = Deciding.of(Plans(POLICY), base, Outside.of(POLICY, session))

    async def _answer(self, path: str, _parameters: Parameters) -> Answer:
        if path.endswith("/alerts"):
            return Answer(body=alerts_answer(*self.firing))
        return Answer(body={"status": "success", "data": {"resultType": "vector", "result": []}})

    def labels(self, name: str, action: str, **more: str) -> dict[str, str]:
        """Labels of an alert about the running rollout."""
        return {"alertname": name, names.SERVICE: "shop", names.ACTION: action, names.ROLLOUT: "r1", **more}

    async def hear(self, labels: Iterable[dict[str, str]]) -> list[Outcome]:
        """What becomes of alerts that a webhook brings."""
        alerts = [Alert(labels=one, annotations={}, firing=True, starts_at=self.clock.now()) for one in labels]
        return [outcome for _, outcome in await self.parts.handler.take(alerts, actor="alertmanager")]


@pytest.fixture
async def scene() -> Scene:
    """A rollout that has just begun."""
    made = Scene()
    await made.store.propose(None, START)
    return made


async def test_a_heartbeat_that_comes_reaches_the_watchdog(scene: Scene) -> None:
    """Brought by the handler; and a rollout that begins starts its patience anew."""
    assert scene.store.rollout is not None
    for _ in range(31):  # a step that is longer would be a pause of this process
        scene.clock.advance(10)
        scene.parts.pauses.tick()
    assert scene.parts.watchdog.blind(scene.store.rollout)

    assert await scene.hear([watchdog()]) == [Outcome.INFORMED]

    assert not scene.parts.watchdog.blind(scene.store.rollout)


async def test_a_start_is_not_blind_for_the_silence_before_it() -> None:
    """The watchdog listens to the journal: whoever begins after a quiet night has the whole time-out."""
    quiet = Scene()
    quiet.clock.advance(10_000)
    await quiet.store.propose(None, START)

    assert quiet.store.rollout is not None
    assert not quiet.parts.watchdog.blind(quiet.store.rollout)


async def test_alertmanagers_key_reaches_the_promoter_and_needs_prometheus(scene: Scene) -> None:
    """The handler's key, the phase's time, and Prometheus' word when the promoter asks for it."""
    complete = scene.labels(names.PHASE_COMPLETE, "advance", phase="0")
    scene.clock.advance(60)
    assert await scene.hear([complete]) == [Outcome.ACCEPTED]
    await scene.parts.promoter.step()
    assert scene.store.rollout is not None
    assert scene.store.rollout.phase == 0
    assert scene.parts.promoter.waiting

    scene.firing.append(complete)
    scene.clock.advance(60)
    await scene.hear([complete])
    await scene.parts.promoter.step()

    assert scene.store.rollout.phase == 1


async def test_what_the_poller_finds_is_decided_by_the_handler(scene: Scene) -> None:
    """An alert that no webhook brought rolls back."""
    scene.firing.append(scene.labels(names.HIGH_ERROR_RATE, "rollback"))
    for _ in range(3):
        await scene.parts.poller.look()
        scene.clock.advance(POLICY.receiver.poll)

    assert scene.store.rollout is not None
    assert (scene.store.rollout.weight, scene.store.rollout.cause) == (0, names.HIGH_ERROR_RATE)
