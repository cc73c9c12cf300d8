"""The dashboards' queries, asked of a Prometheus that has scraped a rollout."""

from collections.abc import Iterator
from typing import Any

from canary.units import parse_duration
from grafana.expand import built_in, expand
from scripts.preview.page import choose
from scripts.preview.prometheus import Prometheus

# Panels that a demo cannot fill, and why; each says the same to whoever looks at it.
_EMPTY_IN_A_DEMO = {
    "Verdict by treatment and KPI": "no experiment is begun",
    "Users are assigned": "no experiment is begun",
    "Doubt about the split": "no experiment is begun",
    "CPU in use": "no node exporter runs there",
    "Memory in use": "no node exporter runs there",
    "Disk in use": "no node exporter runs there",
    "Replication lag": "its database is no replica",
    "Rows without a version": "a rollout's rows count once they are late, when a bad canary is gone",
    "Rows that do not fit together": "a canary is gone before its rows are compared",
    "Since the last drill": "no drill is made",
    "Exporter's errors": "nothing goes wrong with the exporter",
    "Rows put right": "the hourly comparison has not come yet",
    "Average order value: change against stable": "a mean has no estimate before 30 orders a side",
    "Checkout time: change against stable": "a mean has no estimate before 30 orders a side",
    "Customer satisfaction: change against stable": "a mean has no estimate before 30 scores a side",
    "What the last releases add up to": "nothing was released before",
    "Behind the verdicts": "a bad canary may be gone before anything is found behind its verdicts",
    "Alertmanager's failed webhooks": "Alertmanager itself is not scraped",
}

# Queries for the day before: the demo has none.
_DAY_BEFORE = "offset 1d"


def _values(dashboard: dict[str, Any], server: Prometheus) -> dict[str, str]:
    return choose(dashboard, server) | built_in(1, server.end - server.start, 1)


def _answers(target: dict[str, Any], values: dict[str, str], server: Prometheus) -> bool:
    """Whether a query gives data at some time of the rollout."""
    step_seconds = parse_duration(target["interval"])
    expression = expand(target["expr"], values | built_in(step_seconds, server.end - server.start, step_seconds))
    return bool(server.range(expression, step_seconds))


def empty(dashboard: dict[str, Any], server: Prometheus) -> Iterator[str]:
    """Queries of panels without any data, and without a reason."""
    values = _values(dashboard, server)
    for panel in dashboard["panels"]:
        if panel["title"] in _EMPTY_IN_A_DEMO or panel["title"].startswith("checkoutFlow, "):
            continue
        for target in panel.get("targets", []):
            if _DAY_BEFORE not in target["expr"] and not _answers(target, values, server):
                yield f"{panel['title']}, query {target['refId']}: {target['expr']}"


def marked(dashboard: dict[str, Any], server: Prometheus) -> set[str]:
    """Annotations with a mark, all of whose marks lie within the rollout's time."""
    values = _values(dashboard, server)
    return {
        annotation["name"]
        for annotation in dashboard["annotations"]["list"]
        for series in server.range(expand(annotation["expr"], values), 1)
        if all(server.start <= value / 1000 <= server.end for _, value in series.points)
    }
