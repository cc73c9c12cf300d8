"""A prometheus.yml that is there already."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from canary.errors import GenerateError
from rules.merging import is_prometheus, merged_file
from scripts import golden

RULES = [Path("/srv/generated/prometheus/rules/canary-alerts-corner-shop.rules.yml")]
THEIRS: dict[str, Any] = {
    "global": {"scrape_interval": "1m", "external_labels": {"site": "fra1"}},
    "rule_files": ["rules/*.yml"],
    "alerting": {"alertmanagers": [{"static_configs": [{"targets": ["10.0.0.9:9093"]}]}]},
    "scrape_configs": [
        {"job_name": "node", "static_configs": [{"targets": ["127.0.0.1:9100"]}]},
        {"job_name": "corner-shop", "scheme": "https", "static_configs": [{"targets": ["10.0.0.1:443"]}]},
    ],
}


def merge(theirs: dict[str, Any]) -> dict[str, Any]:
    """Theirs with the parts of two services."""
    return dict(yaml.safe_load(merged_file(theirs, [golden.policy("minimal"), golden.policy("strategy")], RULES)))


def test_theirs_stays_and_ours_is_added_once() -> None:
    """Their global section, rules, Alertmanager and jobs, also one called as the shop; ours by their own intervals."""
    once = merge(THEIRS)

    assert merge(once) == once
    assert (once["global"], once["alerting"]) == (THEIRS["global"], THEIRS["alerting"])
    assert once["scrape_configs"][:2] == THEIRS["scrape_configs"]
    ours = once["scrape_configs"][2:]
    assert {job["scrape_interval"] for job in ours if job["job_name"].startswith("kpi-canary-")} >= {"1s", "5s"}
    assert once["rule_files"] == ["rules/*.yml", str(RULES[0])]


def test_without_an_alertmanager_the_policys_is_named() -> None:
    """An empty file becomes one that sends alerts."""
    assert merge({"scrape_configs": []})["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]


def test_what_is_no_list_of_jobs_is_refused() -> None:
    """And a file of Alertmanager's is none of Prometheus'."""
    with pytest.raises(GenerateError, match="expected a list of jobs"):
        merge({"scrape_configs": {"job_name": "node"}})
    assert not is_prometheus({"global": {}, "route": {}, "receivers": []})
