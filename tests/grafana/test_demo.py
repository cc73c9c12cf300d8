"""The dashboards' queries, asked of a real demo's Prometheus: generated rules, real exporter, real receiver."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from canary.policy.load import load_policy
from canary.units import parse_duration
from grafana import generate
from grafana.expand import built_in, expand
from scripts.preview import sources
from scripts.preview.page import choose
from scripts.preview.prometheus import Prometheus

# Panels that a demo cannot fill, and why; each says the same to whoever looks at it.
EMPTY_IN_A_DEMO = {
    "Verdict by treatment and KPI": "no experiment is begun",
    "Users are assigned": "no experiment is begun",
    "Doubt about the split": "no experiment is begun",
    "CPU in use": "no node exporter runs there",
    "Memory in use": "no node exporter runs there",
    "Disk in use": "no node exporter runs there",
    "Replication lag": "its database is no replica",
    "Since the last drill": "no drill is made",
    "Exporter's errors": "nothing goes wrong with the exporter",
    "Rows put right": "the hourly comparison has not come yet",
    "Average order value: change against stable": "a mean has no estimate before 30 orders a side",
    "Customer satisfaction: change against stable": "a mean has no estimate before 30 scores a side",
    "Alertmanager's failed webhooks": "Alertmanager itself is not scraped",
}

# Queries for the day before: the demo has none.
_DAY_BEFORE = "offset 1d"


@pytest.fixture(scope="module")
def rollout() -> Iterator[tuple[Prometheus, dict[str, dict[str, Any]]]]:
    """A demo that rolled back its canary, and the dashboards of its policy."""
    started = time.time()
    with sources.demo("bad", speed=60, rate=40) as source:
        policy = load_policy(source.policy)
        dashboards = {name: json.loads(text) for name, text in generate.dashboards(policy).items()}
        yield Prometheus(source.url, started, time.time()), dashboards


def _values(dashboard: dict[str, Any], server: Prometheus) -> dict[str, str]:
    return choose(dashboard, server) | built_in(1, server.end - server.start, 1)


def _answers(target: dict[str, Any], values: dict[str, str], server: Prometheus) -> bool:
    """Whether a query gives data at some time of the rollout."""
    step_seconds = parse_duration(target["interval"])
    expression = expand(target["expr"], values | built_in(step_seconds, server.end - server.start, step_seconds))
    return bool(server.range(expression, step_seconds))


@pytest.mark.timeout(300)
def test_every_query_finds_what_a_real_rollout_left(
    rollout: tuple[Prometheus, dict[str, dict[str, Any]]],
) -> None:
    """What exporter, receiver, rules and shop publish is what the dashboards ask for, name by name, label by label."""
    server, dashboards = rollout
    empty = []

    for dashboard in dashboards.values():
        values = _values(dashboard, server)
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                expected = _DAY_BEFORE in target["expr"] or panel["title"] in EMPTY_IN_A_DEMO
                expected = expected or panel["title"].startswith("checkoutFlow, ")
                if not expected and not _answers(target, values, server):
                    empty.append(f"{panel['title']}, query {target['refId']}: {target['expr']}")

    assert empty == []


@pytest.mark.timeout(300)
def test_the_decisions_of_a_real_rollout_are_marked(rollout: tuple[Prometheus, dict[str, dict[str, Any]]]) -> None:
    """Start, advance and rollback each have their mark within the time of the rollout."""
    server, dashboards = rollout
    dashboard = dashboards["canary-rollout.json"]
    values = _values(dashboard, server)

    marked = {
        annotation["name"]
        for annotation in dashboard["annotations"]["list"]
        for series in server.range(expand(annotation["expr"], values), 1)
        if all(server.start <= value / 1000 <= server.end for _, value in series.points)
    }

    assert marked >= {"start", "advance", "rollback"}
