"""Our part of Alertmanager's configuration as the Prometheus operator's AlertmanagerConfig."""

import re
from typing import Any

from alertmanager.config.configuration import alertmanager_config, guard_name
from canary.policy import Policy

Section = dict[str, Any]

_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"(.*)"')

# Where the operator finds the receiver's token, for it cannot read files.
TOKEN_SECRET = {"name": "kpi-canary", "key": "webhook-token"}


def alertmanager_config_resource(policy: Policy, metadata: Section) -> Section:
    """An AlertmanagerConfig, v1alpha1, which every operator serves."""
    config = alertmanager_config(policy)
    intervals = config.get("time_intervals", [])
    return {
        "apiVersion": "monitoring.coreos.com/v1alpha1",
        "kind": "AlertmanagerConfig",
        "metadata": metadata,
        "spec": {
            "route": _route(config["route"]),
            "inhibitRules": [_inhibition(rule) for rule in config["inhibit_rules"]],
            "receivers": [_receiver(policy, receiver) for receiver in config["receivers"]],
            **({"muteTimeIntervals": [_interval(interval) for interval in intervals]} if intervals else {}),
        },
    }


def _route(route: Section) -> Section:
    """Snake case to camel case, matchers taken apart, routes below likewise."""
    result: Section = {}
    for key, value in route.items():
        match key:
            case "matchers":
                result["matchers"] = [_matcher(text) for text in value]
            case "routes":
                result["routes"] = [_route(part) for part in value]
            case _:
                result[_camel(key)] = value
    return result


def _inhibition(rule: Section) -> Section:
    return {
        "sourceMatch": [_matcher(text) for text in rule["source_matchers"]],
        "targetMatch": [_matcher(text) for text in rule["target_matchers"]],
        "equal": rule["equal"],
    }


def _receiver(policy: Policy, receiver: Section) -> Section:
    if receiver["name"] != guard_name(policy):
        return receiver
    (webhook,) = receiver["webhook_configs"]
    own: Section = {key: webhook[name] for key, name in (("url", "url"), ("sendResolved", "send_resolved"))}
    if "http_config" in webhook:
        own["httpConfig"] = {"authorization": {"type": "Bearer", "credentials": dict(TOKEN_SECRET)}}
    return {"name": receiver["name"], "webhookConfigs": [{**own, "maxAlerts": webhook["max_alerts"]}]}


def _interval(interval: Section) -> Section:
    return {
        "name": interval["name"],
        "timeIntervals": [
            {
                "weekdays": part["weekdays"],
                **(
                    {"times": [{_camel(key): text for key, text in time.items()} for time in part["times"]]}
                    if "times" in part
                    else {}
                ),
            }
            for part in interval["time_intervals"]
        ],
    }


def _matcher(text: str) -> Section:
    match = _MATCHER.fullmatch(text)
    assert match is not None, f"a matcher of ours cannot be read: {text}"
    return {"name": match[1], "matchType": match[2], "value": match[3]}


def _camel(text: str) -> str:
    first, *others = text.split("_")
    return first + "".join(word.capitalize() for word in others)
