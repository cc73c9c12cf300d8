"""Rows for the normal ranges."""

from collections.abc import Iterator
from functools import partial

from canary import names
from canary.policy import Policy
from canary.policy.kpis import Conversion, Kpi, Mean
from rules.promtool.row import NEAR, WINDOW_STEPS, Change, Row, after, nothing
from rules.promtool.shop import CANARY
from rules.promtool.table.traffic import BEHIND, aged, queried_row, share_row, slow_row, too_young, tries_rows
from rules.promtool.world import World

# From how many units on people are notified of a KPI's value; see rules/alerts/ranges.libsonnet.
_FEW_UNITS = 30


def rows(policy: Policy) -> Iterator[Row]:
    """The info tier: the shop's signals, its machines, and the KPIs' targets."""
    info, signals, alert = policy.signals.info, policy.signals, names.OUT_OF_RANGE
    if not info.enabled:
        return
    yield share_row(policy, info.error_rate, "ranges", alert, match={names.METRIC: "error_rate"})
    yield slow_row(policy, info.response_time, "ranges, slow", alert, match={names.METRIC: "response_time"})
    if signals.query_duration:
        match = {names.METRIC: "query_time"}
        yield queried_row(policy, info.query_time, "ranges, queries", alert, match)
    yield from tries_rows(policy, info.error_rate, alert, names.METRIC)
    process = bool(signals.process_selector)
    yield _used(policy, "cpu", info.cpu, "node_cpu_seconds_total", "process_cpu_seconds_total")
    if not process or signals.memory_limit is not None:
        yield _used(policy, "memory", info.memory, "node_memory_MemAvailable_bytes", "process_resident_memory_bytes")
    if not process:
        yield _used(policy, "disk", info.disk, "node_filesystem_avail_bytes", "")
    for name, kpi in policy.kpis.items():
        if kpi.target is not None:
            yield _target(name, kpi, kpi.target, policy.database.window)


def _is_exact(ratio: float, window: float) -> bool:
    """Whether rate() gives this ratio exactly, in Prometheus 2 and, from one step less of the window, in 3."""

    def rates(share: float) -> Iterator[float]:
        increase = round(share * window, 9)
        for steps in (WINDOW_STEPS, WINDOW_STEPS - 1):
            yield increase * steps / WINDOW_STEPS * (WINDOW_STEPS / steps / window)

    return all(rate == ratio for rate in rates(ratio)) and all(1 - rate == ratio for rate in rates(1 - ratio))


def _used(policy: Policy, what: str, limit: float, *inputs: str) -> Row:
    window = policy.signals.long_window if what == "cpu" else 0  # the others are gauges
    within = limit if not window or _is_exact(limit, window) else limit * (1 - NEAR)
    beyond, near = (partial(_use, what, ratio) for ratio in (limit + NEAR * (1 - limit), within))
    few, match = nothing if window else None, {names.METRIC: what}
    quiet = {BEHIND: after(too_young(policy), beyond)} if window else {}
    return Row("ranges", names.OUT_OF_RANGE, beyond, near, few, match=match, window=window, inputs=inputs, quiet=quiet)


def _use(what: str, ratio: float, world: World) -> None:
    world.use(what, ratio)


def _target(name: str, kpi: Kpi, target: float, window: float) -> Row:
    higher = kpi.better == "higher" if isinstance(kpi, Mean) else not (isinstance(kpi, Conversion) and kpi.complement)
    beyond = target * (1 - NEAR if higher else 1 + NEAR)

    def at(value: float, units: float) -> Change:
        def change(world: World) -> None:
            if kpi.judge == "evidence":
                world.judgement(name, units=units)
                world.exporter(names.KPI_VALUE, value, kpi=name, role="canary")
            else:
                world.exporter(names.kpi_gauge(name), value, version=CANARY)

        return change

    evidence = kpi.judge == "evidence"
    match, inputs = {names.METRIC: name}, (names.KPI_VALUE if evidence else names.kpi_gauge(name),)
    worse, good = at(beyond, _FEW_UNITS), at(target, _FEW_UNITS)
    if evidence:
        quiet = {"a handful of units": at(beyond, _FEW_UNITS - 1)}
        return Row("ranges", names.OUT_OF_RANGE, worse, good, match=match, quiet=quiet, inputs=inputs)
    old, quiet = aged(window), {BEHIND: after(aged(window * (1 - NEAR)), worse)}
    worse, good = after(old, worse), after(old, good)
    return Row("ranges of gauges", names.OUT_OF_RANGE, worse, good, match=match, quiet=quiet, inputs=inputs)
