"""Our lint finds what promtool lets pass, and nothing in what is generated."""

import copy
import dataclasses
from typing import Any

import pytest

from canary.policy.signals import AlertOverride
from rules.generate import rule_groups
from rules.lint import lint
from scripts import golden
from tests.support.documents.policies import policy_of_kind

_LABELS = {"service": "shop", "severity": "critical", "action": "none"}
_ANNOTATIONS = dict.fromkeys(("summary", "description", "runbook_url", "dashboard_url", "page_url"), "text")
_ALERT = {"alert": "Some", "expr": "some_gauge > 1", "labels": _LABELS, "annotations": _ANNOTATIONS}
_RUNNING = 'canary_rollout_info{service="shop"}'
_KPI = 'canary_kpi_evidence{service="shop"}'
_RECORD = {"record": "job:some_requests:rate5m", "expr": "sum by (job) (some_gauge)", "labels": {"service": "shop"}}


def _found(*rules: dict[str, Any], **group: Any) -> list[str]:
    groups = [{"name": "group", "interval": "5s", "rules": list(rules), **group}]
    return [problem.check for problem in lint(golden.policy("minimal"), groups)]


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("kind", ["strategy", "minimal", "custom", "haproxy", "native", "kpis only"])
def test_what_is_generated_is_clean(kind: str, inline: bool) -> None:
    """No policy's own rules have a problem, chained or written out."""
    policy = policy_of_kind(kind)

    problems = lint(policy, [group for file in rule_groups(policy, inline=inline).values() for group in file["groups"]])

    assert [str(problem) for problem in problems] == []


@pytest.mark.parametrize("seconds", [1, 15, 60, 120])
def test_rules_of_a_shop_that_is_scraped_at_another_pace_are_clean(seconds: float) -> None:
    """Only windows over the shop's own series go by its pace; exporter and receiver are scraped as often as ever."""
    policy = golden.policy("minimal")
    signals = dataclasses.replace(policy.signals, shop_scrape_interval=seconds, window=3 * max(seconds, 5))
    policy = dataclasses.replace(policy, signals=signals)

    problems = lint(policy, [group for file in rule_groups(policy).values() for group in file["groups"]])

    assert [str(problem) for problem in problems] == []


def test_sound_rules_have_no_problem() -> None:
    """The rules that the other tests spoil are sound to begin with."""
    assert _found(_ALERT, _RECORD) == []


@pytest.mark.parametrize(
    ("check", "changes"),
    [
        ("promql/syntax", {"expr": "sum(some_gauge > 1"}),
        ("alerts/comparison", {"expr": "some_gauge + 1"}),
        ("alerts/absent", {"expr": "absent(some_gauge)", "for": "5s"}),
        ("alerts/for", {"for": "soon"}),
        ("alerts/annotation", {"annotations": {**_ANNOTATIONS, "summary": ""}}),
        ("alerts/template", {"annotations": {**_ANNOTATIONS, "summary": "{{ query `sum(` }}"}}),
        ("alerts/template", {"labels": {**_LABELS, "now": "{{ $value }}"}}),
        (
            "alerts/template",
            {"expr": "sum by (job) (a) > 1", "annotations": {**_ANNOTATIONS, "x": "{{ $labels.pod }}"}},
        ),
        ("alerts/template", {"expr": "rate(a_total[5m]) > 1", "annotations": {**_ANNOTATIONS, "x": "{{ $value }}"}}),
        ("rule/reject", {"labels": {**_LABELS, "link": "https://example"}}),
        ("rule/label", {"labels": {"service": "shop", "severity": "critical"}}),
        ("rule/label", {"labels": {**_LABELS, "action": "explode"}}),
        ("rule/name", {"alert": "some_alert"}),
        ("promql/rate", {"expr": "rate(some_requests_total[6s]) > 1"}),
        ("promql/rate", {"expr": "max_over_time(rate(x_total[5m])[1h:]) > rate(y_total[1h:1m])"}),
        ("promql/counter", {"expr": "some_requests_total > 5"}),
        ("promql/nan", {"expr": "sum(a / b) > 1"}),
        ("promql/fragile", {"expr": "topk(3, some_gauge) > 1"}),
        ("promql/fragile", {"expr": "sum(a) - (sum(b)) > 1"}),
        ("promql/features", {"expr": "mad_over_time(some_gauge[5m]) > 1"}),
        ("promql/selector", {"expr": "canary_kpi_evidence > 2"}),
        ("promql/selector", {"expr": 'canary_kpi_evidence{service=~".*"} > 2'}),
        ("promql/selector", {"expr": 'canary_kpi_evidence{service!="other"} > 2'}),
        ("promql/selector", {"expr": 'canary_kpi_evidence{service=""} > 2'}),
        ("promql/selector", {"expr": '{__name__="canary_kpi_evidence"} > 2'}),
        ("promql/selector", {"expr": 'some_gauge > 1 unless on (job) ALERTS{action="hold"}'}),
        (
            "promql/selector",
            {"annotations": {**_ANNOTATIONS, "x": "{{ with query `max(canary_rollout_phase)` }}x{{ end }}"}},
        ),
        ("promql/identity", {"expr": "some_gauge > on () other_gauge"}),
        ("promql/identity", {"expr": "some_gauge > ignoring (job) other_gauge"}),
        ("promql/identity", {"expr": "some_gauge and on () (other_gauge > 1)"}),
        (
            "promql/identity",
            {"expr": f"{_RUNNING} and on (service) (max by (service, rollout) ({_KPI}) > 2)"},
        ),
        ("promql/identity", {"expr": f"max({_KPI}) > 2"}),
        ("promql/regexp", {"expr": 'some_gauge{job=~"^a.*"} > 1'}),
        ("promql/vector_matching", {"expr": "sum by (job) (a) / sum(b) > 1", "for": "1m"}),
        ("promql/impossible", {"expr": "sum by (job) (a) / on (version) b > 1"}),
        ("rule/dependency", {"expr": 'job:nothing:rate5m{service="shop"} > 1'}),
    ],
)
def test_a_spoilt_alert_is_found(check: str, changes: dict[str, Any]) -> None:
    """Each check finds what it is for."""
    assert check in _found({**_ALERT, **changes})


@pytest.mark.parametrize(
    ("check", "changes"),
    [
        ("rule/name", {"record": "somerequests"}),
        ("rule/label", {"labels": {}}),
        ("promql/rate", {"expr": 'rate(job:other:rate5m{service="shop"}[5m])'}),
        ("promql/aggregate", {"expr": "sum by (instance) (some_gauge)"}),
    ],
)
def test_a_spoilt_record_is_found(check: str, changes: dict[str, Any]) -> None:
    """Recorded series are held to names, labels and rates of counters."""
    assert check in _found({**_RECORD, **changes})


@pytest.mark.parametrize(
    "expression",
    [
        f"{_RUNNING} and on (rollout) (max by (rollout) ({_KPI}) > 2)",
        f'{_RUNNING} and on (service) (canary_exporter_database_up{{service="shop"}} == 0)',
        f"absent({_RUNNING})",
    ],
)
def test_joins_that_say_what_is_joined_are_sound(expression: str) -> None:
    """Facts about rollouts are joined by the rollout, the exporter's health by the service; absence is of nobody."""
    assert "promql/identity" not in _found({**_ALERT, "expr": expression, "for": "1m"})


def test_rules_must_stand_before_those_that_read_them() -> None:
    """A record that is read before it is made, or in another group, is late."""
    reader = {**_ALERT, "expr": 'job:some_requests:rate5m{service="shop"} > 1'}
    groups = [{"name": "one", "rules": [_RECORD]}, {"name": "two", "rules": [reader]}]

    assert _found(reader, _RECORD) == ["rule/dependency"]
    assert [problem.check for problem in lint(golden.policy("minimal"), groups)] == ["rule/dependency"]
    assert _found(_RECORD, reader) == []


def test_two_rules_of_one_name_must_differ() -> None:
    """The same name with the same labels twice is one too many."""
    assert _found(_ALERT, copy.deepcopy(_ALERT)) == ["rule/duplicate"]


def test_a_slow_group_is_found() -> None:
    """Series that are made less often than every five minutes have gaps."""
    assert _found(_ALERT, interval="10m") == ["group/interval"]


def test_a_problem_says_where_why_and_what_to_do() -> None:
    """One line holds the rule's place, what was found, the remedy, and pint's name of the check."""
    rule = {**_ALERT, "expr": "some_requests_total > 5"}

    (problem,) = lint(golden.policy("minimal"), [{"name": "group", "rules": [rule]}])

    assert str(problem) == (
        "group/Some: reads the counter some_requests_total as it is; use rate() or increase() (promql/counter)"
    )


def test_a_policys_own_annotations_are_read() -> None:
    """An override that reads a label which the alert does not have is found in the policy's own rules."""
    minimal = golden.policy("minimal")
    override = AlertOverride(annotations={"note": "{{ $labels.version }} on {{ $labels.pod }}"})
    changed = dataclasses.replace(
        minimal, signals=dataclasses.replace(minimal.signals, alerts={"CanarySlowResponse": override})
    )

    (problem,) = lint(changed, rule_groups(changed)["alerts"]["groups"])

    assert problem.check == "alerts/template"
    assert problem.reason == "annotation note reads pod, which the expression does not give"


def test_a_policys_own_window_is_held_against_its_scrapes() -> None:
    """Windows shorter than two scrapes, which promtool takes, are found in the policy's own rules."""
    minimal = golden.policy("minimal")
    hasty = dataclasses.replace(minimal, signals=dataclasses.replace(minimal.signals, window=5, scrape_interval=5))

    problems = lint(hasty, rule_groups(hasty)["alerts"]["groups"])

    assert {problem.check for problem in problems} == {"promql/rate"}
    assert "lengthen signals.window" in problems[0].remedy
