"""The scrape configuration: a prometheus.yml that Prometheus can be started with on the generated folder as it is."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from canary import names
from canary.policy import Policy
from canary.policy.servers import address_of, whole
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
        "scrape_configs": [{**job, **_every(seconds)} for policy in policies for job, seconds in _jobs(policy)],
    }


def _every(seconds: float) -> dict[str, Any]:
    """A job's own interval: it is copied into files whose `global` says another, and windows are made for this one."""
    return {"scrape_interval": format_duration(seconds), "scrape_timeout": format_duration(min(seconds, 10))}


def _alertmanager(policy: Policy) -> dict[str, Any]:
    alertmanager = policy.receiver.alertmanager_server
    return {
        "scheme": urlsplit(alertmanager.url).scheme,
        **_path_prefix(alertmanager.url),
        **alertmanager.http_config(policy.base),
        "static_configs": [{"targets": [address_of(alertmanager.url)]}],
    }


def _jobs(policy: Policy) -> Iterator[tuple[dict[str, Any], float]]:
    """A service's jobs, each with the seconds between two scrapes."""
    service, signals = policy.service, policy.signals
    # Their series carry `service` themselves; a target's own label (Kubernetes has one) must not push it aside.
    # An exporter of several services gives this one's series alone; one of its own has no others to give.
    own = {"honor_labels": True, "params": {"service": [service]}}
    exporter = [signals.exporter_target]
    yield _job(f"kpi-canary-exporter-{service}", exporter, **own), signals.scrape_interval
    if signals.fast:
        # What has been proven, once more: a few series while a rollout runs, and none while nothing does.
        path = {"metrics_path": f"/metrics/{names.VERDICTS_PATH}"}
        yield _job(f"kpi-canary-verdicts-{service}", exporter, **path, **own), signals.verdict_interval
    receiver = {**_receiver(policy), "honor_labels": True}
    yield _job(f"kpi-canary-receiver-{service}", [address_of(policy.receiver.url)], **receiver), signals.scrape_interval
    if policy.database.log is not None:
        follower = [signals.follower_target]
        yield _job(f"kpi-canary-assignments-{service}", follower, honor_labels=True), signals.shop_interval
    # The shop's own series say by their job whose they are: see `Policy.shop_selector`.
    for name, targets in (
        (service, signals.shop_targets),
        (f"{service}-haproxy", signals.haproxy_targets),
        (f"{service}-node", signals.node_targets),
    ):
        if targets:
            yield _job(name, list(targets)), signals.shop_interval


def _job(name: str, targets: list[str], **more: Any) -> dict[str, Any]:
    return {"job_name": name, **more, "static_configs": [{"targets": targets}]}


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
