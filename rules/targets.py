"""The same rules for other homes: the operator, Mimir, Thanos; and our judgement for Argo Rollouts and Flagger."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from canary import names
from canary.policy import Policy
from canary.units import format_duration
from rules.generate import rule_groups

Resource = dict[str, Any]

# An analysis that meets so many errors in a row fails, and the rollout with it. Argo's own limit of 4 is 25 seconds at
# our interval: less than a Prometheus takes to be restarted, of which no canary is guilty.
_ERRORS_IN_A_ROW = 10

# Mimir's `ruler_max_rules_per_rule_group`, which Grafana Cloud keeps as well.
_MOST_RULES = 20


def metadata(policy: Policy, suffix: str, labels: Mapping[str, str]) -> Resource:
    """Name and labels of a Kubernetes resource of ours."""
    return {
        "name": f"{slug(policy.service)}-canary{suffix}",
        "labels": {
            "app.kubernetes.io/name": "kpi-canary",
            "app.kubernetes.io/instance": slug(policy.service),
            **labels,
        },
    }


def slug(text: str) -> str:
    """A text as Kubernetes takes it for names and labels: at most 63 lower-case letters, digits and `-`."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:63].strip("-")


def prometheus_rule(policy: Policy, labels: Mapping[str, str], *, inline: bool = False) -> Resource:
    """A PrometheusRule of the Prometheus operator.

    Args:
        policy: the policy.
        labels: what the operator's `ruleSelector` wants to see, such as `release: kube-prometheus-stack`.
    """
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": metadata(policy, "", labels),
        "spec": {"groups": _groups(policy, inline=inline)},
    }


def mimir_namespace(policy: Policy, *, inline: bool = False) -> Resource:
    """A rule file with a namespace, as `mimirtool rules load` (and cortextool) takes it.

    With *inline*, alerts read nothing that a rule before them recorded, and so need not stand in its group: then no
    group has more rules than Mimir and Grafana Cloud allow by default.
    """
    groups = _groups(policy, inline=inline)
    return {"namespace": f"canary-{policy.service}", "groups": list(_parted(groups)) if inline else groups}


def _parted(groups: Iterable[Resource]) -> Iterator[Resource]:
    for group in groups:
        rules = group["rules"]
        parts = [rules[first : first + _MOST_RULES] for first in range(0, len(rules), _MOST_RULES)]
        for number, part in enumerate(parts, 1):
            name = group["name"] if len(parts) == 1 else f"{group['name']}-{number}"
            yield {**group, "name": name, "rules": part}


def thanos_rules(policy: Policy, *, inline: bool = False) -> Resource:
    """A rule file for Thanos Ruler: an answer that lacks a store's data must not decide anything."""
    groups = [{**group, "partial_response_strategy": "abort"} for group in _groups(policy, inline=inline)]
    keys = ("name", "interval", "partial_response_strategy", "rules")
    return {"groups": [{key: group[key] for key in keys} for group in groups]}


def victoriametrics_rules(policy: Policy) -> Resource:
    """A rule file for vmalert: alerts written out, and no delay.

    vmalert stores what it records too late for the next rule of the group, and by default evaluates 30 s in the past.
    """
    groups = [{**group, "eval_delay": "0s"} for group in _groups(policy, inline=True)]
    return {"groups": [{key: group[key] for key in ("name", "interval", "eval_delay", "rules")} for group in groups]}


def _groups(policy: Policy, *, inline: bool) -> list[dict[str, Any]]:
    return [group for file in rule_groups(policy, inline=inline).values() for group in file["groups"]]


def judged(policy: Policy) -> list[str]:
    """The KPIs whose evidence may stop a rollout."""
    return [name for name, kpi in policy.kpis.items() if kpi.judge == "evidence" and kpi.action != "warn"]


def verdict_query(policy: Policy, kpi: str) -> str:
    """1 when a KPI has passed, 0 while nothing is proven, -1 when harm is; nothing when the judge is blind.

    Of the rollout that the exporter's newest scrape is about: what was said of an earlier one is no verdict.
    """

    def said(verdict: str) -> str:
        matchers = f'{names.SERVICE}="{policy.service}",{names.KPI}="{kpi}",{names.VERDICT}="{verdict}"'
        return f"{names.KPI_VERDICT}{{{matchers}}}"

    def of_each(series: str) -> str:
        return f"max by ({names.ROLLOUT}) ({series})"

    same = f"on ({names.ROLLOUT})"
    return "\n".join(
        [
            "sum(",
            f"  {of_each(said('pass'))} - {same} {of_each(said('fail'))}",
            f"  unless {same} ({of_each(said('blind'))} == 1)",
            f"  and {same} topk(1, {of_each('timestamp(' + said('pass') + ')')})",
            ")",
        ]
    )


def analysis_template(policy: Policy) -> Resource:
    """An AnalysisTemplate of Argo Rollouts that asks for our verdicts.

    Evidence may be looked at at any time, so that one failed measurement is enough. A blind judge is inconclusive,
    which pauses the rollout.
    """
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": metadata(policy, "-kpis", {}),
        "spec": {
            "args": [
                {"name": "prometheus", "value": policy.receiver.prometheus_server.query_url},
                *_credentials(policy),
            ],
            "metrics": [
                {
                    "name": slug(kpi),
                    "interval": format_duration(max(5, policy.signals.evaluation_interval)),
                    "failureLimit": 0,
                    "inconclusiveLimit": 0,
                    "consecutiveErrorLimit": _ERRORS_IN_A_ROW,
                    "failureCondition": "len(result) > 0 && result[0] < 0",
                    "successCondition": "len(result) > 0 && result[0] >= 0",
                    "provider": {
                        "prometheus": {
                            "address": "{{args.prometheus}}",
                            "query": verdict_query(policy, kpi),
                            **_headers(policy),
                        },
                    },
                }
                for kpi in judged(policy)
            ],
        },
    }


def _secret_name(policy: Policy) -> str:
    """The Secret next to the templates that has what lets them in; empty where Prometheus asks for nothing."""
    server = policy.receiver.prometheus_server
    return f"{slug(policy.service)}-prometheus" if server.username or server.token_file else ""


def _credentials(policy: Policy) -> list[Resource]:
    """Argo Rollouts takes a secret as an argument: the whole header, for it builds none from user and password."""
    secret = _secret_name(policy)
    reference = {"secretKeyRef": {"name": secret, "key": "authorization"}}
    return [{"name": "authorization", "valueFrom": reference}] if secret else []


def _headers(policy: Policy) -> Resource:
    """What Argo Rollouts sends along."""
    headers = dict(policy.receiver.prometheus_server.headers)
    if _secret_name(policy):
        headers["Authorization"] = "{{args.authorization}}"
    return {"headers": [{"key": name, "value": value} for name, value in headers.items()]} if headers else {}


def _secret(policy: Policy) -> Resource:
    """Where Flagger finds `username` and `password`, or `token`."""
    secret = _secret_name(policy)
    return {"secretRef": {"name": secret}} if secret else {}


def metric_templates(policy: Policy) -> list[Resource]:
    """MetricTemplates of Flagger, one per KPI; a Canary refers to them with `thresholdRange: {min: 0}`.

    A blind judge gives no value. Flagger does not advance without one, and counts a failed check.
    """
    return [
        {
            "apiVersion": "flagger.app/v1beta1",
            "kind": "MetricTemplate",
            "metadata": metadata(policy, f"-{slug(kpi)}", {}),
            "spec": {
                "provider": {
                    "type": "prometheus",
                    "address": policy.receiver.prometheus_server.query_url,
                    **_secret(policy),
                },
                "query": verdict_query(policy, kpi),
            },
        }
        for kpi in judged(policy)
    ]
