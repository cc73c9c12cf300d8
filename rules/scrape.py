"""The scrape configuration: a prometheus.yml that Prometheus can be started with on the generated folder as it is."""

from typing import Any
from urllib.parse import urlsplit

from canary.policy import Policy
from canary.policy.servers import whole
from canary.units import format_duration


def scrape_config(*policies: Policy) -> dict[str, Any]:
    """Prometheus' configuration file as data, for one service or several; paths are relative to the file."""
    every = min(policy.signals.scrape_interval for policy in policies)
    alertmanagers: list[dict[str, Any]] = []
    for policy in policies:
        if (alertmanager := _alertmanager(policy)) not in alertmanagers:
            alertmanagers.append(alertmanager)
    return {
        "global": {
            "scrape_interval": format_duration(every),
            "scrape_timeout": format_duration(min(every, 10)),
            "evaluation_interval": format_duration(min(policy.signals.evaluation_interval for policy in policies)),
        },
        "alerting": {"alertmanagers": alertmanagers},
        "rule_files": ["rules/*.yml"],
        "scrape_configs": [
            {**job, **_unlike(policy.signals.scrape_interval, every)} for policy in policies for job in _jobs(policy)
        ],
    }


def _unlike(seconds: float, every: float) -> dict[str, Any]:
    """A job's own interval, where its service is scraped more rarely than the most often scraped."""
    if seconds == every:
        return {}
    return {"scrape_interval": format_duration(seconds), "scrape_timeout": format_duration(min(seconds, 10))}


def _alertmanager(policy: Policy) -> dict[str, Any]:
    alertmanager = policy.receiver.alertmanager_server
    return {
        "scheme": urlsplit(alertmanager.url).scheme,
        **_path_prefix(alertmanager.url),
        **alertmanager.http_config(policy.base),
        "static_configs": [{"targets": [_address(alertmanager.url)]}],
    }


def _jobs(policy: Policy) -> list[dict[str, Any]]:
    service, signals = policy.service, policy.signals
    jobs = [
        # Their series carry `service` themselves; a target's own label (Kubernetes has one) must not push it aside.
        # An exporter of several services gives this one's series alone; one of its own has no others to give.
        _job(
            f"kpi-canary-exporter-{service}",
            [signals.exporter_target],
            honor_labels=True,
            params={"service": [service]},
        ),
        _job(f"kpi-canary-receiver-{service}", [_address(policy.receiver.url)], honor_labels=True, **_receiver(policy)),
    ]
    if policy.database.log is not None:
        jobs.append(_job(f"kpi-canary-assignments-{service}", [signals.follower_target], honor_labels=True))
    # The shop's own series say by their job whose they are: see `Policy.shop_selector`.
    jobs += [
        _job(name, list(targets))
        for name, targets in (
            (service, signals.shop_targets),
            (f"{service}-haproxy", signals.haproxy_targets),
            (f"{service}-node", signals.node_targets),
        )
        if targets
    ]
    return jobs


def _job(name: str, targets: list[str], *, honor_labels: bool = False, **more: Any) -> dict[str, Any]:
    job: dict[str, Any] = {"job_name": name, **more}
    if honor_labels:
        job["honor_labels"] = True
    return {**job, "static_configs": [{"targets": targets}]}


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.port:
        return parts.netloc.rpartition("@")[2]
    return f"{parts.hostname}:{443 if parts.scheme == 'https' else 80}"


def _receiver(policy: Policy) -> dict[str, Any]:
    receiver = policy.receiver
    path = urlsplit(receiver.url).path.rstrip("/")
    prefix = {"metrics_path": f"{path}/metrics"} if path else {}
    if urlsplit(receiver.url).scheme != "https":
        return prefix
    tls = {"tls_config": {"ca_file": whole(policy.base, receiver.ca_file)}} if receiver.ca_file else {}
    return {**prefix, "scheme": "https", **tls}


def _path_prefix(url: str) -> dict[str, str]:
    path = urlsplit(url).path.rstrip("/")
    return {"path_prefix": path} if path else {}
