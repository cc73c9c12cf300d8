"""The receiver's deciding parts on a test's clock, with a journal in memory: what alerts, time and people lead to."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

from prometheus_client import CollectorRegistry

from alertmanager.receiver.act.trust import Trust
from alertmanager.receiver.decide.alerts.admission import Outcome
from alertmanager.receiver.decide.alerts.alerthandler import AlertHandler
from alertmanager.receiver.decide.commands import Commands, Request
from alertmanager.receiver.decide.deadlines import Deadlines
from alertmanager.receiver.decide.freezes import Freezes
from alertmanager.receiver.decide.pauses import Pauses
from alertmanager.receiver.decide.promotion.phasetimer import PhaseTimer
from alertmanager.receiver.decide.promotion.promoter import Promoter
from alertmanager.receiver.decide.promotion.waiting import Reason, Waiting, undelivered
from alertmanager.receiver.decide.watchdog import Watchdog
from alertmanager.receiver.gauges import Gauges, Snapshot
from alertmanager.receiver.http.webhook import parse
from alertmanager.receiver.metrics import Metrics
from canary import names
from canary.errors import JournalError
from canary.policy.gates import UrlGate
from canary.policy.model import Policy
from canary.prometheus import Silence
from canary.rollout.commands.seen import Seen
from canary.rollout.entries import Entry
from canary.rollout.kinds import Kind
from canary.rollout.plan.plans import Plans
from canary.rollout.state import Rollout, State
from canary.rollout.store.store import RolloutStore
from canary.testing.journal import MemoryJournal, Table
from tests.support.clock import FakeClock
from tests.support.receiving.acting import MemoryLead, make_effects
from tests.support.receiving.receiver import SERVICE, alert, payload
from tests.support.web.servers import departure


class AwayJournal(MemoryJournal):
    """A journal in memory that a test may take away."""

    def __init__(self) -> None:
        self.broken = False
        super().__init__(Table(), SERVICE, before=self._require)

    async def _require(self, _operation: str) -> None:
        await asyncio.sleep(0)  # others go on while a journal is asked
        if self.broken:
            raise JournalError("no space left", place="journal")


class Deciding:
    """What decides, without anything that acts.

    Attributes:
        journal: which a test may break.
        leader: who leads, as a test says.
        complaint: what Prometheus objects; empty when it turns its key.
        gate: what the user's own check objects.
        silence: what keeps Alertmanager from turning its key.
    """

    def __init__(self, policy: Policy, journal: AwayJournal, clock: FakeClock | None = None) -> None:
        self.policy = policy
        self.journal = journal
        self.clock = clock or FakeClock()
        self.complaint = ""
        self.gate = ""
        self.silence: Silence | None = None
        self.store = RolloutStore(journal, self.clock)
        self.leader = leader = MemoryLead()
        self.timer = PhaseTimer(self.store, leader, self.clock)
        # Tests let minutes pass at once; what a pause is has tests of its own.
        pauses = Pauses(self.store, self.clock, asks_seconds=0, longest_seconds=math.inf)
        self.watchdog = Watchdog(policy.receiver.watchdog, self.clock, pauses)
        self.store.listen(self.watchdog.notice)
        self.plans = Plans(policy)
        self.freezes = Freezes(policy.receiver, self.store, self.clock)
        self.promoter = Promoter(
            self.plans,
            self.store,
            leader,
            self.timer,
            self.clock,
            self.freezes,
            objection=self._objects_to_end,
            gate=self._closed,
            undelivered=self._undelivered,
        )
        self.handler = AlertHandler(self.plans, self.store, on_key=self.promoter.confirm, on_heartbeat=self.beat)
        self.deadlines = Deadlines(self.plans, self.store, self.watchdog, leader, self.clock, self.freezes, pauses)
        self.registry = CollectorRegistry()
        metrics = Metrics(self.registry, SERVICE)
        self.registry.register(Gauges(SERVICE, lambda: Snapshot(rollout=self.store.rollout)))
        self.store.listen(metrics.entry)
        effects, trust = make_effects(self.store, leader), Trust(policy, self.store, dict)
        servers = departure(self.plans, self.store, effects)
        self.commands = Commands(self.plans, self.store, effects, metrics, self._objects, trust, self.freezes, servers)

    @classmethod
    @asynccontextmanager
    async def about(cls, policy: Policy, *, force: bool = False, clock: FakeClock | None = None) -> AsyncIterator[Self]:
        """The parts, with a rollout of v2.0 against v1.0 that has just begun."""
        deciding = cls(policy, AwayJournal(), clock)
        await deciding.order("start", canary="v2.0", stable="v1.0", force=force)
        yield deciding

    @property
    def rollout(self) -> Rollout:
        """The rollout as it stands."""
        assert self.store.rollout is not None
        return self.store.rollout

    def state(self) -> State:
        """The rollout's state."""
        return self.rollout.state

    async def order(self, verb: str, canary: str = "", stable: str = "", *, force: bool = False) -> Entry:
        """A command of a person who has just looked."""
        seen = Seen.of(self.store.rollout)
        return await self.commands.submit(Request(verb, "ann", "because", canary, stable, force, seen=seen))

    async def hear(self, name: str, action: str, truncated: int = 0, /, **labels: str) -> Outcome:
        """An alert about the running rollout by webhook; gives what became of it."""
        sent = alert(name, action, self.rollout, starts_at=self.clock.now(), **labels)
        notification = parse(json.dumps(payload(sent, truncatedAlerts=truncated)).encode())
        ((_, outcome),) = await self.handler.take(
            notification.alerts, actor="alertmanager", truncated=notification.truncated > 0
        )
        return outcome

    async def key(self) -> Outcome:
        """Alertmanager turns its key for the present phase."""
        return await self.hear(names.PHASE_COMPLETE, "advance", phase=str(self.rollout.phase))

    async def passes(self, seconds: float) -> None:
        """Let time pass, then let the deadlines and the promoter look."""
        self.clock.advance(seconds)
        await self.deadlines.step()
        await self.promoter.step()

    def beat(self) -> None:
        """The heartbeat comes."""
        self.watchdog.hear()

    async def kinds(self) -> list[Kind]:
        """The kinds of all journal entries."""
        return [entry.kind for entry in await self.store.entries()]

    async def entries(self) -> Sequence[Entry]:
        """All journal entries."""
        return await self.store.entries()

    async def _objects_to_end(self, rollout: Rollout) -> Waiting | None:
        assert rollout.id == self.rollout.id
        return Waiting(Reason.PROMETHEUS, self.complaint) if self.complaint else None

    async def _undelivered(self, rollout: Rollout) -> Waiting:
        assert rollout.id == self.rollout.id
        return undelivered(self.silence, "")

    async def _objects(self, _rollout: Rollout) -> str:
        return self.complaint

    async def _closed(self, gate: UrlGate) -> str:
        assert gate == self.plans.phase(self.rollout).gate
        return self.gate
