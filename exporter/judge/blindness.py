"""When the judge must not be relied on, and why.

Old data do not lie loudly: a judge that is given yesterday's rows says *not decided yet*, as it does in a quiet hour.
So whoever reads a verdict is told next to it whether the data behind it are fresh, and a verdict of *blind* keeps the
traffic where it is. A reason is a label's value, hence the closed list.
"""

from collections.abc import Mapping, Sequence

from canary.policy.kpis import Conversion, Kpi, Mean, events_of
from canary.policy.model import Policy
from exporter.judge.joins import JoinedRows
from exporter.ledger.feed import AHEAD_SECONDS, Feed

BLIND_REASONS = ("starting", "database", "schema", "replica", "journal", "judge", "join", "clock")
"""Why the judge may not see; the values of the label `reason`."""


def blind_kpis(
    policy: Policy, feeds: Sequence[Feed], now: float, lag_seconds: float | None, *, schema_broken: bool
) -> dict[str, str]:
    """Each KPI whose data are older than the policy's limits, with the reason as a label value."""
    replica = policy.database.replica
    if replica is not None and lag_seconds is not None and lag_seconds > replica.max_lag:
        return dict.fromkeys(policy.kpis, "replica")
    refreshed: dict[str, float] = {}
    for feed in feeds:
        at = feed.refreshed_at if feed.refreshed_at is not None else float("-inf")
        refreshed[feed.stream.event] = min(at, refreshed.get(feed.stream.event, now))
    stale = {event for event, at in refreshed.items() if now - at > policy.evidence.staleness}
    reason = "schema" if schema_broken else "database"
    return {
        name: reason
        for name, kpi in policy.kpis.items()
        if any(event in stale or event not in refreshed for event in events_of(kpi))
    }


def clock_kpis(policy: Policy, ahead_seconds: float) -> dict[str, str]:
    """Every KPI where the database's clock is so far from ours that new rows are not found by their times."""
    if -policy.database.lateness <= ahead_seconds <= AHEAD_SECONDS:
        return {}
    return dict.fromkeys(policy.kpis, "clock")


def unjoined_kpis(kpis: Mapping[str, Kpi], joined: JoinedRows) -> dict[str, str]:
    """Each KPI that needs a join which never found anything, with the reason as a label value."""
    return {name: "join" for name, kpi in kpis.items() if any(joined.unjoined(*pair) for pair in _pairs(kpi))}


def _pairs(kpi: Kpi) -> list[tuple[str, str]]:
    """Units and what comes of them, as far as the KPI joins any."""
    if isinstance(kpi, Conversion):
        return [(kpi.from_, kpi.to)]
    return [(kpi.since, kpi.of)] if isinstance(kpi, Mean) and kpi.since is not None else []
