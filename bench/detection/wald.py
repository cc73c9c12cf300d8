"""Canary payments until a fail, over Wald's bound for someone who knows both success ratios beforehand."""

from __future__ import annotations

import math
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np

from bench.detection.shops.shop import PHASES, START, SUCCESS_RATIO
from exporter.evidence.judge import JudgeParameters, Kind, KpiParameters, OutcomeRows, Plan, RolloutJudge, RolloutRows

ALPHA = 0.01
CONSTANT_SHARE = 0.05
LONGEST_RATIO = 15.0
"""Rollouts at a constant share end when so many times the bound's units are expected to have come."""
CONSTANT, IN_PHASES, SHIPPED = "5 % throughout", "5 / 25 / 50 %", "5 / 25 / 50 %, as shipped"
"""As shipped the quick half has 15 % of alpha (three tenths of one of two KPIs' part), and restarts."""
CASES = tuple((success, rate) for rate in (1000.0, 200.0) for success in (0.90, 0.85, 0.60))


@dataclass(frozen=True)
class Ratio:
    """Mean and median of canary units over the bound, with the mean's standard error."""

    success: float
    per_minute: float
    phases: str
    bound: float
    mean: float
    error: float
    median: float
    found: float


def bound(success: float) -> float:
    """log(1/alpha) over the divergence of the canary's success ratio from stable's (Wald 1945)."""
    divergence = success * math.log(success / SUCCESS_RATIO)
    divergence += (1 - success) * math.log((1 - success) / (1 - SUCCESS_RATIO))
    return math.log(1 / ALPHA) / divergence


def units_until_fail(task: tuple[float, float, str, int]) -> float:
    """Canary payments seen when the quick half said fail; nan when it never did."""
    success, per_minute, name, seed = task
    phases: tuple[tuple[float, float], ...] = PHASES
    if name == CONSTANT:
        phases = ((LONGEST_RATIO * bound(success) / (per_minute * CONSTANT_SHARE), CONSTANT_SHARE),)
    rng = np.random.default_rng(seed)
    ends = START + 60 * np.cumsum([minutes for minutes, _ in phases])
    entered = np.sort(rng.uniform(START, ends[-1], rng.poisson(per_minute * (ends[-1] - START) / 60)))
    shares = np.asarray([share for _, share in phases])
    canary = rng.random(entered.size) < shares[np.searchsorted(ends, entered, side="right")]
    failed = rng.random(entered.size) > np.where(canary, success, SUCCESS_RATIO)
    starts = [START, *ends[:-1].tolist()]
    parameters = JudgeParameters(START, (KpiParameters("payments", Kind.SUCCESS, tolerance=0.05),), alpha=ALPHA)
    if name == SHIPPED:
        plan = Plan(60.0 * sum(minutes for minutes, _ in phases), len(phases))
        parameters = replace(parameters, alpha=ALPHA / 2.0, exact=True, plan=plan)
    rows = RolloutRows({"payments": OutcomeRows(entered, entered, canary, entered, failed)})
    decided = RolloutJudge(parameters).judge(rows, list(zip(starts, shares, strict=True)), float(ends[-1])).decided_at
    return math.nan if decided is None else float(np.count_nonzero(canary & (entered < decided)))


def measure(pool: Executor, seeds: int) -> list[Ratio]:
    """All cases, at a constant 5 %, in the strategy's phases, and in these as the quick half is shipped."""
    ratios = []
    for name in (CONSTANT, IN_PHASES, SHIPPED):
        for success, rate in CASES:
            tasks = [(success, rate, name, seed) for seed in range(seeds)]
            units = np.asarray(list(pool.map(units_until_fail, tasks, chunksize=20)))
            found = units[np.isfinite(units)] / bound(success)
            error = float(found.std() / math.sqrt(found.size))
            share = found.size / units.size
            row = Ratio(success, rate, name, bound(success), float(found.mean()), error, float(np.median(found)), share)
            ratios.append(row)
    return ratios


def markdown(ratios: list[Ratio], seeds: int) -> str:
    """The table."""
    head = (
        f"Canary payments seen until *fail*, over Wald's bound. Alpha is {ALPHA:.0%}, stable succeeds in"
        f" {SUCCESS_RATIO:.0%}; {seeds} rollouts a row. The quick half alone, with all of alpha and without"
        " restarts; as shipped it has 15 % of alpha, and restarts, and the bound is still that of all of alpha."
    )
    text = [
        head,
        "",
        "| canary | payments a minute | canary's traffic weight | Wald's bound | mean ratio | median ratio | proven |",
        "|---|---|---|---|---|---|---|",
    ]
    text += [
        f"| {ratio.success:.0%} | {ratio.per_minute:,.0f} | {ratio.phases} | {ratio.bound:.1f} units"
        f" | {ratio.mean:.2f} ± {ratio.error:.2f} | {ratio.median:.2f} | {ratio.found:.0%} |"
        for ratio in ratios
    ]
    return "\n".join(text)
