"""Our part of Alertmanager's configuration as the Prometheus operator's AlertmanagerConfig."""

import re
from typing import Any

from alertmanager.config.configuration import alertmanager_config, guard_name
from canary.policy import Policy

Section = dict[str, Any]

_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"(.*)"')

# Keys of the service's secret, named like its other resources: the operator cannot read files.
_TOKEN, _CA = "webhook-token", "ca.crt"


def alertmanager_config_resource(policy: Policy, metadata: Section) -> Section:
    """An AlertmanagerConfig, v1alpha1, which every operator serves."""
    config = alertmanager_config(policy)
    # The operator's intervals have no time zone, and one in the wrong zone would be worse than none: the receiver
    # itself keeps to all freezes.
    intervals = [one for one in config.get("time_intervals", []) if "location" not in one["time_intervals"][0]]
    kept = {interval["name"] for interval in intervals}
    return {
        "apiVersion": "monitoring.coreos.com/v1alpha1",
        "kind": "AlertmanagerConfig",
        "metadata": metadata,
        "spec": {
            "route": _route(config["route"], kept),
            "inhibitRules": [_inhibition(rule) for rule in config["inhibit_rules"]],
            "receivers": [_receiver(policy, receiver, metadata["name"]) for receiver in config["receivers"]],
            **({"muteTimeIntervals": [_interval(interval) for interval in intervals]} if intervals else {}),
        },
    }


def _route(route: Section, kept: set[str]) -> Section:
    """Snake case to camel case, matchers taken apart, routes below likewise; muted by the intervals that are kept."""
    result: Section = {}
    for key, value in route.items():
        match key:
            case "matchers":
                result["matchers"] = [_matcher(text) for text in value]
            case "routes":
                result["routes"] = [_route(part, kept) for part in value]
            case "mute_time_intervals":
                result[_camel(key)] = [name for name in value if name in kept]
            case _:
                result[_camel(key)] = value
    return result


def _inhibition(rule: Section) -> Section:
    return {
        "sourceMatch": [_matcher(text) for text in rule["source_matchers"]],
        "targetMatch": [_matcher(text) for text in rule["target_matchers"]],
        "equal": rule["equal"],
    }


def _receiver(policy: Policy, receiver: Section, secret: str) -> Section:
    if receiver["name"] != guard_name(policy):
        return receiver
    (webhook,) = receiver["webhook_configs"]
    own: Section = {key: webhook[name] for key, name in (("url", "url"), ("sendResolved", "send_resolved"))}
    http = webhook.get("http_config", {})
    if "authorization" in http:
        credentials = {"name": secret, "key": _TOKEN}
        own.setdefault("httpConfig", {})["authorization"] = {"type": "Bearer", "credentials": credentials}
    if "tls_config" in http:
        own.setdefault("httpConfig", {})["tlsConfig"] = {"ca": {"secret": {"name": secret, "key": _CA}}}
    return {"name": receiver["name"], "webhookConfigs": [{**own, "maxAlerts": webhook["max_alerts"]}]}


def _interval(interval: Section) -> Section:
    return {"name": interval["name"], "timeIntervals": [_period(part) for part in interval["time_intervals"]]}


def _period(part: Section) -> Section:
    """The same words in camel case, but for days of the month: numbers where Alertmanager has texts."""
    period = {_camel(key): value for key, value in part.items() if key != "days_of_month"}
    if "times" in part:
        period["times"] = [{_camel(key): text for key, text in time.items()} for time in part["times"]]
    if "days_of_month" in part:
        spans = [[int(day) for day in text.split(":")] for text in part["days_of_month"]]
        period["daysOfMonth"] = [{"start": span[0], "end": span[-1]} for span in spans]
    return period


def _matcher(text: str) -> Section:
    match = _MATCHER.fullmatch(text)
    assert match is not None, f"a matcher of ours cannot be read: {text}"
    return {"name": match[1], "matchType": match[2], "value": match[3]}


def _camel(text: str) -> str:
    first, *others = text.split("_")
    return first + "".join(word.capitalize() for word in others)
