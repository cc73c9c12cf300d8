"""Several services in one Prometheus, one Alertmanager and one Grafana: what each needs there, and nothing twice."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from canary.errors import CanaryError, GenerateError
from canary.policy import Policy, load_policy
from canaryctl.cli.generate import command
from canaryctl.generated import files_of
from grafana.generate import dashboards
from grafana.lint import lint
from tests.support.documents.crds import faults
from tests.support.programs.processes import SEARCH_PATH

_POLICIES = {
    "shop": "signals: {shop_targets: ['127.0.0.1:9000']}\n",
    "books": """\
signals:
  selector: job="bookapp"
  requests: books_requests_total
  version_label: release
  connection_errors: ""
  scrape_interval: 10s
  critical: {error_rate: 5%}
kpis: {donation_rate: {kind: conversion, from: visits, to: orders, tolerance: 3%, action: rollback}}
""",
    "toys": "signals: {preset: haproxy, haproxy_targets: ['127.0.0.1:8404']}\n",
}
_PEOPLE = {"shop": "shop-on-call", "books": "books-on-call", "toys": "shop-on-call"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three policies, of services whose series have different names."""
    folder = tmp_path_factory.mktemp("policies")
    for service, more in _POLICIES.items():
        receiver = f"receiver: {{url: 'http://127.0.0.1:9878/services/{service}', people: {_PEOPLE[service]}}}\n"
        (folder / f"{service}.yaml").write_text(f"service: {service}\n{receiver}{more}")
    return folder


@pytest.fixture(scope="module")
def policies(folder: Path) -> list[Policy]:
    """The same, read."""
    return [load_policy(path) for path in sorted(folder.iterdir())]


@pytest.fixture(scope="module")
def generated(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command makes of the folder."""
    output = tmp_path_factory.mktemp("generated")
    result = CliRunner().invoke(command, ["--config.file", str(folder), "--output", str(output)])
    assert result.exit_code == 0, result.output
    assert f"written to {output} for 3 services\n" in result.output
    return output


def _run(*argv: str) -> str:
    outcome = subprocess.run(argv, check=False, capture_output=True, text=True, env={"PATH": SEARCH_PATH})
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return outcome.stdout


def test_one_prometheus_scrapes_all_each_as_often_as_its_policy_says(generated: Path) -> None:
    """promtool takes the file with the rules of all; each job says its own pace, whatever `global` is there."""
    file = generated / "prometheus" / "prometheus.yml"
    jobs = {job["job_name"]: job for job in yaml.safe_load(file.read_text())["scrape_configs"]}

    assert "6 rule files found" in _run("promtool", "check", "config", str(file))
    assert {"kpi-canary-exporter-books", "kpi-canary-receiver-toys", "shop", "toys-haproxy"} <= jobs.keys()
    assert jobs["kpi-canary-receiver-toys"]["metrics_path"] == "/services/toys/metrics"
    assert jobs["kpi-canary-exporter-books"]["scrape_interval"] == "10s"
    assert jobs["shop"]["scrape_interval"] == "5s"


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("service=books action=rollback severity=critical alertname=CanaryHighErrorRate", "canary-books,books-on-call"),
        ("service=toys action=advance severity=info alertname=CanaryPhaseComplete", "canary-toys"),
        ("service=books action=rollback severity=critical alertname=CanaryDrill", "canary-books"),
        ("service=books action=none severity=info alertname=CanaryOutOfRange", "books-on-call"),
        ("service=shop action=hold severity=warning alertname=CanaryBlind", "canary-shop,shop-on-call"),
        ("severity=critical alertname=NodeDown", "canary-others"),
    ],
)
def test_one_alertmanager_tells_each_receiver_and_its_people(generated: Path, labels: str, expected: str) -> None:
    """An alert reaches its own service's receiver and people; a drill or somebody else's alert wakes nobody of ours."""
    file = generated / "alertmanager" / "alertmanager.yml"

    assert _run("amtool", "config", "routes", "test", f"--config.file={file}", *labels.split()).strip() == expected


def test_one_set_of_dashboards_asks_for_each_services_own_series(generated: Path) -> None:
    """The lint finds nothing, every KPI has its panel, and series of another name are asked for their service only."""
    found: dict[str, Any] = {
        path.name: json.loads(path.read_text()) for path in (generated / "grafana" / "dashboards").iterdir()
    }
    panels = {panel["title"]: panel for panel in found["canary-rollout.json"]["panels"]}
    errors = panels["Error rate by version"]

    assert [fault for name, dashboard in found.items() for fault in lint(name, dashboard)] == []
    assert {"Donation rate", "Conversion rate"} <= {title.partition(":")[0] for title in panels}
    (_, expression) = [target["expr"] for target in errors["targets"]]
    assert 'books_requests_total{job="bookapp", release="$canary"' in expression
    assert 'http_requests_total{job="$service", version="$canary"' in expression
    for service in _POLICIES:
        assert f'and on (service)\ncanary_policy_info{{service=~"{service}", service="$service"}}' in expression
    assert "rolls back above 5% or 10%" in errors["description"]
    assert [step["value"] for step in errors["fieldConfig"]["defaults"]["thresholds"]["steps"]] == [None, 0.05]


def test_services_that_are_alike_share_their_queries(folder: Path) -> None:
    """Fifty services of one kind make no longer queries than one: the variable stands for their jobs."""
    one = load_policy(folder / "shop.yaml")
    text = "service: shop-eu\nreceiver: {url: 'http://h:9878/services/shop-eu'}\n" + _POLICIES["shop"]
    (folder.parent / "alike.yaml").write_text(text)
    two = load_policy(folder.parent / "alike.yaml")

    assert dashboards(one, two) == dashboards(one)


def test_manifests_of_several_services_have_different_names(policies: list[Policy]) -> None:
    """Applied together none replaces another, and all are what Kubernetes takes."""
    texts = [text for files in files_of(policies, "kubernetes").values() for text in files.values()]
    manifests = [manifest for text in texts for manifest in yaml.safe_load_all(text)]
    named = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]

    assert len(named) == len(set(named))
    assert {name for kind, name in named if kind == "PrometheusRule"} == {"shop-canary", "books-canary", "toys-canary"}
    assert [fault for manifest in manifests for fault in faults(manifest)] == []


@pytest.mark.parametrize(
    ("service", "receiver", "what"),
    [
        ("shop", "http://127.0.0.1:9878/services/other", "two policies are of service shop"),
        ("Shop", "http://127.0.0.1:9878/services/Shop", "would have one name, shop"),
        ("other", "http://127.0.0.1:9878/services/shop/", "url: http://127.0.0.1:9878/services/other"),
    ],
)
def test_services_that_would_be_one_are_refused(
    service: str, receiver: str, what: str, policies: list[Policy], tmp_path: Path
) -> None:
    """One name, one resource or one webhook for two would lose the alerts of one of them."""
    file = tmp_path / "canary.yaml"
    file.write_text(f"service: {service}\nreceiver: {{url: '{receiver}'}}\n")

    with pytest.raises(GenerateError, match=what):
        files_of([*policies, load_policy(file)], "files")


def test_a_folder_without_policies_is_refused(tmp_path: Path) -> None:
    """Nothing is written, which would look like a service without rules."""
    with pytest.raises(CanaryError, match="no policy"):
        CliRunner().invoke(
            command, ["--config.file", str(tmp_path), "--output", str(tmp_path / "out")], catch_exceptions=False
        )
