"""Rows for business harm: proven by evidence, or seen by the strategy's windowed rule."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from canary import names
from canary.mixin.config import rules_config
from canary.policy import Policy
from canary.policy.kpis import Conversion, Kpi, Mean, Success
from rules.promtool.row import NEAR, Change, Row, after, says
from rules.promtool.shop import CANARY, STABLE
from rules.promtool.table.traffic import BEHIND, aged
from rules.promtool.world import ROLLOUT_LABELS, SEGMENT, THRESHOLD, World

# Units of either version in the long window: whole numbers of them convert at every rate that a row asks for.
_UNITS = 1000.0


def rows(policy: Policy) -> Iterator[Row]:
    """Every KPI, by the way in which it is judged."""
    for config in rules_config(policy)["kpis"]:
        kpi = policy.kpis[config["name"]]
        judged = _by_evidence(config) if kpi.judge == "evidence" else _windowed(policy, kpi, config)
        yield from judged


def _by_evidence(config: Mapping[str, Any]) -> Iterator[Row]:
    name = config["name"]
    proven, nearly = THRESHOLD, THRESHOLD * (1 - NEAR)
    harm, less = (says(name, "fail", evidence=evidence) for evidence in (proven, nearly))
    also = {"a proof by the exact half": says(name, "fail", exact=True)}
    quiet = {
        "strong evidence of a harm that is tolerable": says(name, "hold", evidence=THRESHOLD * 2),
        "an exact proof of a harm that is tolerable": says(name, "hold", exact=True),
        "the rollout is over": after(harm, _over),
    }
    match, inputs = {names.KPI: name, names.LIMIT: "", names.TEST: ""}, [names.KPI_EVIDENCE, names.KPI_PROOF]
    yield Row("evidence of harm", config["alert"], harm, less, match=match, also=also, quiet=quiet, inputs=inputs)
    if config["segmented"]:
        harm, less = says(name, "fail", segment=proven), says(name, "hold", segment=proven)
        match, inputs = match | {names.TEST: "segment"}, [names.KPI_SEGMENT_EVIDENCE, names.KPI_SEGMENT_PROOF]
        dynamic, quiet = ROLLOUT_LABELS | {names.SEGMENT: SEGMENT}, {"the rollout is over": after(harm, _over)}
        row = partial(Row, match=match, dynamic=dynamic, quiet=quiet, inputs=inputs)
        yield row("harm to a segment", config["alert"], harm, less)
    inputs = [names.KPI_FLOOR_EVIDENCE, names.KPI_PROOF]
    for state, label in (("phase", ""), ("promoted", "promoted")) if config["floorJudged"] else ():
        scene = f"evidence against floors, rollout in {state}"
        match = {names.KPI: name, **config["floorLabels"], names.STATE: label}
        below = says(name, "fail", floor=THRESHOLD)
        less = says(name, "hold", floor=THRESHOLD * 2, reason="not_told_apart")
        quiet = {"the rollout is over": after(below, _over)}
        yield Row(scene, config["floorAlert"], below, less, match=match, state=state, inputs=inputs, quiet=quiet)
    yield from _findings(config)


def _over(world: World) -> None:
    """The rollout has been rolled back; alerts that act at once find out by themselves whether it still runs."""
    world.state("rolled_back")


def _findings(config: Mapping[str, Any]) -> Iterator[Row]:
    """What looks like harm and holds, and what is only slower."""
    name, inputs = config["name"], [names.KPI_FINDING]
    less = says(name, "hold", evidence=THRESHOLD * 2, floor=THRESHOLD * 2)
    reasons = ["no_unit", "sides_differ"]
    if config["kind"] == "conversion":
        reasons += ["lags_unknown", "mismatch"]
        slower = says(name, "hold", reason="slower")
        yield Row("slower", names.SLOWER, slower, less, match={names.KPI: name}, inputs=inputs)
    if config["action"] == "warn":
        return
    if config["floorJudged"]:
        reasons += ["not_told_apart", "watch_floor"]
        alike = says(name, "hold", reason="fails_everywhere")
        yield Row("both fail", names.FAIL_EVERYWHERE, alike, less, match={names.KPI: name}, inputs=inputs)
    if config["kind"] != "mean":
        harmed = says(name, "hold", reason="stable_harmed")
        yield Row("stable got worse", names.STABLE_HARMED, harmed, less, match={names.KPI: name}, inputs=inputs)
    for reason in reasons:
        match = {names.KPI: name, names.REASON: reason}
        held = says(name, "hold", reason=reason)
        yield Row(f"held for {reason}", names.KPI_HELD, held, less, match=match, inputs=inputs)


def _windowed(policy: Policy, kpi: Kpi, config: Mapping[str, Any]) -> Iterator[Row]:
    """Stable's rate and the canary's within the window; a mean is a gauge, and knows no window and no traffic."""
    long_window = policy.signals.long_window
    name, worse, gauge = config["name"], -1 if config["upward"] else 1, isinstance(kpi, Mean)
    inputs = [names.kpi_gauge(name) if gauge else config["entered"]]

    def row(scene: str, alert: str, limit: str, stable: float, *rates: float) -> Row:
        looked_at = policy.database.window if gauge else long_window
        beyond, within, few = (after(aged(looked_at), _rates(name, kpi, stable, rate)) for rate in rates)
        match, window = {names.KPI: name, names.LIMIT: limit}, 0 if gauge else long_window
        quiet = {BEHIND: after(beyond, aged(looked_at * (1 - NEAR)))}
        more: dict[str, Any] = {"match": match, "window": window, "quiet": quiet, "inputs": inputs}
        return Row(scene, alert, beyond, within, None if gauge else few, **more)

    far, near = (0.5 * (1 + worse * (kpi.tolerance + side * kpi.tolerance * NEAR)) for side in (1, -1))
    yield row(f"windowed rule of {name}", config["alert"], "", 0.5, far, near, 0.5)
    if kpi.floor is not None:
        far, near = (kpi.floor * (1 + side * worse * NEAR) for side in (1, -1))
        limit = "" if config["floorAlert"] != names.KPI_ALERT else "floor"
        yield row(f"windowed floor of {name}", config["floorAlert"], limit, kpi.floor, far, near, near)


def _rates(name: str, kpi: Kpi, stable: float, canary: float) -> Change:
    """So many of either version's units convert or succeed."""

    def change(world: World) -> None:
        for version, rate in ((STABLE, stable), (CANARY, canary)):
            match kpi:
                case Conversion():
                    world.events(kpi.from_, _UNITS, version=version)
                    world.events(kpi.to, _UNITS * (1 - rate if kpi.complement else rate), version=version)
                case Success():
                    world.events(kpi.of, _UNITS * rate, version=version, outcome="succeeded")
                    world.events(kpi.of, _UNITS * (1 - rate), version=version, outcome="failed")
                case Mean():
                    world.exporter(names.kpi_gauge(name), rate, version=version)

    return change
