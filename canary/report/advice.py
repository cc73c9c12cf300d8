"""What to look at after a rollout, by what went wrong: the strategy's troubleshooting list."""

from collections.abc import Sequence

from canary import names
from canary.report.facts import Firing, KpiStory
from canary.rollout.state import Rollout, State

_ERRORS = "Errors: read the canary's logs around the first alert; look for code paths or configuration that changed."
_SLOW = (
    "Response times: compare CPU, memory and query times of both versions; look for a slower query or a missing index."
)
_PAYMENTS = (
    "Payments: compare the failure codes of both versions in the payment log; ask the gateway whether it had trouble."
)
_ROWS = (
    "Rows: see what the canary writes otherwise than stable, and repair the rows that it wrote (`canary check --data`)."
)
_DATABASE = "Database: check its health and connection limits; roll back schema changes that the canary brought."
_REPLICA = (
    "Replica: it lacked rows of its primary, so that verdicts rested on some of the orders; have it made anew"
    " (`canary check --data` names them)."
)
_MEMORY = "Memory: compare the canary's memory over time with stable's; a steady rise is a leak."
_FUNNEL = "Business: walk from visit to order on the canary as a customer would, on a phone too; compare step by step."
_BLIND = "Blindness: find out why data were missing (canary check); nothing was proven either way."

_TRAFFIC = (
    "Traffic: the canary's share of visits was not its weight; look for caches, robots, a router that does not follow."
)
_UNKNOWN = (
    "Versions: too many rows name none; see that the shop writes them, or that what writes the assignments runs, with"
    " canary check --data."
)

_BY_ALERT = {
    names.HIGH_ERROR_RATE: _ERRORS,
    names.ELEVATED_ERROR_RATE: _ERRORS,
    names.ERROR_RATE_DEGRADED: _ERRORS,
    names.VERY_SLOW_RESPONSE: _SLOW,
    names.SLOW_RESPONSE: _SLOW,
    names.VERY_SLOW_QUERIES: _SLOW,
    names.SLOW_QUERIES: _SLOW,
    names.RESPONSE_TIME_DEGRADED: _SLOW,
    names.PAYMENT_SUCCESS_LOW: _PAYMENTS,
    names.PAYMENT_SUCCESS_DEGRADED: _PAYMENTS,
    names.DATABASE_CONNECTION_FAILURES: _DATABASE,
    names.SCHEMA_INCOMPATIBLE: _DATABASE,
    names.ROWS_INCONSISTENT: _ROWS,
    names.REPLICA_LAG: _DATABASE,
    names.REPLICA_INCOMPLETE: _REPLICA,
    names.HIGH_MEMORY: _MEMORY,
    names.CONVERSION_DEGRADED: _FUNNEL,
    names.KPI_ALERT: _FUNNEL,
    names.BLIND_ALERT: _BLIND,
    names.TRAFFIC_MISMATCH: _TRAFFIC,
    names.ASSIGNMENTS_UNKNOWN: _UNKNOWN,
    names.LOG_LAGS: _UNKNOWN,
}


def advice(rollout: Rollout, alerts: Sequence[Firing], kpis: Sequence[KpiStory]) -> list[str]:
    """One line per kind of trouble, the cause of the rollback first, then what to do next."""
    fired = [rollout.cause, *(alert.name.partition(" ")[0] for alert in alerts)]
    lines = [_BY_ALERT[name] for name in fired if name in _BY_ALERT]
    if any(kpi.verdict == "fail" for kpi in kpis) and not lines:
        lines.append(_FUNNEL)
    if rollout.cause == "manual":
        lines.append("A person rolled back: write down what was seen that no alert saw, and make it a KPI or a signal.")
    if rollout.state in (State.ROLLED_BACK, State.ROLLING_BACK, State.FAILED):
        lines.append("Before the next try: reproduce it in staging, fix it, and run canary drill.")
    elif rollout.state is State.PROMOTED:
        deploy = "Run" if rollout.stable_slot else f"Deploy {rollout.canary} to the stable servers, then run"
        lines.append(f"{deploy} canary finish; no other release begins before.")
        lines.append("Keep watching for a day or two: the absolute limits stay watched as the policy says.")
    return list(dict.fromkeys(lines))
