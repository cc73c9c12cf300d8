"""The receiver put together: one object that decides, acts, and can be asked."""
# long: what others may ask of the whole, in one object

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from alertmanager.receiver import answers
from alertmanager.receiver.act.confirmations import Confirmations
from alertmanager.receiver.act.drill import Drills
from alertmanager.receiver.act.effects import Effects
from alertmanager.receiver.act.outbox import Outbox
from alertmanager.receiver.act.reconciler import Reconciler
from alertmanager.receiver.act.reporter import Reporter
from alertmanager.receiver.act.telling.messages import Facts
from alertmanager.receiver.act.trust import require_slots
from alertmanager.receiver.decide.alerts.admission import Outcome
from alertmanager.receiver.decide.clocksteps import ClockSteps
from alertmanager.receiver.decide.commands import Commands, Request
from alertmanager.receiver.decide.departure import Departure
from alertmanager.receiver.decide.driftwatch import DriftWatch
from alertmanager.receiver.decide.experiments import Experiments
from alertmanager.receiver.decide.finish.finisher import Finisher
from alertmanager.receiver.decide.finish.servers import Inspector
from alertmanager.receiver.decide.parts import Base, Deciding, Outside
from alertmanager.receiver.decide.policywatch import PolicyWatch
from alertmanager.receiver.decide.pricewatch import PriceWatch
from alertmanager.receiver.decide.promotion.waiting import Waiting
from alertmanager.receiver.decide.scheduler import Scheduler
from alertmanager.receiver.gauges import Gauges, Snapshot
from alertmanager.receiver.http.authority import Authority
from alertmanager.receiver.http.links import RollbackLinks
from alertmanager.receiver.http.ofrep import Ofrep
from alertmanager.receiver.http.shopmetrics import shop_metrics
from alertmanager.receiver.http.webhook import Notification
from alertmanager.receiver.metrics import Metrics
from alertmanager.receiver.status import status_data
from canary.flags import Flags
from canary.logs import Log
from canary.mixin.limits import gate_of, limits
from canary.policy.load import load_policy
from canary.policy.model import Policy
from canary.policy.pinning.digest import DECIDING
from canary.policy.pinning.reload import require_reloadable
from canary.prometheus import Prometheus, schema_compatible
from canary.rollout.ages import Ages
from canary.rollout.commands.records import TakeNote
from canary.rollout.commands.verbs import Verb
from canary.rollout.entries import Entry
from canary.rollout.kinds import Category
from canary.rollout.plan.plans import Plans
from canary.rollout.state import Moment, Rollout
from canary.units import format_ratio
from canary.web.metrics import PolicyCollector

# A listener of the event stream that is so many entries behind reads no more; a rollout has some dozens.
_EVENTS_KEPT = 100

# What a reload takes over: who may ask, which is looked up at every request, and what decides, which every part asks
# `Plans` for. The rest was given to its parts at the start.
_RELOADED = frozenset(
    {
        *DECIDING, "receiver.token_file", "receiver.token_env", "receiver.previous_token_file",
        "receiver.operator_token_file", "receiver.operator_token_env", "receiver.operators",
        "receiver.flags_token_file", "receiver.flags_token_env", "receiver.router_token_file",
        "receiver.router_token_env", "receiver.drill_max_age", "receiver.people",
        "receiver.freeze", "receiver.repeat", "receiver.page_url", "receiver.timezone",
    }
)  # fmt: skip


class Receiver:
    """Alertmanager's webhook on one side, routers, process and people on the other, the journal between them."""

    def __init__(
        self,
        policy: Policy,
        base: Base,
        effects: Effects,
        outside: Outside,
        trials: Experiments,
        registry: CollectorRegistry,
        confirmations: Confirmations,
    ) -> None:  # long: the one place where the parts are put together, in an order that matters
        self.store, self.leader = base.store, base.leader
        self.plans = Plans(policy)
        self.effects, self.trials = effects, trials
        self.authority = Authority.of(policy)
        self.metrics = Metrics(registry, policy.service)
        self.store.listen(self.metrics.entry)

        deciding = Deciding.of(self.plans, base, outside)
        self.timer, self.watchdog = deciding.timer, deciding.watchdog
        self.handler, self.poller, self.promoter = deciding.handler, deciding.poller, deciding.promoter
        self.deadlines, self.freezes, self._pauses = deciding.deadlines, deciding.freezes, deciding.pauses

        self.reconciler = Reconciler(policy, self.store, effects, self.metrics, base.clock, confirmations)
        self.inspector = Inspector(self.plans, outside.session, outside.prometheus, effects)
        self.policies = PolicyWatch(self.plans, self.store, self.leader, outside.prometheus, base.clock)
        self.drift = DriftWatch(self.plans, self.store, effects.past_reports, base.clock)
        self.prices = PriceWatch(self.plans, self.store, outside.prometheus, base.clock)
        self.commands = Commands(
            self.plans,
            self.store,
            effects,
            self.metrics,
            deciding.objections.to,
            self.reconciler.trust,
            self.freezes,
            Departure(
                self.plans,
                self.store,
                self.inspector,
                starts=effects.process_starts,
                routers=effects.router_names,
                read=effects.read_router,
                policies=self.policies.ask,
                schema=lambda: schema_compatible(outside.prometheus, policy.service),
                silences=lambda: outside.alertmanager.silences(base.clock.now()),
                drilled_at=lambda: self.drills.last_success_at,
                freeze=lambda: str(self.freezes.active or ""),
            ),
        )
        self.finisher = Finisher(
            self.plans,
            self.store,
            self.leader,
            base.clock,
            self.inspector,
            objection=deciding.objections.to_step,
            settled=lambda: self.reconciler.settled,
            blind=self.blind,
        )
        lifetime = None if policy.notify.rollback_link == "none" else policy.notify.rollback_link
        self.links = RollbackLinks(policy.service, self._outside_page, lifetime, lambda: self.authority, base.clock)
        self.outbox = Outbox(self.plans, self.store, effects, self.metrics, base.clock, self.facts)
        self.reporter = Reporter(policy, self.store, effects, outside.session, base.clock)
        self.scheduler = Scheduler(self.plans, self.store, self.leader, base.clock, self.submit)
        self.drills = Drills(policy.service, self.store, effects, registry, outside.alerts)

        self.ofrep = Ofrep(Flags(policy), lambda: self.store.rollout, lambda: trials.stopped)
        registry.register(PolicyCollector("receiver", policy.service, lambda: self.plans.digest(self.store.rollout)))
        registry.register(Gauges(policy.service, self.snapshot))
        self._outside, self._clock = outside, base.clock
        self.ages = Ages(base.clock)
        self._log = Log("receiver")

    @property
    def prometheus(self) -> Prometheus:
        """What the page asks for the KPIs."""
        return self._outside.prometheus

    def releases(self) -> Sequence[Rollout]:
        """Every rollout that the journal has, oldest first."""
        return tuple(self.store.rollouts.values())

    @property
    def policy(self) -> Policy:
        """The policy file as it was last read; what a rollout runs by is asked of `plans`."""
        return self.plans.file

    def workers(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """Everything that runs next to the web server, by name."""
        return {
            **self.reconciler.workers(),
            **self._pauses.workers(),
            "leader": self.leader.run,
            "alert poller": self.poller.run,
            "promoter": self.promoter.run,
            "finisher": self.finisher.run,
            "deadlines": self.deadlines.run,
            "timer": self.timer.run,
            "clock": ClockSteps(self.store, self._clock).run,
            "outbox": self.outbox.run,
            "experiments": partial(self.trials.run, self._outside.alerts, self._outside.alertmanager),
            "reporter": self.reporter.run,
            "policies": self.policies.run,
            "prices": self.prices.run,
            "drift": self.drift.run,
            "scheduler": self.scheduler.run,
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
            self.poller.wake_up.set()
        failed = Outcome.FAILED in [*outcomes, *(outcome for _, outcome in taken)]
        return not (self.store.waiting or failed)

    async def submit(self, request: Request) -> Entry:
        """Carry out a person's command.

        Raises:
            RefusedError: it does not fit.
            JournalError: it could not be written.
        """
        if request.verb == Verb.START and not request.force:
            await self.policies.require_one()
        entry = await self.commands.submit(request)
        self._log.info("command", verb=request.verb, actor=request.actor, rollout=entry.rollout)
        return entry

    async def note(self, rollout: str, text: str, *, actor: str, category: Category | None, key: str) -> Entry:
        """Write down a person's observation about a rollout, the newest when it is not named.

        Raises:
            RefusedError: there is no such rollout.
            JournalError: it could not be written.
        """
        newest = self.store.rollout
        about = rollout or (newest.id if newest else "has been started")
        command = TakeNote(rollout=about, actor=actor, reason=text, category=category)
        return await self.store.propose(None, command, request=f"note:{key}" if key else "")

    async def history(self, rollout: str | None = None) -> list[Entry]:
        """The journal, oldest first, of one rollout or of all.

        Raises:
            JournalError: it cannot be read.
        """
        return await self.store.entries(rollout)

    async def shop_metrics(self) -> dict[str, Any]:
        """Traffic split, error rate and payment success by role."""
        return await shop_metrics(
            self.plans.of(self.store.rollout),
            self._outside.prometheus,
            self.store.rollout,
            self.reconciler.weight_ratio,
        )

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
        return Facts(
            self.policy.service,
            traffic,
            self.faults(),
            page=self.policy.receiver.page,
            rollback_link=self.links.url,
            runbooks=self.policy.signals.runbook_url,
            dashboards=self.policy.signals.dashboard_url.rstrip("/"),
            owners=self.policy.owners,
            zone=self.policy.receiver.timezone,
            process=self.effects.process_managed,
            technical=self.plans.of(self.store.rollout).technical,
            prices=tuple(one.price for one in self.prices.of(self.store.rollout)),
        )

    def snapshot(self) -> Snapshot:
        """What the metrics need, as it is now."""
        rollout = self.store.rollout
        phase = self.plans.phase(rollout) if rollout is not None else None

        def age(moment: Moment | None) -> float | None:
            return None if moment is None else self.ages.seconds(moment, by_wall=True)

        return Snapshot(
            rollout=rollout,
            weight_ratio=self.reconciler.weight_ratio,
            converging_since=self.reconciler.converging_since,
            watchdog_at=self.watchdog.heard_at,
            events=tuple(self.metrics.events.items()),
            leading=self.leader.leading,
            drill_at=self.drills.last_success_at,
            converging_seconds=self.reconciler.converging_seconds,
            elapsed_seconds=age(rollout.began) if rollout else None,
            phase_elapsed_seconds=self.timer.seconds(rollout) if rollout else None,
            since_end_seconds=age(rollout.ended) if rollout else None,
            since_promotion_seconds=age(rollout.promoted) if rollout else None,
            gate=gate_of(phase) if phase else "",
            advance=phase.advance if phase else "",
            limits=limits(self.plans.of(rollout)),
            drill_age_seconds=age(self.drills.last_success),
            suppressed=self.poller.held_back.counts,
            frozen=self.freezes.active is not None,
            drifts=tuple(self.drift.found),
            waiting=self.waiting.reason.value if self.waiting else "",
        )

    async def reload(self, path: Path, addresses: Collection[str] = ()) -> None:
        """Take over new tokens, and for the next rollout what decides; the running one keeps its own policy.

        Args:
            addresses: where it listens.

        Raises:
            CanaryError: the policy or a secret is faulty, or what has changed needs a restart; everything stays as it
                was.
        """
        policy = await asyncio.to_thread(load_policy, path)
        authority = Authority.of(policy)
        authority.require_closed(addresses)
        authority.require_closed_as(self.authority)
        await self.take_over(policy)
        self.authority = authority

    async def take_over(self, policy: Policy) -> None:
        """Go by another policy from the next rollout on.

        Raises:
            PolicyError: what has changed needs a restart, or slots are missing; everything stays as it was.
        """
        require_slots(policy, self.store.rollout)
        require_reloadable(self.plans.file, policy, _RELOADED)
        self.plans.file = policy
        self.freezes.follow(policy.receiver)
        await self.policies.record()

    def _outside_page(self) -> str:
        """Where people open the page, as a person wrote it: `receiver.url` is for machines, and leads no phone here."""
        return self.policy.receiver.page if self.policy.receiver.page_url else ""

    def faults(self) -> dict[str, str]:
        """What does not work at present, by router or step."""
        routers = {
            f"router {controller.name}": controller.error
            for controller in self.reconciler.controllers
            if controller.error
        }
        doubt = self.reconciler.trust.doubt
        doubts = {"journal in doubt": f"{doubt}; routers are left as they are"} if doubt else {}
        unwritable = ", ".join(f"{entry.label} of {entry.rollout}" for entry in self.store.unwritable)
        refused = {"journal": f"refuses in every form, and acted upon all the same: {unwritable}"} if unwritable else {}
        unread = {"journal row": self.store.unread} if self.store.unread else {}
        return routers | unread | self.reconciler.errors | refused | doubts

    @property
    def ready(self) -> bool:
        """Whether it can do its work: the journal is read, and can be what the routers were driven by."""
        return self.reconciler.trust.trusted

    @property
    def waiting(self) -> Waiting | None:
        """Why the rollout, or the finish of a release, does not go on, as of the last look."""
        return self.promoter.waiting or self.finisher.waiting

    def blind(self) -> bool:
        """Whether the heartbeat has been away too long."""
        rollout = self.store.rollout
        return rollout is not None and self.watchdog.blind(rollout)
