"""From the policy to the mixin's configuration: the names, texts and numbers that dashboards need."""

from typing import Any

from canary import names
from canary.policy.kpis import Conversion, Kpi, Mean
from canary.policy.model import Policy
from canary.policy.signals import Signals
from canary.units import format_duration, format_ratio

# Event kinds whose totals head the business dashboard; all others are counted further down.
_HEADLINES = ("visits", "orders", "payments")

# A band is drawn to this many times the tolerance, so that it can be seen to narrow; what is wider is cut off.
_SHOWN_TOLERANCES = 2
_CUT_TOLERANCES = 4

_Limit = dict[str, Any]


def settings(policy: Policy) -> dict[str, Any]:
    """What `config.libsonnet` asks for, as plain data."""
    return {
        "names": _metric_names(),
        "states": list(names.STATES),
        "events": list(names.EVENTS),
        "watchdog": names.WATCHDOG,
        "kpis": [_kpi(name, kpi, policy) for name, kpi in policy.kpis.items()],
        "counters": [
            {"metric": names.event_total(event), "title": _title(event), "headline": event in _HEADLINES}
            for event in policy.database.events
        ],
        "revenue": policy.database.events["orders"].value is not None if "orders" in policy.database.events else False,
        "experiments": [
            {
                "name": name,
                "treatments": [variant for variant in experiment.variants if variant != experiment.control],
                "kpis": [*experiment.metrics, *experiment.guardrails],
                "mismatchThreshold": experiment.mismatch_threshold(policy.evidence.alpha),
            }
            for name, experiment in policy.experiments.items()
        ],
        "phases": [
            f"{position} of {len(policy.phases)} ({format_ratio(phase.traffic)})"
            for position, phase in enumerate(policy.phases, start=1)
        ],
        "signals": _signals(policy.signals),
        "limits": _limits(policy),
        "replicaLimit": _seconds(policy.database.replica.max_lag) if policy.database.replica else None,
        "window": format_duration(policy.database.window),
        "step": format_duration(policy.signals.scrape_interval),
        "rateStep": format_duration(max(policy.signals.scrape_interval, policy.signals.window / 4)),
        "uids": dict(names.DASHBOARD_UIDS),
    }


def _metric_names() -> dict[str, str]:
    """Every name of names.py that is a text, by its constant in lower case."""
    return {key.lower(): value for key, value in vars(names).items() if key.isupper() and isinstance(value, str)}


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _kpi(name: str, kpi: Kpi, policy: Policy) -> dict[str, Any]:
    mean = isinstance(kpi, Mean)
    complement = isinstance(kpi, Conversion) and kpi.complement
    elapsed = isinstance(kpi, Mean) and kpi.since is not None
    event = policy.database.events.get(kpi.of) if isinstance(kpi, Mean) and not elapsed else None
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
        "tolerance": format_ratio(kpi.tolerance),
        "shown": round(_SHOWN_TOLERANCES * kpi.tolerance, 6),
        "cut": f"{_CUT_TOLERANCES * kpi.tolerance:.6g}",
        "cutText": format_ratio(min(1.0, _CUT_TOLERANCES * kpi.tolerance)),
        "currency": event is not None and event.currency is not None,
    }


def _signals(signals: Signals) -> dict[str, Any]:
    return {
        "preset": signals.preset,
        "selector": signals.selector,
        "requests": signals.requests,
        "duration": signals.duration,
        "histograms": signals.histograms,
        "connectionErrors": signals.connection_errors,
        "versionLabel": signals.version_label,
        "endpointLabel": signals.endpoint_label,
        "statusLabel": signals.status_label,
        "backends": {"stable": signals.stable_backend, "canary": signals.canary_backend},
        "nodeSelector": signals.node_selector,
        "processSelector": signals.process_selector,
        "window": format_duration(signals.window),
        "critical": {
            "errorRate": _ratio(signals.critical.error_rate),
            "responseTime": _seconds(signals.critical.response_time),
            "memory": _ratio(signals.critical.memory),
            "connections": {
                "value": signals.critical.database_connection_failures,
                "text": str(signals.critical.database_connection_failures),
            },
        },
        "warning": {
            "errorRate": _ratio(signals.warning.error_rate),
            "responseTime": _seconds(signals.warning.response_time),
        },
        "info": {
            "responseTime": _seconds(signals.info.response_time),
            "cpu": _ratio(signals.info.cpu),
            "memory": _ratio(signals.info.memory),
            "disk": _ratio(signals.info.disk),
        },
    }


def _limits(policy: Policy) -> dict[str, _Limit | None]:
    """From where on the guard itself is unwell."""
    return {
        "staleness": _seconds(policy.evidence.staleness),
        "watchdog": _seconds(policy.receiver.watchdog.timeout),
        "drift": _ratio(0.001),
        "drill": _seconds(policy.receiver.drill_max_age) if policy.receiver.drill_max_age else None,
    }


def _ratio(value: float) -> _Limit:
    return {"value": value, "text": format_ratio(value)}


def _seconds(value: float) -> _Limit:
    return {"value": value, "text": format_duration(value)}
