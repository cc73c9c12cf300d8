"""What others would have decided: the strategy's own rule, Flagger, Argo Rollouts, and this judge.

Each rule plays its own rollout over the same units and answers with a `Decision`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.detection.shops.shop import MINUTES, PHASES, START, Scene, Traffic
from exporter.evidence.grid import Bools, Floats, Ints
from exporter.evidence.judge import (
    ConversionRows,
    JudgeParameters,
    Kind,
    KpiParameters,
    OutcomeRows,
    RolloutJudge,
    RolloutRows,
)

STEP_MINUTES = 0.25
"""How often rules that look at windows are evaluated, as Prometheus would."""


@dataclass(frozen=True)
class Decision:
    """When the canary was rolled back, in minutes (None: it was not), and how many units had met it by then."""

    minute: float | None
    exposed: int


def judge(scene: Scene, units: Traffic, alpha: float = 0.01) -> Decision:
    """This judge, with the policy's tolerance and floor for the KPI."""
    canary = units.on_canary(PHASES)
    good = np.where(canary, units.good_on_canary, units.good)
    entered, known = START + 60 * units.entered, START + 60 * units.known
    rows: ConversionRows | OutcomeRows
    if scene.kpi == "payments":
        kpi = KpiParameters("kpi", Kind.SUCCESS, tolerance=0.05, floor=0.90, pending_timeout_seconds=900)
        rows = OutcomeRows(entered, entered, canary, known, ~good)
    else:
        kpi = KpiParameters("kpi", Kind.CONVERSION, tolerance=0.10)
        rows = ConversionRows(entered, entered, canary, np.where(good, known, np.nan))
    starts = START + 60 * np.cumsum([0.0, *(minutes for minutes, _ in PHASES[:-1])])
    weights = [(float(start), share) for start, (_, share) in zip(starts, PHASES, strict=True)]
    parameters = JudgeParameters(START, (kpi,), alpha=alpha)
    evidence = RolloutJudge(parameters).judge(RolloutRows({"kpi": rows}), weights, START + 60 * MINUTES)
    decided = evidence.kpis["kpi"].decided_at
    return _decision(units.entered, canary, None if decided is None else (decided - START) / 60)


def strategy(scene: Scene, units: Traffic) -> Decision:
    """The strategy's own rule: ratios of the last 5 minutes, past the limit for 2 minutes, asked every 15 s."""
    canary = units.on_canary(PHASES)
    good = np.where(canary, units.good_on_canary, units.good)
    edges = np.arange(0.0, MINUTES + STEP_MINUTES / 2, STEP_MINUTES)
    rates = []
    for side in (canary, ~canary):
        came = _window(units.entered[side], edges, 5.0)
        went_well = _window(units.known[side & good], edges, 5.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            rates.append(went_well / came)
    with np.errstate(divide="ignore", invalid="ignore"):
        if scene.kpi == "payments":
            breached = (rates[0] < 0.90) | (rates[0] / rates[1] - 1 < -0.05)
        else:
            breached = rates[0] / rates[1] - 1 < -0.10
    needed = round(2.0 / STEP_MINUTES) + 1
    run = np.convolve(breached.astype(np.int64), np.ones(needed, dtype=np.int64))[: breached.size] == needed
    return _decision(units.entered, canary, float(edges[1:][run.argmax()]) if run.any() else None)


def flagger(scene: Scene, units: Traffic) -> Decision:
    """Flagger: a check a minute over the last minute against a fixed floor; a pass advances, ten fails end it."""
    floor = 0.95 if scene.kpi == "payments" else 0.9 * scene.ratio
    shares, minute_of = np.zeros(int(MINUTES)), np.floor(units.entered).astype(np.int64)
    steps, at, failed = (0.05, 0.25, 0.50, 1.0), -1, 0
    orders = np.zeros(int(MINUTES) + 1)
    decided = None
    for minute in range(int(MINUTES)):
        if failed >= 10:
            decided = float(minute)
            break
        if at >= 0 and steps[at] < 1.0:
            came = _came(units, minute_of, minute - 1, shares)
            ratio = orders[minute - 1] / came if came else np.nan
            if ratio >= floor:
                at += 1
            else:
                failed += 1
        elif at < 0:
            at = 0
        shares[minute] = steps[at]
        _schedule(units, minute_of, minute, steps[at], orders)
    canary = units.luck < shares[np.minimum(minute_of, int(MINUTES) - 1)]
    return _decision(units.entered, canary, decided)


def argo(scene: Scene, units: Traffic) -> Decision:
    """Argo Rollouts with its documentation's success-rate template: a look each 5 minutes, the fourth fail ends it."""
    phases = ((10.0, 0.05), (10.0, 0.25), (10.0, 0.50), (10.0, 1.0))
    floor = 0.95 if scene.kpi == "payments" else 0.9 * scene.ratio
    canary = units.on_canary(phases)
    edges = np.arange(0.0, MINUTES + 2.5, 5.0)
    came = np.histogram(units.entered[canary], edges)[0]
    went_well = np.histogram(units.known[canary & units.good_on_canary], edges)[0]
    failed = errors = 0
    for number, (all_of_them, good) in enumerate(zip(came, went_well, strict=True)):
        errors = errors + 1 if all_of_them == 0 else 0
        failed += int(all_of_them > 0 and good / all_of_them < floor)
        if failed > 3 or errors > 4:
            return _decision(units.entered, canary, float(edges[number + 1]))
    return _decision(units.entered, canary, None)


def _window(times: Floats, edges: Floats, minutes: float) -> Floats:
    """How many times lie in the window that ends at each edge but the first."""
    ordered = np.sort(times)
    counts: Ints = np.searchsorted(ordered, edges[1:]) - np.searchsorted(ordered, edges[1:] - minutes)
    return counts.astype(np.float64)


def _came(units: Traffic, minute_of: Ints, minute: int, shares: Floats) -> int:
    low, high = np.searchsorted(minute_of, [minute, minute + 1])
    return int((units.luck[low:high] < shares[minute]).sum())


def _schedule(units: Traffic, minute_of: Ints, minute: int, share: float, orders: Floats) -> None:
    """Book the canary's successes of those who come in this minute under the minute in which they are known."""
    low, high = np.searchsorted(minute_of, [minute, minute + 1])
    chosen = (units.luck[low:high] < share) & units.good_on_canary[low:high]
    known = np.minimum(units.known[low:high][chosen], orders.size - 1).astype(np.int64)
    orders += np.bincount(known, minlength=orders.size)


def _decision(entered: Floats, canary: Bools, minute: float | None) -> Decision:
    until = np.inf if minute is None else minute
    return Decision(minute, int(np.count_nonzero(canary & (entered < until))))
