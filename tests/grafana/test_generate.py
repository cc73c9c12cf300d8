"""What is generated from a policy."""

import copy
import dataclasses
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import grafana
from canary import names
from canary.errors import GenerateError
from canary.policy.database.requestlog import RequestLog
from canary.policy.database.section import Event, Replica
from canary.policy.experiments import Experiment, Variant
from canary.policy.kpis import Mean, Success
from canary.policy.load import load_policy
from canary.policy.model import Policy
from grafana import generate
from grafana.lint import lint, panels
from rules.generate import rule_groups
from tests.grafana.conftest import ROOT
from tests.support.documents.grafana_schema import faults

_COLOURS = {"stable": "#0072B2", "canary": "#E69F00"}


def _queries(dashboard: dict[str, Any]) -> str:
    return "\n".join(target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", []))


def _all(policy: Policy) -> dict[str, dict[str, Any]]:
    return {name: json.loads(text) for name, text in generate.dashboards(policy).items()}


def test_the_same_policy_gives_the_same_bytes(policy: Policy) -> None:
    """Generating twice changes nothing, so that a diff shows only what the policy changed."""
    assert generate.dashboards(policy) == generate.dashboards(copy.deepcopy(policy))


def test_numbers_are_written_as_people_write_them(policy: Policy) -> None:
    """No number shows how a computer stores a tenth."""
    text = "".join(generate.dashboards(policy).values())

    assert not re.search(r"\d\.\d*(0{6}|9{6})\d", text)


def test_the_uids_are_those_that_alerts_link_to(dashboards: dict[str, dict[str, Any]]) -> None:
    """Every dashboard has the stable id of the contract, and no other."""
    assert {dashboard["uid"] for dashboard in dashboards.values()} == set(names.DASHBOARD_UIDS.values())


def test_every_panel_that_alerts_link_to_is_there(policy: Policy) -> None:
    """The dashboard and panel named by an alert exist, under the number that the link has, where its alert does."""
    complete = dataclasses.replace(
        policy,
        database=dataclasses.replace(policy.database, log=RequestLog(file="access.log")),
        signals=dataclasses.replace(policy.signals, query_duration="query_duration_seconds"),
    )
    found = {
        (dashboard["uid"], panel["title"]): panel["id"]
        for dashboard in _all(complete).values()
        for panel in panels(dashboard)
    }

    for key, title in names.ALERT_PANELS.values():
        assert found[names.DASHBOARD_UIDS[key], title] == names.panel_id(title)
    assert set(names.ALERT_PANELS) <= names.ALERTS


def test_a_policy_without_experiments_has_no_dashboard_for_them(policy: Policy) -> None:
    """Nobody is shown a page that can never have data."""
    other = dataclasses.replace(policy, experiments={})

    assert "canary-experiments.json" in generate.dashboards(policy)
    assert "canary-experiments.json" not in generate.dashboards(other)


def test_a_kpi_by_segment_and_a_followed_log_have_panels(policy: Policy) -> None:
    """Where the policy has them, alone or next to a service that has none, and nowhere else."""
    ours = load_policy(ROOT / "tests/golden/policies/custom.yaml")
    wanted = {
        "Payment success rate: proof of harm by segment",
        "Payment success rate: change against stable by segment",
        "Age of the router's log",
        "Lines of the router's log per second",
        "Store of the router's log writable",
    }

    def titles(*policies: Policy) -> set[str]:
        made = generate.dashboards(*policies)
        return {panel["title"] for text in made.values() for panel in panels(json.loads(text))}

    assert wanted <= titles(ours)
    assert wanted <= titles(policy, ours)
    assert not wanted & titles(policy)


def test_the_doubt_about_a_split_has_the_limit_of_its_alert(policy: Policy) -> None:
    """The panel's lines are where CanaryExperimentMismatch fires, however many treatments an experiment has."""
    arms = {name: Variant(weight=1) for name in ("control", "one", "two")}
    few = Experiment(variants={name: arms[name] for name in ("control", "one")}, metrics=("conversion_rate",))
    many = dataclasses.replace(few, variants=arms)
    changed = dataclasses.replace(policy, experiments={"few": few, "many": many})
    title = names.ALERT_PANELS[names.EXPERIMENT_MISMATCH][1]

    (panel,) = (panel for panel in panels(_all(changed)["canary-experiments.json"]) if panel["title"] == title)

    rules = [rule for group in rule_groups(changed)["alerts"]["groups"] for rule in group["rules"]]
    alerts = [rule["expr"] for rule in rules if rule.get("alert") == names.EXPERIMENT_MISMATCH]
    limits = re.findall(r">= ([\d.]+)", " ".join(alerts))
    assert limits == ["2", "2.30103"]
    assert [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1:]] == [2, 2.30103]
    assert "few 2, many 2.3." in panel["description"]


def test_stable_and_canary_keep_their_colours(dashboards: dict[str, dict[str, Any]]) -> None:
    """A line named stable or canary has the same colour on every graph of every dashboard."""
    seen = []

    for dashboard in dashboards.values():
        for panel in dashboard["panels"]:
            colours = {
                rule["matcher"]["options"]: prop["value"]["fixedColor"]
                for rule in panel.get("fieldConfig", {}).get("overrides", [])
                for prop in rule["properties"]
                if rule["matcher"]["id"] == "byFrameRefID" and prop["id"] == "color"
            }
            for target in panel.get("targets", []):
                role = target["legendFormat"].split(" ")[0]
                if role in _COLOURS and "day before" not in target["legendFormat"]:
                    seen.append(colours[target["refId"]] == _COLOURS[role])

    assert len(seen) > 20
    assert all(seen)


def test_every_queried_metric_is_known(policy: Policy, dashboards: dict[str, dict[str, Any]]) -> None:
    """No query names a series of ours that the contract does not have."""
    known = {value for value in vars(names).values() if isinstance(value, str)}
    known |= {names.event_total(event) for event in policy.database.events}
    known |= {names.kpi_gauge(kpi) for kpi in policy.kpis}
    asked = set(re.findall(r"\b(?:canary|shop)_\w+", "\n".join(map(_queries, dashboards.values()))))

    assert {re.sub(r"_bucket$", "", name) for name in asked} <= known


def test_links_carry_variables_and_time(dashboards: dict[str, dict[str, Any]]) -> None:
    """From one dashboard to the others, service, rollout and time stay as they are."""
    for dashboard in dashboards.values():
        (link,) = dashboard["links"]
        assert (link["includeVars"], link["keepTime"], link["tags"]) == (True, True, ["kpi-canary"])


@pytest.mark.parametrize(
    "change",
    [
        {"preset": "haproxy"},
        {"histograms": "native"},
        {"process_selector": 'job="shop"', "selector": 'job="shop"', "node_selector": 'instance="10.0.1.20:9100"'},
        {"version_label": "release", "endpoint_label": "route", "status_label": "code"},
        {"connection_errors": ""},
    ],
)
def test_other_signals_are_drawn_as_well(policy: Policy, change: dict[str, Any]) -> None:
    """HAProxy's series, native histograms, own labels and selectors all give clean dashboards."""
    other = dataclasses.replace(policy, signals=dataclasses.replace(policy.signals, **change))

    found = [fault for name, dashboard in _all(other).items() for fault in [*lint(name, dashboard), *faults(dashboard)]]

    assert found == []


@pytest.mark.parametrize(("percentile", "level"), [("p50", "0.5"), ("p95", "0.95"), ("p99", "0.99")])
def test_where_the_canary_is_slow_is_drawn_by_endpoint(policy: Policy, percentile: str, level: str) -> None:
    """Each percentile has a panel with a line per endpoint; HAProxy's series, which tell none, have no such panel."""
    title = f"Canary's response time, {percentile}, by endpoint"
    haproxy = dataclasses.replace(policy, signals=dataclasses.replace(policy.signals, preset="haproxy"))

    (panel,) = (one for one in panels(_all(policy)["canary-rollout.json"]) if one["title"] == title)
    (target,) = panel["targets"]

    assert target["expr"].startswith(f"histogram_quantile({level}, sum by (le, endpoint) (")
    assert target["legendFormat"] == "{{endpoint}}"
    assert title not in {one["title"] for one in panels(_all(haproxy)["canary-rollout.json"])}


def test_haproxys_series_are_asked_by_backend(policy: Policy) -> None:
    """With the HAProxy preset no query asks for the application's series."""
    other = dataclasses.replace(policy, signals=dataclasses.replace(policy.signals, preset="haproxy"))

    asked = _queries(_all(other)["canary-rollout.json"])

    assert 'haproxy_backend_http_responses_total{proxy="canary", code="5xx"}' in asked
    assert "http_request" not in asked


def test_a_users_own_kpi_gets_its_band_and_its_trend(policy: Policy) -> None:
    """A KPI added to the policy appears on both dashboards without further work."""
    own = Success(kind="success", of="payments", tolerance=0.02, action="rollback")
    other = dataclasses.replace(policy, kpis={**policy.kpis, "refund_free_rate": own})

    found = _all(other)

    assert "Refund free rate: change against stable" in {
        panel["title"] for panel in panels(found["canary-rollout.json"])
    }
    assert "Refund free rate" in {panel["title"] for panel in panels(found["canary-business.json"])}
    assert [fault for name, dashboard in found.items() for fault in lint(name, dashboard)] == []


def test_where_more_is_worse_the_tolerated_change_is_above(policy: Policy) -> None:
    """The line of tolerance lies on the side that hurts."""
    slow = Mean(kind="mean", of="orders", better="lower", tolerance=0.1)
    other = dataclasses.replace(policy, kpis={"checkout_time": slow})

    bands = next(
        panel for panel in panels(_all(other)["canary-rollout.json"]) if panel["title"].startswith("Checkout time")
    )
    limit = next(target["expr"] for target in bands["targets"] if target["legendFormat"] == "tolerated")

    assert not limit.startswith("-")


def test_a_policy_without_shares_or_orders_still_gives_dashboards(policy: Policy) -> None:
    """A shop that only averages something, from one table of its own, gets clean dashboards."""
    events = {"tickets": Event(table="tickets", value="price")}
    other = dataclasses.replace(
        policy,
        kpis={"ticket_price": Mean(kind="mean", of="tickets")},
        database=dataclasses.replace(policy.database, events=events, replica=Replica()),
    )

    found = [fault for name, dashboard in _all(other).items() for fault in [*lint(name, dashboard), *faults(dashboard)]]

    assert found == []


def test_query_times_are_drawn_where_the_shop_measures_them(policy: Policy) -> None:
    """Both versions' 95th percentile, under the line of the normal range; without the histogram there is no panel."""
    title = "Database query time, p95, by version"
    other = dataclasses.replace(
        policy, signals=dataclasses.replace(policy.signals, query_duration="database_query_duration_seconds")
    )

    (panel,) = (one for one in panels(_all(other)["canary-infrastructure.json"]) if one["title"] == title)

    assert ["database_query_duration_seconds_bucket" in target["expr"] for target in panel["targets"]] == [True, True]
    assert policy.signals.info.query_time in {
        step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    }
    assert title not in {one["title"] for one in panels(_all(policy)["canary-infrastructure.json"])}
    assert [fault for name, dashboard in _all(other).items() for fault in lint(name, dashboard)] == []


def test_a_shop_that_counts_no_connection_errors_has_no_panel_for_them(policy: Policy) -> None:
    """Without a name of a counter nothing is asked, rather than everything."""
    other = dataclasses.replace(policy, signals=dataclasses.replace(policy.signals, connection_errors=""))

    titles = {panel["title"] for panel in panels(_all(other)["canary-infrastructure.json"])}

    assert "Replication lag" in titles
    assert "Failed database connections by version" not in titles


def test_every_name_in_the_policy_reaches_promql_unharmed(policy: Policy) -> None:
    """The queries are written for the policy's service by variable, never with its name inside."""
    other = dataclasses.replace(policy, service="another-shop")

    assert "another-shop" not in "".join(generate.dashboards(other).values())


def test_a_fault_in_the_mixin_is_told_with_its_place(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    """What jsonnet says about a missing value reaches the user."""
    monkeypatch.setattr(generate, "dashboards_of", lambda _: {})

    with pytest.raises(GenerateError, match=r"main\.jsonnet.*must provide"):
        generate.dashboards(policy)


def test_the_provisioning_is_what_grafana_reads(policy: Policy) -> None:
    """The data source points at the policy's Prometheus; the provider loads the folder once and for all."""
    files = {name: yaml.safe_load(text) for name, text in generate.provisioning(policy).items()}

    (source,) = files["datasources/kpi-canary.yaml"]["datasources"]
    (provider,) = files["dashboards/kpi-canary.yaml"]["providers"]

    assert (source["type"], source["url"], source["access"]) == ("prometheus", policy.receiver.prometheus, "proxy")
    assert source["jsonData"]["timeInterval"] == "5s"
    assert (provider["type"], provider["folder"], provider["allowUiUpdates"]) == ("file", "Canary", False)
    assert provider["options"]["path"] == generate.DASHBOARDS_PATH
    assert all(content["apiVersion"] == 1 for content in files.values())


def test_rates_are_taken_over_what_is_scraped_least_often(policy: Policy) -> None:
    """A shop scraped every minute has empty panels at `$__rate_interval` of 20 s; services share the data source."""
    slow = dataclasses.replace(
        policy, service="books", signals=dataclasses.replace(policy.signals, shop_scrape_interval=60)
    )

    for policies in ((slow,), (policy, slow)):
        text = generate.provisioning(*policies)["datasources/kpi-canary.yaml"]
        (source,) = yaml.safe_load(text)["datasources"]
        assert source["jsonData"]["timeInterval"] == "60s"


def test_the_config_maps_hold_the_dashboards_for_the_sidecar(policy: Policy) -> None:
    """Each ConfigMap has the sidecar's label, stays under its limit, and holds the very same JSON."""
    plain = generate.dashboards(policy)

    for text in generate.kubernetes(policy).values():
        resource = yaml.safe_load(text)
        ((name, content),) = resource["data"].items()
        assert (resource["apiVersion"], resource["kind"]) == ("v1", "ConfigMap")
        assert resource["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert re.fullmatch(r"[a-z0-9-]{1,63}", resource["metadata"]["name"])
        assert content == plain.pop(name)
        assert len(text.encode()) < 1024 * 1024

    assert plain == {}


def test_the_jsonnet_is_in_form() -> None:
    """jsonnetfmt has nothing to change."""
    files = sorted(Path(grafana.__file__).parent.rglob("*.*sonnet"))
    jsonnetfmt = shutil.which("jsonnetfmt")
    assert jsonnetfmt, "jsonnetfmt is not installed (Debian: apt-get install jsonnet)"

    result = subprocess.run([jsonnetfmt, "--test", *map(str, files)], check=False, capture_output=True, text=True)

    assert (result.returncode, result.stderr) == (0, "")
