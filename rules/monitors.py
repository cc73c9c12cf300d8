"""The scrape configuration as the Prometheus operator takes it: a ServiceMonitor for each of a service's programs.

The operator gives every series the label `service` of the Kubernetes Service that it was scraped from, which would push
ours aside; rules then find nothing, and all is blind. So every endpoint keeps the series' own labels, as the jobs of
`rules.scrape` do.

Monitors select by the shop's name (`app.kubernetes.io/instance`). Where one exporter serves several shops, each has a
Kubernetes Service of its own in front of the same pods: selected by the program alone, each shop's monitor would scrape
the exporters of all others too, and every series would be there several times.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from canary import names
from canary.policy import Policy
from canary.units import format_duration
from rules.targets import Resource, metadata, slug

# What the Service of a program calls its port; ours have no other.
_PORT = "http"

# As in the AlertmanagerConfig: the operator reads authorities from secrets, for it has no files.
_CA = "ca.crt"


def service_monitors(policy: Policy, labels: Mapping[str, str]) -> list[Resource]:
    """A ServiceMonitor for the exporter, the receiver and, where the router's log is followed, its follower.

    Args:
        policy: the policy.
        labels: what the operator's `serviceMonitorSelector` wants to see, such as `release: kube-prometheus-stack`.
    """
    signals, query = policy.signals, {"params": {"service": [policy.service]}}
    exporter = [_endpoint(signals.scrape_interval, **query)]
    if signals.fast:
        exporter.append(_endpoint(signals.verdict_interval, path=f"/metrics/{names.VERDICTS_PATH}", **query))
    programs = {"exporter": exporter, "receiver": [_endpoint(signals.scrape_interval, **_receiver(policy))]}
    if policy.database.log is not None:
        programs["assignments"] = [_endpoint(signals.shop_interval)]
    return [_monitor(policy, program, endpoints, labels) for program, endpoints in programs.items()]


def _monitor(policy: Policy, program: str, endpoints: list[Resource], labels: Mapping[str, str]) -> Resource:
    own = {"app.kubernetes.io/name": "kpi-canary", "app.kubernetes.io/instance": slug(policy.service)}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": metadata(policy, f"-{program}", labels),
        "spec": {"selector": {"matchLabels": own | {"app.kubernetes.io/component": program}}, "endpoints": endpoints},
    }


def _endpoint(seconds: float, **more: Any) -> Resource:
    interval = {"interval": format_duration(seconds), "scrapeTimeout": format_duration(min(seconds, 10))}
    return {"port": _PORT, **more, **interval, "honorLabels": True}


def _receiver(policy: Policy) -> Resource:
    """Its path behind a proxy or among several services, and its certificate, which names a host and no pod."""
    url = urlsplit(policy.receiver.url)
    path = {"path": f"{url.path.rstrip('/')}/metrics"}
    if url.scheme != "https":
        return path
    tls: Resource = {"serverName": url.hostname}
    if policy.receiver.ca_file:
        tls["ca"] = {"secret": {"name": metadata(policy, "", {})["name"], "key": _CA}}
    return {**path, "scheme": "https", "tlsConfig": tls}
