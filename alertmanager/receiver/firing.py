"""The alerts about the rollout that fire, as the API answers them and the page shows them: what acts comes first."""

from collections.abc import Iterable
from typing import Final

from alertmanager.receiver import answers
from canary import names
from canary.prometheus import Alert
from canary.timing.times import to_text

_FIRST: Final = ("rollback", "hold", "stop", "none", "advance")


def firing_data(alerts: Iterable[Alert]) -> list[answers.Firing]:
    """JSON-ready data; what an alert's own words say is passed on as it is."""
    return [_firing(alert) for alert in sorted(alerts, key=_urgency)]


def _urgency(alert: Alert) -> tuple[int, str]:
    return _FIRST.index(alert.action) if alert.action in _FIRST else len(_FIRST), alert.name


def _firing(alert: Alert) -> answers.Firing:
    return {
        "name": alert.name,
        "summary": alert.annotations.get("summary", ""),
        "severity": alert.labels.get(names.SEVERITY, ""),
        "action": alert.action,
        "since": to_text(alert.starts_at) if alert.starts_at else None,
        "runbook_url": alert.annotations.get("runbook_url", ""),
        "dashboard_url": alert.annotations.get("dashboard_url", ""),
    }
