"""Links from alerts to dashboards, as a real Prometheus writes them."""

import json
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from canary import names
from canary.policy.model import Policy
from rules.generate import alerts_file, prometheus_files
from tests.support.programs.prometheus import Prometheus

_CONFIGURATION = "global: {{evaluation_interval: 200ms}}\nrule_files: [{rules}]\n"


def _alert(server: Prometheus) -> dict[str, Any]:
    """The first alert that fires."""
    deadline = time.monotonic() + 20
    while True:
        with urllib.request.urlopen(f"{server.url}/api/v1/alerts", timeout=30) as response:
            alerts = json.load(response)["data"]["alerts"]
        if alerts:
            first: dict[str, Any] = alerts[0]
            return first
        assert time.monotonic() < deadline, "no alert fires"
        time.sleep(0.1)


def test_an_alert_links_to_its_panel_from_an_hour_before_on(policy: Policy, tmp_path: Path) -> None:
    """The address names service, rollout and panel, and begins an hour before the alert, in milliseconds."""
    groups = yaml.safe_load(prometheus_files(policy)[f"rules/{alerts_file(policy.service)}"])["groups"]
    rule = next(rule for group in groups for rule in group["rules"] if rule.get("alert") == names.HIGH_ERROR_RATE)
    fires = {**rule, "expr": 'label_replace(vector(1), "rollout", "r1", "", "")', "for": "0s"}
    rules = tmp_path / "rules.yml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "one", "rules": [fires]}]}))

    with Prometheus(_CONFIGURATION.format(rules=rules)) as server:
        alert = _alert(server)

    link = urllib.parse.urlsplit(alert["annotations"]["dashboard_url"])
    asked = dict(urllib.parse.parse_qsl(link.query))
    title = names.ALERT_PANELS[names.HIGH_ERROR_RATE][1]
    assert link.path == "/d/kpi-canary-rollout"
    assert asked["var-service"] == policy.service
    assert asked["var-rollout"] == "r1"
    assert asked["viewPanel"] == str(names.panel_id(title))
    assert abs(int(asked["from"]) / 1000 - (time.time() - 3600)) < 60
