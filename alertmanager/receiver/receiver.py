"""The receiver put together: one object that decides, acts, and can be asked."""

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

import aiohttp
from prometheus_client import CollectorRegistry

from alertmanager.receiver import answers
from alertmanager.receiver.act.drill import Drills
from alertmanager.receiver.act.effects import Effects
from alertmanager.receiver.act.messages import Facts
from alertmanager.receiver.act.outbox import Outbox
from alertmanager.receiver.act.reconciler import Reconciler
from alertmanager.receiver.act.reporter import Reporter
from alertmanager.receiver.decide import gate
from alertmanager.receiver.decide.admission import Outcome
from alertmanager.receiver.decide.alerthandler import AlertHandler
from alertmanager.receiver.decide.alertpoller import AlertPoller
from alertmanager.receiver.decide.commands import Commands, Request
from alertmanager.receiver.decide.deadlines import Deadlines
from alertmanager.receiver.decide.experiments import Experiments
from alertmanager.receiver.decide.phasetimer import PhaseTimer
from alertmanager.receiver.decide.promoter import Promoter
from alertmanager.receiver.decide.watchdog import Watchdog
from alertmanager.receiver.http.authority import Authority
from alertmanager.receiver.http.ofrep import Ofrep
from alertmanager.receiver.http.page.handlers import Page
from alertmanager.receiver.http.page.view import Viewer
from alertmanager.receiver.http.shopmetrics import shop_metrics
from alertmanager.receiver.http.webhook import Alert, Notification
from alertmanager.receiver.lead.leader import Leader, leader_of
from alertmanager.receiver.metrics import Metrics, Snapshot
from alertmanager.receiver.status import status_data
from alertmanager.receiver.supervisor import working
from canary.clock import Clock, SystemClock
from canary.flags import Flags
from canary.logs import Log
from canary.mixin.limits import gate_of, limits
from canary.policy.load import load_policy
from canary.policy.model import Policy
from canary.prometheus import Alertmanager, Prometheus, ServiceAlerts
from canary.rollout import experiments
from canary.rollout.entries import Entry
from canary.rollout.journal import Journal
from canary.rollout.state import Rollout
from canary.rollout.store import RolloutStore
from canary.units import format_ratio

_EVENTS_KEPT = 100


class Receiver:
    """Alertmanager's webhook on one side, routers, process and people on the other, the journal between them."""

    def __init__(
        self,
        policy: Policy,
        store: RolloutStore,
        effects: Effects,
        session: aiohttp.ClientSession,
        registry: CollectorRegistry,
        leader: Leader,
        clock: Clock,
        trials: Experiments,
    ) -> None:
        self.policy = policy
        self.trials = trials
        self.store = store
        self.effects = effects
        self.leader = leader
        self.timer = PhaseTimer(self.store, leader, clock)
        self.authority = Authority.of(policy)
        self.metrics = Metrics(registry, policy.service, self.snapshot)
        self.watchdog = Watchdog(policy.receiver.watchdog, clock)
        self.prometheus = Prometheus(session, policy.receiver.prometheus)
        self.alerts = ServiceAlerts(self.prometheus, policy.service)
        self.alertmanager = Alertmanager(session, policy.receiver.alertmanager)
        self.handler = AlertHandler(policy, self.store, on_key=self._turn, on_heartbeat=self._heard)
        self.poller = AlertPoller(
            self.store,
            self.handler,
            self.alerts,
            self.alertmanager,
            leader,
            clock,
            policy.receiver.poll,
            service=policy.service,
            blind=self.blind,
            on_complete=self._complete,
            dry_run=policy.rollback.dry_run,
        )
        self.promoter = Promoter(
            policy,
            self.store,
            leader,
            self.timer,
            clock,
            objection=partial(self.poller.objection, key=True),
            gate=partial(gate.objection, session=session),
        )
        self.commands = Commands(policy, self.store, effects, self.metrics, self.poller.objection)
        self.deadlines = Deadlines(policy, self.store, self.watchdog, leader, clock)
        self.store.listen(self.metrics.entry)
        self.store.listen(self.watchdog.notice)
        self.reconciler = Reconciler(policy, self.store, effects, self.metrics, clock)
        self.outbox = Outbox(policy, self.store, effects, self.metrics, clock, self.facts)
        self.reporter = Reporter(policy, self.store, effects, session, clock)
        self.page = Page(
            Viewer(self, self.prometheus, policy.service, clock),
            [name for name, kpi in policy.kpis.items() if kpi.kind != "mean"],
            self.submit,
            lambda: self.authority,
            self.store,
            clock,
        )
        self._clock = clock
        self._log = Log("receiver")
        self.ofrep = Ofrep(Flags(policy), lambda: self.store.rollout, lambda: trials.stopped)
        self.drills = Drills(policy.service, self.store, effects, registry, self.alerts)

    def workers(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """Everything that runs beside the web server, by name."""
        return {
            **self.reconciler.workers(),
            "leader": self.leader.run,
            "alert poller": self.poller.run,
            "promoter": self.promoter.run,
            "deadlines": self.deadlines.run,
            "timer": self.timer.run,
            "outbox": self.outbox.run,
            "experiments": partial(self.trials.run, self.alerts, self.alertmanager),
            "reporter": self.reporter.run,
        }

    async def notify(self, notification: Notification) -> bool:
        """Decide and persist what Alertmanager asks for; False when something decided is not in the journal."""
        truncated = notification.truncated > 0
        stops = [alert for alert in notification.alerts if alert.action == "stop"]
        others = [alert for alert in notification.alerts if alert.action != "stop"]
        taken = await self.handler.take(others, actor="alertmanager", truncated=truncated)
        for action, outcome in taken:
            self.metrics.alert(action, outcome.value)
        outcomes = [await self.trials.take(alert, "alertmanager") for alert in stops]
        for outcome in outcomes:
            self.metrics.alert("stop", outcome.value)
        for alert in notification.alerts:
            self.drills.take(alert)
        if truncated:
            self.poller.bell.ring()
        failed = Outcome.FAILED in [*outcomes, *(outcome for _, outcome in taken)]
        return not (self.store.unwritten or failed)

    async def submit(self, request: Request) -> Entry:
        """Carry out a person's command.

        Raises:
            RefusedError: it does not fit.
            JournalError: it could not be written.
        """
        entry = await self.commands.submit(request)
        self._log.info("command", verb=request.verb, actor=request.actor, rollout=entry.rollout)
        return entry

    async def history(self, rollout: str | None = None) -> list[Entry]:
        """The journal, oldest first, of one rollout or of all.

        Raises:
            JournalError: it cannot be read.
        """
        return await self.store.entries(rollout)

    async def shop_metrics(self) -> dict[str, Any]:
        """Traffic split, error rate and payment success by role."""
        return await shop_metrics(self.policy, self.prometheus, self.store.rollout, self.reconciler.weight_ratio)

    async def events(self) -> AsyncGenerator[Entry, None]:
        """Every entry from now on, as it is decided; a reader who is too slow misses the oldest."""
        queue: asyncio.Queue[Entry] = asyncio.Queue(_EVENTS_KEPT)

        def put(entry: Entry) -> None:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(entry)

        self.store.listen(put)
        try:
            while True:
                yield await queue.get()
        finally:
            self.store.forget(put)

    async def status(self) -> answers.Status:
        """Where everything stands, as JSON-ready data."""
        return status_data(self, self._clock.now())

    def facts(self) -> Facts:
        """What a message may say beyond the journal."""
        ratio = self.reconciler.weight_ratio
        traffic = "" if ratio is None else f"canary {format_ratio(ratio)}, stable {format_ratio(1 - ratio)}"
        return Facts(self.policy.service, traffic, self.faults(), process=self.effects.process_managed)

    def snapshot(self) -> Snapshot:
        """What the metrics need, as it is now."""
        rollout, now = self.store.rollout, self._clock.now()
        phases = self.policy.phases
        phase = phases[rollout.phase] if rollout is not None and rollout.phase < len(phases) else None

        def since(moment: datetime | None) -> float | None:
            return None if moment is None else max(0.0, (now - moment).total_seconds())

        return Snapshot(
            rollout=rollout,
            weight_ratio=self.reconciler.weight_ratio,
            converging_since=self.reconciler.converging_since,
            watchdog_at=self.watchdog.heard_at,
            events=tuple(self.metrics.events.items()),
            leading=self.leader.leading,
            drill_at=self.drills.last_success_at,
            converging_seconds=since(self.reconciler.converging_since),
            elapsed_seconds=since(rollout.started_at) if rollout else None,
            phase_elapsed_seconds=self.timer.seconds(rollout) if rollout else None,
            since_end_seconds=since(rollout.ended_at) if rollout else None,
            gate=gate_of(phase) if phase else "",
            advance=phase.advance if phase else "",
            limits=limits(self.policy),
            drill_age_seconds=since(self.drills.last_success_at),
            suppressed=self.poller.held_back.counts,
        )

    async def reload(self, path: Path) -> None:
        """Take over new tokens; whatever else has changed in the policy needs a restart, and that is said.

        Raises:
            CanaryError: the policy or a secret is faulty; everything stays as it was.
        """
        policy = await asyncio.to_thread(load_policy, path)
        self.authority = Authority.of(policy)
        if dataclasses.replace(policy, base=self.policy.base) != self.policy:
            self._log.warn("the policy has changed; restart the receiver to take it over")

    def faults(self) -> dict[str, str]:
        """What does not work at present, by router or step."""
        routers = {f"router {keeper.name}": keeper.error for keeper in self.reconciler.keepers if keeper.error}
        unread = {"journal": self.store.unread} if self.store.unread else {}
        return routers | unread | self.reconciler.errors

    def _turn(self, alert: Alert) -> None:
        self.promoter.turn(alert)

    async def _complete(self, rollout: Rollout) -> None:
        await self.promoter.complete(rollout)

    def _heard(self) -> None:
        self.watchdog.hear()

    def blind(self) -> bool:
        """Whether the heartbeat has been away too long."""
        rollout = self.store.rollout
        return rollout is not None and self.watchdog.blind(rollout)

    @classmethod
    @asynccontextmanager
    async def open(cls, policy: Policy, registry: CollectorRegistry, clock: Clock | None = None) -> AsyncIterator[Self]:
        """The receiver with its journal read and its workers running.

        Raises:
            CanaryError: the journal, a secret or a router's section is faulty.
        """
        clock = clock or SystemClock()
        async with AsyncExitStack() as stack:
            journal = await stack.enter_async_context(Journal.open(policy))
            session = await stack.enter_async_context(aiohttp.ClientSession())
            leader = leader_of(policy, clock)
            stack.push_async_callback(leader.close)
            chain = await stack.enter_async_context(Journal.open(policy, experiments.CHAIN))
            trials = Experiments(policy, chain, clock)
            await trials.begin()
            store = RolloutStore(journal, clock)
            effects = Effects.of(policy, store, leader)
            stack.callback(effects.close)
            receiver = cls(policy, store, effects, session, registry, leader, clock, trials)
            stack.push_async_callback(receiver.drills.close)
            await receiver.store.refresh()
            receiver.store.listen(receiver.reconciler.heard)
            await stack.enter_async_context(working(receiver.workers(), clock))
            yield receiver
