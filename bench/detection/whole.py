"""Healthy rollouts of a whole shop under the default policy: visits, carts, checkouts, orders, payments, feedback."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from bench.detection.shops.shop import DAY_SECONDS, PHASES, START
from canary.policy.kpis import DEFAULT_KPIS
from canary.policy.model import Policy
from exporter.evidence.grid import Bools, Floats
from exporter.evidence.judge import (
    ConversionRows,
    EntryRows,
    MeanRows,
    OutcomeRows,
    RolloutJudge,
    RolloutRows,
    Verdict,
)
from exporter.judge.parameters import judge_parameters

SEEDS = {2.0: 300, 20.0: 300, 200.0: 250, 2000.0: 100, 20000.0: 15}
END = START + 60 * sum(minutes for minutes, _ in PHASES)
WEIGHTS = [
    (float(START + 60 * start), share)
    for start, (_, share) in zip(np.cumsum([0.0, *(minutes for minutes, _ in PHASES[:-1])]), PHASES, strict=True)
]
POLICY = Policy(service="shop", kpis=DEFAULT_KPIS)


@dataclass(frozen=True)
class Shop:
    """A shop on which nothing is wrong.

    Attributes:
        per_minute: visits.
        lag_minutes: mean time from visit to order.
        decline_seconds, settle_seconds: how soon a failed and a successful payment are known.
    """

    per_minute: float
    lag_minutes: float
    daily: bool
    decline_seconds: float = 2.0
    settle_seconds: float = 120.0


def rows(shop: Shop, rng: np.random.Generator) -> RolloutRows:
    """One healthy rollout's rows."""
    peak = 1.5 if shop.daily else 1.0
    visits = np.sort(rng.uniform(START, END, rng.poisson(shop.per_minute * (END - START) / 60 * peak)))
    wave = np.ones(visits.size)
    if shop.daily:
        wave = 1.0 + 0.5 * np.sin(2 * np.pi * (visits / DAY_SECONDS + rng.random()))
        kept = rng.random(visits.size) * peak < wave
        visits, wave = visits[kept], wave[kept]
    shares = np.asarray([share for _, share in WEIGHTS])
    starts = np.asarray([start for start, _ in WEIGHTS])
    canary = rng.random(visits.size) < shares[np.searchsorted(starts, visits, side="right") - 1]

    def later(times: Floats, share: Floats | float, minutes: float) -> Floats:
        happens = rng.random(times.size) < share
        return np.where(happens, times + rng.exponential(max(minutes, 1e-6) * 60, times.size), np.nan)

    carts = later(visits, 0.2 * wave, shop.lag_minutes / 3)
    checkouts = later(carts, 0.4, shop.lag_minutes / 3)
    orders = later(checkouts, 0.5, shop.lag_minutes / 3)
    ordered = np.isfinite(orders)
    failed = rng.random(visits.size) > 0.97
    known = orders + rng.exponential(1.0, visits.size) * np.where(failed, shop.decline_seconds, shop.settle_seconds)
    scored = ordered & (rng.random(visits.size) < 0.3)
    score = rng.choice([1.0, 2.0, 3.0, 4.0, 5.0], visits.size, p=[0.05, 0.05, 0.15, 0.35, 0.4])
    return RolloutRows(
        kpis={
            "conversion_rate": ConversionRows(visits, visits, canary, orders),
            "average_order_value": _values(visits, orders, canary, rng.lognormal(4.0, 0.8, visits.size), ordered),
            "cart_abandonment_rate": _conversion(visits, carts, canary, orders),
            "payment_success_rate": OutcomeRows(
                visits[ordered], orders[ordered], canary[ordered], known[ordered], failed[ordered]
            ),
            "checkout_completion_rate": _conversion(visits, checkouts, canary, orders),
            "customer_satisfaction": _values(visits, orders + 3600 * rng.random(visits.size), canary, score, scored),
        },
        entries=EntryRows(visits, canary),
    )


def _conversion(visits: Floats, entered: Floats, canary: Bools, orders: Floats) -> ConversionRows:
    came = np.isfinite(entered)
    return ConversionRows(visits[came], entered[came], canary[came], orders[came])


def _values(visits: Floats, times: Floats, canary: Bools, value: Floats, chosen: Bools) -> MeanRows:
    return MeanRows.single(visits[chosen], times[chosen], canary[chosen], value[chosen])


def one(task: tuple[Shop, int]) -> tuple[bool, bool, bool]:
    """Whether a healthy rollout was rolled back, held by a KPI that may only hold, or called mismatched."""
    shop, seed = task
    evidence = RolloutJudge(judge_parameters(POLICY, START)).judge(
        rows(shop, np.random.default_rng(seed)), WEIGHTS, END
    )
    held = any(kpi.verdict is Verdict.FAIL and kpi.action != "rollback" for kpi in evidence.kpis.values())
    mismatched = evidence.mismatch is not None and evidence.mismatch.verdict is Verdict.FAIL
    return evidence.verdict is Verdict.FAIL, held, mismatched


def shops() -> Iterator[Shop]:
    """All rates, lags of 0 to 30 minutes, and a daily pattern."""
    for rate in SEEDS:
        for lag in (0.0, 6.0, 30.0):
            yield Shop(rate, lag, daily=False)
        yield Shop(rate, 6.0, daily=True)


def measure(pool: Executor, times: float) -> str:
    """The table of healthy rollouts that were rolled back, all KPIs judged together."""
    text = [
        "Healthy rollouts, six KPIs judged together under the default policy (alpha 1 %).",
        "",
        "| visits a minute | order lag | daily pattern | rollouts | rolled back | a hold KPI failed | mismatch |",
        "|---|---|---|---|---|---|---|",
    ]
    total = np.zeros(4, dtype=np.int64)
    for number, shop in enumerate(shops()):
        tasks = [(shop, 100_000 * number + seed) for seed in range(max(1, round(SEEDS[shop.per_minute] * times)))]
        found = np.asarray(list(pool.map(one, tasks, chunksize=max(1, len(tasks) // 20))))
        backs, helds, mismatches = found.sum(axis=0)
        total += (len(tasks), backs, helds, mismatches)
        daily = "yes" if shop.daily else "no"
        text.append(
            f"| {shop.per_minute:,.0f} | {shop.lag_minutes:g} min | {daily} | {len(tasks)}"
            f" | {backs} | {helds} | {mismatches} |"
        )
    rollouts, backs, helds, mismatches = total
    text.append(
        f"| all | | | {rollouts:,} | {backs} ({backs / rollouts:.2%}) | {helds} ({helds / rollouts:.2%})"
        f" | {mismatches} ({mismatches / rollouts:.2%}) |"
    )
    return "\n".join(text)
