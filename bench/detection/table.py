"""Runs scenes over many seeds and writes what each rule did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from bench.detection.kayenta import MINUTES as KAYENTA_MINUTES
from bench.detection.kayenta import kayenta
from bench.detection.rules import Decision, argo, flagger, judge, strategy
from bench.detection.shops.shop import MINUTES, Scene, Traffic, traffic

RULES: dict[str, Callable[[Scene, Traffic], Decision]] = {
    "this judge": judge,
    "strategy's rule": strategy,
    "Flagger": flagger,
    "Argo": argo,
    "Kayenta": kayenta,
}
RATES = (2.0, 20.0, 200.0, 2000.0, 20000.0)
HARMS = (0.0, 0.05, 0.10, 0.20, 0.50)
SEEDS = {2.0: 100, 20.0: 100, 200.0: 60, 2000.0: 25, 20000.0: 5}
HEALTHY_FACTOR = 3
"""Healthy rollouts are run this many times more often: alpha is small."""

LEGEND = """Each cell: rollouts that were rolled back; for harmful canaries also the median minute, and the mean number
of customers harmed (payments or orders lost until the rollback, or until the rule's own rollout ended: 40 minutes,
Kayenta 180 minutes at 5 %). Where the harm is 0 % nothing is wrong with the canary. This judge: alpha 1 %, payments
with their floor of 90 %. Flagger and Argo get a floor of 95 % for payments and of 0.9 times the true conversion, which
nobody knows beforehand; they roll out at their own pace."""


@dataclass(frozen=True)
class Cell:
    """What one rule did in one scene."""

    scene: Scene
    rule: str
    rollouts: int
    rolled_back: int
    minutes: float
    harmed: float

    @property
    def share(self) -> float:
        """Rollouts that were rolled back."""
        return self.rolled_back / self.rollouts


def scenes() -> Iterator[Scene]:
    """All cells: payments, and conversion with and without lag and daily pattern."""
    for rate in RATES:
        for harm in HARMS:
            yield Scene("payments", rate, harm)
            yield Scene("conversion", rate, harm, lag_minutes=6.0)
        for harm in (0.0, 0.20):
            yield Scene("conversion", rate, harm, lag_minutes=0.0)
            yield Scene("conversion", rate, harm, lag_minutes=30.0)
            yield Scene("conversion", rate, harm, lag_minutes=6.0, daily=True)
        yield Scene("payments", rate, 0.0, daily=True)


def one(task: tuple[Scene, int]) -> dict[str, Decision]:
    """Every rule's decision on one simulated rollout."""
    scene, seed = task
    units = traffic(scene, np.random.default_rng(seed), KAYENTA_MINUTES)
    short = int(np.searchsorted(units.entered, MINUTES))
    rollout = Traffic(
        units.entered[:short],
        units.luck[:short],
        units.good[:short],
        units.good_on_canary[:short],
        units.known[:short],
    )
    return {name: rule(scene, units if rule is kayenta else rollout) for name, rule in RULES.items()}


def measure(pool: Executor, wanted: Iterable[Scene], times: float) -> list[Cell]:
    """Run every scene; `times` multiplies the numbers of seeds."""
    cells = []
    for number, scene in enumerate(wanted):
        seeds = max(1, round(SEEDS[scene.per_minute] * times)) * (1 if scene.harm else HEALTHY_FACTOR)
        tasks = [(scene, 10_000 * number + seed) for seed in range(seeds)]
        decisions = list(pool.map(one, tasks, chunksize=max(1, len(tasks) // 20)))
        for rule in RULES:
            of_rule = [decision[rule] for decision in decisions]
            minutes = [decision.minute for decision in of_rule if decision.minute is not None]
            exposed = float(np.mean([decision.exposed for decision in of_rule]))
            median = float(np.median(minutes)) if minutes else np.nan
            harmed = exposed * scene.ratio * scene.harm
            cells.append(Cell(scene, rule, len(of_rule), len(minutes), median, harmed))
    return cells


def markdown(cells: list[Cell]) -> str:
    """One table per KPI and circumstance: share rolled back, median minutes, customers harmed."""
    blocks: dict[str, dict[tuple[float, float], dict[str, Cell]]] = {}
    for cell in cells:
        rows = blocks.setdefault(_title(cell.scene), {})
        rows.setdefault((cell.scene.per_minute, cell.scene.harm), {})[cell.rule] = cell
    text = []
    for title, rows in blocks.items():
        text += [f"**{title}**", "", f"| a minute | harm | rollouts | {' | '.join(RULES)} |"]
        text.append("|---|---|---|" + "---|" * len(RULES))
        for (rate, harm), by_rule in rows.items():
            first = next(iter(by_rule.values()))
            shown = " | ".join(_shown(by_rule[rule]) for rule in RULES)
            text.append(f"| {rate:,.0f} | {harm:.0%} | {first.rollouts} | {shown} |")
        text.append("")
    return "\n".join(text)


def _title(scene: Scene) -> str:
    if scene.kpi == "payments":
        return "Payments, 97 % succeed" + (", daily pattern" if scene.daily else "")
    lag = f"orders {scene.lag_minutes:g} min after the visit" if scene.lag_minutes else "orders at once"
    return f"Conversion, 3 %, {lag}" + (", daily pattern" if scene.daily else "")


def _shown(cell: Cell) -> str:
    if not cell.rolled_back:
        return "0 %" if not cell.scene.harm else f"0 %, {cell.harmed:,.0f} harmed"
    if not cell.scene.harm:
        return f"{cell.share:.1%}"
    return f"{cell.share:.0%}, {cell.minutes:.3g} min, {cell.harmed:,.0f} harmed"
