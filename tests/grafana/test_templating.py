"""What Grafana makes of the dashboards' variables."""

from typing import Any

import pytest

from grafana.templating import VariableQuery, resolve, variable_query


def test_both_forms_of_a_query_are_understood() -> None:
    """Label values and query results are told apart."""
    assert variable_query("label_values(up{a='b'}, job)") == VariableQuery("up{a='b'}", "job")
    assert variable_query("query_result(sort_desc(up))") == VariableQuery("sort_desc(up)")


def test_any_other_query_is_refused() -> None:
    """A function that Grafana has and we do not use is named."""
    with pytest.raises(ValueError, match=r"expected label_values.*metrics\(up\)"):
        variable_query("metrics(up)")


def test_the_newest_rollout_is_chosen_whatever_its_name(dashboards: dict[str, dict[str, Any]]) -> None:
    """Grafana keeps Prometheus' order, in which v1.10 of today comes before v1.9 of yesterday."""
    ordered = [{"rollout": "v1.10-20261124T120000"}, {"rollout": "v1.9-20261123T120000"}]
    asked = []

    def query(expression: str) -> list[dict[str, str]]:
        asked.append(expression)
        return ordered

    found = resolve(dashboards["canary-rollout.json"], {"__range": "3600s"}, lambda _, label: [label], query)

    assert found["rollout"] == ["v1.10-20261124T120000", "v1.9-20261123T120000"]
    assert asked == [
        'sort_desc(max by (rollout) (last_over_time(canary_rollout_event_timestamp_seconds{service="service"}[3600s])))'
    ]


def test_a_variable_without_values_leaves_the_others_empty(dashboards: dict[str, dict[str, Any]]) -> None:
    """Before the first rollout nothing is chosen, and nothing fails."""
    found = resolve(dashboards["canary-rollout.json"], {"__range": "1h"}, lambda *_: [], lambda _: [])

    assert found == {"service": [], "rollout": [], "stable": [], "canary": []}
