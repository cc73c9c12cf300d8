"""From the policy to the mixins' `_config`: the one translation, read by the rules' half and the dashboards' half.

What both need (the shop's series, KPIs, experiments) is worked out once here, so that a panel can never show another
series than the rule behind it judges. Rules get no limits and no phases: those are series of the receiver, see
`canary.mixin.limits`. Dashboards draw limits as lines, and get them with their texts.

Numbers for rules are texts, because jsonnet prints 0.8 as 0.80000000000000004.
"""

from typing import Any

from canary import names
from canary.mixin.limits import ladder, limits
from canary.policy import Policy
from canary.policy.experiments import Experiment
from canary.policy.kpis import Conversion, Kpi, Mean, Success
from canary.policy.pinning.digest import digest
from canary.policy.signals import AlertOverride
from canary.units import format_duration, format_ratio

# The strategy names these two itself; all other KPIs share CanaryKpiDegraded, told apart by the label `kpi`.
_OWN_ALERTS = {
    "conversion_rate": names.CONVERSION_DEGRADED,
    "payment_success_rate": names.PAYMENT_SUCCESS_DEGRADED,
}
_OWN_FLOOR_ALERTS = {"payment_success_rate": names.PAYMENT_SUCCESS_LOW}

# A series counts as missing after this many scrapes: one that is late, and one that failed, are no outage.
_MISSED_SCRAPES = 4

# Event kinds whose totals head the business dashboard; all others are counted further down.
_HEADLINES = ("visits", "orders", "payments")

# A band is drawn to this many times the tolerance, so that it can be seen to narrow; what is wider is cut off.
_SHOWN_TOLERANCES = 2
_CUT_TOLERANCES = 4

# The finest weight that a router is set to is a hundredth of a percent; ten of these are no rounding any more.
_DRIFT_RATIO = 0.001

_Line = dict[str, Any]
"""A number to draw, `value`, and how people write it, `text`."""


def rules_config(policy: Policy, *, inline: bool = False) -> dict[str, Any]:
    """What the rules' half needs to know of a policy.

    Args:
        policy: the policy.
        inline: write every alert out, without reading recorded series.
    """
    signals = policy.signals
    return {
        "service": policy.service,
        "inline": inline,
        "digest": digest(policy),
        "evaluationInterval": format_duration(signals.evaluation_interval),
        "fastEvaluationInterval": format_duration(signals.fast_evaluation_interval),
        "missedScrapes": format_duration(_MISSED_SCRAPES * signals.scrape_interval),
        "runbookUrl": signals.runbook_url,
        "dashboardUrl": signals.dashboard_url.rstrip("/"),
        "pageUrl": f"{policy.receiver.page}/",
        "dashboards": dict(names.DASHBOARD_UIDS),
        "technical": policy.technical,
        "kpiWindowSeconds": number(policy.database.window),
        "signals": _signals(policy),
        "critical": _tier(signals.critical),
        "warning": _tier(signals.warning),
        "againstStable": _tier(signals.against_stable),
        "info": _tier(signals.info),
        "kpis": [_judged_kpi(name, kpi) for name, kpi in policy.kpis.items()],
        "converge": format_duration(policy.rollback.converge),
        "replica": policy.database.replica is not None,
        "primary": policy.database.primary is not None,
        "log": policy.database.log is not None,
        "experiments": [
            _experiment(name, experiment, policy)
            for name, experiment in policy.experiments.items()
            if experiment.enabled and (experiment.metrics or experiment.guardrails)
        ],
        "drillMaxAgeSeconds": "" if policy.receiver.drill_max_age is None else number(policy.receiver.drill_max_age),
        "owners": policy.owners,
        "alerts": {name: _override(override) for name, override in signals.alerts.items()},
    }


def dashboards_config(policy: Policy) -> dict[str, Any]:
    """What the dashboards' half needs to know of a policy: names, texts and numbers, as plain data."""
    events = policy.database.events
    return {
        "names": {key.lower(): value for key, value in vars(names).items() if key.isupper() and isinstance(value, str)},
        "states": list(names.STATES),
        "events": list(names.EVENTS),
        "watchdog": names.WATCHDOG,
        "kpis": [_shown_kpi(name, kpi, policy) for name, kpi in policy.kpis.items()],
        "counters": [
            {"metric": names.event_total(event), "title": _title(event), "headline": event in _HEADLINES}
            for event in events
        ],
        "revenue": "orders" in events and events["orders"].value is not None,
        "log": policy.database.log is not None,
        "experiments": [_experiment(name, experiment, policy) for name, experiment in policy.experiments.items()],
        # Where the policy names no machines, dashboards show all of them.
        "signals": _signals(policy)
        | {"nodeSelector": policy.signals.node_selector, "selector": _shown_selector(policy)},
        "limits": _lines(policy),
        "window": format_duration(policy.database.window),
        "step": format_duration(policy.signals.scrape_interval),
        "rateStep": format_duration(max(policy.signals.shop_interval, policy.signals.window / 4)),
        "uids": dict(names.DASHBOARD_UIDS),
    }


def number(value: float) -> str:
    """A number as PromQL reads it, without needless digits: 300.0 -> `300`, 0.1 -> `0.1`."""
    return f"{value:.12g}"


def node_selector(policy: Policy) -> str:
    """Which node exporters are the canary's: as the policy says, or those on the hosts of the router's upstreams."""
    if policy.signals.node_selector:
        return policy.signals.node_selector
    hosts = sorted(
        {
            upstream.rpartition(":")[0].replace(".", "[.]")
            for router in policy.router
            for upstream in router.upstreams.canary
        }
    )
    return f'instance=~"({"|".join(hosts)})(:[0-9]+)?"' if hosts else 'role="canary"'


def _signals(policy: Policy) -> dict[str, Any]:
    """Where the shop's own series are."""
    signals = policy.signals
    return {
        "preset": "application" if signals.preset == "log" else signals.preset,
        "selector": policy.shop_selector,
        "requests": signals.requests,
        "duration": signals.duration,
        "histograms": signals.histograms,
        "connectionErrors": signals.connection_errors if signals.preset == "application" else "",
        "queryDuration": signals.query_duration,
        "queriesRollBack": bool(signals.query_duration) and signals.critical.query_time is not None,
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
        "ladder": [{"window": format_duration(one), "seconds": number(one)} for one in ladder(signals)],
    }


def _shown_selector(policy: Policy) -> str:
    """As rules select; of generated jobs by the variable `service`, so that one set of dashboards is for all."""
    if policy.signals.selector or not policy.shop_selector:
        return policy.shop_selector
    return f'job="{policy.shop_job.replace(policy.service, "$service", 1)}"'


def _tier(tier: Any) -> dict[str, Any]:
    """Whether the alerts of a tier are there, and how long each waits."""
    return {"enabled": tier.enabled, "holdFor": format_duration(tier.hold_for)}


def _judged_kpi(name: str, kpi: Kpi) -> dict[str, Any]:
    """A KPI as rules judge it."""
    counted = {"entered": names.event_total(kpi.from_ if isinstance(kpi, Conversion) else kpi.of)}
    if isinstance(kpi, Conversion):
        counted["converted"] = names.event_total(kpi.to)
    if isinstance(kpi, Mean):
        counted["of"] = kpi.of if kpi.since is None else ""
    own_floor = _OWN_FLOOR_ALERTS.get(name)
    complement = isinstance(kpi, Conversion) and kpi.complement
    return {
        "name": name,
        "words": name.replace("_", " "),
        "gauge": names.kpi_gauge(name),
        "kind": kpi.kind,
        **counted,
        "complement": complement,
        "upward": kpi.better == "higher" if isinstance(kpi, Mean) else not complement,
        "action": kpi.action,
        "judge": kpi.judge,
        "floor": kpi.floor is not None,
        "floorJudged": kpi.floor is not None and not isinstance(kpi, Mean),
        "segmented": not isinstance(kpi, Mean) and kpi.by is not None,
        "target": kpi.target is not None,
        "alert": _OWN_ALERTS.get(name, names.KPI_ALERT),
        "floorAlert": own_floor or names.KPI_ALERT,
        "floorLabels": {} if own_floor else {names.LIMIT: "floor"},
    }


def _shown_kpi(name: str, kpi: Kpi, policy: Policy) -> dict[str, Any]:
    """A KPI as dashboards show it."""
    mean = isinstance(kpi, Mean)
    elapsed = isinstance(kpi, Mean) and kpi.since is not None
    event = policy.database.events.get(kpi.of) if isinstance(kpi, Mean) and not elapsed else None
    complement = isinstance(kpi, Conversion) and kpi.complement
    return {
        "name": name,
        "metric": names.kpi_gauge(name),
        "title": _title(name),
        "unit": "s" if elapsed else "none" if mean else "percentunit",
        "decimals": 2 if mean else 1,
        "worse": "higher" if isinstance(kpi, Mean) and kpi.better == "lower" else "lower",
        "note": " It is judged on the conversions, whose fall is a rise of this rate." if complement else "",
        "action": kpi.action,
        "judged": kpi.judge == "evidence",
        "segmented": kpi.judge == "evidence" and isinstance(kpi, Conversion | Success) and kpi.by is not None,
        "tolerance": format_ratio(kpi.tolerance),
        "shown": round(_SHOWN_TOLERANCES * kpi.tolerance, 6),
        "cut": f"{_CUT_TOLERANCES * kpi.tolerance:.6g}",
        "cutText": format_ratio(min(1.0, _CUT_TOLERANCES * kpi.tolerance)),
        "currency": event is not None and event.currency is not None,
    }


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _experiment(name: str, experiment: Experiment, policy: Policy) -> dict[str, Any]:
    """An experiment. It has no rollout, and so its limits are not among the rollout's."""
    threshold = experiment.mismatch_threshold(policy.evidence.alpha)
    return {
        "name": name,
        "control": experiment.control,
        "treatments": [variant for variant in experiment.variants if variant != experiment.control],
        "kpis": [*experiment.metrics, *experiment.guardrails],
        "guarded": bool(experiment.guardrails),
        "compared": bool(set(experiment.metrics) - set(experiment.guardrails)),
        "mismatch": number(policy.evidence.mismatch),
        "mismatchThreshold": {"value": threshold, "text": number(threshold)},
    }


def _lines(policy: Policy) -> dict[str, _Line | None]:
    """The limits that graphs draw as lines, by name, and from where on the guard itself is unwell."""
    return {limit.name: {"value": limit.value, "text": limit.text} for limit in limits(policy) if not limit.kpi} | {
        "watchdog": _seconds(policy.receiver.watchdog.timeout),
        "drift": {"value": _DRIFT_RATIO, "text": format_ratio(_DRIFT_RATIO)},
        "drill": _seconds(policy.receiver.drill_max_age) if policy.receiver.drill_max_age else None,
    }


def _seconds(value: float) -> _Line:
    return {"value": value, "text": format_duration(value)}


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
