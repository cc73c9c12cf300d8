"""What of a policy decides, as plain data, and its digest.

A rollout is judged by an exporter, by rules in Prometheus and by a receiver, and each of them has read the policy at
another time. Their digests say whether they go by the same one. So a digest covers everything that can change a
decision: mapping, KPIs, signals, plans, rollback, evidence. It covers nothing else (addresses, secrets, who is told),
or each password that is replaced would look like another policy.

It is made of values and not of the file's text: comments, the order of keys, `5m` or `300s`, a default that is written
out or left away make no difference. A key that a later version adds makes none either until somebody uses it, so that
a receiver can be upgraded before the exporter.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from canary.policy.model import Policy
from canary.policy.schema import adapter

Data = Mapping[str, Any]
"""Sections of a policy as plain data, quantities in base units."""

DECIDING: Final = ("database", "kpis", "signals", "technical", "phases", "plans", "rollback", "evidence")
"""The sections that decide. `technical` stands for the presence of `signals`: an empty section has no values of its
own, and still switches the alerts about errors and response times on."""

_ADDRESSES: Final[Mapping[str, frozenset[str]]] = {
    "database": frozenset(
        {
            "url", "url_file", "url_env", "password_file", "password_env", "sources", "log",
            "since", "refresh", "reconcile", "statement_timeout", "max_currencies",
            "consistency", "primary",
        }
    ),
    "signals": frozenset(
        {
            "exporter_target", "follower_target", "shop_targets", "haproxy_targets", "node_targets", "runbook_url",
            "dashboard_url", "verdict_interval",
        }
    ),
    "evidence": frozenset({"drift"}),
}  # fmt: skip
"""Keys of deciding sections that only say where something is, how it is asked, or of what people are notified; and
`consistency` and `primary`, which can never do more than hold and which a running rollout may need to be told to
ignore. All others decide, those that are added later too: a digest that covers too much is noticed, one that covers too
little is not."""

_OF_A_KPI: Final = frozenset({"owner"})
"""The same, of each KPI."""

_DIGITS: Final = 12
"""Significant digits that count: 700ms and 0.7s are one value, and differ in the sixteenth."""

_SHOWN: Final = 16
"""Characters of the digest, 64 bits: it tells policies of one shop apart, and fits on a line."""


def deciding(policy: Policy, *, defaults: bool = True) -> dict[str, Any]:
    """What of the policy decides, as plain data that `canary.policy.pinning.pinned` reads.

    Args:
        policy: the policy.
        defaults: with the values that nobody has written.
    """
    dumped = adapter().dump_python(policy, mode="json", by_alias=True, exclude_defaults=not defaults)
    data = {section: dumped[section] for section in DECIDING if section in dumped}
    for section, addresses in _ADDRESSES.items():
        if isinstance(data.get(section), dict):
            data[section] = {key: value for key, value in data[section].items() if key not in addresses}
            if not data[section]:
                del data[section]
    if isinstance(data.get("kpis"), dict):
        data["kpis"] = {
            name: {key: value for key, value in kpi.items() if key not in _OF_A_KPI}
            for name, kpi in data["kpis"].items()
        }
    return data


def digest(policy: Policy) -> str:
    """The digest of what decides."""
    text = json.dumps(_rounded(deciding(policy, defaults=False)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_SHOWN]


def _rounded(value: Any) -> Any:
    """Numbers to the digits that count, so that two spellings of one value are one."""
    match value:
        case bool():
            return value
        case int() | float():
            return float(f"{value:.{_DIGITS}g}")
        case dict():
            return {key: _rounded(one) for key, one in value.items()}
        case list() | tuple():
            return [_rounded(one) for one in value]
        case _:
            return value
