"""Recipes for business harm: proven by evidence, or seen by the strategy's windowed rule."""

from collections.abc import Iterator, Mapping

from canary import names
from canary.mixin.config import rules_config
from canary.policy import Policy
from canary.policy.kpis import Conversion, Kpi, Mean, Success
from rules.promtool.recipe import Change, Recipe
from rules.promtool.shop import CANARY, STABLE
from rules.promtool.technical import NEAR
from rules.promtool.world import THRESHOLD, World


def recipes(policy: Policy) -> Iterator[Recipe]:
    """Recipes for every KPI of the policy."""
    for config in rules_config(policy)["kpis"]:
        name = config["name"]
        kpi = policy.kpis[name]
        if kpi.judge == "threshold":
            yield from _windowed(policy, name, kpi, config)
            continue
        yield _degraded(name, config["alert"])
        if config["floorJudged"]:
            for state in ("phase", "promoted"):
                yield _low(name, config["floorAlert"], config["floorLabels"], state)


def _says(name: str, verdict: str, *, evidence: float = 0.1, floor: float = 0.1) -> Change:
    return lambda world: world.judgement(name, verdict=verdict, evidence=evidence, floor=floor)


def _degraded(name: str, alert: str) -> Recipe:
    return Recipe(
        scene="evidence of harm",
        alert=alert,
        match={names.KPI: name, names.LIMIT: ""},
        beyond=_says(name, "fail", evidence=THRESHOLD),
        limit=_says(name, "fail", evidence=THRESHOLD * (1 - NEAR)),
        quiet={"strong evidence of a harm that is tolerable": _says(name, "hold", evidence=THRESHOLD * 2)},
        inputs=(names.KPI_EVIDENCE, names.KPI_VERDICT),
    )


def _low(name: str, alert: str, labels: Mapping[str, str], state: str) -> Recipe:
    return Recipe(
        scene=f"evidence against floors, rollout in {state}",
        alert=alert,
        match={names.KPI: name, **labels, names.STATE: "promoted" if state == "promoted" else ""},
        state=state,
        beyond=_says(name, "fail", floor=THRESHOLD),
        limit=_says(name, "fail", floor=THRESHOLD * (1 - NEAR)),
        inputs=(names.KPI_FLOOR_EVIDENCE,),
    )


def _windowed(policy: Policy, name: str, kpi: Kpi, config: Mapping[str, str]) -> Iterator[Recipe]:
    higher = bool(config["upward"])
    worse = -1 if higher else 1
    stable, window = (0.5, 0 if isinstance(kpi, Mean) else policy.signals.long_window)

    def at(canary: float, base: float = stable) -> Change:
        return lambda world: _rates(world, name, kpi, {STABLE: base, CANARY: canary})

    near = kpi.tolerance * NEAR
    inputs = (names.kpi_gauge(name),) if isinstance(kpi, Mean) else (config["entered"],)
    yield Recipe(
        scene=f"windowed rule of {name}",
        alert=config["alert"],
        match={names.KPI: name, names.LIMIT: ""},
        window=window,
        beyond=at(stable * (1 + worse * (kpi.tolerance + near))),
        limit=at(stable * (1 + worse * (kpi.tolerance - near))),
        few=None if isinstance(kpi, Mean) else at(stable),
        inputs=inputs,
    )
    if kpi.floor is not None:
        yield Recipe(
            scene=f"windowed floor of {name}",
            alert=config["floorAlert"],
            match={names.KPI: name, names.LIMIT: "" if config["floorAlert"] != names.KPI_ALERT else "floor"},
            window=window,
            beyond=at(kpi.floor * (1 + worse * NEAR), kpi.floor),
            limit=at(kpi.floor * (1 - worse * NEAR), kpi.floor),
            few=None if isinstance(kpi, Mean) else at(kpi.floor * (1 - worse * NEAR), kpi.floor),
            inputs=inputs,
        )


def _rates(world: World, name: str, kpi: Kpi, rates: Mapping[str, float]) -> None:
    total = 1000.0
    for version, rate in rates.items():
        match kpi:
            case Conversion():
                share = 1 - rate if kpi.complement else rate
                world.events(kpi.from_, total, version=version)
                world.events(kpi.to, total * share, version=version)
            case Success():
                world.events(kpi.of, total * rate, version=version, outcome="succeeded")
                world.events(kpi.of, total * (1 - rate), version=version, outcome="failed")
            case Mean():
                world.exporter(names.kpi_gauge(name), rate, version=version)
