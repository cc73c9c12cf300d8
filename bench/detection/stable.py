"""Stable held against the shop before the start: how often a healthy shop with a daily rhythm is held by mistake.

Conversion swings by half of its mean over the day, as visits do, a day is a tenth better or worse than another, and
rollouts start at any hour. Rows of the hour before and of the rollout take the product's way; the days before are the
counts of whole hours that the exporter's ledger has. Looked at every five minutes, as the finding may clear.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import replace

import numpy as np

from bench.detection.real import cell, rollout_named
from bench.detection.shops.customers import END, VERSIONS, Draft
from bench.detection.shops.shop import START
from canary.policy.kpis import DEFAULT_KPIS, Kpi
from canary.policy.model import Policy
from exporter.evidence.grid import Floats
from exporter.judge.joins import JoinedRows
from exporter.judge.rollout import JudgedRollout
from exporter.judge.shop.rhythm import Rhythm

KPIS: dict[str, Kpi] = {name: DEFAULT_KPIS[name] for name in ("conversion_rate", "payment_success_rate")}
RATES = (20.0, 200.0, 2000.0)
_DAY, _HOUR = 86_400.0, 3600.0
_CONVERSION, _FAILS = 0.06, 0.03


def held(task: tuple[float, int, str]) -> bool:
    """Whether stable is ever called harmed: with its *rhythm* known, unknown, or (as before) not asked for."""
    rate, seed, rhythm = task
    rng = np.random.default_rng([int(rate), seed])
    phase, days = rng.random(), rng.normal(0.0, 0.1, 9)

    def wave(times: Floats) -> Floats:
        swing: Floats = 1.0 + 0.5 * np.sin(2 * np.pi * ((times - START) / _DAY + phase))
        return swing

    def count(event: str, moment: float, outcome: str) -> int:
        day = int((START + _HOUR - moment) // _DAY)
        if rhythm == "unknown":
            return 0
        hour = np.floor(moment / _HOUR) * _HOUR + 60.0 * np.arange(60)
        visits = rng.poisson((rate * wave(hour)).sum())
        orders = rng.binomial(visits, _CONVERSION * wave(hour).mean() * (1.0 + max(-0.5, days[day])))
        paid = {"succeeded": round((1 - _FAILS) * orders), "failed": round(_FAILS * orders)}
        return int({"visits": visits, "orders": orders}.get(event, paid.get(outcome, orders)))

    joined = _rows(rng, rate, wave)
    policy, rollout = Policy(service="shop", kpis=KPIS), rollout_named(f"s{rate:g}-{seed}")
    judged = JudgedRollout.of(policy, rollout, rhythm=None if rhythm == "not asked" else Rhythm(KPIS, count))
    for now in np.arange(START + 300.0, END + 1.0, 300.0):
        rows = {event: table.where(table.time <= now) for event, table in joined.rows.items()}
        weights = tuple(one for one in rollout.weights if one.since.timestamp() <= now)
        evidence = judged.look(
            JoinedRows(joined.events, rows), VERSIONS, replace(rollout, weights=weights), float(now), {}
        )
        if any(kpi.stable_level is not None and kpi.stable_level.harmed for kpi in evidence.kpis.values()):
            return True
    return False


def _rows(rng: np.random.Generator, rate: float, wave: object) -> JoinedRows:
    assert callable(wave)
    draft = Draft(rng)
    times = np.sort(rng.uniform(START - _HOUR, END, rng.poisson(rate * 1.5 * (END - START + _HOUR) / 60.0)))
    times = times[rng.random(len(times)) * 1.5 < wave(times)]
    customers = draft.customers(len(times))
    visits = draft.visits(customers, times)
    buys = rng.random(len(times)) < _CONVERSION * wave(times)
    later = times[buys] + rng.exponential(60.0, int(buys.sum()))
    orders = draft.orders(customers[buys], visits[buys], later)
    draft.payments(customers[buys], orders, later + 1.0, rng.random(len(later)) < _FAILS, later + 2.0)
    return draft.joined()


def measure(pool: Executor, seeds: int) -> str:
    """The table, per rate and for what is known of the rhythm."""
    ways = ("not asked", "unknown", "known")
    titles = ("held against the hour before alone", "two days before are not known", "as shipped")
    text = [
        f"Healthy shops whose conversion swings by 50 % over the day; {seeds} rollouts of 40 minutes at any hour each.",
        "Held because stable is worse than before, with 95 % intervals.",
        "",
        f"| visits a minute | {' | '.join(titles)} |",
        "|---|" + "---|" * len(ways),
    ]
    for rate in RATES:
        cells = [cell(list(pool.map(held, [(rate, seed, way) for seed in range(seeds)]))) for way in ways]
        text.append(f"| {rate:,.0f} | {' | '.join(cells)} |")
    return "\n".join(text)
