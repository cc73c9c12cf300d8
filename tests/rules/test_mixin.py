"""The mixin by itself, as an existing jsonnet setup uses it."""

import dataclasses
import json
import re
from typing import Any

import _jsonnet

from canary.mixin.config import dashboards_config, rules_config
from canary.policy.pinning.digest import digest
from canary.prometheus.promql import metrics
from rules.generate import rule_groups
from scripts import golden


def _evaluate(snippet: str) -> Any:
    return json.loads(_jsonnet.evaluate_snippet("test.jsonnet", snippet, jpathdir=[str(golden.ROOT)]))


def test_its_defaults_are_the_strategys() -> None:
    """config.libsonnet says by hand what the command makes of a policy that only names its service."""
    shop = dataclasses.replace(golden.policy("minimal"), service="shop")

    # Rules that are made by hand go by no policy's file.
    assert _evaluate('(import "rules/mixin.libsonnet")._config') == rules_config(shop, inline=True) | {"digest": ""}


def test_it_gives_the_same_rules_as_the_command() -> None:
    """prometheusAlerts has what `canary generate` writes as alerts, and nothing else; prometheusRules has the rest."""
    shop = dataclasses.replace(golden.policy("minimal"), service="shop")
    commands = rule_groups(shop)
    (first, fast), (people,) = commands["alerts"]["groups"], commands["rules"]["groups"]

    mixin = _evaluate(
        f"local m = (import 'rules/mixin.libsonnet') + {{ _config+:: {{ digest: '{digest(shop)}', inline: false }} }};"
        "{ alerts: m.prometheusAlerts.groups, rules: m.prometheusRules.groups }",
    )

    alerts = [rule for rule in first["rules"] if "alert" in rule]
    inputs = [rule for rule in first["rules"] if "record" in rule]
    assert mixin["alerts"] == [{**first, "rules": alerts}, fast]
    assert mixin["rules"] == [{**first, "name": "canary-inputs-shop", "rules": inputs}, people]


def test_its_alerts_need_no_rule_before_them() -> None:
    """Whatever loads prometheusRules, and when: no alert reads a recorded series; a few rules show what all do."""
    few = "((import 'rules/mixin.libsonnet') + { _config+:: { kpis: [], technical: false } }).prometheusAlerts.groups"

    expressions = [rule["expr"] for group in _evaluate(few) for rule in group["rules"]]

    assert expressions
    assert not any(":" in name for expression in expressions for name in metrics(expression))


def test_it_is_changed_as_any_mixin() -> None:
    """`_config+::` changes what it names and nothing else; other mixins' groups stay next to ours."""
    snippet = """
        local theirs = { prometheusAlerts+:: { groups+: [{ name: 'theirs', rules: [] }] } };
        (theirs + (import 'rules/mixin.libsonnet') + {
          _config+:: { service: 'bookshop', inline: false, critical+: { holdFor: '20s' } },
        }).prometheusAlerts
    """

    groups = _evaluate(snippet)["groups"]

    assert [group["name"] for group in groups] == ["theirs", "canary-bookshop", "canary-fast-bookshop"]
    rules = {rule.get("alert"): rule for rule in groups[1]["rules"]}
    assert rules["CanaryHighErrorRate"]["for"] == "20s"
    assert 'service="bookshop"' in rules["CanaryExporterDown"]["expr"]
    assert rules["CanarySlowResponse"]["for"] == "5m"


def test_its_dashboards_show_the_same_as_the_commands() -> None:
    """By its defaults it configures dashboards as `canary generate` does for a policy that only names its service."""
    shop = dataclasses.replace(golden.policy("minimal"), service="shop")

    assert _evaluate("(import 'mixin.libsonnet')._dashboards") == dashboards_config(shop) | {"service": "shop"}


def test_its_dashboards_follow_its_rules() -> None:
    """Renamed series and labels, other KPIs, none at all: dashboards ask for what the alerts are about."""
    asked = (golden.FOLDER / "mixin" / "queries.txt").read_text()
    without = _evaluate("((import 'mixin.libsonnet') + { _config+:: { kpis: [] } })._dashboards")

    for renamed in ("books_http_requests_total", "books_http_request_seconds_bucket", "shop_gift_wraps_total"):
        assert f"{renamed}{{" in asked
    assert not re.search(r"[^_]http_request|payment_success|[{, ](version|endpoint|status)=\S*code", asked)
    assert (without["kpis"], without["counters"], without["revenue"]) == ([], [], False)


def test_a_changed_window_and_experiment_reach_the_dashboards() -> None:
    """What the rules' half writes as seconds and text, the dashboards' half shows as people read it."""
    changed = """
        ((import 'mixin.libsonnet') + { _config+:: {
          kpiWindowSeconds: '5400',
          signals+: { nodeSelector: 'a="b"' },
          experiments: [{
            name: 'till', control: 'old', guarded: true, compared: false, mismatch: '0.2',
            mismatchThreshold: { text: '2.5' },
          }],
        } })._dashboards
    """

    found = _evaluate(changed)

    assert found["window"] == "90m"
    assert found["signals"]["nodeSelector"] == 'a="b"'
    assert found["experiments"][0]["mismatchThreshold"] == {"text": "2.5", "value": 2.5}
