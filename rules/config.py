"""From the policy to the mixin's `_config`: the same numbers, written as PromQL and people write them.

Numbers are texts, because jsonnet prints 0.8 as 0.80000000000000004.
"""

import math
from statistics import NormalDist
from typing import Any

from canary import names
from canary.policy import Policy
from canary.policy.experiments import Experiment
from canary.policy.kpis import Conversion, Kpi, Mean, Success
from canary.policy.model import Evidence
from canary.policy.release import CommandRouter, Phase, UrlGate
from canary.policy.signals import AlertOverride, Signals
from canary.units import format_duration, format_ratio

_OWN_ALERTS = {
    "conversion_rate": names.CONVERSION_DEGRADED,
    "payment_success_rate": names.PAYMENT_SUCCESS_DEGRADED,
}
_OWN_FLOOR_ALERTS = {"payment_success_rate": names.PAYMENT_SUCCESS_LOW}


def mixin_config(policy: Policy, *, inline: bool = False) -> dict[str, Any]:
    """What the mixin needs to know of a policy.

    Args:
        policy: the policy.
        inline: write every alert out, without reading recorded series.
    """
    signals = policy.signals
    return {
        "service": policy.service,
        "inline": inline,
        "evaluationInterval": format_duration(signals.evaluation_interval),
        "missedScrapes": format_duration(4 * signals.scrape_interval),
        "runbookUrl": signals.runbook_url,
        "dashboardUrl": signals.dashboard_url.rstrip("/"),
        "dashboards": dict(names.DASHBOARD_UIDS),
        "confidence": _confidence(policy),
        "signals": _signals(policy),
        **_tiers(signals),
        "kpis": [_kpi(name, kpi) for name, kpi in policy.kpis.items()],
        "phases": [_phase(index, phase) for index, phase in enumerate(policy.phases)],
        "rollback": {
            "converge": format_duration(policy.rollback.converge),
            "convergeSeconds": number(policy.rollback.converge),
            "watchSeconds": number(policy.rollback.watch),
        },
        "evidence": _evidence(policy.evidence),
        "database": {
            "replicaMaxLagSeconds": number(policy.database.replica.max_lag) if policy.database.replica else "",
        },
        "experiments": [
            _experiment(name, experiment, policy.evidence)
            for name, experiment in policy.experiments.items()
            if experiment.enabled and (experiment.metrics or experiment.guardrails)
        ],
        "drillMaxAgeSeconds": _optional(policy.receiver.drill_max_age),
        "alerts": {name: _override(override) for name, override in signals.alerts.items()},
    }


def number(value: float) -> str:
    """A number as PromQL reads it, without needless digits: 300.0 -> `300`, 0.1 -> `0.1`."""
    return f"{value:.12g}"


def _optional(value: float | None) -> str:
    return "" if value is None else number(value)


def _confidence(policy: Policy) -> dict[str, str]:
    """Wilson's z, such that a canary just at a limit passes it in at most alpha of the rollouts.

    A rollout is looked at as often as it has windows that do not overlap; alpha is split over them (Bonferroni).
    """
    seconds = sum(phase.duration for phase in policy.phases)
    windows = seconds / policy.signals.window + seconds / policy.signals.long_window
    z = NormalDist().inv_cdf(1 - policy.evidence.alpha / max(windows, 1))
    return {
        "z": f"{z:.3f}",
        "half": f"{z * z / 2:.3f}",
        "quarter": f"{z * z / 4:.3f}",
        "square": f"{z * z:.3f}",
        "quantileRequests": str(quantile_requests(policy, z)),
    }


def quantile_requests(policy: Policy, z: float) -> int:
    """From how many requests on the 90th percentile of a sample is surely below the 95th of what it is drawn from.

    From then on a 95th percentile is known well enough to compare with it.

    The share of a sample of n below the 95th percentile spreads by sqrt(0.95 * 0.05 / n).
    """
    return max(policy.signals.minimum_requests, math.ceil((z / 0.05) ** 2 * 0.95 * 0.05))


def _signals(policy: Policy) -> dict[str, str]:
    signals = policy.signals
    return {
        "preset": signals.preset,
        "selector": signals.selector,
        "requests": signals.requests,
        "duration": signals.duration,
        "histograms": signals.histograms,
        "connectionErrors": "" if signals.preset == "haproxy" else signals.connection_errors,
        "versionLabel": signals.version_label,
        "endpointLabel": signals.endpoint_label,
        "statusLabel": signals.status_label,
        "canaryBackend": signals.canary_backend,
        "stableBackend": signals.stable_backend,
        "nodeSelector": node_selector(policy),
        "processSelector": signals.process_selector,
        "memoryLimitBytes": "" if signals.memory_limit is None else str(signals.memory_limit),
        "window": format_duration(signals.window),
        "longWindow": format_duration(signals.long_window),
        "longWindowSeconds": number(signals.long_window),
        "minimumRequests": number(signals.minimum_requests),
    }


def _tiers(signals: Signals) -> dict[str, dict[str, Any]]:
    """The limits of the three tiers, and those against stable."""
    return {
        "critical": {
            "enabled": signals.critical.enabled,
            "errorRate": number(signals.critical.error_rate),
            "responseTime": number(signals.critical.response_time),
            "memory": number(signals.critical.memory),
            "databaseConnectionFailures": number(signals.critical.database_connection_failures),
            "holdFor": format_duration(signals.critical.hold_for),
        },
        "warning": {
            "enabled": signals.warning.enabled,
            "errorRate": number(signals.warning.error_rate),
            "responseTime": number(signals.warning.response_time),
            "holdFor": format_duration(signals.warning.hold_for),
        },
        "info": {
            "enabled": signals.info.enabled,
            "errorRate": number(signals.info.error_rate),
            "responseTime": number(signals.info.response_time),
            "cpu": number(signals.info.cpu),
            "memory": number(signals.info.memory),
            "disk": number(signals.info.disk),
            "holdFor": format_duration(signals.info.hold_for),
        },
        "againstStable": {
            "enabled": signals.against_stable.enabled,
            "errorRateFactor": number(signals.against_stable.error_rate_factor),
            "errorRateDifference": number(signals.against_stable.error_rate_difference),
            "responseTimeFactor": number(signals.against_stable.response_time_factor),
            "responseTimeDifference": number(signals.against_stable.response_time_difference),
            "holdFor": format_duration(signals.against_stable.hold_for),
        },
    }


def node_selector(policy: Policy) -> str:
    """Which node exporters are the canary's: as the policy says, or those on the hosts of the router's upstreams."""
    signals: Signals = policy.signals
    if signals.node_selector:
        return signals.node_selector
    hosts = sorted(
        {
            upstream.rpartition(":")[0].replace(".", "[.]")
            for router in policy.router
            if not isinstance(router, CommandRouter)
            for upstream in router.upstreams.canary
        }
    )
    return f'instance=~"({"|".join(hosts)})(:[0-9]+)?"' if hosts else 'role="canary"'


def _kpi(name: str, kpi: Kpi) -> dict[str, Any]:
    match kpi:
        case Conversion():
            kind = {"entered": names.event_total(kpi.from_), "converted": names.event_total(kpi.to)}
            upward, judged = not kpi.complement, kpi.floor is not None
        case Success():
            kind = {"entered": names.event_total(kpi.of)}
            upward, judged = True, kpi.floor is not None
        case Mean():
            kind = {"entered": names.event_total(kpi.of), "of": kpi.of if kpi.since is None else ""}
            upward, judged = kpi.better == "higher", False
    own_floor = _OWN_FLOOR_ALERTS.get(name)
    return {
        "name": name,
        "words": name.replace("_", " "),
        "gauge": names.kpi_gauge(name),
        "kind": kpi.kind,
        **kind,
        "complement": isinstance(kpi, Conversion) and kpi.complement,
        "upward": upward,
        "filter": "humanize" if isinstance(kpi, Mean) else "humanizePercentage",
        "action": kpi.action,
        "judge": kpi.judge,
        "tolerance": number(kpi.tolerance),
        "floor": _optional(kpi.floor),
        "floorJudged": judged,
        "target": _optional(kpi.target),
        "alert": _OWN_ALERTS.get(name, names.KPI_ALERT),
        "floorAlert": own_floor or names.KPI_ALERT,
        "floorLabels": {} if own_floor else {names.LIMIT: "floor"},
    }


def _phase(index: int, phase: Phase) -> dict[str, str]:
    return {
        "index": str(index),
        "traffic": format_ratio(phase.traffic),
        "durationSeconds": number(phase.duration),
        "advance": phase.advance,
        "gate": "url" if isinstance(phase.gate, UrlGate) else phase.gate or "",
    }


def _evidence(evidence: Evidence) -> dict[str, str]:
    return {
        "minimumUnits": number(evidence.minimum_units),
        "stalenessSeconds": number(evidence.staleness),
        "mismatch": number(evidence.mismatch),
        "mismatchThreshold": number(round(-math.log10(evidence.alpha), 6)),
    }


def _experiment(name: str, experiment: Experiment, evidence: Evidence) -> dict[str, Any]:
    return {
        "name": name,
        "control": experiment.control,
        "guarded": bool(experiment.guardrails),
        "compared": bool(set(experiment.metrics) - set(experiment.guardrails)),
        "mismatchThreshold": number(experiment.mismatch_threshold(evidence.alpha)),
    }


def _override(override: AlertOverride) -> dict[str, Any]:
    given: dict[str, Any] = {
        "enabled": override.enabled,
        "labels": override.labels,
        "annotations": override.annotations,
    }
    if override.hold_for is not None:
        given["hold_for"] = format_duration(override.hold_for)
    for key in ("severity", "action", "dry_run"):
        if getattr(override, key) is not None:
            given[key] = getattr(override, key)
    return given
