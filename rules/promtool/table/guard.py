"""Rows for what makes the judgement untrustworthy; among them the companions that notice missing series."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from canary import names
from canary.policy import Policy
from canary.policy.kpis import events_of
from canary.policy.signals import Signals
from rules.promtool.row import NEAR, Change, Row, about, after, exporter, nothing, receiver, says, without
from rules.promtool.shop import STABLE
from rules.promtool.table.traffic import durations_metric, queries_inputs, requests_metric
from rules.promtool.world import ROLLOUT_LABELS

_MEMORY, _CPU, _DISK = "node_memory_MemAvailable_bytes", "node_cpu_seconds_total", "node_filesystem_size_bytes"
_PROCESS_MEMORY, _PROCESS_CPU = "process_resident_memory_bytes", "process_cpu_seconds_total"

# The smallest difference of shares that counts.
_FINEST = 0.0001

# Of fewer rows no share of those without a version is told.
_FEWEST_ROWS = 20


def rows(policy: Policy) -> Iterator[Row]:
    """CanaryBlind for each of its reasons, and the other reasons to hold."""
    yield from _sources(policy)
    yield from _evidence(policy)
    yield from _signals(policy.signals)
    yield _blind("memory", without(_MEMORY, _PROCESS_MEMORY))
    yield _machine(policy.signals)
    alert, metric, proven = (
        names.TRAFFIC_MISMATCH,
        names.TRAFFIC_MISMATCH_EVIDENCE,
        round(-math.log10(policy.evidence.alpha), 6),
    )
    match = {names.REASON: "units"}
    yield about("traffic: units", alert, exporter, metric, proven, proven * (1 - NEAR), match=match)
    far, near = (policy.phases[0].traffic + _FINEST * (1 + side * NEAR) for side in (1, -1))
    canary, match = partial(receiver, role="canary"), {names.REASON: "router"}
    yield about("traffic: router", alert, canary, names.TRAFFIC_RATIO, far, near, match=match)
    yield _blind("router", without(names.TRAFFIC_RATIO), missing=True)
    yield from _versions(policy)
    if policy.database.replica:
        metric, lag = names.REPLICA_LAG_SECONDS, policy.database.replica.max_lag
        yield about("replica", names.REPLICA_LAG, exporter, metric, lag * (1 + NEAR), lag)
        yield _blind("replica_lag", without(metric))
    if policy.database.primary:
        yield _primary()
    if policy.database.log is not None:
        yield from _log(policy)
    yield from _policies()
    yield _consistency()
    yield about("schema", names.SCHEMA_INCOMPATIBLE, exporter, names.SCHEMA_COMPATIBLE, 0, 1)


def _versions(policy: Policy) -> Iterator[Row]:
    """Too many rows of a judged event have no version; of a few rows no share is told."""
    for name in judged_kpis(policy)[:1]:
        event, limit = events_of(policy.kpis[name])[0], policy.evidence.unknown
        ratio, rows = names.UNKNOWN_VERSION_RATIO, names.VERSION_ROWS
        beyond, at_limit = (exporter(ratio, limit * (1 + side * NEAR), event=event) for side in (1, 0))
        few = after(beyond, exporter(rows, _FEWEST_ROWS - 1, event=event))
        elsewhere = exporter(ratio, 1, event="of_no_kpi")
        yield Row(
            "versions",
            names.ASSIGNMENTS_UNKNOWN,
            after(beyond, exporter(rows, _FEWEST_ROWS, event=event)),
            at_limit,
            dynamic=ROLLOUT_LABELS | {names.EVENT: event},
            inputs=(ratio, rows),
            quiet={"few rows": few, "another event": elsewhere},
        )


def _consistency() -> Row:
    """The canary's rows fit together worse than stable's."""
    fault = {names.EVENT: "orders", names.FAULT: "childless", names.COLUMN: "payments"}
    return Row(
        "consistency",
        names.ROWS_INCONSISTENT,
        exporter(names.CONSISTENCY_BROKEN, 1, **fault),
        exporter(names.CONSISTENCY_BROKEN, 0, **fault),
        dynamic=ROLLOUT_LABELS | fault,
        inputs=(names.CONSISTENCY_BROKEN,),
    )


def _primary() -> Row:
    """The replica lacks a row of its primary."""
    fault = {names.EVENT: "orders", names.FAULT: "missing"}
    lacking, whole = (exporter(names.REPLICA_FAULTY_ROWS, rows, **fault) for rows in (1, 0))
    dynamic = ROLLOUT_LABELS | fault
    return Row(
        "primary", names.REPLICA_INCOMPLETE, lacking, whole, dynamic=dynamic, inputs=(names.REPLICA_FAULTY_ROWS,)
    )


def _log(policy: Policy) -> Iterator[Row]:
    """The follower of the router's log lags, or is gone."""
    metric, limit = names.LOG_LINE_AGE_SECONDS, policy.evidence.staleness
    yield Row(
        "the router's log",
        names.LOG_LAGS,
        exporter(metric, limit * (1 + NEAR)),
        exporter(metric, limit),
        also={"no follower": without(metric)},
    )


def _policies() -> Iterator[Row]:
    """What goes by another policy than the receiver's rollout."""
    info = names.POLICY_INFO

    def other(component: str, say: Callable[..., Change]) -> Change:
        return after(without(info, component=component), say(info, 1, component=component, digest="another"))

    moved = other("receiver", receiver)
    for component, beyond, also in (
        ("exporter", other("exporter", exporter), {"the rollout has been amended": moved}),
        ("rules", moved, {}),
    ):
        match = {names.COMPONENT: component}
        yield Row(f"policy: {component}", names.POLICY_MISMATCH, beyond, match=match, inputs=(info,), also=also)


def judged_kpis(policy: Policy) -> list[str]:
    """The KPIs whose evidence may roll back or hold."""
    return [name for name, kpi in policy.kpis.items() if kpi.judge == "evidence" and kpi.action != "warn"]


def _blind(reason: str, beyond: Change, limit: Change = nothing, **more: Any) -> Row:
    return Row(f"blind: {reason}", names.BLIND_ALERT, beyond, limit, **{"match": {names.REASON: reason}} | more)


def _sources(policy: Policy) -> Iterator[Row]:
    age, stale = names.LAST_REFRESH_AGE_SECONDS, policy.evidence.staleness
    yield _blind("exporter", without(names.DATABASE_UP))
    yield _blind("database", exporter(names.DATABASE_UP, 0), inputs=(names.DATABASE_UP,))
    yield _blind("stale", exporter(age, stale * (1 + NEAR)), exporter(age, stale), inputs=(age,))
    yield _blind("limits", without(names.ROLLOUT_LIMIT), missing=True)
    yes, no = (exporter(names.BLIND, value, reason="schema") for value in (1, 0))
    more = {"match": {names.SCOPE: "exporter"}, "dynamic": ROLLOUT_LABELS | {names.REASON: "schema"}}
    yield _blind("the exporter says so", yes, no, inputs=(names.BLIND,), **more)


def _evidence(policy: Policy) -> Iterator[Row]:
    for name in judged_kpis(policy)[:1]:
        of_kpi = ROLLOUT_LABELS | {names.KPI: name}
        yield _blind("kpi", says(name, "blind"), inputs=(names.KPI_VERDICT,), dynamic=of_kpi)
        yield _blind("evidence", without(names.KPI_VERDICT, kpi=name), inputs=(names.DATABASE_UP,), missing=True)


def _signals(signals: Signals) -> Iterator[Row]:
    """Series of the shop are missing; who gets no traffic has none, and nobody is blind for that."""
    haproxy = signals.preset == "haproxy"
    requests, durations, servers = requests_metric(signals), durations_metric(signals), "haproxy_backend_active_servers"
    of_stable = {"proxy": signals.stable_backend} if haproxy else {signals.version_label: STABLE}

    def idle(change: Change) -> dict[str, Change]:
        return {"the canary has no traffic": after(change, lambda world: world.traffic(0))}

    restarted = {"a counter is reset": lambda world: world.reset(world.begin - 1)}
    quiet = idle(without(requests)) | restarted
    yield _blind("requests", without(requests), quiet=quiet, window=signals.window)
    yield _blind("response_time", without(durations), quiet=idle(without(durations)))
    if signals.against_stable.enabled:
        gone = without(requests, **of_stable)
        also = {"no response times": without(durations, **of_stable)}
        unasked = {"stable has no traffic": after(gone, lambda world: world.traffic(1))}
        # HAProxy's counters are there from the start; only that they grow says that stable is asked anything.
        window = signals.long_window if haproxy else 0
        yield _blind("stable", gone, also=also, quiet=unasked, window=window)
    if haproxy:
        none, one = lambda world: world.backend(servers, 0), lambda world: world.backend(servers, 1)
        yield _blind("servers", none, one, quiet=idle(none), inputs=(servers,))
    elif signals.connection_errors:
        yield _blind("database_connections", without(signals.connection_errors))
    if signals.query_duration and signals.critical.query_time is not None:
        yield _blind("query_time", without(*queries_inputs(signals)), histogram=True)


def _machine(signals: Signals) -> Row:
    if signals.process_selector:
        also = {"no memory": without(_PROCESS_MEMORY)} if signals.memory_limit is not None else {}
        return _blind("machine", without(_PROCESS_CPU), also=also)
    return _blind("machine", without(_CPU), also={"no memory": without(_MEMORY), "no disk": without(_DISK)})
