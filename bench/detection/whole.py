"""Healthy rollouts of a whole shop under `canary.yaml`: visits, carts, checkouts, orders, payments, feedback.

Rows take the product's own path, as in `real`; every second rollout is drawn as nginx draws.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.detection.real import rollout_named
from bench.detection.shops.customers import BEGAN, END, VERSIONS, Draft
from bench.detection.shops.shop import DAY_SECONDS
from canary.policy import load_policy
from exporter.evidence.grid import Bools, Floats, Ints
from exporter.evidence.judge import Verdict
from exporter.judge.rollout import JudgedRollout

SEEDS = {2.0: 300, 20.0: 300, 200.0: 250, 2000.0: 100, 20000.0: 15}
POLICY = load_policy(Path(__file__).parents[2] / "canary.yaml")


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


@dataclass(frozen=True, eq=False)
class _Step:
    """Those who have come so far: who, when, and which row of theirs says so."""

    customers: Ints
    times: Floats
    rows: Ints

    def some(self, chosen: Bools) -> _Step:
        return _Step(self.customers[chosen], self.times[chosen], self.rows[chosen])


def written(shop: Shop, draft: Draft) -> Draft:
    """One healthy rollout's rows, and those of the hour before."""
    rng, minutes = draft.rng, (END - BEGAN) / 60.0
    times, wave = _visits(shop, rng, minutes)
    customers = draft.customers(len(times))
    visits = _Step(customers, times, draft.visits(customers, times))

    def later(before: _Step, share: Floats | float) -> tuple[Bools, Floats]:
        chosen: Bools = rng.random(len(before.times)) < share
        lag = rng.exponential(max(shop.lag_minutes / 3.0, 1e-6) * 60.0, int(chosen.sum()))
        return chosen, before.times[chosen] + lag

    chosen, when = later(visits, 0.2 * wave)
    came = visits.some(chosen)
    carts = _Step(came.customers, when, draft.add("carts", came.customers, when, parent=came.rows))
    chosen, when = later(carts, 0.4)
    came, cart = came.some(chosen), carts.rows[chosen]
    checkouts = _Step(came.customers, when, draft.add("checkouts", came.customers, when, parent=came.rows))
    chosen, when = later(checkouts, 0.5)
    came, cart, checkout = came.some(chosen), cart[chosen], checkouts.rows[chosen]
    orders = draft.add(
        "orders", came.customers, when, parent=came.rows, carts=cart, checkouts=checkout,
        value=rng.lognormal(4.0, 0.8, len(when)),
    )  # fmt: skip
    failed = rng.random(len(when)) > 0.97
    wait = rng.exponential(1.0, len(when)) * np.where(failed, shop.decline_seconds, shop.settle_seconds)
    draft.payments(came.customers, orders, when, failed, when + wait)
    scored = rng.random(len(when)) < 0.3
    score = rng.choice([1.0, 2.0, 3.0, 4.0, 5.0], int(scored.sum()), p=[0.05, 0.05, 0.15, 0.35, 0.4])
    draft.add(
        "feedback", came.customers[scored], when[scored] + 3600.0 * rng.random(len(score)), parent=orders[scored],
        value=score,
    )  # fmt: skip
    return draft


def _visits(shop: Shop, rng: np.random.Generator, minutes: float) -> tuple[Floats, Floats]:
    """When visitors come, and how much more than usual they buy then."""
    peak = 1.5 if shop.daily else 1.0
    times = np.sort(rng.uniform(BEGAN, END, rng.poisson(shop.per_minute * minutes * peak)))
    if not shop.daily:
        return times, np.ones(len(times))
    wave = 1.0 + 0.5 * np.sin(2 * np.pi * (times / DAY_SECONDS + rng.random()))
    kept = rng.random(len(times)) * peak < wave
    return times[kept], wave[kept]


def one(task: tuple[Shop, int]) -> tuple[bool, bool, bool]:
    """Whether a healthy rollout was rolled back, held by a proof, or called mismatched."""
    shop, seed = task
    draft = written(shop, Draft(np.random.default_rng(seed), nginx=seed % 2 == 1))
    rollout = rollout_named(f"w{seed}")
    judged = JudgedRollout.of(POLICY, rollout, only_proofs=True)
    evidence = judged.look(draft.joined(), VERSIONS, rollout, END, {})
    held = any(
        kpi.hold_reason is not None or (kpi.verdict is Verdict.FAIL and kpi.action != "rollback")
        for kpi in evidence.kpis.values()
    )
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
        f"Healthy rollouts under `canary.yaml` (alpha {POLICY.evidence.alpha:.0%}): {len(POLICY.kpis)} KPIs judged",
        "together by both halves, from rows to the verdict. The daily pattern is run through in two hours, harsher",
        "than a day: what is held then is held because stable sells less than in the hour before the start.",
        "",
        "| visits a minute | order lag | daily pattern | rollouts | rolled back | held | mismatch |",
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
