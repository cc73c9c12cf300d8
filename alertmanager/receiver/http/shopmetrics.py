"""The strategy's debugging commands: traffic split, error rate and payment success, by role."""

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
    """`traffic_split`, `error_rate` and `payment_success_rate`; what is not known is null."""
    split = dict.fromkeys(names.ROLES) | (
        {} if weight_ratio is None else {"stable": 1 - weight_ratio, "canary": weight_ratio}
    )
    if rollout is None:
        nothing = dict.fromkeys(names.ROLES)
        return {"rollout": None, "traffic_split": split, "error_rate": nothing, "payment_success_rate": nothing}
    versions = {"stable": rollout.stable, "canary": rollout.canary}
    keys = [(name, role) for name in ("error_rate", "payment_success_rate") for role in names.ROLES]
    questions = {"error_rate": _error_rate, "payment_success_rate": _payment_success}
    values = await asyncio.gather(
        *(_value(prometheus, questions[name](policy, role, versions[role])) for name, role in keys)
    )
    answer: dict[str, Any] = {"rollout": rollout.id, "versions": versions, "traffic_split": split}
    for (name, role), value in zip(keys, values, strict=True):
        answer.setdefault(name, {})[role] = value
    return answer


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
