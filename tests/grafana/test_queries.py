"""Every query of every dashboard, asked of a real Prometheus that holds a rollout."""

from collections.abc import Iterator
from typing import Any

import pytest

from canary.policy.model import Policy
from grafana.expand import built_in, expand
from grafana.templating import resolve
from tests.support.programs.prometheus import Prometheus
from tests.support.stories.story import CANARY, END, STABLE, Story, moments

# A graph of 45 minutes, 600 points wide.
_STEP_SECONDS = 5.0

EMPTY_WITH_REASON: dict[str, str] = {
    "annotation promotion": "the rollout of the story is rolled back, never promoted",
    "annotation finish": "what is rolled back has nothing to finish",
}
"""Queries that give nothing for the story, by place, and why that is right."""


def _values(story: Story, policy: Policy) -> dict[str, str]:
    chosen = {"service": story.service, "rollout": story.rollout, "stable": STABLE, "canary": CANARY}
    return chosen | built_in(_STEP_SECONDS, END * 60, policy.signals.window / 4)


def _targets(dashboard: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield f"{panel['title']}, query {target['refId']}", target


@pytest.mark.parametrize(
    "name", ["canary-rollout", "canary-business", "canary-infrastructure", "canary-guard", "canary-experiments"]
)
def test_every_query_of_a_panel_finds_data(
    name: str, dashboards: dict[str, dict[str, Any]], prometheus: Prometheus, story: Story, policy: Policy
) -> None:
    """No panel of a dashboard is empty for a whole rollout, unless it is listed with the reason."""
    values = _values(story, policy)
    empty = []

    for place, target in _targets(dashboards[f"{name}.json"]):
        expression = expand(target["expr"], values)
        if target["instant"]:
            found = any(prometheus.query(expression, at) for at in moments(story))
        else:
            found = bool(prometheus.query_range(expression, story.times[0], story.ends_at, _STEP_SECONDS))
        if not found and place not in EMPTY_WITH_REASON:
            empty.append(f"{place}: {expression}")

    assert empty == []


def test_every_annotation_marks_when_it_happened(
    dashboards: dict[str, dict[str, Any]], prometheus: Prometheus, story: Story, policy: Policy
) -> None:
    """Each mark's value is the time of the event in milliseconds, within the rollout."""
    values = _values(story, policy)
    empty = []

    for annotation in dashboards["canary-rollout.json"]["annotations"]["list"]:
        result = prometheus.query_range(expand(annotation["expr"], values), story.times[0], story.ends_at, 15)
        for series in result:
            assert all(story.times[0] <= float(value) / 1000 <= story.ends_at for _, value in series["values"])
        if not result:
            empty.append(f"annotation {annotation['name']}")

    assert empty == [place for place in EMPTY_WITH_REASON if place.startswith("annotation")]


def test_advances_are_marked_one_by_one(
    dashboards: dict[str, dict[str, Any]], prometheus: Prometheus, story: Story, policy: Policy
) -> None:
    """Two advances in the range are two marks, although the series tells only the latest at any moment."""
    annotations = {item["name"]: item for item in dashboards["canary-rollout.json"]["annotations"]["list"]}

    result = prometheus.query_range(
        expand(annotations["advance"]["expr"], _values(story, policy)), story.times[0], story.ends_at, 15
    )

    assert len({value for series in result for _, value in series["values"]}) == 2


def test_every_variable_finds_its_values(
    dashboards: dict[str, dict[str, Any]], prometheus: Prometheus, story: Story, policy: Policy
) -> None:
    """The variables lead from the service to its rollout and the rollout's two versions."""
    found = resolve(
        dashboards["canary-guard.json"],
        built_in(_STEP_SECONDS, END * 60, policy.signals.scrape_interval),
        lambda selector, label: prometheus.label_values(label, selector, story.times[0], story.ends_at),
        lambda expression: [series["metric"] for series in prometheus.query(expression, story.ends_at)],
    )

    assert found == {
        "service": [story.service],
        "rollout": [story.rollout],
        "stable": [STABLE],
        "canary": [CANARY],
    }


def test_the_wall_tells_the_story(
    dashboards: dict[str, dict[str, Any]], prometheus: Prometheus, story: Story, policy: Policy
) -> None:
    """The first panel says no rollout, no harm, on hold, harm, rolled back, in the order in which they happened."""
    wall = next(panel for panel in dashboards["canary-rollout.json"]["panels"] if panel["title"] == "The canary")
    words = wall["fieldConfig"]["defaults"]["mappings"][0]["options"]
    expression = expand(wall["targets"][0]["expr"], _values(story, policy))

    told = []
    for minute in (2, 7, story.proven - 0.05, story.proven + 0.2, END):
        (result,) = prometheus.query(expression, story.at(minute))
        told.append(words[result["value"][1]]["text"])

    assert told == ["No rollout", "✔ No harm seen", "✖ Harm", "✖ Rolled back", "✖ Rolled back"]
