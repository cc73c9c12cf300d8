"""The alert poller, with a Prometheus and an Alertmanager that say what a test wants, and a rollout to look after."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from alertmanager.receiver.decide.alerts.alertpoller import AlertPoller
from alertmanager.receiver.decide.alerts.objections import Objections
from alertmanager.receiver.decide.alerts.silences import HeldBack
from alertmanager.receiver.decide.promotion.waiting import Evidence
from canary import names
from canary.errors import RemoteError
from canary.policy.model import Policy
from canary.policy.release import Rollback
from canary.prometheus import Alert, Inhibited, Silence
from canary.prometheus.client import Sample
from canary.rollout.state import Rollout, State
from canary.rollout.store.store import RolloutStore
from tests.support.receiving.acting import MemoryLead
from tests.support.receiving.deciding import Deciding
from tests.support.receiving.receiver import SERVICE

T = TypeVar("T")

DAYS = 15 * 86400
"""How many seconds back the first look at a rollout asks."""
UNKNOWN = RemoteError("answers, but does not evaluate the rules of service shop", place="Prometheus")
"""The answer of a Prometheus that knows nothing."""


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
class Scene:
    """A poller with everything around it, in the first phase of a rollout."""

    deciding: Deciding
    prometheus: Any = field(default_factory=ToldAlerts)
    alertmanager: Any = field(default_factory=ToldSilences)
    leader: MemoryLead = field(default_factory=MemoryLead)
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


def _told(said: list[T] | RemoteError) -> list[T]:
    if isinstance(said, RemoteError):
        raise said
    return list(said)
