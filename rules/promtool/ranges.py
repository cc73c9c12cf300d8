"""Recipes for the normal ranges."""

from collections.abc import Iterator

from canary import names
from canary.policy import Policy
from canary.policy.kpis import Conversion, Kpi, Mean
from rules.promtool import haproxy
from rules.promtool.recipe import Change, Recipe
from rules.promtool.shop import CANARY
from rules.promtool.technical import NEAR, failing, requests_metric, slow_recipe
from rules.promtool.world import World

_FEW_UNITS = 30


def recipes(policy: Policy) -> Iterator[Recipe]:
    """Recipes for the info tier."""
    info, signals = policy.signals.info, policy.signals
    if not info.enabled:
        return
    total, window = 20.0 * signals.minimum_requests, signals.long_window
    minimum = signals.minimum_requests
    yield Recipe(
        scene="ranges",
        alert=names.OUT_OF_RANGE,
        match={names.METRIC: "error_rate"},
        window=window,
        beyond=failing(total, total * info.error_rate * (1 + NEAR), window),
        limit=failing(total, total * info.error_rate, window),
        few=failing(minimum - 1, minimum - 1, window),
        also={"just enough requests": failing(minimum, minimum, window)},
        inputs=(requests_metric(policy),),
    )
    match = {names.METRIC: "response_time"}
    yield slow_recipe(policy, names.OUT_OF_RANGE, info.response_time, "ranges, slow", match)
    if signals.preset == "haproxy":
        yield haproxy.tries(policy, names.OUT_OF_RANGE, info.error_rate, {names.METRIC: "tries"})
    process = bool(signals.process_selector)
    shares = {"cpu": info.cpu}
    if not process or signals.memory_limit is not None:
        shares["memory"] = info.memory
    if not process:
        shares["disk"] = info.disk
    for what, limit in shares.items():
        yield _share(what, limit, window if what == "cpu" else 0)
    for name, kpi in policy.kpis.items():
        if kpi.target is not None:
            yield _target(name, kpi, kpi.target)


def _is_exact(ratio: float, window: float) -> bool:
    """Whether Prometheus' rate() gives this ratio exactly; it multiplies the increase by the window's inverse."""
    return (
        round(ratio * window, 9) * (1 / window) == ratio and 1 - round((1 - ratio) * window, 9) * (1 / window) == ratio
    )


def _share(what: str, limit: float, window: float) -> Recipe:
    node = {"cpu": "node_cpu_seconds_total", "memory": "node_memory_MemAvailable_bytes"}
    process = {"cpu": "process_cpu_seconds_total", "memory": "process_resident_memory_bytes"}
    return Recipe(
        scene="ranges",
        alert=names.OUT_OF_RANGE,
        match={names.METRIC: what},
        window=window,
        few=(lambda _world: None) if window else None,
        beyond=lambda world: world.use(what, limit + NEAR * (1 - limit)),
        limit=lambda world: world.use(what, limit if not window or _is_exact(limit, window) else limit * (1 - NEAR)),
        inputs=(node.get(what, "node_filesystem_avail_bytes"), process.get(what, "")),
    )


def _target(name: str, kpi: Kpi, target: float) -> Recipe:
    higher = kpi.better == "higher" if isinstance(kpi, Mean) else not (isinstance(kpi, Conversion) and kpi.complement)
    beyond = target * (1 - NEAR if higher else 1 + NEAR)

    def at(value: float, units: float) -> Change:
        def change(world: World) -> None:
            world.exporter(names.kpi_gauge(name), value, version=CANARY)
            if kpi.judge == "evidence":
                world.judgement(name, units=units)

        return change

    return Recipe(
        scene="ranges",
        alert=names.OUT_OF_RANGE,
        match={names.METRIC: name},
        beyond=at(beyond, _FEW_UNITS),
        limit=at(target, _FEW_UNITS),
        quiet={"a handful of units": at(beyond, _FEW_UNITS - 1)} if kpi.judge == "evidence" else {},
        inputs=(names.kpi_gauge(name),),
    )
