"""A prometheus.yml that is there already."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from canary.errors import GenerateError
from canary.policy import load_policy
from rules.generate import alerts_file, recording_file
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


def test_a_password_that_they_gave_to_a_job_of_ours_stays() -> None:
    """The policy knows no password of exporter or receiver; what is ours about the job is renewed all the same."""
    once = merge(THEIRS)
    [job] = [job for job in once["scrape_configs"] if job["job_name"] == "kpi-canary-receiver-corner-shop"]
    access = {
        "basic_auth": {"username": "prometheus", "password_file": "/etc/password"},
        "tls_config": {"ca_file": "/ca"},
    }
    job |= access | {"scrape_interval": "5m"}

    [again] = [job for job in merge(once)["scrape_configs"] if job["job_name"] == "kpi-canary-receiver-corner-shop"]

    assert {key: again[key] for key in access} == access
    assert again["scrape_interval"] != "5m"


def test_a_clients_certificate_stays_beside_the_authority_that_the_policy_names(tmp_path: Path) -> None:
    """A receiver that asks for one is scraped after each merge, and its authority is the policy's newest."""
    file = tmp_path / "canary.yaml"
    file.write_text("service: shop\nreceiver: {url: 'https://canary.internal:9878', ca_file: new.crt}\n")
    tls = {"ca_file": "/etc/old.crt", "cert_file": "/etc/client.crt", "key_file": "/etc/client.key"}
    theirs = {"scrape_configs": [{"job_name": "kpi-canary-receiver-shop", "scheme": "https", "tls_config": tls}]}

    jobs = yaml.safe_load(merged_file(theirs, [load_policy(file)], RULES))["scrape_configs"]

    [receiver] = [job for job in jobs if job["job_name"] == "kpi-canary-receiver-shop"]
    assert receiver["tls_config"] == tls | {"ca_file": str(tmp_path / "new.crt")}


def test_rules_of_another_folder_are_not_loaded_twice() -> None:
    """What was generated elsewhere before is renewed; a rule file of theirs stays."""
    before = ["/srv/old/" + RULES[0].name, "/srv/shop.rules.yml"]
    assert merge(THEIRS | {"rule_files": before})["rule_files"] == ["/srv/shop.rules.yml", str(RULES[0])]


def test_a_service_that_is_no_more_is_taken_out_of_their_file() -> None:
    """Its jobs would be scraped for ever, its rules read from a file that is gone; the shop's job may be theirs."""
    gone = golden.policy("strategy")
    rules = [Path("/srv/generated/prometheus/rules", file(gone.service)) for file in (alerts_file, recording_file)]
    with_it = yaml.safe_load(merged_file(THEIRS, [golden.policy("minimal"), gone], [*RULES, *rules]))

    without = yaml.safe_load(merged_file(with_it, [golden.policy("minimal")], RULES, removed=[gone.service]))

    assert [job["job_name"] for job in with_it["scrape_configs"] if "canary" in job["job_name"]] != [
        job["job_name"] for job in without["scrape_configs"] if "canary" in job["job_name"]
    ]
    assert not [job for job in without["scrape_configs"] if gone.service in job["job_name"].removeprefix(gone.service)]
    assert without["rule_files"] == ["rules/*.yml", str(RULES[0])]
    assert without["scrape_configs"][:2] == THEIRS["scrape_configs"]


def test_without_an_alertmanager_the_policys_is_named() -> None:
    """An empty file becomes one that sends alerts."""
    assert merge({"scrape_configs": []})["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]


@pytest.mark.parametrize(
    ("section", "found"),
    [
        ("scrape_configs", {"job_name": "node"}),
        ("scrape_configs", [None]),
        ("rule_files", "rules/*.yml"),
        ("rule_files", [{"name": "rules"}]),
        ("alerting", ["10.0.0.9:9093"]),
        ("alerting", {"alertmanagers": "10.0.0.9:9093"}),
    ],
)
def test_what_prometheus_would_not_take_is_refused_by_its_section(section: str, found: Any) -> None:
    """It was torn into letters, or ended in a traceback."""
    with pytest.raises(GenerateError, match=r"expected a (list of (mappings|texts)|mapping)") as refused:
        merge({"scrape_configs": [], section: found})
    assert refused.value.place in (f"merge: {section}", "merge: alertmanagers")


def test_an_odd_name_of_a_job_is_theirs() -> None:
    """Prometheus says what is wrong with it."""
    odd = {"job_name": ["node"]}
    assert odd in merge({"scrape_configs": [odd]})["scrape_configs"]


def test_a_file_of_alertmanagers_is_none_of_prometheus() -> None:
    """Both have a global section."""
    assert not is_prometheus({"global": {}, "route": {}, "receivers": []})
