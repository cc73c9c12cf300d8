"""Where everything stands, as plain data: for the command line, the API and the page."""
# long: one function for each part of the answer

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from alertmanager.receiver import answers
from alertmanager.receiver.act.drill import Drills
from alertmanager.receiver.act.outbox import Outbox
from alertmanager.receiver.act.reconciler import Reconciler
from alertmanager.receiver.act.routercontroller import RouterController
from alertmanager.receiver.act.splits import wanted_split
from alertmanager.receiver.decide.alerts.alertpoller import AlertPoller
from alertmanager.receiver.decide.alerts.silences import HeldBack, InForce
from alertmanager.receiver.decide.freezes import ActiveFreeze, Freezes
from alertmanager.receiver.decide.policywatch import PolicyWatch
from alertmanager.receiver.decide.pricewatch import PriceWatch
from alertmanager.receiver.decide.promotion.phasetimer import PhaseTimer
from alertmanager.receiver.decide.promotion.waiting import Waiting
from alertmanager.receiver.decide.scheduler import Scheduler
from alertmanager.receiver.decide.watchdog import Watchdog
from alertmanager.receiver.firing import firing_data
from alertmanager.receiver.lead.leader import Leader
from canary.mixin.limits import gate_of
from canary.policy.model import Policy
from canary.policy.pinning.digest import digest
from canary.report.review.money import Money
from canary.rollout.ages import Ages
from canary.rollout.commands.refusals import described
from canary.rollout.commands.seen import Seen
from canary.rollout.commands.verbs import accepted
from canary.rollout.entries import Drilled, Entry
from canary.rollout.plan.approvals import approvals
from canary.rollout.plan.plans import Plans
from canary.rollout.state import Rollout
from canary.rollout.store.store import RolloutStore
from canary.timing.times import to_text


class Parts(Protocol):
    """What is asked; a receiver has all of it."""

    @property
    def policy(self) -> Policy:
        """The policy file as it was last read."""
        ...

    store: RolloutStore
    timer: PhaseTimer
    reconciler: Reconciler
    poller: AlertPoller
    watchdog: Watchdog
    leader: Leader
    outbox: Outbox
    plans: Plans
    ages: Ages
    policies: PolicyWatch
    prices: PriceWatch
    scheduler: Scheduler
    freezes: Freezes
    drills: Drills

    def faults(self) -> Mapping[str, str]:
        """What does not work at present, by router or step."""
        ...

    @property
    def waiting(self) -> Waiting | None:
        """Why the rollout, or the finish of a release, does not go on, as of the last look."""
        ...

    def blind(self) -> bool:
        """Whether the heartbeat has been away too long."""
        ...


def status_data(receiver: Parts, now: datetime) -> answers.Status:
    """Where everything stands, as JSON-ready data."""
    rollout = receiver.store.rollout
    reconciler, poller, watchdog = receiver.reconciler, receiver.poller, receiver.watchdog
    waiting = receiver.waiting
    return {
        "service": receiver.policy.service,
        "now": to_text(now),
        "leading": receiver.leader.leading,
        "seen": str(Seen.of(rollout)),
        "accepts": list(accepted(rollout)),
        "rollout": _rollout(receiver, rollout) if rollout else None,
        "prices": [_price(one) for one in receiver.prices.of(rollout)],
        "settled": reconciler.settled,
        "waiting_for": waiting.text if waiting else "",
        "waiting_reason": waiting.reason.value if waiting else "",
        "routers": [_router(controller, rollout) for controller in reconciler.controllers],
        "process": reconciler.process_state.value if reconciler.process_state else None,
        "errors": dict(receiver.faults()),
        "prometheus": {
            "looked_at": to_text(poller.looked_at) if poller.looked_at else None,
            "error": poller.error,
            "firing": sorted({alert.name for alert in poller.firing}),
            "alerts": firing_data(poller.firing),
        },
        "alertmanager": _held_back(poller.held_back),
        "schedule": _schedule(receiver.scheduler),
        "policy": policy_data(receiver.plans, receiver.policies, rollout),
        "watchdog": {
            "heard_at": to_text(watchdog.heard_at) if watchdog.heard_at else None,
            "blind": receiver.blind(),
        },
        "drill": _drill(receiver.drills.last),
        "freeze": _freeze(receiver.freezes.active),
        "untold": len(receiver.outbox.pending),
        "expired": len(receiver.outbox.expired),
    }


def _held_back(known: HeldBack) -> answers.Silences:
    return {
        "error": known.error,
        "silences": [_silence(one) for one in known.in_force],
        "inhibited": list(known.inhibited),
    }


def _rollout(receiver: Parts, rollout: Rollout) -> answers.Rollout:
    decided = None if rollout.decided is None else round(receiver.ages.seconds(rollout.decided, by_wall=True), 3)
    return rollout_data(rollout, receiver.timer.seconds(rollout), decided, receiver.plans)


def policy_data(plans: Plans, policies: PolicyWatch, rollout: Rollout | None) -> answers.Policy:
    """Which policy is in use where, as JSON-ready data."""
    return {
        "digest": plans.digest(rollout),
        "file": digest(plans.file),
        "in_use": {name: list(found) for name, found in policies.found.digests.items()} if policies.found else {},
        "error": policies.error,
        "notice": _notice(plans, rollout),
        "differing": [str(one) for one in policies.differing(rollout)],
    }


def _price(one: Money) -> answers.Price:
    loss = one.per_minute
    return {
        "currency": one.currency,
        "traffic_ratio": one.weight,
        "loss_per_minute": loss.expected,
        "lower": loss.lower,
        "upper": loss.upper,
        "summary": one.price,
    }


def _schedule(scheduler: Scheduler) -> answers.Schedule:
    pending = scheduler.pending
    fault = f"; cannot begin yet: {scheduler.fault}" if scheduler.fault else ""
    return {
        "start_at": to_text(pending.start_at) if pending else None,
        "summary": f"{pending}{fault}" if pending else "",
        "refused": scheduler.refused,
    }


def _notice(plans: Plans, rollout: Rollout | None) -> str:
    used, file = plans.digest(rollout), digest(plans.file)
    if used == file:
        return ""
    return (
        f"the file has changed ({file}), and the rollout goes on by the policy that it began with ({used}); "
        "`canary amend` takes the file over"
    )


def rollout_data(
    rollout: Rollout, elapsed_seconds: float, decided_seconds: float | None, plans: Plans
) -> answers.Rollout:
    """A rollout as JSON-ready data; times are ISO 8601 in UTC, shares are ratios, durations are seconds."""
    return {
        "id": rollout.id,
        "decision": rollout.decision,
        "decided_seconds": decided_seconds,
        "summary": described(rollout),
        "seen": str(Seen.of(rollout)),
        "stable": rollout.stable,
        "canary": rollout.canary,
        "state": rollout.state,
        "plan": rollout.plan,
        "approvals": _approvals(rollout),
        "phase": rollout.phase,
        "phases": [
            {"traffic_ratio": traffic, "duration_seconds": duration, "gate": gate_of(phase)}
            for traffic, duration, phase in zip(
                rollout.traffic, rollout.durations_seconds, plans.of(rollout).phases, strict=True
            )
        ],
        "weight_ratio": rollout.weight,
        "started_at": to_text(rollout.started_at),
        "phase_started_at": to_text(rollout.phase_started_at),
        "phase_elapsed_seconds": round(elapsed_seconds, 3),
        "ended_at": _moment(rollout.ended_at),
        "lifts": rollout.lifts,
        "rollback_at": _moment(rollout.rollback_at),
        "passport": _passport(rollout),
        "finishing": _finishing(rollout),
        "stable_slot": rollout.stable_slot,
        "cause": rollout.cause,
        "reason": rollout.reason,
        "actor": rollout.actor,
        "steps": sorted(rollout.steps),
    }


def _passport(rollout: Rollout) -> answers.Passport | None:
    passport = rollout.passport
    if passport is None:
        return None
    return {
        "stable": dict(passport.stable),
        "canary": dict(passport.canary),
        "routers": dict(passport.routers),
        "before": passport.before,
        "drill": passport.drill,
        "policies": dict(passport.policies),
        "schema": passport.schema,
        "silences": list(passport.silences),
        "freeze": passport.freeze,
        "warnings": list(passport.warnings),
        "forced": passport.forced,
        "summary": [f"{title}: {text}" for title, text in passport.lines()],
    }


def _finishing(rollout: Rollout) -> answers.Finishing | None:
    finishing = rollout.finishing
    if finishing is None:
        return None
    return {
        "step": finishing.step + 1,
        "steps": [round(1 - weight, 6) for weight in finishing.weights],
        "step_seconds": finishing.step_seconds,
        "frozen": finishing.frozen,
        "unverified": finishing.unverified,
    }


def _approvals(rollout: Rollout) -> list[answers.Approval]:
    """Every step up that several people must agree to: to the next phase, and those that somebody agreed to."""
    if not rollout.running:
        return []
    targets = sorted({rollout.phase + 1, *(target for _, target in rollout.approvals)})
    found = [(target, approvals(rollout, target)) for target in targets]
    return [
        {
            "to_ratio": rollout.traffic[target] if target < len(rollout.traffic) else None,
            "needed": one.needed,
            "given": list(one.given),
            "summary": str(one),
        }
        for target, one in found
        if one.needed
    ]


def entry_data(entry: Entry) -> answers.Entry:
    """A journal entry as JSON-ready data."""
    return {
        "seq": entry.seq,
        "rollout": entry.rollout,
        "kind": entry.label,
        "at": to_text(entry.at),
        "actor": entry.actor,
        "reason": entry.reason,
        "data": _shown(entry),
    }


def _shown(entry: Entry) -> dict[str, Any]:
    """What the kind has besides; how the writer's clocks stood is bookkeeping."""
    return {name: value for name, value in entry.data().items() if name not in ("boot", "uptime_seconds")}


def _router(controller: RouterController, rollout: Rollout | None) -> answers.Router:
    seen = controller.observation
    return {
        "name": controller.name,
        "weight_ratio": seen.weight_ratio if seen else None,
        "detail": seen.detail if seen else "",
        "follows": controller.follows(wanted_split(rollout)),
        "error": controller.error,
    }


def _silence(one: InForce) -> answers.Silence:
    return {
        "id": one.silence.id,
        "action": one.action,
        "matchers": [str(matcher) for matcher in one.silence.matchers],
        "author": one.silence.author,
        "comment": one.silence.comment,
        "ends_at": to_text(one.silence.ends_at),
        "alerts": list(one.alerts),
        "summary": str(one),
    }


def _drill(last: Drilled | None) -> answers.LastDrill | None:
    return None if last is None else {"at": to_text(last.at), "passed": last.passed, "what": last.reason}


def _freeze(active: ActiveFreeze | None) -> answers.Freeze | None:
    if active is None:
        return None
    return {"title": active.title, "until": _moment(active.until), "actor": active.actor, "summary": str(active)}


def _moment(moment: datetime | None) -> str | None:
    return to_text(moment) if moment else None
