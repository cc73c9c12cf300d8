"""Rules are generated whole, sound to promtool, and with the numbers of the policy."""

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from canary import names
from canary.mixin.limits import ladder, limits
from canary.policy import Policy, load_policy
from canary.policy.gates import UrlGate
from canary.policy.pinning.digest import digest
from canary.policy.release import Phase
from canary.policy.signals import AlertOverride, Signals
from canary.prometheus.labels import Labels, labels
from canary.prometheus.promql import metrics, parse
from rules.generate import prometheus_files, rule_groups
from rules.scrape import scrape_config
from scripts import golden
from tests.support.programs.promtool import promtool

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

    rules = promtool("check", "rules", "--lint=all", "--lint-fatal", *map(str, (tmp_path / "rules").iterdir()))
    configuration = promtool("check", "config", str(tmp_path / "prometheus.yml"))

    assert rules.returncode == 0, rules.stderr + rules.stdout
    assert configuration.returncode == 0, configuration.stderr + configuration.stdout


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


def test_each_alert_compares_with_the_limit_of_its_tier() -> None:
    """The rules hold no number of the strategy; they name the limits, which the receiver publishes."""
    strategy = golden.policy("strategy")
    wanted = {
        names.HIGH_ERROR_RATE: ("> on (rollout)", names.LIMIT_CRITICAL_ERROR),
        names.ELEVATED_ERROR_RATE: ("> on (rollout)", names.LIMIT_WARNING_ERROR),
        names.VERY_SLOW_RESPONSE: (">= on (rollout)", names.LIMIT_CRITICAL_RESPONSE),
        names.SLOW_RESPONSE: (">= on (rollout)", names.LIMIT_WARNING_RESPONSE),
        names.SLOW_QUERIES: (">= on (rollout)", names.LIMIT_WARNING_QUERY),
        names.VERY_SLOW_QUERIES: (">= on (rollout)", names.LIMIT_CRITICAL_QUERY),
        names.HIGH_MEMORY: ("> on (rollout)", names.LIMIT_CRITICAL_MEMORY),
    }
    queried = dataclasses.replace(
        strategy.signals,
        query_duration="db_seconds",
        critical=dataclasses.replace(strategy.signals.critical, query_time=1),
    )
    rules = list(_alerts(dataclasses.replace(strategy, signals=queried)))
    for name, (comparison, limit) in wanted.items():
        for rule in (one for one in rules if one["alert"] == name):
            assert f'limit="{limit}"' in rule["expr"], name
            assert comparison in rule["expr"], name

    ranges = {rule["labels"][names.METRIC]: rule["expr"] for rule in _alerts(strategy, names.OUT_OF_RANGE)}
    limits = {
        "error_rate": names.LIMIT_NORMAL_ERROR,
        "response_time": names.LIMIT_NORMAL_RESPONSE,
        "cpu": names.LIMIT_NORMAL_CPU,
        "memory": names.LIMIT_NORMAL_MEMORY,
        "disk": names.LIMIT_NORMAL_DISK,
        "payment_success_rate": names.LIMIT_KPI_TARGET,
        "checkout_completion_rate": names.LIMIT_KPI_TARGET,
    }
    assert ranges.keys() == limits.keys()
    assert [name for name, limit in limits.items() if f'limit="{limit}"' not in ranges[name]] == []


def _with_another_plan(one: Policy) -> Policy:
    """The policy with every number changed that a rollout's plan consists of."""
    signals = one.signals
    tiers = {
        tier: dataclasses.replace(
            getattr(signals, tier),
            **{
                field.name: getattr(getattr(signals, tier), field.name) * 2
                for field in dataclasses.fields(getattr(signals, tier))
                if field.name not in ("enabled", "hold_for") and getattr(getattr(signals, tier), field.name) is not None
            },
        )
        for tier in ("critical", "warning", "info", "against_stable")
    }
    return dataclasses.replace(
        one,
        phases=(
            Phase(traffic=0.01, duration=60, gate="manual"),
            Phase(traffic=0.5, duration=7200, advance="when_proven", gate=UrlGate(url="http://127.0.0.1/ok")),
        ),
        kpis={
            name: dataclasses.replace(
                kpi,
                tolerance=kpi.tolerance / 2,
                floor=None if kpi.floor is None else kpi.floor / 2,
                target=None if kpi.target is None else kpi.target / 2,
            )
            for name, kpi in one.kpis.items()
        },
        evidence=dataclasses.replace(one.evidence, alpha=0.001, mismatch=0.5, staleness=30, minimum_units=1000),
        rollback=dataclasses.replace(one.rollback, watch=60),
        signals=dataclasses.replace(signals, minimum_requests=7, **tiers),
    )


def test_the_rules_are_the_same_for_every_plan() -> None:
    """Phases, gates, alpha and limits are facts that the receiver publishes; no rule changes with them.

    Only the digest says by which policy they were made. Experiments have no rollout whose receiver could publish
    theirs, and are left out.
    """
    one = dataclasses.replace(golden.policy("strategy"), experiments={})
    other = _with_another_plan(one)

    assert limits(other) != limits(one)
    for inline in (False, True):
        texts = [json.dumps(rule_groups(policy, inline=inline)) for policy in (other, one)]
        assert digest(other) in texts[0]
        assert texts[0].replace(digest(other), digest(one)) == texts[1]


def test_every_alert_about_a_rollout_names_it() -> None:
    """Its expression keeps the id; only the guard's own health, drills, drift and experiments are about none."""
    nobody = {names.EXPORTER_DOWN, names.RECEIVER_DOWN, names.DRILL, names.DRILL_OVERDUE, names.WATCHDOG, names.DRIFT}
    for kind in golden.POLICIES:
        rules = _rules(golden.policy(kind))
        recorded: dict[str, Labels] = {}
        for rule in rules:
            found = labels(parse(rule["expr"]), recorded)
            if "record" in rule:
                recorded[rule["record"]] = None if found is None else found | {names.SERVICE}
            elif rule["alert"] not in nobody and names.EXPERIMENT not in rule["labels"]:
                assert found is not None, rule["alert"]
                assert names.ROLLOUT in found, rule["alert"]


def test_no_rule_reads_another_machines_clock() -> None:
    """Ages and durations are measured where they are decided; Prometheus' own time is never held against them."""
    for kind in golden.POLICIES:
        for rule in _rules(golden.policy(kind)):
            assert "time()" not in rule["expr"], rule.get("alert") or rule["record"]
            assert "_timestamp_seconds" not in rule["expr"], rule.get("alert") or rule["record"]


@pytest.mark.parametrize("kind", _KINDS)
def test_alerts_tell_people_everything(kind: str) -> None:
    """Every alert has severity, action, service, a summary, a description, a runbook and a dashboard."""
    policy = _policy(kind)

    for rule in _alerts(policy):
        assert rule["labels"][names.SEVERITY] in ("critical", "warning", "info")
        assert rule["labels"][names.ACTION] in names.ACTIONS
        assert rule["labels"][names.SERVICE] == policy.service
        assert rule["annotations"].keys() >= {"summary", "description", "runbook_url", "dashboard_url", "page_url"}
        assert rule["annotations"]["runbook_url"].endswith(f"/{rule['alert']}.md")


@pytest.mark.parametrize("kind", _KINDS)
def test_numbers_in_alerts_have_no_si_prefix(kind: str) -> None:
    """A half would be 500m, and an e-value 10^376.2m."""
    texts = {rule["alert"]: " ".join(rule["annotations"].values()) for rule in _alerts(_policy(kind))}

    assert [name for name, text in texts.items() if re.search(r"\| *humanize *}}", text)] == []


def test_alerts_that_act_are_about_the_running_rollout() -> None:
    """Whatever asks for a rollback, a hold or an advance is joined with the rollout that runs, but for the drill."""
    written_out = _fast_group(golden.policy("strategy"))["rules"]
    for rule in _alerts(golden.policy("strategy")):
        if rule in written_out:
            assert 'state=~"phase|holding|baking"' in rule["expr"], rule["alert"]
        elif rule["labels"][names.ACTION] not in ("none", "stop") and rule["alert"] != names.DRILL:
            state = "finishing" if rule["alert"] == names.SERVER_UNHEALTHY else "running"
            assert f"rollout:canary_rollout_info:{state}" in rule["expr"], rule["alert"]


def _fast_group(policy: Policy) -> dict[str, Any]:
    (group,) = [group for group in rule_groups(policy)["alerts"]["groups"] if group["name"].startswith("canary-fast-")]
    return group


@pytest.mark.parametrize("kind", sorted(golden.POLICIES))
def test_what_is_looked_at_most_often_reads_only_what_is_scraped_most_often(kind: str) -> None:
    """The fast group has the rollbacks for proven harm alone; it reads the proofs, and whether a rollout runs."""
    group = _fast_group(_policy(kind))
    read = {metric for rule in group["rules"] for metric in metrics(rule["expr"])}

    assert group["interval"] == "1s"
    assert {rule["labels"]["action"] for rule in group["rules"]} == {"rollback"}
    assert read <= names.URGENT | {names.ROLLOUT_INFO, names.ROLLOUT_STATE}
    assert 1 <= len(group["rules"]) <= 20


def test_the_proofs_are_scraped_by_themselves_and_the_shop_as_it_says() -> None:
    """Each job has the interval of what it is for; a shop that is scraped rarely makes nothing else rare."""
    policy = golden.policy("minimal")
    signals = dataclasses.replace(policy.signals, shop_scrape_interval=30.0, window=120.0, shop_targets=("shop:80",))
    jobs = {
        job["job_name"]: job for job in scrape_config(dataclasses.replace(policy, signals=signals))["scrape_configs"]
    }
    slow = dataclasses.replace(policy, signals=dataclasses.replace(signals, verdict_interval=5.0))

    verdicts = jobs["kpi-canary-verdicts-corner-shop"]
    assert (verdicts["scrape_interval"], verdicts["metrics_path"]) == ("1s", "/metrics/verdicts")
    assert jobs["corner-shop"]["scrape_interval"] == "30s"
    assert (
        jobs["kpi-canary-receiver-corner-shop"]["scrape_interval"] == "5s"
    )  # it may be copied to where another is usual
    assert ladder(signals)[0] == 90
    assert "verdicts" not in str(scrape_config(slow))


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
    assert {matchers.split(",")[1].rstrip("}") for matchers in read} == {
        'proxy=~"new|old"',
        'proxy="new"',
        'proxy="old"',
    }


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
    """Who does not watch memory is not told that it has no memory metrics."""
    strategy = golden.policy("strategy")
    off = {names.HIGH_MEMORY: AlertOverride(enabled=False)}
    changed = dataclasses.replace(strategy, signals=dataclasses.replace(strategy.signals, alerts=off))

    assert list(_alerts(changed, names.HIGH_MEMORY)) == []
    assert "memory" not in {rule["labels"].get(names.REASON) for rule in _alerts(changed, names.BLIND_ALERT)}


def test_a_manual_gate_only_tells() -> None:
    """The phase that waits for a person is announced without asking for an advance; one rule serves all phases."""
    automatic, manual = _alerts(golden.policy("minimal"), names.PHASE_COMPLETE)

    assert (automatic["labels"][names.ACTION], manual["labels"][names.ACTION]) == ("advance", "none")
    assert 'gate!="manual"' in automatic["expr"]
    assert 'gate="manual"' in manual["expr"]


def test_prometheus_can_be_started_on_the_generated_folder() -> None:
    """prometheus.yml scrapes exporter, receiver and shop, and finds the rules next to itself."""
    files = prometheus_files(load_policy(golden.POLICIES["custom"]))

    configuration = yaml.safe_load(files["prometheus.yml"])

    assert configuration["rule_files"] == ["rules/*.yml"]
    jobs = {job["job_name"]: job for job in configuration["scrape_configs"]}
    assert jobs["kpi-canary-exporter-bookshop"]["static_configs"] == [{"targets": ["127.0.0.1:9877"]}]
    assert jobs["kpi-canary-receiver-bookshop"]["static_configs"] == [{"targets": ["canary.example:443"]}]
    assert jobs["kpi-canary-receiver-bookshop"]["scheme"] == "https"
    assert jobs["bookshop"]["static_configs"] == [{"targets": ["books-1:8000", "books-2:8000"]}]
    (alertmanager,) = configuration["alerting"]["alertmanagers"]
    assert (alertmanager["scheme"], alertmanager["path_prefix"]) == ("https", "/am")


def test_rules_read_the_series_of_the_scraped_job_only() -> None:
    """Where the policy names the shop's targets, the job that scrapes them is whose series are judged."""
    policy = golden.policy("minimal")
    scraped = dataclasses.replace(
        policy, technical=True, signals=dataclasses.replace(policy.signals, shop_targets=("shop:80",))
    )
    chosen = dataclasses.replace(scraped, signals=dataclasses.replace(scraped.signals, selector='team="web"'))
    behind = dataclasses.replace(scraped, signals=Signals(preset="haproxy", haproxy_targets=("router:8405",)))

    assert scraped.shop_selector == f'job="{policy.service}"'
    assert chosen.shop_selector == 'team="web"'
    assert behind.shop_selector == f'job="{policy.service}-haproxy"'
    assert 'http_requests_total{job="' in str(rule_groups(scraped))
    assert "http_requests_total[" not in str(rule_groups(scraped))
