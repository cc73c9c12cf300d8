"""Errors, response times, CPU, memory and the database by version, over the whole rollout.

The rules judge windows of minutes; a review asks what it came to altogether. So the shop's own counters are read over
the rollout as one window, with the policy's names and selectors, and nothing is taken from recorded series, which are
only there where our rules were loaded.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from canary.policy import Policy
from canary.report.review.asking import Asking, matchers
from canary.rollout.state import Rollout

Unit = Literal["count", "ratio", "seconds"]

_QUANTILES = {"Response time, p50": 0.5, "Response time, p95": 0.95, "Response time, p99": 0.99}
_DISKLESS = 'mode="idle"'
_BUSY_SECONDS = 300
"""A machine's load is the mean of so long, as in the rules: a moment's peak is no load."""


@dataclass(frozen=True)
class Measured:
    """One technical quantity by role; None where Prometheus has no series of it."""

    name: str
    unit: Unit
    stable: float | None = None
    canary: float | None = None


async def technical(policy: Policy, rollout: Rollout, asking: Asking) -> list[Measured]:
    """What the shop's own series say of both versions; only what at least one of them has.

    Raises:
        RemoteError: Prometheus does not answer.
    """
    questions = {**_requests(policy, asking), **_machines(policy, asking)}
    answers = await asyncio.gather(*(_by_role(asking, rollout, one) for _, one in questions.values()))
    measured = [
        Measured(name, unit, **answer) for (name, (unit, _)), answer in zip(questions.items(), answers, strict=True)
    ]
    return [one for one in measured if one.stable is not None or one.canary is not None]


async def _by_role(asking: Asking, rollout: Rollout, question: "str | Mapping[str, str]") -> dict[str, float]:
    """Role and value: from one expression by version, or from one for each role."""
    if isinstance(question, str):
        roles = {rollout.stable: "stable", rollout.canary: "canary"}
        found = await asking.at_the_end(question)
        return {roles[version]: value for labels, value in found if (version := labels.get("version", "")) in roles}
    values = {role: await asking.value(expression) for role, expression in question.items()}
    return {role: value for role, value in values.items() if value is not None}


_Questions = dict[str, tuple[Unit, str | Mapping[str, str]]]


def _requests(policy: Policy, asking: Asking) -> _Questions:
    signals, window = policy.signals, asking.window
    if not policy.technical:
        return {}
    if signals.preset == "haproxy":
        return _backends(policy, window)
    selector, label = policy.shop_selector, signals.version_label

    def counted(metric: str, *more: str, labels: str = label) -> str:
        return f"sum by ({labels}) (increase({metric}{matchers(selector, *more)}[{window}]))"

    def named(expression: str) -> str:
        return expression if label == "version" else f'label_replace({expression}, "version", "$1", "{label}", "(.*)")'

    requests = counted(signals.requests)
    failed = counted(signals.requests, f'{signals.status_label}=~"5.."')
    native = signals.histograms == "native"
    duration = counted(signals.duration) if native else counted(f"{signals.duration}_bucket", labels=f"{label}, le")
    found: _Questions = {
        "Requests": ("count", named(requests)),
        "Server errors": ("ratio", named(f"({failed} or 0 * {requests}) / {requests}")),
    }
    for name, quantile in _QUANTILES.items():
        found[name] = ("seconds", named(f"histogram_quantile({quantile}, {duration})"))
    if signals.connection_errors:
        found["Failed database connections"] = ("count", named(counted(signals.connection_errors)))
    return found


def _backends(policy: Policy, window: str) -> _Questions:
    """HAProxy counts by backend, and has no histogram."""
    signals = policy.signals
    backends = {"stable": signals.stable_backend, "canary": signals.canary_backend}

    def counted(backend: str, more: str = "") -> str:
        selected = matchers(policy.shop_selector, f'proxy="{backend}"', more)
        return f"sum(increase(haproxy_backend_http_responses_total{selected}[{window}]))"

    return {
        "Requests": ("count", {role: counted(name) for role, name in backends.items()}),
        "Server errors": (
            "ratio",
            {role: f"{counted(name, _SERVER_CODE)} / {counted(name)}" for role, name in backends.items()},
        ),
    }


_SERVER_CODE = 'code="5xx"'


def _machines(policy: Policy, asking: Asking) -> _Questions:
    """The most that the worst machine of each role had in use."""
    hosts = {
        "canary": [one for router in policy.router for one in router.upstreams.canary],
        "stable": [one for router in policy.router for one in router.upstreams.stable],
    }
    selectors = {role: _instances(found) for role, found in hosts.items() if found}
    if policy.signals.node_selector:
        selectors["canary"] = policy.signals.node_selector
    if not selectors or not policy.technical:
        return {}

    def most(expression: str) -> str:
        return f"max_over_time(({expression})[{asking.window}:{_machine_step(asking)}])"

    def cpu(selector: str) -> str:
        idle = f"node_cpu_seconds_total{matchers(selector, _DISKLESS)}"
        return most(f"max(1 - avg by (instance) (rate({idle}[{_BUSY_SECONDS}s])))")

    def memory(selector: str) -> str:
        some = matchers(selector)
        return most(f"max(1 - node_memory_MemAvailable_bytes{some} / node_memory_MemTotal_bytes{some})")

    return {
        "CPU in use, at most": ("ratio", {role: cpu(one) for role, one in selectors.items()}),
        "Memory in use, at most": ("ratio", {role: memory(one) for role, one in selectors.items()}),
    }


def _machine_step(asking: Asking) -> str:
    """So that a long rollout asks for no more than some hundred points."""
    return f"{max(15, round((asking.until - asking.since).total_seconds() / 200))}s"


def _instances(upstreams: list[str]) -> str:
    hosts = sorted({one.rpartition(":")[0].replace(".", "[.]") for one in upstreams})
    return f'instance=~"({"|".join(hosts)})(:[0-9]+)?"'
