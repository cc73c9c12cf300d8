"""The scrape configuration: a prometheus.yml that Prometheus can be started with on the generated folder as it is."""

from typing import Any
from urllib.parse import urlsplit

from canary.policy import Policy
from canary.units import format_duration


def scrape_config(policy: Policy) -> dict[str, Any]:
    """Prometheus' configuration file as data; paths are relative to the file."""
    signals = policy.signals
    jobs = [
        # Their series carry `service` themselves; a target's own label (Kubernetes has one) must not push it aside.
        _job("kpi-canary-exporter", [signals.exporter_target], honor_labels=True),
        _job("kpi-canary-receiver", [_address(policy.receiver.url)], honor_labels=True, **_scheme(policy.receiver.url)),
    ]
    jobs += [
        _job(name, list(targets))
        for name, targets in (
            (policy.service, signals.shop_targets),
            ("haproxy", signals.haproxy_targets),
            ("node", signals.node_targets),
        )
        if targets
    ]
    return {
        "global": {
            "scrape_interval": format_duration(signals.scrape_interval),
            "scrape_timeout": format_duration(min(signals.scrape_interval, 10)),
            "evaluation_interval": format_duration(signals.evaluation_interval),
        },
        "alerting": {
            "alertmanagers": [
                {
                    "scheme": urlsplit(policy.receiver.alertmanager).scheme,
                    **_path_prefix(policy.receiver.alertmanager),
                    "static_configs": [{"targets": [_address(policy.receiver.alertmanager)]}],
                }
            ],
        },
        "rule_files": ["rules/*.yml"],
        "scrape_configs": jobs,
    }


def _job(name: str, targets: list[str], *, honor_labels: bool = False, **more: str) -> dict[str, Any]:
    job: dict[str, Any] = {"job_name": name, **more}
    if honor_labels:
        job["honor_labels"] = True
    return {**job, "static_configs": [{"targets": targets}]}


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.port:
        return parts.netloc.rpartition("@")[2]
    return f"{parts.hostname}:{443 if parts.scheme == 'https' else 80}"


def _scheme(url: str) -> dict[str, str]:
    return {"scheme": "https"} if urlsplit(url).scheme == "https" else {}


def _path_prefix(url: str) -> dict[str, str]:
    path = urlsplit(url).path.rstrip("/")
    return {"path_prefix": path} if path else {}
