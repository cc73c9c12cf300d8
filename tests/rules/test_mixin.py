"""The mixin by itself, as an existing jsonnet setup uses it."""

import dataclasses
import json
from typing import Any

import _jsonnet

from canary.mixin.config import rules_config
from canary.policy.pinning.digest import digest
from rules.generate import rule_groups
from scripts import golden


def _evaluate(snippet: str) -> Any:
    return json.loads(_jsonnet.evaluate_snippet("test.jsonnet", snippet, jpathdir=[str(golden.ROOT)]))


def test_its_defaults_are_the_strategys() -> None:
    """config.libsonnet says by hand what the command makes of a policy that only names its service."""
    shop = dataclasses.replace(golden.policy("minimal"), service="shop")

    # Rules that are made by hand go by no policy's file.
    assert _evaluate('(import "rules/mixin.libsonnet")._config') == rules_config(shop) | {"digest": ""}


def test_it_gives_the_same_rules_as_the_command() -> None:
    """prometheusAlerts and prometheusRules are what `canary generate` writes, given the policy's digest."""
    shop = dataclasses.replace(golden.policy("minimal"), service="shop")
    commands = rule_groups(shop)

    mixin = _evaluate(
        f"local m = (import 'mixin.libsonnet') + {{ _config+:: {{ digest: '{digest(shop)}' }} }};"
        "{ alerts: m.prometheusAlerts, rules: m.prometheusRules }",
    )

    assert mixin == commands


def test_it_is_changed_as_any_mixin() -> None:
    """`_config+::` changes what it names and nothing else; other mixins' groups stay next to ours."""
    snippet = """
        local theirs = { prometheusAlerts+:: { groups+: [{ name: 'theirs', rules: [] }] } };
        (theirs + (import 'rules/mixin.libsonnet') + {
          _config+:: { service: 'bookshop', critical+: { holdFor: '20s' } },
        }).prometheusAlerts
    """

    groups = _evaluate(snippet)["groups"]

    assert [group["name"] for group in groups] == ["theirs", "canary-bookshop", "canary-fast-bookshop"]
    rules = {rule.get("alert"): rule for rule in groups[1]["rules"]}
    assert rules["CanaryHighErrorRate"]["for"] == "20s"
    assert 'service="bookshop"' in rules["CanaryExporterDown"]["expr"]
    assert rules["CanarySlowResponse"]["for"] == "5m"


def test_it_brings_the_dashboards() -> None:
    """grafanaDashboards holds a dashboard per file name."""
    dashboards = _evaluate('std.objectFields((import "mixin.libsonnet").grafanaDashboards)')

    assert "canary-rollout.json" in dashboards
