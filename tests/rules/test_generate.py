"""Rules are generated whole, sound to promtool, and with the numbers of the policy."""

import dataclasses
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from canary import names
from canary.policy import Policy, load_policy
from canary.policy.release import Phase
from canary.policy.signals import AlertOverride
from rules.generate import prometheus_files, rule_groups
from tests.support import golden
from tests.support.processes import SEARCH_PATH

_KINDS = ("strategy", "minimal", "custom", "haproxy", "native")


def _policy(kind: str) -> Policy:
    if kind in golden.POLICIES:
        return golden.policy(kind)
    minimal = golden.policy("minimal")
    changes: dict[str, Any] = {"preset": "haproxy"} if kind == "haproxy" else {"histograms": "native"}
    return dataclasses.replace(minimal, signals=dataclasses.replace(minimal.signals, **changes))


def _rules(policy: Policy, **how: bool) -> list[dict[str, Any]]:
    groups = rule_groups(policy, **how)
    return [rule for file in groups.values() for group in file["groups"] for rule in group["rules"]]


def _alerts(policy: Policy, name: str = "") -> Iterator[dict[str, Any]]:
    return (rule for rule in _rules(policy) if "alert" in rule and name in ("", rule["alert"]))


def test_committed_output_is_what_the_generators_write() -> None:
    """A change of what users get is seen in the commit that makes it; `make golden` renews the files."""
    stale = [str(path) for path, text in golden.golden() if not path.exists() or path.read_text() != text]

    assert stale == []


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("kind", _KINDS)
def test_promtool_takes_the_rules(kind: str, inline: bool, tmp_path: Path) -> None:
    """Rules of every kind of policy pass promtool's own check and lint, and prometheus.yml names them."""
    for name, text in prometheus_files(_policy(kind), inline=inline).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    rules = _promtool("check", "rules", "--lint=all", "--lint-fatal", *map(str, (tmp_path / "rules").iterdir()))
    configuration = _promtool("check", "config", str(tmp_path / "prometheus.yml"))

    assert rules.returncode == 0, rules.stderr + rules.stdout
    assert configuration.returncode == 0, configuration.stderr + configuration.stdout


def _promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = ["promtool", *arguments]
    return subprocess.run(argv, check=False, capture_output=True, text=True, env={"PATH": SEARCH_PATH})


def test_every_alert_of_the_contract_is_generated() -> None:
    """The strategy's policy, with a replica and drills, has every alert that the project knows by name."""
    policy = golden.policy("custom")
    on = {name: dataclasses.replace(override, enabled=True) for name, override in policy.signals.alerts.items()}
    everything = dataclasses.replace(
        policy,
        kpis=policy.kpis | golden.policy("strategy").kpis,
        signals=dataclasses.replace(policy.signals, alerts=on),
    )

    found = {rule["alert"] for rule in _alerts(everything)}

    assert found == names.ALERTS


def test_the_strategys_numbers_stand_in_the_rules() -> None:
    """Error rate 10 % and 5 %, response time 10 s, 5 s and 2 s, memory 95 % and 80 %, payments 95 %, checkout 90 %."""
    strategy = golden.policy("strategy")
    wanted = {
        names.HIGH_ERROR_RATE: "> 0.1",
        names.ELEVATED_ERROR_RATE: "> 0.05",
        names.VERY_SLOW_RESPONSE: ">= 10",
        names.SLOW_RESPONSE: ">= 5",
        names.HIGH_MEMORY: "> 0.95",
    }

    for name, limit in wanted.items():
        assert all(limit in rule["expr"] for rule in _alerts(strategy, name)), name
    ranges = {rule["labels"][names.METRIC]: rule["expr"] for rule in _alerts(strategy, names.OUT_OF_RANGE)}
    limits = {
        "error_rate": "> 0.05",
        "response_time": ">= 2",
        "cpu": "> 0.8",
        "memory": "> 0.8",
        "disk": "> 0.8",
        "payment_success_rate": "< 0.95",
        "checkout_completion_rate": "< 0.9",
    }
    assert ranges.keys() == limits.keys()
    assert [name for name, limit in limits.items() if f"{limit}\n" not in ranges[name]] == []


@pytest.mark.parametrize("kind", _KINDS)
def test_alerts_tell_people_everything(kind: str) -> None:
    """Every alert has severity, action, service, a summary, a description, a runbook and a dashboard."""
    policy = _policy(kind)

    for rule in _alerts(policy):
        assert rule["labels"][names.SEVERITY] in ("critical", "warning", "info")
        assert rule["labels"][names.ACTION] in names.ACTIONS
        assert rule["labels"][names.SERVICE] == policy.service
        assert rule["annotations"].keys() >= {"summary", "description", "runbook_url", "dashboard_url"}
        assert rule["annotations"]["runbook_url"].endswith(f"/{rule['alert']}.md")


def test_alerts_that_act_are_about_the_running_rollout() -> None:
    """Whatever asks for a rollback, a hold or an advance is joined with the rollout that runs, but for the drill."""
    for rule in _alerts(golden.policy("strategy")):
        if rule["labels"][names.ACTION] not in ("none", "stop") and rule["alert"] != names.DRILL:
            assert "rollout:canary_rollout_info:running" in rule["expr"], rule["alert"]


def test_inline_alerts_read_no_recorded_series() -> None:
    """With --inline no expression reads a series that a rule of ours records."""
    rules = _rules(golden.policy("strategy"), inline=True)
    recorded = {rule["record"] for rule in rules if "record" in rule}

    for rule in rules:
        assert not recorded & set(re.findall(r"[a-z_]+:\w+:\w+", rule["expr"])), rule.get("alert") or rule["record"]


def test_a_tier_can_be_switched_off() -> None:
    """A tier that is switched off leaves none of its alerts, nor the companions that would miss its series."""
    strategy = golden.policy("strategy")
    signals = strategy.signals
    quiet = dataclasses.replace(
        strategy,
        signals=dataclasses.replace(
            signals,
            critical=dataclasses.replace(signals.critical, enabled=False),
            warning=dataclasses.replace(signals.warning, enabled=False),
            info=dataclasses.replace(signals.info, enabled=False),
            against_stable=dataclasses.replace(signals.against_stable, enabled=False),
        ),
    )

    left = {rule["alert"] for rule in _alerts(quiet)}
    reasons = {rule["labels"].get(names.REASON) for rule in _alerts(quiet, names.BLIND_ALERT)}

    assert not left & {names.HIGH_ERROR_RATE, names.SLOW_RESPONSE, names.OUT_OF_RANGE, names.ERROR_RATE_DEGRADED}
    assert not reasons & {"requests", "response_time", "memory", "database_connections", "stable", "machine"}


def test_a_companion_acts_as_far_as_what_it_stands_in_for() -> None:
    """Missing requests hold the share while an alert that acts needs them; while people are only told, so is this."""
    strategy = golden.policy("strategy")
    critical = dataclasses.replace(strategy.signals.critical, enabled=False)
    telling = dataclasses.replace(strategy, signals=dataclasses.replace(strategy.signals, critical=critical))

    def action(policy: Policy, reason: str) -> list[str]:
        rules = _alerts(policy, names.BLIND_ALERT)
        return [rule["labels"][names.ACTION] for rule in rules if rule["labels"].get(names.REASON) == reason]

    for reason in ("requests", "response_time"):
        assert action(strategy, reason) == ["hold"]
        assert action(telling, reason) == ["none"]
    for reason in ("stable", "machine"):
        assert action(strategy, reason) == ["none"]


def test_stable_is_compared_with_by_warnings_unless_the_policy_says_otherwise() -> None:
    """Worse than stable, by version and by endpoint, warns people; an override lets it act for the running rollout."""
    strategy = golden.policy("strategy")
    compared = (names.ERROR_RATE_DEGRADED, names.RESPONSE_TIME_DEGRADED)
    override = AlertOverride(action="rollback", severity="critical")
    acting = dataclasses.replace(
        strategy, signals=dataclasses.replace(strategy.signals, alerts=dict.fromkeys(compared, override))
    )

    for name in compared:
        labels = [rule["labels"] for rule in _alerts(strategy, name)]
        assert [(one[names.ACTION], one[names.SEVERITY]) for one in labels] == [("none", "warning")] * 2
        assert [one.get(names.SCOPE) for one in labels] == [None, "endpoint"]
        assert [rule["labels"][names.ACTION] for rule in _alerts(acting, name)] == ["rollback"] * 2
        assert next(_alerts(_policy("haproxy"), name))["labels"].get(names.SCOPE) is None


def test_haproxys_series_are_selected_by_backend() -> None:
    """Every series of HAProxy that is read is of the backends that the policy names."""
    policy = golden.policy("minimal")
    signals = dataclasses.replace(
        policy.signals, preset="haproxy", selector='job="edge"', canary_backend="new", stable_backend="old"
    )

    rules = _rules(dataclasses.replace(policy, signals=signals))
    read = re.findall(r"(?<![:\w])haproxy_\w+(\{[^}]*\})?", "\n".join(rule["expr"] for rule in rules))

    assert read
    assert {matchers.split(",")[0] for matchers in read} == {'{job="edge"'}
    assert {matchers.split(",")[1].rstrip("}") for matchers in read} == {'proxy=~"new|old"', 'proxy="new"'}


def test_an_alert_can_be_changed_by_name() -> None:
    """An override's duration, severity, action, labels and annotations win; after promotion it still never acts."""
    strategy = golden.policy("strategy")
    override = AlertOverride(
        hold_for=60, severity="warning", action="hold", dry_run=True, labels={"team": "shop"}, annotations={"note": "x"}
    )
    changed = dataclasses.replace(
        strategy, signals=dataclasses.replace(strategy.signals, alerts={names.HIGH_ERROR_RATE: override})
    )

    running, promoted = _alerts(changed, names.HIGH_ERROR_RATE)

    assert running["for"] == "1m"
    wanted = {"severity": "warning", "action": "hold", "dry_run": "true", "team": "shop"}
    assert running["labels"].items() >= wanted.items()
    assert running["annotations"]["note"] == "x"
    assert promoted["labels"][names.ACTION] == "none"


def test_a_switched_off_alert_takes_its_companion_along() -> None:
    """Who does not watch memory is not told that memory cannot be seen."""
    strategy = golden.policy("strategy")
    off = {names.HIGH_MEMORY: AlertOverride(enabled=False)}
    changed = dataclasses.replace(strategy, signals=dataclasses.replace(strategy.signals, alerts=off))

    assert list(_alerts(changed, names.HIGH_MEMORY)) == []
    assert "memory" not in {rule["labels"].get(names.REASON) for rule in _alerts(changed, names.BLIND_ALERT)}


def test_a_manual_gate_only_tells() -> None:
    """The phase that waits for a person is announced without asking for an advance."""
    minimal = golden.policy("minimal")
    phases = (Phase(traffic=0.5, duration=60, gate="manual"), Phase(traffic=1, duration=60))

    first, second = _alerts(dataclasses.replace(minimal, phases=phases), names.PHASE_COMPLETE)

    assert (first["labels"][names.ACTION], second["labels"][names.ACTION]) == ("none", "advance")


def test_prometheus_can_be_started_on_the_generated_folder() -> None:
    """prometheus.yml scrapes exporter, receiver and shop, and finds the rules beside itself."""
    files = prometheus_files(load_policy(golden.POLICIES["custom"]))

    configuration = yaml.safe_load(files["prometheus.yml"])

    assert configuration["rule_files"] == ["rules/*.yml"]
    jobs = {job["job_name"]: job for job in configuration["scrape_configs"]}
    assert jobs["kpi-canary-exporter"]["static_configs"] == [{"targets": ["127.0.0.1:9877"]}]
    assert jobs["kpi-canary-receiver"]["static_configs"] == [{"targets": ["canary.example:443"]}]
    assert jobs["kpi-canary-receiver"]["scheme"] == "https"
    assert jobs["bookshop"]["static_configs"] == [{"targets": ["books-1:8000", "books-2:8000"]}]
    (alertmanager,) = configuration["alerting"]["alertmanagers"]
    assert (alertmanager["scheme"], alertmanager["path_prefix"]) == ("https", "/am")
