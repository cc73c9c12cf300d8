"""Recipes for what makes the judgement untrustworthy; among them the companions that notice missing series."""

import math
from collections.abc import Iterator, Mapping

from canary import names
from canary.policy import Policy
from rules.promtool.recipe import Change, Recipe, after, nothing
from rules.promtool.shop import STABLE
from rules.promtool.technical import NEAR, durations_metric, requests_metric
from rules.promtool.world import ROLLOUT_LABELS, World

_MEMORY, _DISK = "node_memory_MemAvailable_bytes", "node_filesystem_size_bytes"

# The smallest difference of shares that counts.
_FINEST = 0.0001


def recipes(policy: Policy) -> Iterator[Recipe]:
    """Recipes for CanaryBlind and the other reasons to hold."""
    yield from _sources(policy)
    yield from _evidence(policy)
    yield from _signals(policy)
    yield from _traffic(policy)
    if policy.database.replica:
        yield from _replica(policy.database.replica.max_lag)
    yield Recipe(
        scene="schema",
        alert=names.SCHEMA_INCOMPATIBLE,
        beyond=lambda world: world.exporter(names.SCHEMA_COMPATIBLE, 0),
        limit=lambda world: world.exporter(names.SCHEMA_COMPATIBLE, 1),
        inputs=(names.SCHEMA_COMPATIBLE,),
    )


def without(*metrics: str, **labels: str) -> Change:
    """These series are missing."""

    def change(world: World) -> None:
        for metric in metrics:
            world.drop(metric, **labels)

    return change


def says(name: str, verdict: str, units: float = 100) -> Change:
    """The exporter's verdict about a KPI."""
    return lambda world: world.judgement(name, verdict=verdict, units=units)


def _blind(reason: str, beyond: Change, limit: Change = nothing, **more: object) -> Recipe:
    return Recipe(
        scene=f"blind: {reason}",
        alert=names.BLIND_ALERT,
        match={names.REASON: reason},
        beyond=beyond,
        limit=limit,
        **more,  # type: ignore[arg-type]  # further fields of Recipe
    )


def _sources(policy: Policy) -> Iterator[Recipe]:
    stale = policy.evidence.staleness
    yield _blind("exporter", without(names.DATABASE_UP))
    yield _blind("database", lambda world: world.exporter(names.DATABASE_UP, 0), inputs=(names.DATABASE_UP,))
    yield _blind(
        "stale",
        lambda world: world.exporter(names.LAST_REFRESH_AGE_SECONDS, stale * (1 + NEAR)),
        lambda world: world.exporter(names.LAST_REFRESH_AGE_SECONDS, stale),
        inputs=(names.LAST_REFRESH_AGE_SECONDS,),
    )
    yield _blind("limits", without(names.ROLLOUT_LIMIT), missing=True)
    yield Recipe(
        scene="blind: the exporter says so",
        alert=names.BLIND_ALERT,
        match={names.SCOPE: "exporter"},
        dynamic=ROLLOUT_LABELS | {names.REASON: "schema"},
        beyond=lambda world: world.exporter(names.BLIND, 1, reason="schema"),
        limit=lambda world: world.exporter(names.BLIND, 0, reason="schema"),
        inputs=(names.BLIND,),
    )


def judged_kpis(policy: Policy) -> list[str]:
    """The KPIs whose evidence may roll back or hold."""
    return [name for name, kpi in policy.kpis.items() if kpi.judge == "evidence" and kpi.action != "warn"]


def _evidence(policy: Policy) -> Iterator[Recipe]:
    for name in judged_kpis(policy)[:1]:
        yield _blind(
            "kpi",
            says(name, "blind"),
            inputs=(names.KPI_VERDICT,),
            dynamic=ROLLOUT_LABELS | {names.KPI: name},
        )
        yield _blind("evidence", without(names.KPI_VERDICT, kpi=name), inputs=(names.DATABASE_UP,), missing=True)


def _signals(policy: Policy) -> Iterator[Recipe]:
    signals = policy.signals
    haproxy = signals.preset == "haproxy"
    requests = requests_metric(policy)
    durations = durations_metric(policy)
    of_stable = {"proxy": signals.stable_backend} if haproxy else {signals.version_label: STABLE}

    def no_traffic(change: Change, canary: float = 0) -> Mapping[str, Change]:
        whose = "stable" if canary else "the canary"
        return {f"{whose} has no traffic": after(change, lambda world: world.traffic(canary))}

    yield _blind("requests", without(requests), quiet=no_traffic(without(requests)))
    yield _blind("response_time", without(durations), quiet=no_traffic(without(durations)))
    if signals.against_stable.enabled:
        yield _blind(
            "stable",
            without(requests, **of_stable),
            also={"no response times": without(durations, **of_stable)},
            quiet=no_traffic(without(requests, **of_stable), canary=1),
        )
    if haproxy:
        gone = _servers(0)
        yield _blind("servers", gone, _servers(1), quiet=no_traffic(gone), inputs=("haproxy_backend_active_servers",))
    elif signals.connection_errors:
        yield _blind("database_connections", without(signals.connection_errors))
    yield _blind("memory", without("node_memory_MemAvailable_bytes", "process_resident_memory_bytes"))
    yield from _machine(policy)


def _servers(active: float) -> Change:
    return lambda world: world.backend("haproxy_backend_active_servers", active)


def _machine(policy: Policy) -> Iterator[Recipe]:
    signals = policy.signals
    if signals.process_selector:
        also = {"no memory": without("process_resident_memory_bytes")} if signals.memory_limit is not None else {}
        yield _blind("machine", without("process_cpu_seconds_total"), also=also)
    else:
        also = {name: without(metric) for name, metric in (("no memory", _MEMORY), ("no disk", _DISK))}
        yield _blind("machine", without("node_cpu_seconds_total"), also=also)


def _traffic(policy: Policy) -> Iterator[Recipe]:
    threshold = round(-math.log10(policy.evidence.alpha), 6)
    yield Recipe(
        scene="traffic: units",
        alert=names.TRAFFIC_MISMATCH,
        match={names.REASON: "units"},
        beyond=lambda world: world.exporter(names.TRAFFIC_MISMATCH_EVIDENCE, threshold),
        limit=lambda world: world.exporter(names.TRAFFIC_MISMATCH_EVIDENCE, threshold * (1 - NEAR)),
        inputs=(names.TRAFFIC_MISMATCH_EVIDENCE,),
    )
    share = policy.phases[0].traffic
    yield Recipe(
        scene="traffic: router",
        alert=names.TRAFFIC_MISMATCH,
        match={names.REASON: "router"},
        beyond=lambda world: world.receiver(names.TRAFFIC_RATIO, share + _FINEST * (1 + NEAR), role="canary"),
        limit=lambda world: world.receiver(names.TRAFFIC_RATIO, share + _FINEST * (1 - NEAR), role="canary"),
        inputs=(names.TRAFFIC_RATIO,),
    )
    yield _blind("router", without(names.TRAFFIC_RATIO), missing=True)


def _replica(limit: float) -> Iterator[Recipe]:
    yield Recipe(
        scene="replica",
        alert=names.REPLICA_LAG,
        beyond=lambda world: world.exporter(names.REPLICA_LAG_SECONDS, limit * (1 + NEAR)),
        limit=lambda world: world.exporter(names.REPLICA_LAG_SECONDS, limit),
        inputs=(names.REPLICA_LAG_SECONDS,),
    )
    yield _blind("replica_lag", without(names.REPLICA_LAG_SECONDS))
