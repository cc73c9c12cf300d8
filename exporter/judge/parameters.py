"""What the judge is told by the policy: which KPIs there are, whose units they count, and where customers come in."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace

from canary.policy.database.section import names_customers
from canary.policy.kpis import Conversion, Kpi, Mean, Success, events_of
from canary.policy.model import Policy
from exporter.evidence.judge import Action, Harm, JudgeParameters, Kind, KpiParameters, Plan
from exporter.source.mapping import parents_of, with_ancestors

ROWS_PER_CUSTOMER = 10.0
"""Where no column names the customer, the sample ratio is judged as if each came ten times: with eight visits a
customer 45 % of healthy rollouts went blind. A router that ignores its weight is found within minutes all the same."""


def only_read(policy: Policy, events: Container[str] | None) -> Policy:
    """The policy without events whose tables are not there, and so not read; None: all are."""
    if events is None:
        return policy
    kept = {name: event for name, event in policy.database.events.items() if name in events}
    return replace(policy, database=replace(policy.database, events=kept))


def entry_event(policy: Policy) -> str | None:
    """The event with which a customer comes in: the first without a parent that a KPI starts from or descends from.

    Where nothing converts, attempts come before the orders that come of them: whoever fails to pay has no order.
    """
    events = policy.database.events
    starts = [kpi.from_ for kpi in policy.kpis.values() if isinstance(kpi, Conversion)]
    starts += [kpi.of for kpi in policy.kpis.values() if isinstance(kpi, Success)]
    read = with_ancestors(events, (event for kpi in policy.kpis.values() for event in events_of(kpi)))
    candidates = [*starts, *(name for name in events if name in read)]
    return next((name for name in candidates if name in events and not parents_of(events, name)), None)


def judge_parameters(policy: Policy, started_at: float, plan: Plan = Plan()) -> JudgeParameters:  # noqa: B008 - immutable
    """The judge's parameters for a rollout that began at `started_at` (seconds since the epoch).

    KPIs with `judge: threshold` are left to the windowed rule and take no share of alpha.
    """
    entry = entry_event(policy)
    return JudgeParameters(
        started_at=started_at,
        kpis=tuple(kpi_parameters(policy, name, kpi) for name, kpi in policy.kpis.items() if kpi.judge == "evidence"),
        alpha=policy.evidence.alpha,
        bucket_seconds=policy.evidence.bucket,
        lateness_seconds=policy.database.lateness,
        changing_seconds=policy.evidence.pending_timeout,
        warmup_seconds=policy.evidence.warmup,
        plan=plan,
        mismatch_tolerance=policy.evidence.mismatch,
        rows_per_customer=1.0 if entry is None or names_customers(policy.database.events, entry) else ROWS_PER_CUSTOMER,
    )


def kpi_parameters(policy: Policy, name: str, kpi: Kpi) -> KpiParameters:
    """What the judge needs to know about one KPI of the policy."""
    action, slower = Action(kpi.action), policy.evidence.slower
    if isinstance(kpi, Mean):
        harm = Harm.DECREASE if kpi.better == "higher" else Harm.INCREASE
        return KpiParameters(
            name,
            Kind.MEAN,
            tolerance=kpi.tolerance,
            action=action,
            harm=harm,
            may_fail=knows_customers(policy, kpi),
        )
    asked = isinstance(kpi, Conversion) and slower != "none"
    return KpiParameters(
        name,
        Kind.CONVERSION if isinstance(kpi, Conversion) else Kind.SUCCESS,
        tolerance=kpi.tolerance,
        floor=kpi.floor,
        action=action,
        pending_timeout_seconds=policy.evidence.pending_timeout,
        from_entry=isinstance(kpi, Conversion) and kpi.from_ == entry_event(policy),
        slower_up_to=slower.up_to if asked and slower != "none" else None,
        slower_evidence=slower.evidence if slower != "none" else 1.0,
        watch_fails=policy.rollback.watch_action == "rollback",
        may_fail=knows_customers(policy, kpi),
        segments=kpi.segments + 1 if kpi.by is not None else 0,
        may_wait=isinstance(kpi, Success) and may_wait(policy, kpi),
        watch_stable=policy.evidence.stable_harm == "hold" and action is not Action.WARN,
    )


def may_wait(policy: Policy, kpi: Success) -> bool:
    """Whether outcomes may be pending and fine, for longer than the time-out that fails unknown ones."""
    events = policy.database.events
    return kpi.of in events and bool(events[kpi.of].pending)


def knows_customers(policy: Policy, kpi: Kpi) -> bool:
    """Whether the KPI's units are what the router assigns; otherwise chance alone may look like harm, and it holds."""
    return names_unit(policy, kpi) and not (isinstance(kpi, Success) and kpi.attempts == "each")


def names_unit(policy: Policy, kpi: Kpi) -> bool:
    """Whether the KPI's rows, or those they come from, name their customer."""
    event = kpi.from_ if isinstance(kpi, Conversion) else kpi.of
    events = policy.database.events
    return event not in events or names_customers(events, event)
