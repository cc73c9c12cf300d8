"""From the policy to Prometheus' files: rules, their tests, and a scrape configuration that it can be started with."""

import re
from pathlib import Path
from typing import Any

from canary import names
from canary.mixin.config import rules_config
from canary.mixin.jsonnet import evaluate
from canary.mixin.yamltext import dump
from canary.policy import Policy
from rules.promtool import test_files
from rules.scrape import scrape_config

_MAIN = Path(__file__).with_name("main.jsonnet")


def alerts_file(service: str) -> str:
    """The file of a service's alerts, with the inputs that they read; several services' may lie in one folder."""
    return f"canary-alerts-{service}.rules.yml"


def recording_file(service: str) -> str:
    """The file of what only people read of a service."""
    return f"canary-recording-{service}.rules.yml"


# jsonnet sorts keys by the alphabet; people look for the name first, then for the expression, then for what it tells.
_GROUP_KEYS = ("name", "interval", "partial_response_strategy", "rules")
_RULE_KEYS = ("record", "alert", "expr", "for", "labels", "annotations")

# pint takes `a * on (x) group_left (y) b and on (z) c` for one that loses y. It does not: `and` keeps the labels of its
# left side, as promtool's tests of these alerts show.
_JOINED = (
    names.ELEVATED_ERROR_RATE,
    names.ERROR_RATE_DEGRADED,
    names.RESPONSE_TIME_DEGRADED,
    names.SERVER_UNHEALTHY,
)
_BEGINS = re.compile(rf"^( *)- alert: (?:{'|'.join(_JOINED)})$", re.MULTILINE)
_TOLD = "\\1# `and on` keeps the labels of its left side, joined ones too.\n\\1# pint disable promql/impossible\n\\g<0>"

Groups = dict[str, list[dict[str, Any]]]


def rule_groups(policy: Policy, *, inline: bool = False) -> dict[str, Groups]:
    """The rule files as data: `alerts`, with the inputs that they read, and `rules`, that only people read.

    Raises:
        GenerateError: the mixin cannot be evaluated.
    """
    files: dict[str, Groups] = evaluate(_MAIN, {"config": rules_config(policy, inline=inline)})
    return {name: {"groups": [_ordered_group(group) for group in file["groups"]]} for name, file in files.items()}


def _ordered_group(group: dict[str, Any]) -> dict[str, Any]:
    """Keys in the order in which people read them; jsonnet sorts them by the alphabet."""
    rules = [_ordered(rule, _RULE_KEYS) for rule in group["rules"]]
    return _ordered({**group, "rules": rules}, _GROUP_KEYS)


def _ordered(data: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: data[key] for key in keys if key in data}


def prometheus_files(policy: Policy, *, inline: bool = False) -> dict[str, str]:
    """Everything below `prometheus/` of one service, by relative path.

    Raises:
        GenerateError: the mixin cannot be evaluated.
    """
    return {"prometheus.yml": dump(scrape_config(policy)), **rules_and_tests(policy, inline=inline)}


def rules_and_tests(policy: Policy, *, inline: bool = False) -> dict[str, str]:
    """A service's own files below `prometheus/`; several services' may lie in one folder.

    Raises:
        GenerateError: the mixin cannot be evaluated.
    """
    groups = rule_groups(policy, inline=inline)
    alerts = [rule for group in groups["alerts"]["groups"] for rule in group["rules"]]
    tests = test_files(policy, alerts, [f"../rules/{alerts_file(policy.service)}"])
    return {
        f"rules/{alerts_file(policy.service)}": _BEGINS.sub(_TOLD, dump(groups["alerts"])),
        f"rules/{recording_file(policy.service)}": dump(groups["rules"]),
        **{f"tests/{name}": text for name, text in tests.items()},
    }
