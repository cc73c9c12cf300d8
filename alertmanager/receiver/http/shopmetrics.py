"""The strategy's three debugging commands: traffic split by role, error rate and payment success of the canary.

The strategy asks `$CANARY_URL/api/metrics` for `.error_rate` and `.payment_success_rate`, and means the canary's: one
number each. What they are to be compared with, stable's, stands below `stable`.
"""

import asyncio
import math
from typing import Any

from canary import names
from canary.errors import RemoteError
from canary.policy.model import Policy
from canary.prometheus import Prometheus
from canary.rollout.state import Rollout
from canary.units import format_duration


async def shop_metrics(
    policy: Policy, prometheus: Prometheus, rollout: Rollout | None, weight_ratio: float | None
) -> dict[str, Any]:
    """`traffic_split` by role, the canary's rates, and below `stable` the same of stable; what is not known is null."""
    split = dict.fromkeys(names.ROLES) | (
        {} if weight_ratio is None else {"stable": 1 - weight_ratio, "canary": weight_ratio}
    )
    if rollout is None:
        nothing = dict.fromkeys(_QUESTIONS)
        return {"rollout": None, "traffic_split": split, **nothing, "stable": nothing}
    versions = {"stable": rollout.stable, "canary": rollout.canary}
    keys = [(name, role) for name in _QUESTIONS for role in versions]
    values = await asyncio.gather(
        *(_value(prometheus, _QUESTIONS[name](policy, role, versions[role])) for name, role in keys)
    )
    known = dict(zip(keys, values, strict=True))
    of_canary, of_stable = ({name: known[name, role] for name in _QUESTIONS} for role in ("canary", "stable"))
    return {"rollout": rollout.id, "versions": versions, "traffic_split": split, **of_canary, "stable": of_stable}


async def _value(prometheus: Prometheus, expression: str) -> float | None:
    try:
        found = await prometheus.query(expression)
    except RemoteError:
        return None
    return found[0].value if found and math.isfinite(found[0].value) else None


def _error_rate(policy: Policy, role: str, version: str) -> str:
    signals = policy.signals
    window = format_duration(signals.long_window)
    if signals.preset == "haproxy":
        backend = signals.canary_backend if role == "canary" else signals.stable_backend
        metric, matcher, errors = "haproxy_backend_http_responses_total", f'proxy="{backend}"', 'code="5xx"'
    else:
        metric, matcher = signals.requests, f'{signals.version_label}="{version}"'
        errors = f'{signals.status_label}=~"5.."'
    common = f"{matcher},{policy.shop_selector}" if policy.shop_selector else matcher
    failed = f"sum(rate({metric}{{{common},{errors}}}[{window}]))"
    return f"({failed} or vector(0)) / sum(rate({metric}{{{common}}}[{window}]))"


def _payment_success(policy: Policy, _role: str, version: str) -> str:
    metric = names.kpi_gauge("payment_success_rate")
    return f'{metric}{{{names.SERVICE}="{policy.service}",{names.VERSION}="{version}"}}'


_QUESTIONS = {"error_rate": _error_rate, "payment_success_rate": _payment_success}
"""By the strategy's name, the PromQL that asks for a role's value."""
