"""What decides, put together: each part is made from parts that are there already, so that there is one order only.

An alert (`handler`) may complete a phase (`promoter`), which asks Prometheus for objections; the poller feeds both. The
objections are a part of their own, for with them inside the poller these three could only be made by a circle.
"""

from dataclasses import dataclass
from functools import partial
from typing import Self

import aiohttp

from alertmanager.receiver.decide.alerts.alerthandler import AlertHandler
from alertmanager.receiver.decide.alerts.alertpoller import AlertPoller
from alertmanager.receiver.decide.alerts.objections import Objections
from alertmanager.receiver.decide.alerts.silences import HeldBack
from alertmanager.receiver.decide.deadlines import Deadlines
from alertmanager.receiver.decide.freezes import Freezes
from alertmanager.receiver.decide.pauses import Pauses
from alertmanager.receiver.decide.promotion import gate
from alertmanager.receiver.decide.promotion.phasetimer import PhaseTimer
from alertmanager.receiver.decide.promotion.promoter import Promoter
from alertmanager.receiver.decide.promotion.waiting import Evidence
from alertmanager.receiver.decide.watchdog import Watchdog
from alertmanager.receiver.lead.leader import Leader
from canary.policy.model import Policy
from canary.prometheus import Alertmanager, Prometheus, ServiceAlerts
from canary.rollout.plan.plans import Plans
from canary.rollout.store.store import RolloutStore
from canary.timing.clock import Clock

# After a pause: one look that was under way when it began and may fail, and one that is answered.
_ASKED_LOOKS = 2


@dataclass(frozen=True)
class Base:
    """What every part stands on: the rollouts, who leads, and the time."""

    store: RolloutStore
    leader: Leader
    clock: Clock


@dataclass(frozen=True)
class Outside:
    """The servers that are asked."""

    session: aiohttp.ClientSession
    prometheus: Prometheus
    alerts: ServiceAlerts
    alertmanager: Alertmanager

    @classmethod
    def of(cls, policy: Policy, session: aiohttp.ClientSession) -> Self:
        """As the policy's `receiver` section names them."""
        prometheus = Prometheus.of(policy, session)
        alertmanager = Alertmanager.of(policy, session)
        return cls(session, prometheus, ServiceAlerts(prometheus, policy.service), alertmanager)


@dataclass(frozen=True)
class Deciding:
    """The parts that turn alerts and time into decisions."""

    timer: PhaseTimer
    watchdog: Watchdog
    objections: Objections
    promoter: Promoter
    handler: AlertHandler
    poller: AlertPoller
    deadlines: Deadlines
    freezes: Freezes
    pauses: Pauses

    @classmethod
    def of(cls, plans: Plans, base: Base, outside: Outside) -> Self:
        """As the policy describes them; the watchdog listens to the journal from now on."""
        store, leader, clock, policy = base.store, base.leader, base.clock, plans.file
        timer = PhaseTimer(store, leader, clock)
        pauses = Pauses(store, clock, asks_seconds=_ASKED_LOOKS * policy.receiver.poll)
        watchdog = Watchdog(policy.receiver.watchdog, clock, pauses)
        store.listen(watchdog.notice)
        held_back = HeldBack(outside.alertmanager, store, leader, clock, policy.service, watchdog=watchdog)
        objections = Objections(outside.alerts, held_back, plans, Evidence(outside.prometheus, plans), clock)
        freezes = Freezes(policy.receiver, store, clock)
        promoter = Promoter(
            plans,
            store,
            leader,
            timer,
            clock,
            freezes,
            objection=objections.to_phase_end,
            gate=partial(gate.objection, session=outside.session),
            undelivered=objections.to_delivery,
        )
        handler = AlertHandler(plans, store, on_key=promoter.confirm, on_heartbeat=watchdog.hear)
        poller = AlertPoller(
            store,
            handler,
            outside.alerts,
            held_back,
            leader,
            clock,
            policy.receiver.poll,
            blind=lambda: store.rollout is not None and watchdog.blind(store.rollout),
            on_complete=promoter.complete,
        )
        deadlines = Deadlines(plans, store, watchdog, leader, clock, freezes, pauses)
        pauses.listen(poller.wake_up.set)
        return cls(timer, watchdog, objections, promoter, handler, poller, deadlines, freezes, pauses)
