"""The receiver's deciding parts on a test's clock, with a journal in memory: what alerts, time and people lead to."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import create_async_engine

from alertmanager.advancer import Advancer
from alertmanager.fence import Outcome
from alertmanager.guard import Guard
from alertmanager.leader import FileLeader
from alertmanager.metrics import Metrics, Snapshot
from alertmanager.orders import Order, Orders
from alertmanager.timers import Timers
from alertmanager.watchdog import Watchdog
from alertmanager.webhook import parse
from alertmanager.worker import Worker
from canary import journal as journals
from canary import names
from canary.journal import Journal
from canary.policy.model import Policy
from canary.policy.release import UrlGate
from canary.process import NoProcess
from canary.rollout import Entry, Kind, Rollout, State
from tests.support.clock import FakeClock
from tests.support.receiver import SERVICE, alert, payload


class Deciding:
    """What decides, without anything that acts.

    Attributes:
        complaint: what Prometheus objects; empty when it turns its key.
        gate: what the user's own check objects.
    """

    def __init__(self, policy: Policy, journal: Journal) -> None:
        self.policy = policy
        self.clock = FakeClock()
        self.complaint = ""
        self.gate = ""
        self.guard = Guard(journal, self.clock)
        leader = FileLeader(None, self.clock)
        self.watchdog = Watchdog(policy.receiver.watchdog, self.clock.now())
        self.advancer = Advancer(policy, self.guard, leader, self.clock, objection=self._objects, gate=self._closed)
        self.worker = Worker(policy, self.guard, on_key=self.advancer.turn, on_heartbeat=self.beat)
        self.timers = Timers(policy, self.guard, self.watchdog, leader, self.clock)
        self.registry = CollectorRegistry()
        metrics = Metrics(self.registry, SERVICE, lambda: Snapshot(rollout=self.guard.rollout))
        self.guard.listen(metrics.entry)
        self.orders = Orders(policy, self.guard, (), NoProcess(), metrics, self._objects)

    @classmethod
    @asynccontextmanager
    async def about(cls, policy: Policy) -> AsyncIterator[Self]:
        """The parts, with a rollout of v2.0 against v1.0 that has just begun."""
        engine = create_async_engine("sqlite+aiosqlite:///:memory:")
        async with engine.begin() as connection:
            await connection.run_sync(journals._METADATA.create_all)
        try:
            deciding = cls(policy, Journal(engine, SERVICE))
            await deciding.order("start", canary="v2.0", stable="v1.0")
            yield deciding
        finally:
            await engine.dispose()

    @property
    def rollout(self) -> Rollout:
        """The rollout as it stands."""
        assert self.guard.rollout is not None
        return self.guard.rollout

    def state(self) -> State:
        """The rollout's state."""
        return self.rollout.state

    async def order(self, verb: str, canary: str = "", stable: str = "", *, force: bool = False) -> Entry:
        """A person's order."""
        return await self.orders.submit(Order(verb, "ann", "because", canary, stable, force))

    async def hear(self, name: str, action: str, truncated: int = 0, /, **labels: str) -> Outcome:
        """An alert about the running rollout by webhook; gives what became of it."""
        sent = alert(name, action, self.rollout, starts_at=self.clock.now(), **labels)
        notification = parse(json.dumps(payload(sent, truncatedAlerts=truncated)).encode())
        ((_, outcome),) = await self.worker.take(
            notification.alerts, actor="alertmanager", truncated=notification.truncated > 0
        )
        return outcome

    async def key(self) -> Outcome:
        """Alertmanager turns its key for the present phase."""
        return await self.hear(names.PHASE_COMPLETE, "advance", phase=str(self.rollout.phase))

    async def passes(self, seconds: float) -> None:
        """Let time pass, then let the timers and the advancer look."""
        self.clock.advance(seconds)
        await self.timers.step()
        await self.advancer.step()

    def beat(self) -> None:
        """The heartbeat comes."""
        self.watchdog.heard_at = self.clock.now()

    async def kinds(self) -> list[Kind]:
        """The kinds of all journal entries."""
        return [entry.kind for entry in await self.guard.entries()]

    async def _objects(self, _rollout: Rollout) -> str:
        return self.complaint

    async def _closed(self, _gate: UrlGate) -> str:
        return self.gate
