"""Shops as they are: how often situations in which nothing is wrong roll a canary back, by the product's own path.

Rows go in, as the exporter holds them; joined, reduced to customers and judged by both halves under the default policy,
they come out as a verdict. Counts are printed with their intervals (Wilson, 95 %), because a few rollouts prove little.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from bench.detection.shops.customers import CANARY, END, STABLE, VERSIONS, WEIGHTS, Draft
from bench.detection.shops.harms import HARMFUL
from bench.detection.shops.shop import PHASES, START
from bench.detection.shops.situations import SOUND, Situation
from canary.policy.kpis import DEFAULT_KPIS
from canary.policy.model import Policy
from canary.rollout.state import Rollout, State, Weight
from exporter.evidence.judge import Verdict
from exporter.judge.rollout import JudgedRollout

RATES = (20.0, 200.0)
_Z = 1.96


@dataclass(frozen=True)
class Case:
    """A situation at a rate, drawn by a seed; customers are drawn as HAProxy draws them, or as nginx does."""

    situation: int
    rate: float
    nginx: bool
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What one rollout ended in: rolled back, held by a proof or a mismatch, and by which tests."""

    rolled_back: bool
    held: bool
    proofs: tuple[str, ...]


def one(case: Case) -> Outcome:
    """Draw and judge one rollout."""
    situation = SOUND[case.situation]
    policy = policy_of(situation)
    draft = Draft(np.random.default_rng([case.situation, int(case.rate), case.seed]), nginx=case.nginx)
    situation.write(draft, case.rate)
    rollout = rollout_named(f"r{case.situation}-{case.rate:g}-{case.seed}")
    evidence = JudgedRollout.of(policy, rollout).look(draft.joined(), VERSIONS, rollout, END, {})
    held = any(
        kpi.hold_reason is not None or (kpi.verdict is Verdict.FAIL and kpi.action != "rollback")
        for kpi in evidence.kpis.values()
    )
    mismatched = evidence.mismatch is not None and evidence.mismatch.verdict is Verdict.FAIL
    proofs = tuple(f"{kpi.name}: {test}" for kpi in evidence.kpis.values() for test in kpi.proofs)
    return Outcome(evidence.verdict is Verdict.FAIL, held or mismatched, proofs)


def policy_of(situation: Situation) -> Policy:
    """The default policy with what the situation changes."""
    policy = Policy(service="shop", kpis=DEFAULT_KPIS)
    return replace(policy, evidence=replace(policy.evidence, **dict(situation.policy)))


def measure(pool: Executor, seeds: int, longest_seconds: float = float("inf")) -> str:
    """The table, of as many rollouts of each situation; of fewer where time runs out."""
    began, rounds, found = time.monotonic(), 0, dict[tuple[int, float], list[Outcome]]()
    while rounds < seeds and time.monotonic() - began < longest_seconds:
        cases = [
            Case(number, rate, nginx=rounds % 2 == 1, seed=rounds) for number in range(len(SOUND)) for rate in RATES
        ]
        for case, outcome in zip(cases, pool.map(one, cases), strict=True):
            found.setdefault((case.situation, case.rate), []).append(outcome)
        rounds += 1
    text = [
        f"Nothing is wrong with the canary, or only what is said; {rounds} rollouts each, every second one drawn as",
        "nginx draws. Rolled back and held, with 95 % intervals; the rate counts payments or visits a minute.",
        "",
        f"| | situation | {' | '.join(f'{rate:g}/min rolled back | held' for rate in RATES)} |",
        "|---|---|" + "---|---|" * len(RATES),
    ]
    for number, situation in enumerate(SOUND):
        cells = [cell([one.rolled_back for one in found[number, rate]]) for rate in RATES]
        holds = [str(sum(one.held for one in found[number, rate])) for rate in RATES]
        row = " | ".join(f"{cell} | {hold}" for cell, hold in zip(cells, holds, strict=True))
        what = "payments" if situation.payments else "visits"
        text.append(f"| {situation.group} ({what}) | {situation.name} | {row} |")
    every = [outcome for outcomes in found.values() for outcome in outcomes]
    text.append(f"| all | {len(every):,} rollouts | {cell([one.rolled_back for one in every])} | | | |")
    return "\n".join(text)


def found_at(task: tuple[int, int]) -> tuple[float, tuple[str, ...]]:
    """Minute at which a harmful canary is rolled back (infinite: never), and the tests that have proven it."""
    number, seed = task
    rate, situation = HARMFUL[number]
    draft = Draft(np.random.default_rng([1000 + number, seed]))
    situation.write(draft, rate)
    rollout = rollout_named(f"h{number}-{seed}")
    evidence = JudgedRollout.of(policy_of(situation), rollout).look(draft.joined(), VERSIONS, rollout, END, {})
    minute = np.inf if evidence.decided_at is None else (evidence.decided_at - START) / 60.0
    return minute, tuple({test for kpi in evidence.kpis.values() for test in kpi.proofs})


def power(pool: Executor, seeds: int) -> str:
    """The table of harmful canaries: how many are rolled back within 40 minutes, when, and by which test."""
    tasks = [(number, seed) for number in range(len(HARMFUL)) for seed in range(seeds)]
    outcomes = list(pool.map(found_at, tasks))
    text = [
        f"Canaries that harm, {seeds} rollouts each; rolled back within 40 minutes, with 95 % intervals.",
        "",
        "| harm | | a minute | rolled back | median minute | proven by the quick test | by the exact test |",
        "|---|---|---|---|---|---|---|",
    ]
    for number, (rate, situation) in enumerate(HARMFUL):
        ours = [outcome for task, outcome in zip(tasks, outcomes, strict=True) if task[0] == number]
        minutes = [minute for minute, _ in ours if np.isfinite(minute)]
        lower, upper = wilson(len(minutes), len(ours))
        tests = [sum(test in proofs for _, proofs in ours) for test in ("quick", "exact")]
        what = "payments" if situation.payments else "visits"
        median = f"{np.median(minutes):.1f}" if minutes else ""
        text.append(
            f"| {situation.group} | {situation.name} | {rate:,.0f} {what} | {len(minutes) / len(ours):.0%}"
            f" ({lower:.0%} to {upper:.0%}) | {median} | {tests[0]} | {tests[1]} |"
        )
    return "\n".join(text)


def cell(hits: Sequence[bool]) -> str:
    """How many, and between what shares of all the true one lies."""
    lower, upper = wilson(sum(hits), len(hits))
    return f"{sum(hits)} ({100 * lower:.1f} to {100 * upper:.1f} %)"


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Between what shares the true one lies with 95 % confidence (Wilson 1927)."""
    share = hits / count
    middle = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    reach = _Z / (1 + _Z**2 / count) * (share * (1 - share) / count + _Z**2 / (4 * count**2)) ** 0.5
    return max(0.0, middle - reach), min(1.0, middle + reach)


def rollout_named(name: str) -> Rollout:
    """A rollout at the end of the default phases."""
    moments = [datetime.fromtimestamp(start, UTC) for start, _ in WEIGHTS]
    return Rollout(
        id=name,
        stable=STABLE,
        canary=CANARY,
        traffic=tuple(share for _, share in PHASES),
        durations_seconds=tuple(60.0 * minutes for minutes, _ in PHASES),
        state=State.PHASE,
        started_at=datetime.fromtimestamp(START, UTC),
        phase=len(PHASES) - 1,
        phase_started_at=moments[-1],
        weights=tuple(Weight(moment, share) for moment, (_, share) in zip(moments, WEIGHTS, strict=True)),
    )
