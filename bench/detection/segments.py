"""A canary that harms some customers only: what `by` finds, and what it costs where all are harmed, or nobody.

A shop with four payment providers, by the product's own path. The same rows are judged with `by: provider` and without.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np

from bench.detection.real import rollout_named, wilson
from bench.detection.shops.checkout import Payments, checkout
from bench.detection.shops.customers import END, VERSIONS, Draft
from bench.detection.shops.shop import START
from bench.detection.shops.situations import with_failed
from canary.policy.kpis import DEFAULT_KPIS, Success
from canary.policy.model import Policy
from exporter.judge.joins import JoinedRows
from exporter.judge.rollout import JudgedRollout

RATES = (20.0, 200.0)
PROVIDERS = {"card": 0.55, "wallet": 0.25, "invoice": 0.15, "transfer": 0.05}
HARMS: dict[str, dict[str, float]] = {
    "none": {},
    "one payment in ten fails more": dict.fromkeys(PROVIDERS, 0.1),
    "of the provider with 25 %, one in five": {"wallet": 0.2},
    "of the provider with 15 %, one in two": {"invoice": 0.5},
    "the provider with 5 % fails altogether": {"transfer": 0.97},
}
_PAYMENTS = "payment_success_rate"


@dataclass(frozen=True)
class Found:
    """What one rollout came to: when it was rolled back (infinite: never), and which segments were named."""

    minute: float
    named: tuple[str, ...] = ()


def policies() -> tuple[Policy, Policy]:
    """The default one, without and with segments."""
    payments = DEFAULT_KPIS[_PAYMENTS]
    assert isinstance(payments, Success)
    parted = DEFAULT_KPIS | {_PAYMENTS: replace(payments, by="provider", segments=len(PROVIDERS))}
    return Policy(service="shop", kpis=DEFAULT_KPIS), Policy(service="shop", kpis=parted)


def one(task: tuple[float, str, int]) -> list[Found]:
    """One rollout, judged both ways."""
    rate, harm, seed = task
    joined = rows_of(rate, HARMS[harm], [list(HARMS).index(harm), int(rate), seed])
    return [judged(policy, joined, f"s{seed}") for policy in policies()]


def rows_of(rate: float, harm: dict[str, float], seed: list[int]) -> JoinedRows:
    """A shop's rows, with *harm* to the canary's payments by provider; the seed's last number draws as nginx if odd."""
    draft = Draft(np.random.default_rng(seed), nginx=seed[-1] % 2 == 1)
    _settle(draft, checkout(draft, rate), harm)
    return draft.joined()


def judged(policy: Policy, joined: JoinedRows, name: str) -> Found:
    """What a rollout of that name comes to."""
    rollout = rollout_named(name)
    evidence = JudgedRollout.of(policy, rollout).look(joined, VERSIONS, rollout, END, {})
    minute = np.inf if evidence.decided_at is None else (evidence.decided_at - START) / 60.0
    segments = evidence.kpis[_PAYMENTS].segments
    return Found(minute, tuple(name for name, test in segments.items() if test.verdict == "fail"))


def _settle(draft: Draft, paid: Payments, harm: dict[str, float]) -> None:
    """Write the payments, each of a provider, and more failures where the canary breaks it."""
    rng, count = draft.rng, len(paid.times)
    provider = rng.choice(len(PROVIDERS), count, p=list(PROVIDERS.values()))
    odds = np.asarray([harm.get(name, 0.0) for name in PROVIDERS])[provider]
    paid = with_failed(paid, paid.failed | (paid.canary & (paid.times >= START) & (rng.random(count) < odds)))
    codes = np.asarray([VERSIONS.code(name) for name in PROVIDERS])[provider]
    draft.payments(paid.customers, paid.orders, paid.times, paid.failed, paid.times + 2.0, segment=codes)


def measure(pool: Executor, seeds: int) -> str:
    """The table: rolled back and when, without and with `by`, and how often the right provider was named."""
    text = [
        f"Payments of four providers, 97 % succeed; {seeds} rollouts each, every second one drawn as nginx draws.",
        f"`by: provider, segments: {len(PROVIDERS)}`. Rolled back within 40 minutes, with 95 % intervals, and the",
        "median minute.",
        "",
        "| payments a minute | harm | without `by` | with `by` | of these the harmed one named |",
        "|---|---|---|---|---|",
    ]
    for rate in RATES:
        for harm, harmed in HARMS.items():
            found = list(pool.map(one, [(rate, harm, seed) for seed in range(seeds)]))
            plain, parted = ([outcomes[way] for outcomes in found] for way in (0, 1))
            backs = [outcome for outcome in parted if np.isfinite(outcome.minute)]
            right = sum(set(outcome.named) == set(harmed) for outcome in backs)
            named = str(right) if len(harmed) == 1 else ""
            text.append(f"| {rate:,.0f} | {harm} | {share_and_minute(plain)} | {share_and_minute(parted)} | {named} |")
    return "\n".join(text)


def share_and_minute(found: list[Found]) -> str:
    """How many were rolled back, with its interval, and the median minute."""
    minutes = [outcome.minute for outcome in found if np.isfinite(outcome.minute)]
    lower, upper = wilson(len(minutes), len(found))
    median = f", {np.median(minutes):.1f} min" if minutes else ""
    return f"{len(minutes) / len(found):.0%} ({lower:.0%} to {upper:.0%}){median}"
