"""The same shops where no column names the customer: rows are units, and their over-dispersion stands in for them.

Payments name no order either, so that nothing tells whose they are. Every KPI is trusted (as after `canary calibrate`),
so that what only holds by default is counted as a rollback here.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import replace

import numpy as np

from bench.detection.real import RATES, cell, policy_of, rollout_named
from bench.detection.shops.customers import END, VERSIONS, Draft
from bench.detection.shops.harms import HARMFUL
from bench.detection.shops.shop import START
from bench.detection.shops.situations import SOUND
from canary.policy.database.section import DEFAULT_EVENTS
from canary.policy.model import Policy
from exporter.evidence.judge import RolloutEvidence, Verdict
from exporter.judge.joins import JoinedRows
from exporter.judge.rollout import JudgedRollout
from exporter.source.columns.values import NO_ID

_VERSION_KNOWS = "a batch of stored cards by one version's worker", "ten refused cards of the shop's testers"
"""Not drawn by the router at all: no statistics of rows tells these from harm. They are to be excluded."""
_WHICH = [number for number, one in enumerate(SOUND) if one.name not in _VERSION_KNOWS]


def without_customers(policy: Policy) -> Policy:
    """The policy of a shop whose rows name nobody."""
    events = {
        "visits": replace(DEFAULT_EVENTS["visits"], unit=None),
        "orders": replace(DEFAULT_EVENTS["orders"], parent={"visits": "visit_id"}),
        "payments": replace(DEFAULT_EVENTS["payments"], parent=None),
    }
    kpis = {name: policy.kpis[name] for name in ("conversion_rate", "payment_success_rate")}
    return replace(policy, kpis=kpis, database=replace(policy.database, events=events))


def judged(policy: Policy, draft: Draft, name: str) -> RolloutEvidence:
    """One rollout of such a shop."""
    policy, rollout = without_customers(policy), rollout_named(name)
    rows = dict(draft.joined().rows)
    for event, table in rows.items():
        parents = table.parents[: 1 if event == "orders" else 0]
        rows[event] = replace(table, unit=np.full(len(table), NO_ID), parents=parents)
    joined = JoinedRows(policy.database.events, rows)
    return JudgedRollout.of(policy, rollout, trusted=policy.kpis).look(joined, VERSIONS, rollout, END, {})


def one(task: tuple[int, float, int]) -> bool:
    """Whether a healthy canary is rolled back."""
    number, rate, seed = task
    draft = Draft(np.random.default_rng([number, int(rate), seed]))
    SOUND[number].write(draft, rate)
    return judged(policy_of(SOUND[number]), draft, f"n{number}-{rate:g}-{seed}").verdict is Verdict.FAIL


def found_at(task: tuple[int, int]) -> float:
    """Minute at which a harmful canary is rolled back; infinite: never."""
    number, seed = task
    rate, situation = HARMFUL[number]
    draft = Draft(np.random.default_rng([1000 + number, seed]))
    situation.write(draft, rate)
    evidence = judged(policy_of(situation), draft, f"m{number}-{seed}")
    return np.inf if evidence.decided_at is None else (evidence.decided_at - START) / 60.0


def measure(pool: Executor, seeds: int) -> str:
    """Both tables: what healthy canaries meet, and what harm is still found."""
    tasks = [(number, rate, seed) for number in _WHICH for rate in RATES for seed in range(seeds)]
    outcomes = dict(zip(tasks, pool.map(one, tasks), strict=True))
    text = [
        f"No column names the customer, and each KPI may roll back as after `canary calibrate`; {seeds} rollouts each,",
        "with 95 % intervals. By default these KPIs only hold.",
        "",
        f"| | nothing is wrong | {' | '.join(f'{rate:g}/min rolled back' for rate in RATES)} |",
        "|---|---|" + "---|" * len(RATES),
    ]
    for number in _WHICH:
        cells = [cell([outcomes[number, rate, seed] for seed in range(seeds)]) for rate in RATES]
        text.append(f"| {SOUND[number].group} | {SOUND[number].name} | {' | '.join(cells)} |")
    text += ["", "| harm | | a minute | rolled back | median minute |", "|---|---|---|---|---|"]
    for number, (rate, situation) in enumerate(HARMFUL):
        minutes = list(pool.map(found_at, [(number, seed) for seed in range(seeds)]))
        found = [minute for minute in minutes if np.isfinite(minute)]
        median = f"{np.median(found):.1f}" if found else ""
        text.append(
            f"| {situation.group} | {situation.name} | {rate:,.0f} | {cell([np.isfinite(one) for one in minutes])}"
            f" | {median} |"
        )
    return "\n".join(text)
