"""The rules for other homes have the fields that those homes publish, and ask for our verdicts."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from alertmanager.config.kubernetes import alertmanager_config_resource
from canary.mixin.yamltext import dump
from canary.policy.freeze import Freeze
from canary.policy.servers import PrometheusServer
from canaryctl.cli.generate import command
from canaryctl.generated import files_of, remote_files
from rules.generate import rule_groups
from rules.monitors import service_monitors
from rules.targets import analysis_template, judged, metadata, metric_templates, slug, verdict_query
from scripts import golden
from tests.support.documents.crds import faults
from tests.support.programs.promtool import promtool


def _manifests(kind: str) -> list[Mapping[str, Any]]:
    (files,) = files_of([golden.policy(kind)], "kubernetes", labels={"release": "kps"}).values()
    return [manifest for text in files.values() for manifest in yaml.safe_load_all(text)]


@pytest.mark.parametrize("kind", sorted(golden.POLICIES))
def test_manifests_are_what_kubernetes_takes(kind: str) -> None:
    """Every field is one that the published schema has, of its type, and none that it requires is missing."""
    manifests = _manifests(kind)

    assert {manifest["kind"] for manifest in manifests} == {
        "PrometheusRule",
        "ServiceMonitor",
        "AlertmanagerConfig",
        "AnalysisTemplate",
        "MetricTemplate",
        "ConfigMap",
    }
    assert [fault for manifest in manifests for fault in faults(manifest)] == []


def test_a_monitor_selects_what_is_of_its_own_service() -> None:
    """Two shops' monitors select no Service of each other, and push aside no label of ours."""
    shop = golden.policy("minimal")
    receiver = dataclasses.replace(shop.receiver, url="https://canary.example/services/books", ca_file="ca.pem")
    books = dataclasses.replace(shop, service="books", receiver=receiver)

    found = [service_monitors(policy, {}) for policy in (shop, books)]

    selected = [tuple(one["spec"]["selector"]["matchLabels"].items()) for monitors in found for one in monitors]
    endpoints = [endpoint for monitors in found for one in monitors for endpoint in one["spec"]["endpoints"]]
    assert len(set(selected)) == len(selected)
    assert all(endpoint["honorLabels"] for endpoint in endpoints)
    assert [endpoint["params"] for endpoint in found[1][0]["spec"]["endpoints"]] == [{"service": ["books"]}] * 2
    assert endpoints[-1] | {"path": "/services/books/metrics", "scheme": "https"} == endpoints[-1]
    assert endpoints[-1]["tlsConfig"]["serverName"] == "canary.example"
    assert not [fault for monitors in found for one in monitors for fault in faults(one)]


@pytest.mark.parametrize("service", ["Book_Shop.2", "s" * 64, "shop+", "1"])
def test_any_service_gives_names_that_kubernetes_takes(service: str) -> None:
    """Whatever a policy may call the service, names and labels of the manifests are valid."""
    policy = dataclasses.replace(golden.policy("minimal"), service=service)
    (files,) = files_of([policy], "kubernetes").values()

    manifests = [manifest for text in files.values() for manifest in yaml.safe_load_all(text)]
    assert [fault for manifest in manifests for fault in faults(manifest)] == []


@pytest.mark.parametrize(
    ("kind", "path", "value", "place"),
    [
        ("PrometheusRule", ("spec", "groups", 0, "rules", 0, "exprs"), "up", "rules[0].exprs: is no field"),
        ("PrometheusRule", ("spec", "groups", 0, "rules", 0, "expr"), None, "rules[0].expr: is missing"),
        ("PrometheusRule", ("spec", "groups", 0, "interval"), 5, "interval: expected text"),
        ("ServiceMonitor", ("spec", "selector"), None, "spec.selector: is missing"),
        ("ServiceMonitor", ("spec", "endpoints", 0, "honour_labels"), True, "endpoints[0].honour_labels: is no field"),
        ("ServiceMonitor", ("spec", "endpoints", 0, "params", "service"), "shop", "params.service: expected a list"),
        ("PrometheusRule", ("spec", "groups", 0, "interval"), "5 s", "interval: expected 0|"),
        ("PrometheusRule", ("spec", "groups", 1, "name"), "canary-bookshop", "groups: two items are the same"),
        ("AlertmanagerConfig", ("spec", "route", "routes", 0, "groupBy"), "alertname", "groupBy: expected a list"),
        ("AlertmanagerConfig", ("spec", "route", "continue"), "yes", "continue: expected true or false"),
        ("AlertmanagerConfig", ("spec", "receivers", 1, "webhookConfigs", 0, "maxAlerts"), "0", "expected a whole"),
        ("AlertmanagerConfig", ("spec", "inhibitRules", 0, "equal", 0), 1, "equal[0]: expected text"),
        ("AlertmanagerConfig", ("apiVersion",), "monitoring.coreos.com/v1", "apiVersion: expected"),
        ("AnalysisTemplate", ("spec", "metrics", 0, "provider"), None, "metrics[0].provider: is missing"),
        ("AnalysisTemplate", ("spec", "metrics", 0, "interval"), "1d", "interval: expected"),
        ("MetricTemplate", ("spec", "query"), None, "MetricTemplate.spec.query: is missing"),
        ("ConfigMap", ("data",), {"a b": ""}, "data.a b: expected"),
        ("ConfigMap", ("metadata", "labels", "app.kubernetes.io/name"), "a b", "name: expected"),
    ],
)
def test_a_spoilt_manifest_is_found(kind: str, path: tuple[str | int, ...], value: Any, place: str) -> None:
    """Unknown fields, missing ones and wrong types are told with their place; None takes the field away."""
    manifest: Any = next(one for one in _manifests("custom") if one["kind"] == kind)
    parent = manifest
    for key in path[:-1]:
        parent = parent[key]
    if value is None:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value

    (fault,) = faults(manifest)

    assert place in fault


def test_the_operator_gets_every_rule() -> None:
    """The PrometheusRule holds all groups under different names, and the label that the operator selects by."""
    (rule,) = [manifest for manifest in _manifests("strategy") if manifest["kind"] == "PrometheusRule"]

    groups = rule_groups(golden.policy("strategy"))
    assert rule["spec"]["groups"] == groups["alerts"]["groups"] + groups["rules"]["groups"]
    assert len({group["name"] for group in rule["spec"]["groups"]}) == len(rule["spec"]["groups"])
    assert rule["metadata"]["labels"]["release"] == "kps"


def test_the_operators_alertmanager_gets_the_same_routes() -> None:
    """AlertmanagerConfig names the token's secret instead of its file, and keeps routes, order and change freezes."""
    (resource,) = [manifest for manifest in _manifests("custom") if manifest["kind"] == "AlertmanagerConfig"]

    spec = resource["spec"]
    actions = [route["matchers"][1]["value"] for route in spec["route"]["routes"]]
    assert (actions[:3], actions[-2:]) == (["CanaryWatchdog", "rollback", "hold"], ["advance", "critical|warning"])
    assert spec["route"]["routes"][1]["continue"] is True
    (webhook,) = spec["receivers"][1]["webhookConfigs"]
    assert webhook["httpConfig"]["authorization"]["credentials"] == {"name": "bookshop-canary", "key": "webhook-token"}
    names = [interval["name"] for interval in spec["muteTimeIntervals"]]
    assert spec["route"]["routes"][-2]["muteTimeIntervals"] == names


def test_dashboards_come_as_config_maps_for_the_sidecar() -> None:
    """Each dashboard is one ConfigMap with the sidecar's label, below Kubernetes' limit of a mebibyte."""
    maps = [manifest for manifest in _manifests("strategy") if manifest["kind"] == "ConfigMap"]

    assert maps
    for manifest in maps:
        assert manifest["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert len(str(manifest["data"])) < 1024 * 1024


def test_thanos_decides_nothing_on_half_an_answer() -> None:
    """Every group for Thanos Ruler aborts when a store does not answer."""
    (text,) = remote_files(golden.policy("strategy"), "thanos").values()

    groups = yaml.safe_load(text)["groups"]

    assert [group["partial_response_strategy"] for group in groups] == ["abort"] * len(groups)


def test_vmalert_waits_for_nothing_and_chains_nothing() -> None:
    """Every group says that there is no delay, and no alert reads what a rule before it recorded."""
    (text,) = remote_files(golden.policy("minimal"), "victoriametrics").values()

    groups = yaml.safe_load(text)["groups"]
    assert [group["eval_delay"] for group in groups] == ["0s"] * len(groups)
    assert "rollout:canary_rollout_info:running{" not in text


@pytest.mark.parametrize("access", [{"username": "shop", "password_file": "p"}, {"token_file": "t"}, {}])
def test_other_engines_are_let_in_by_the_services_secret(access: dict[str, str]) -> None:
    """Argo takes the header from it and Flagger its own keys; no secret where none is asked for; tenants go along."""
    policy = golden.policy("strategy")
    server = PrometheusServer(url="https://prometheus.example", headers={"X-Scope-OrgID": "shop"}, **access)
    policy = dataclasses.replace(
        policy, service="Sasta_Bazar", receiver=dataclasses.replace(policy.receiver, prometheus=server)
    )
    argo, (flagger, *_) = analysis_template(policy), metric_templates(policy)
    headers = argo["spec"]["metrics"][0]["provider"]["prometheus"]["headers"]

    assert [fault for manifest in (argo, flagger) for fault in faults(manifest)] == []
    assert headers[0] == {"key": "X-Scope-OrgID", "value": "shop"}
    assert [header["value"] for header in headers[1:]] == (["{{args.authorization}}"] if access else [])
    found = [arg["valueFrom"]["secretKeyRef"]["name"] for arg in argo["spec"]["args"][1:]]
    assert found == (["sasta-bazar-prometheus"] if access else [])
    assert flagger["spec"]["provider"].get("secretRef", {}).get("name") == (found[0] if found else None)


def test_the_operators_alertmanager_has_freezes_of_any_kind_but_no_zone() -> None:
    """Days and months go along as the operator writes them; a freeze in a time zone is left to the receiver."""
    freezes = (
        Freeze(days_of_month=("1:5", "-1"), months=("december",)),
        Freeze(weekdays=("friday",), location="Europe/Berlin"),
    )
    policy = golden.policy("strategy")
    policy = dataclasses.replace(
        policy, receiver=dataclasses.replace(policy.receiver, freeze=freezes, ca_file="ca.crt")
    )
    resource = alertmanager_config_resource(policy, metadata(policy, "", {}))

    assert faults(resource) == []
    (interval,) = resource["spec"]["muteTimeIntervals"]
    assert interval["timeIntervals"] == [
        {"months": ["december"], "daysOfMonth": [{"start": 1, "end": 5}, {"start": -1, "end": -1}]}
    ]
    muted = [
        route["muteTimeIntervals"] for route in resource["spec"]["route"]["routes"] if "muteTimeIntervals" in route
    ]
    assert muted == [[interval["name"]]]
    tls = resource["spec"]["receivers"][1]["webhookConfigs"][0]["httpConfig"]["tlsConfig"]
    assert tls == {"ca": {"secret": {"name": "sastabazar-canary", "key": "ca.crt"}}}


def test_mimir_gets_a_namespace() -> None:
    """The rule file for mimirtool has a namespace of the service's own next to the groups."""
    (text,) = remote_files(golden.policy("custom"), "mimir").values()

    data = yaml.safe_load(text)

    assert data.keys() == {"namespace", "groups"}
    assert data["namespace"] == "canary-bookshop"


def test_argo_fails_on_proven_harm_alone_and_pauses_when_blind() -> None:
    """One failed measurement is enough, since evidence may be looked at at any time; no value is inconclusive."""
    metrics = analysis_template(golden.policy("strategy"))["spec"]["metrics"]

    assert [metric["name"] for metric in metrics] == [slug(kpi) for kpi in judged(golden.policy("strategy"))]
    for metric in metrics:
        assert metric["failureCondition"] == "len(result) > 0 && result[0] < 0"
        assert metric["successCondition"] == "len(result) > 0 && result[0] >= 0"
        assert (metric["failureLimit"], metric["inconclusiveLimit"]) == (0, 0)


@pytest.mark.parametrize(("verdict", "value"), [("pass", 1), ("hold", 0), ("fail", -1), ("blind", None), ("", None)])
def test_the_query_turns_a_verdict_into_a_number(verdict: str, value: int | None, tmp_path: Path) -> None:
    """1 for passed, 0 for nothing proven, -1 for harm, and nothing at all when the judge is blind or gone."""
    policy = golden.policy("strategy")
    own = f'service="{policy.service}",kpi="conversion_rate"'
    series = [
        {
            "series": f'canary_kpi_verdict{{{own},rollout="{rollout}",verdict="{one}"}}',
            # The earlier rollout's series ended without a stale marker, so that Prometheus still answers them.
            "values": str(int(one == said)) if rollout == "earlier" else f"_ {int(one == said)}",
        }
        for rollout, said in (("earlier", "fail"), ("present", verdict))
        for one in ("pass", "fail", "hold", "blind")
        if verdict
    ]
    question = {
        "expr": verdict_query(policy, "conversion_rate"),
        "eval_time": "5s",
        "exp_samples": [] if value is None else [{"labels": "{}", "value": value}],
    }
    file = tmp_path / "test.yml"
    test = {"interval": "5s", "input_series": series, "promql_expr_test": [question]}
    # promtool loads only the samples up to its last evaluation, and evaluates every minute unless told otherwise.
    file.write_text(dump({"evaluation_interval": "5s", "tests": [test]}))

    outcome = promtool("test", "rules", file)

    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("files", "prometheus/rules/canary-alerts-corner-shop.rules.yml"),
        ("kubernetes", "kubernetes/prometheusrule.yaml"),
        ("mimir", "mimir/canary-corner-shop.rules.yml"),
        ("thanos", "thanos/canary-corner-shop.rules.yml"),
    ],
)
def test_the_command_writes_each_format(target: str, found: str, tmp_path: Path) -> None:
    """`canary generate --format` writes the files of its format below the output folder, and says how many."""
    policy = str(golden.POLICIES["minimal"])

    result = CliRunner().invoke(
        command, ["--config.file", policy, "--output", str(tmp_path / "out"), "--format", target]
    )

    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / found).is_file()
    assert f"files written to {tmp_path / 'out'}" in result.output


def test_a_label_without_a_value_is_wrong_usage(tmp_path: Path) -> None:
    """`--label` says what it expects."""
    arguments = ["--config.file", str(golden.POLICIES["minimal"]), "--output", str(tmp_path), "--format", "kubernetes"]

    result = CliRunner().invoke(command, [*arguments, "--label", "release"])

    assert result.exit_code == 2
    assert "expected NAME=VALUE, found 'release'" in result.output


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file where a folder is expected ends with a message, not with a traceback."""
    (tmp_path / "file").write_text("")
    arguments = ["--config.file", str(golden.POLICIES["minimal"]), "--output", str(tmp_path / "file" / "out")]

    result = CliRunner().invoke(command, arguments)

    assert "cannot be written" in str(result.exception)
