"""The pictures of docs/evidence/evidence.md."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.detection.shops.shop import MINUTES, PHASES, START, Scene, traffic
from bench.detection.table import RATES, RULES, Cell
from canary.report.bandplot import RED, draw_band
from exporter.evidence.judge import (
    JudgeParameters,
    Kind,
    KpiEvidence,
    KpiParameters,
    OutcomeRows,
    RolloutJudge,
    RolloutRows,
)

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
_TOLERANCE = 0.05
COLOURS = dict(zip(RULES, ("#1b6e3c", "#c0392b", "#8e6bbf", "#d68910", "#5d6d7e"), strict=True))
mpl.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "savefig.dpi": 110})


def draw(cells: list[Cell]) -> None:
    """Draw all pictures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    _save(_shares(cells), "evidence-peers.png")
    _save(_growth(), "evidence-growth.png")


def _shares(cells: list[Cell]) -> Figure:
    figure = Figure(figsize=(9, 5.6), layout="constrained")
    grid = figure.subplots(2, 2, sharex=True)
    lag = {"payments": 0.0, "conversion": 6.0}
    for row, harm in enumerate((0.0, 0.20)):
        for column, kpi in enumerate(("payments", "conversion")):
            axes: Axes = grid[row, column]
            for rule in RULES:
                chosen = [
                    next(c for c in cells if c.rule == rule and c.scene == Scene(kpi, rate, harm, lag[kpi]))
                    for rate in RATES
                ]
                axes.plot(RATES, [cell.share for cell in chosen], "o-", color=COLOURS[rule], label=rule, markersize=4)
            axes.set_xscale("log")
            axes.set_ylim(-0.03, 1.03)
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
            what = (
                "nothing wrong: rolled back all the same" if harm == 0 else "20 % worse: rolled back, as it should be"
            )
            axes.set_title(f"{kpi}, {what}", fontsize=9)
            if row == 1:
                axes.set_xlabel(f"{'payments' if kpi == 'payments' else 'visits'} a minute, whole shop")
    grid[0, 0].legend(frameon=False)
    return figure


def _growth() -> Figure:
    figure = Figure(figsize=(9, 4.8), layout="constrained")
    grid = figure.subplots(2, 2, sharex=True, sharey="row")
    for column, (harm, title) in enumerate(((0.0, "a healthy canary"), (0.10, "payments 10 % worse"))):
        kpi = _payments(harm)
        path = kpi.history
        minutes = (path.time - START) / 60
        evidence, bounds = grid[0, column], grid[1, column]
        evidence.plot(minutes, path.log10_evidence, color="#1b6e3c")
        evidence.axhline(kpi.log10_threshold, color="#c0392b", linestyle="--", linewidth=1)
        evidence.text(MINUTES, kpi.log10_threshold, "proof", color="#c0392b", ha="right", va="bottom")
        evidence.set_ylim(-3.5, 8)
        evidence.set_title(title, fontsize=9)
        draw_band(
            bounds,
            band=(minutes.tolist(), path.lower.tolist(), path.upper.tolist()),
            change=(minutes.tolist(), path.estimate.tolist()),
            limit=-_TOLERANCE,
        )
        bounds.text(MINUTES, -100 * _TOLERANCE, "tolerance", color=RED, ha="right", va="top")
        bounds.set_xlabel("minutes since the rollout began")
        for axes in (evidence, bounds):
            for start in np.cumsum([duration for duration, _ in PHASES[:-1]]):
                axes.axvline(start, color="#bbbbbb", linewidth=0.8)
    grid[0, 0].set_ylabel("evidence of harm, powers of ten")
    grid[1, 0].set_ylabel("success: change, %")
    grid[1, 1].set_ylabel("")
    return figure


def _payments(harm: float) -> KpiEvidence:
    units = traffic(Scene("payments", 60.0, harm), np.random.default_rng(11), MINUTES)
    canary = units.on_canary(PHASES)
    times = START + 60 * units.entered
    failed = ~np.where(canary, units.good_on_canary, units.good)
    starts = START + 60 * np.cumsum([0.0, *(minutes for minutes, _ in PHASES[:-1])])
    weights = [(float(start), share) for start, (_, share) in zip(starts, PHASES, strict=True)]
    parameters = JudgeParameters(START, (KpiParameters("payments", Kind.SUCCESS, tolerance=_TOLERANCE),))
    rows = RolloutRows({"payments": OutcomeRows(times, times, canary, times, failed)})
    return RolloutJudge(parameters).judge(rows, weights, START + 60 * MINUTES).kpis["payments"]


def _save(figure: Figure, name: str) -> None:
    figure.savefig(FOLDER / name, metadata={"Software": None})
