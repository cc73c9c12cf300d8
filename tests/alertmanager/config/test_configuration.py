"""alertmanager.yml: sound to amtool, and each alert goes where it belongs."""

import dataclasses
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from alertmanager.config.configuration import alertmanager_config, alertmanager_file, merged
from canary import names
from canary.errors import GenerateError
from canary.policy import Policy, load_policy
from canary.policy.freeze import ClockRange, Freeze
from rules.generate import rule_groups
from scripts import golden
from tests.support.programs.processes import SEARCH_PATH

_THEIRS = """\
global:
  resolve_timeout: 3m
templates: [/etc/alertmanager/*.tmpl]
route:
  receiver: mail
  group_by: [alertname]
  routes:
    - matchers: [severity="critical"]
      receiver: pager
    - matchers: [team="books"]
      receiver: books-on-call
inhibit_rules:
  - source_matchers: [alertname="NodeDown"]
    target_matchers: [severity="warning"]
    equal: [instance]
receivers:
  - name: mail
  - name: pager
  - name: books-on-call
time_intervals:
  - name: nights
    time_intervals: [{times: [{start_time: "22:00", end_time: "24:00"}]}]
"""


def _amtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = ["amtool", *arguments]
    return subprocess.run(argv, check=False, capture_output=True, text=True, env={"PATH": SEARCH_PATH})


def _receivers(file: Path, labels: dict[str, str]) -> set[str]:
    """Who gets an alert with these labels, as amtool says."""
    outcome = _amtool(
        "config", "routes", "test", f"--config.file={file}", *(f"{key}={value}" for key, value in labels.items())
    )
    assert outcome.returncode == 0, outcome.stderr
    return set(outcome.stdout.strip().split(","))


def _alerts(policy: Policy) -> Iterator[dict[str, str]]:
    """The labels of every alert rule, as they would be while a rollout runs: what a template asks for is filled in."""
    for group in rule_groups(policy)["alerts"]["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                labels = {"alertname": rule["alert"], "rollout": "r-1", **rule["labels"]}
                yield {key: re.sub(r"{{.*?}}", "x", value) for key, value in labels.items()}


@pytest.mark.parametrize("kind", sorted(golden.POLICIES))
def test_amtool_takes_it(kind: str, tmp_path: Path) -> None:
    """Debian's amtool 0.25 finds no fault in the configuration of any policy."""
    file = tmp_path / "alertmanager.yml"
    file.write_text(alertmanager_file(golden.policy(kind)))

    outcome = _amtool("check-config", str(file))

    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def _wanted(policy: Policy, labels: dict[str, str]) -> set[str]:
    guard = f"canary-{policy.service}"
    people = policy.receiver.people or f"{guard}-people"
    if labels["alertname"] in (names.WATCHDOG, names.DRILL) or labels[names.ACTION] == "advance":
        return {guard}
    return {guard, people} if labels[names.ACTION] in ("rollback", "hold", "stop") else {people}


@pytest.mark.parametrize("kind", sorted(golden.POLICIES))
def test_every_alert_goes_where_it_belongs(kind: str, tmp_path: Path) -> None:
    """What acts reaches the receiver and people, heartbeat, drill and advance the receiver alone, all else people."""
    policy = golden.policy(kind)
    file = tmp_path / "alertmanager.yml"
    file.write_text(alertmanager_file(policy))

    wrong = {
        labels["alertname"]: found
        for labels in _alerts(policy)
        if (found := _receivers(file, labels)) != _wanted(policy, labels)
    }

    assert wrong == {}


def test_another_services_alerts_do_not_reach_the_receiver(tmp_path: Path) -> None:
    """Two services share an Alertmanager without acting on each other's alerts."""
    file = tmp_path / "alertmanager.yml"
    file.write_text(alertmanager_file(golden.policy("strategy")))

    found = _receivers(file, {"alertname": names.HIGH_ERROR_RATE, "action": "rollback", "service": "bookshop"})

    assert found == {"canary-sastabazar-people"}


def test_the_receiver_is_told_at_once() -> None:
    """Nothing that acts waits in a group, and a group is never larger than a rollout, or experiment, and an action."""
    config = alertmanager_config(golden.policy("strategy"))

    acting = [route for route in config["route"]["routes"] if route["receiver"] == "canary-sastabazar"]

    assert len(acting) == 5
    assert all(route["group_wait"] == "0s" and route["group_interval"] == "10s" for route in acting)
    assert [route["group_by"] for route in acting[1:3]] == [["service", "rollout", "action"]] * 2


def test_secrets_stay_in_their_file() -> None:
    """The webhook's token is named by file; resolved alerts are sent and none is left out."""
    config = alertmanager_config(golden.policy("strategy"))

    (webhook,) = config["receivers"][1]["webhook_configs"]

    assert webhook == {
        "url": "http://127.0.0.1:9878/alertmanager",
        "send_resolved": True,
        "max_alerts": 0,
        "http_config": {
            "authorization": {"type": "Bearer", "credentials_file": "/etc/kpi-canary/secrets/webhook-token"}
        },
    }


def test_the_heartbeat_comes_often_enough() -> None:
    """Two heartbeats may be lost before the receiver calls it silence."""
    policy = golden.policy("strategy")
    watchdog = dataclasses.replace(policy.receiver.watchdog, timeout=90)
    short = dataclasses.replace(policy, receiver=dataclasses.replace(policy.receiver, watchdog=watchdog))

    (route, *_) = alertmanager_config(short)["route"]["routes"]

    assert route["matchers"][1] == 'alertname="CanaryWatchdog"'
    assert route["repeat_interval"] == "30s"


def test_blindness_keeps_back_comparisons_but_never_floors() -> None:
    """A blind judge's relative alerts are inhibited; payment success below its floor and errors are not."""
    rules = alertmanager_config(golden.policy("strategy"))["inhibit_rules"]

    (blind,) = [rule for rule in rules if 'alertname="CanaryBlind"' in rule["source_matchers"]]

    (targets,) = [matcher for matcher in blind["target_matchers"] if matcher.startswith("alertname=~")]
    assert names.PAYMENT_SUCCESS_LOW not in targets
    assert names.HIGH_ERROR_RATE not in targets
    assert 'limit!="floor"' in blind["target_matchers"]
    assert all(rule["equal"] == ["service", "rollout"] for rule in rules)


def test_a_change_freeze_mutes_the_advance_only() -> None:
    """In frozen times nobody gets more traffic, and rollbacks go on."""
    config = alertmanager_config(golden.policy("custom"))

    muted = [route for route in config["route"]["routes"] if "mute_time_intervals" in route]

    assert [route["matchers"][1] for route in muted] == ['action="advance"']
    assert muted[0]["mute_time_intervals"] == [interval["name"] for interval in config["time_intervals"]]


def test_merging_keeps_what_is_theirs(tmp_path: Path) -> None:
    """Their settings, routes, inhibitions, receivers and time intervals stay as they are; amtool takes the result."""
    file = tmp_path / "theirs.yml"
    file.write_text(_THEIRS)
    theirs = yaml.safe_load(_THEIRS)

    text = alertmanager_file(golden.policy("custom"), merge=file)

    merged = yaml.safe_load(text)
    assert merged["global"] == theirs["global"]
    assert merged["templates"] == theirs["templates"]
    assert {**merged["route"], "routes": None} == {**theirs["route"], "routes": None}
    for section in ("inhibit_rules", "receivers", "time_intervals"):
        assert all(part in merged[section] for part in theirs[section])
    assert merged["route"]["routes"][-2:] == theirs["route"]["routes"]
    result = tmp_path / "alertmanager.yml"
    result.write_text(text)
    assert _amtool("check-config", str(result)).returncode == 0


def test_merging_lets_their_own_routes_tell_people(tmp_path: Path) -> None:
    """Without receiver.people a rollback reaches the receiver, and then whoever gets critical alerts."""
    file, result = tmp_path / "theirs.yml", tmp_path / "alertmanager.yml"
    file.write_text(_THEIRS)
    policy = golden.policy("strategy")
    result.write_text(alertmanager_file(policy, merge=file))
    labels = {"alertname": "x", "service": policy.service, "severity": "critical"}

    assert _receivers(result, labels | {"action": "rollback"}) == {"canary-sastabazar", "pager"}
    assert _receivers(result, labels | {"action": "none"}) == {"pager"}


def test_merging_twice_is_merging_once(tmp_path: Path) -> None:
    """Our own parts of an earlier merge are renewed, not repeated."""
    file = tmp_path / "alertmanager.yml"
    file.write_text(_THEIRS)
    policy = golden.policy("custom")

    file.write_text(alertmanager_file(policy, merge=file))
    once = file.read_text()

    assert alertmanager_file(policy, merge=file) == once


def test_a_route_of_theirs_that_spares_drills_stays(tmp_path: Path) -> None:
    """For our alerts too: only what has just our matchers is ours, and a route that was lost would page nobody."""
    pager = {"matchers": ['service="bookshop"', 'severity="critical"', 'alertname!="CanaryDrill"'], "receiver": "pager"}
    file = tmp_path / "theirs.yml"
    file.write_text(
        yaml.safe_dump(
            {
                "route": {"receiver": "pager", "routes": [pager]},
                "receivers": [{"name": "pager"}, {"name": "books-on-call"}],
            }
        )
    )
    for _ in range(3):
        file.write_text(alertmanager_file(golden.policy("custom"), merge=file))

    assert yaml.safe_load(file.read_text())["route"]["routes"][-1] == pager


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        ("", {"basic_auth": {"username": "alertmanager", "password_file": "/password"}}),
        ("token_file: token", {}),  # Alertmanager does not start with two
    ],
)
def test_what_gets_alertmanager_into_the_receiver_stays(policy: str, kept: dict[str, Any], tmp_path: Path) -> None:
    """What the receiver's web configuration asks for is written by hand, and after each merge still there."""
    (tmp_path / "canary.yaml").write_text(
        f"service: shop\nreceiver: {{url: 'https://canary.internal:9878', ca_file: ca.crt, {policy}}}\n"
    )
    shop = load_policy(tmp_path / "canary.yaml")
    file = tmp_path / "theirs.yml"
    file.write_text("route: {receiver: on-call}\nreceivers: [{name: on-call}]\n")
    file.write_text(alertmanager_file(shop, merge=file))
    theirs = yaml.safe_load(file.read_text())
    access = theirs["receivers"][-1]["webhook_configs"][0]["http_config"]
    generated = dict(access)
    access |= {"basic_auth": {"username": "alertmanager", "password_file": "/password"}, "proxy_url": "http://proxy:1"}
    access["tls_config"] = access["tls_config"] | {"cert_file": "/client.crt", "key_file": "/client.key"}
    for _ in range(3):
        file.write_text(yaml.safe_dump(theirs))
        theirs = yaml.safe_load(alertmanager_file(shop, merge=file))

    tls = {"ca_file": str(tmp_path / "ca.crt"), "cert_file": "/client.crt", "key_file": "/client.key"}
    assert theirs["receivers"][-1]["webhook_configs"][0]["http_config"] == (
        generated | kept | {"proxy_url": "http://proxy:1", "tls_config": tls}
    )
    file.write_text(yaml.safe_dump(theirs))
    assert _amtool("check-config", str(file)).returncode == 0


def test_two_services_merge_into_one_file(tmp_path: Path) -> None:
    """The second service's parts stand next to the first's."""
    file = tmp_path / "alertmanager.yml"
    file.write_text(_THEIRS)
    for kind in ("strategy", "custom"):
        file.write_text(alertmanager_file(golden.policy(kind), merge=file))
    labels = {"alertname": "x", "action": "rollback", "severity": "critical"}

    assert _amtool("check-config", str(file)).returncode == 0
    assert "canary-sastabazar" in _receivers(file, labels | {"service": "sastabazar"})
    assert "canary-bookshop" in _receivers(file, labels | {"service": "bookshop"})


def test_a_service_that_is_no_more_is_taken_out_of_their_file(tmp_path: Path) -> None:
    """Routes, inhibitions, webhook and freezes of it go; of the others, and of theirs, nothing does."""
    file = tmp_path / "alertmanager.yml"
    file.write_text(_THEIRS)
    file.write_text(alertmanager_file(golden.policy("strategy"), merge=file))
    without = yaml.safe_load(file.read_text())
    file.write_text(alertmanager_file(golden.policy("strategy"), golden.policy("custom"), merge=file))
    assert "canary-bookshop" in file.read_text()

    file.write_text(alertmanager_file(golden.policy("strategy"), merge=file, removed=["bookshop"]))

    assert yaml.safe_load(file.read_text()) == without
    assert _amtool("check-config", str(file)).returncode == 0


def test_merging_leaves_what_others_wrote_about_the_service(tmp_path: Path) -> None:
    """A team's own route and inhibition for the service stay, and so does the freeze of a service of a longer name."""
    file = tmp_path / "alertmanager.yml"
    file.write_text(
        _THEIRS.replace('team="books"', 'service="bookshop"').replace('severity="warning"', 'service="bookshop"')
    )
    policy = golden.policy("custom")
    longer = dataclasses.replace(policy, service="bookshop-eu")

    merged = yaml.safe_load(alertmanager_file(longer, policy, policy, merge=file))

    assert {"matchers": ['service="bookshop"'], "receiver": "books-on-call"} in merged["route"]["routes"]
    assert merged["inhibit_rules"][0]["source_matchers"] == ['alertname="NodeDown"']
    own = [interval["name"] for interval in merged["time_intervals"]]
    assert {"canary-bookshop-freeze-0", "canary-bookshop-eu-freeze-0", "nights"} <= {*own}
    assert len(own) == len({*own})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("receivers: []\n", "neither `route`"),
        ("- a list\n", "expected a mapping"),
        ("route: [", "not valid YAML"),
        ("since: 2026-99-99", "neither `route`"),  # a text to us: what it means, its own program knows
        pytest.param("[" * 5000, "not valid YAML", id="deep"),
        ("route: {receiver: mail}\nreceivers: [{name: mail}]\n", "known are mail"),
    ],
)
def test_what_cannot_be_merged_into_is_refused(text: str, found: str, tmp_path: Path) -> None:
    """A file that is no Alertmanager configuration, or lacks the receiver for people, is named with its fault."""
    file = tmp_path / "theirs.yml"
    file.write_text(text)

    with pytest.raises(GenerateError, match=found):
        alertmanager_file(golden.policy("custom"), merge=file)


def test_a_missing_file_to_merge_into_is_named(tmp_path: Path) -> None:
    """The message says which file and why."""
    with pytest.raises(GenerateError, match=r"none\.yml: cannot be read"):
        alertmanager_file(golden.policy("custom"), merge=tmp_path / "none.yml")


def _with_freeze(*freeze: str | Freeze) -> Policy:
    policy = golden.policy("strategy")
    return dataclasses.replace(policy, receiver=dataclasses.replace(policy.receiver, freeze=freeze))


def _intervals(policy: Policy) -> list[Any]:
    return [interval["time_intervals"] for interval in alertmanager_config(policy)["time_intervals"]]


def test_freezes_are_written_as_people_write_them(tmp_path: Path) -> None:
    """`mon-fri 18:00-24:00` and `sat,sun` become time intervals that amtool takes."""
    policy = _with_freeze("mon-fri 18:00-24:00", "Sat,sun")

    file = tmp_path / "alertmanager.yml"
    file.write_text(alertmanager_file(policy))

    assert _intervals(policy) == [
        [{"weekdays": ["monday:friday"], "times": [{"start_time": "18:00", "end_time": "24:00"}]}],
        [{"weekdays": ["saturday", "sunday"]}],
    ]
    assert _amtool("check-config", str(file)).returncode == 0


def test_a_week_that_ends_on_sunday_is_valid(tmp_path: Path) -> None:
    """Alertmanager's week begins on Sunday: `mon-sun`, `sat-sun` and `fri-mon` become ranges that amtool takes."""
    path = tmp_path / "alertmanager.yml"
    for freeze in ("mon-sun 22:00-24:00", "sat-sun", "fri-mon", "sun-mon", "sun"):
        path.write_text(alertmanager_file(_with_freeze(freeze)), encoding="utf-8")
        subprocess.run(["amtool", "check-config", path], check=True, capture_output=True)


def test_freezes_in_alertmanagers_grammar_are_written_as_they_stand(tmp_path: Path) -> None:
    """Whatever the policy takes, amtool takes: times, days, months, years and a zone."""
    freeze = Freeze(
        name="Sale",
        times=(ClockRange(start_time="18:00", end_time="24:00"),),
        weekdays=("Monday : friday", "sunday"),
        days_of_month=("1:5", "-3:-1", "20:-1"),
        months=("november:december", "1:3", "7"),
        years=("2026", "2027:2028"),
        location="Europe/Berlin",
    )
    path = tmp_path / "alertmanager.yml"
    path.write_text(alertmanager_file(_with_freeze(freeze)), encoding="utf-8")

    assert _amtool("check-config", str(path)).returncode == 0
    ((written,),) = _intervals(_with_freeze(freeze))
    assert written["days_of_month"] == ["1:5", "-3:-1", "20:-1"]
    assert (written["weekdays"], written["location"]) == (["Monday:friday", "sunday"], "Europe/Berlin")


@pytest.mark.parametrize("section", ["receivers", "inhibit_rules", "time_intervals"])
def test_a_section_that_is_no_list_is_refused_by_its_name(section: str) -> None:
    """It ended in a traceback."""
    policy = golden.policy("strategy")
    with pytest.raises(GenerateError, match="expected a list of mappings") as refused:
        merged({"route": {"receiver": "on-call"}, section: ["on-call"]}, alertmanager_config(policy), policy)
    assert refused.value.place == f"merge: {section}"
