"""CPU time of one refresh's judgement by both halves: a judge that runs, given the rows that the exporter holds."""

from __future__ import annotations

import time

import numpy as np

from bench.detection.real import rollout_named
from bench.detection.shops.customers import END, VERSIONS, Draft
from bench.detection.whole import POLICY, Shop, written
from exporter.judge.joins import JoinedRows
from exporter.judge.rollout import JudgedRollout

REFRESHES = 60
"""A minute of them, in which each KPI's exact half looks four times."""


def held(joined: JoinedRows, now: float) -> JoinedRows:
    """The rows of `database.window`, as the exporter holds them at *now*."""
    low = now - POLICY.database.window
    rows = {event: table.where((table.time >= low) & (table.time <= now)) for event, table in joined.rows.items()}
    return JoinedRows(joined.events, rows)


def measure(per_minute: float = 20_000.0) -> str:
    """A table of refreshes 33 minutes into a rollout."""
    joined = written(Shop(per_minute, 6.0, daily=False), Draft(np.random.default_rng(1))).joined()
    rollout, now = rollout_named("speed"), END - 400.0
    judged = JudgedRollout.of(POLICY, rollout)
    judged.look(held(joined, now), VERSIONS, rollout, now, {})
    spent = []
    for _ in range(REFRESHES):
        now += 1.0
        given = held(joined, now)
        start = time.process_time()
        judged.look(given, VERSIONS, rollout, now, {})
        spent.append(1000.0 * (time.process_time() - start))
    return "\n".join(
        [
            f"`canary.yaml`'s {len(POLICY.kpis)} KPIs of a shop with {per_minute:,.0f} visits a minute, both halves,",
            "and the joins of the hour of rows that they are judged by.",
            "",
            "| refreshes | mean | median | largest |",
            "|---|---|---|---|",
            f"| {REFRESHES} | {np.mean(spent):.1f} ms | {np.median(spent):.1f} ms | {max(spent):.1f} ms |",
        ]
    )
