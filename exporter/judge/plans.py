"""From the policy to the judge's parameters."""

from canary.policy.kpis import Conversion, Kpi, Mean
from canary.policy.model import Policy
from exporter.evidence.judge import Action, Harm, JudgePlan, Kind, KpiPlan


def judge_plan(policy: Policy, started_at: float) -> JudgePlan:
    """The judge's parameters for a rollout that began at `started_at` (seconds since the epoch).

    KPIs with `judge: threshold` are left to the windowed rule and take no share of alpha.
    """
    return JudgePlan(
        started_at=started_at,
        kpis=tuple(
            kpi_plan(name, kpi, policy.evidence.pending_timeout)
            for name, kpi in policy.kpis.items()
            if kpi.judge == "evidence"
        ),
        alpha=policy.evidence.alpha,
        bucket_seconds=policy.evidence.bucket,
        lateness_seconds=policy.database.lateness,
        mismatch_tolerance=policy.evidence.mismatch,
    )


def kpi_plan(name: str, kpi: Kpi, pending_timeout_seconds: float) -> KpiPlan:
    """What the judge needs to know about one KPI of the policy."""
    action = Action(kpi.action)
    if isinstance(kpi, Mean):
        harm = Harm.DECREASE if kpi.better == "higher" else Harm.INCREASE
        return KpiPlan(name, Kind.MEAN, tolerance=kpi.tolerance, action=action, harm=harm)
    return KpiPlan(
        name,
        Kind.CONVERSION if isinstance(kpi, Conversion) else Kind.SUCCESS,
        tolerance=kpi.tolerance,
        floor=kpi.floor,
        action=action,
        pending_timeout_seconds=pending_timeout_seconds,
    )
