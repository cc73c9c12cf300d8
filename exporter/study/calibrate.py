"""A shop's own proof: two equal versions, put into its past, and judged by the very judge that would judge a rollout.

Customers of a random stretch of the past are drawn onto two versions, as the router would draw them; their rows stay as
they are, so the versions differ by nothing. However often the judge finds a difference then, it finds it in healthy
rollouts of this shop: with its retries, its companies, its crawlers and its provider's outages. The same with a harm
put in says what it takes to find one. No version needs to stand in the database.

What this cannot see is a router that does not do what it says; for that there is the sample ratio.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from canary.errors import InputError
from canary.policy.kpis import Conversion, Kpi, Success
from canary.policy.model import Policy
from canary.units import format_duration
from exporter.evidence.judge import RolloutEvidence, Verdict
from exporter.judge.joins import JoinedRows
from exporter.judge.parameters import judge_parameters
from exporter.judge.shop.calibration import Calibration, HarmFound, KpiCalibration, digest_of, interval
from exporter.ledger.rows import FAILED_CODE, SUCCEEDED_CODE, Codes, Floats
from exporter.source.columns.values import NO_ID
from exporter.source.database import Patience
from exporter.source.sources import order_sources
from exporter.study.history import History
from exporter.study.pseudo_rollout import planned_seconds, pseudo_rollout

HARMS = (0.05, 0.10, 0.20, 0.50)
_BLOCK_SECONDS = 6 * 3600.0
"""What one process reads and works on at a time: a quarter of a day of a large shop fits in memory."""
_LEAST_BLOCKS = 8
"""So that a short past too is worked on by all processors; how many there are must not change what is found. A block is
no shorter than the plan, as each reads as much more."""
_DAY_SECONDS = 86_400.0
_FEW = 50
"""So many pseudo-rollouts are done sooner than another process has started."""


@dataclass(frozen=True)
class _Block:
    """Pseudo-rollouts that begin in one stretch of the past: how many healthy ones, and how many of each harm."""

    low: float
    high: float
    number: int
    healthy: int
    harmed: int
    seed: int

    @property
    def rollouts(self) -> int:
        """All of them."""
        return self.healthy + self.harmed * len(HARMS)

    def pseudo(
        self, policy: Policy, joined: JoinedRows, versions: Codes, rng: np.random.Generator, name: str, harm: float
    ) -> RolloutEvidence:
        """One of them, at a random moment."""
        began = rng.uniform(self.low, self.high) if self.high > self.low else self.low
        return pseudo_rollout(
            policy, joined, versions, began, rng, f"calibration-{self.seed}-{self.number}-{name}", harm
        )


@dataclass
class _Counts:
    """What one block's pseudo-rollouts ended in.

    Attributes:
        failed: by KPI, healthy ones in which harm was proven.
        found: by KPI and harm, the seconds after which it was proven, infinite where it was not.
        dispersion: by KPI, the two sums whose ratio is the over-dispersion.
    """

    day: int
    rollouts: int = 0
    rolled_back: int = 0
    held: int = 0
    mismatched: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    found: dict[tuple[str, float], list[float]] = field(default_factory=dict)
    dispersion: dict[str, tuple[float, float]] = field(default_factory=dict)


def calibrate(
    policy: Policy,
    until: float,
    days: float,
    rollouts: int,
    *,
    harmed: int,
    seed: int,
    made_at: str,
    progress: Callable[[int, int], None],
) -> Calibration:
    """Measure on the *days* before *until* (seconds since the epoch), on all processors.

    Args:
        rollouts: healthy pseudo-rollouts.
        harmed: pseudo-rollouts of each harm in `HARMS`.
        progress: told how many of how many are done.

    Raises:
        InputError: the plan takes longer than the past that is looked at.
        SecretError: a secret of the order database cannot be read.
        DatabaseError: one of its kinds.
    """
    lasts = planned_seconds(policy)
    if lasts <= 0.0:
        raise InputError("expected a phase with a share between 0 % and 100 %, found none", place="phases")
    if lasts > days * _DAY_SECONDS:
        raise InputError(
            f"expected a past longer than the plan ({format_duration(lasts)}), found {days:g} days",
            place="--days", remedy="look further back",
        )  # fmt: skip
    blocks = _blocks(until, days, rollouts, harmed, seed, lasts)
    return _summed(policy, _counted(policy, blocks, progress), seed, made_at)


def _counted(policy: Policy, blocks: list[_Block], progress: Callable[[int, int], None]) -> list[_Counts]:
    """Each block measured: a few pseudo-rollouts here, many on all processors."""
    total = sum(block.rollouts for block in blocks)
    if total <= _FEW:
        return [_measure(policy, block) for block in blocks]
    counts: list[_Counts] = []
    done = 0
    with ProcessPoolExecutor(min(len(blocks), os.cpu_count() or 1), multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(_measure, policy, block): block for block in blocks}
        for future in as_completed(running):
            counts.append(future.result())
            done += running[future].rollouts
            progress(done, total)
    return counts


def _blocks(until: float, days: float, rollouts: int, harmed: int, seed: int, lasts: float) -> list[_Block]:
    since, last = until - days * _DAY_SECONDS, until - lasts
    length = min(_BLOCK_SECONDS, max((last - since) / _LEAST_BLOCKS, lasts))
    edges = np.append(np.arange(since, last, length), last)
    pieces = max(1, len(edges) - 1)
    lows, highs = (edges[:-1], edges[1:]) if len(edges) > 1 else (edges, edges)
    return [
        _Block(
            float(low), float(high), number,
            rollouts * (number + 1) // pieces - rollouts * number // pieces,
            harmed * (number + 1) // pieces - harmed * number // pieces,
            seed,
        )
        for number, (low, high) in enumerate(zip(lows, highs, strict=True))
    ]  # fmt: skip


def _measure(policy: Policy, block: _Block) -> _Counts:
    return asyncio.run(_measured(policy, block))


async def _measured(policy: Policy, block: _Block) -> _Counts:
    async with order_sources(policy, Patience.STUDY) as sources:
        history = History(_without_versions(policy), sources)
        joined = await history.between(block.low, block.high + planned_seconds(policy))
    return _run(policy, joined, history.versions, block)


def _run(policy: Policy, joined: JoinedRows, versions: Codes, block: _Block) -> _Counts:
    """A block's pseudo-rollouts, over rows that have been read."""
    counts = _Counts(int(block.low // _DAY_SECONDS))
    counts.dispersion = {name: _dispersion(kpi, joined) for name, kpi in policy.kpis.items()}
    rng = np.random.default_rng([block.seed, block.number])
    for number in range(block.healthy):
        evidence = block.pseudo(policy, joined, versions, rng, f"{number}", 0.0)
        counts.rollouts += 1
        counts.rolled_back += evidence.verdict is Verdict.FAIL
        counts.mismatched += evidence.mismatch is not None and evidence.mismatch.verdict is Verdict.FAIL
        failed = [kpi for kpi in evidence.kpis.values() if kpi.verdict is Verdict.FAIL]
        counts.held += any(kpi.action == "hold" for kpi in failed)
        for kpi in failed:
            counts.failed[kpi.name] = counts.failed.get(kpi.name, 0) + 1
    for harm in HARMS:
        for number in range(block.harmed):
            evidence = block.pseudo(policy, joined, versions, rng, f"{harm:g}-{number}", harm)
            began = evidence.as_of - planned_seconds(policy)
            for kpi in evidence.kpis.values():
                found = np.inf if kpi.decided_at is None else kpi.decided_at - began
                counts.found.setdefault((kpi.name, harm), []).append(found)
    return counts


def _dispersion(kpi: Kpi, joined: JoinedRows) -> tuple[float, float]:
    """The variance of what customers sum up to, and what it would be were all their rows independent."""
    event = kpi.from_ if isinstance(kpi, Conversion) else kpi.of
    if event not in joined.rows or (isinstance(kpi, Conversion) and kpi.to not in joined.rows):
        return 0.0, 0.0
    table, unit = joined.rows[event], joined.origin(event).unit
    if isinstance(kpi, Conversion):
        counted = np.isfinite(joined.converted(event, kpi.to)).astype(np.float64)
    elif isinstance(kpi, Success):
        counted = np.where(table.outcome == FAILED_CODE, 1.0, np.where(table.outcome == SUCCEEDED_CODE, 0.0, np.nan))
    else:
        counted = joined.values(kpi)
    known = np.isfinite(counted) & (unit != NO_ID)
    if not known.any():
        return 0.0, 0.0
    apart: Floats = counted[known] - counted[known].mean()
    _, customer = np.unique(unit[known], return_inverse=True)
    together = np.bincount(customer, weights=apart)
    return float(together @ together), float(apart @ apart)


def _without_versions(policy: Policy) -> Policy:
    """The policy as if no row said which version wrote it: none needs to, and all are drawn anew."""
    events = {name: replace(event, version=None, variant=None) for name, event in policy.database.events.items()}
    return replace(policy, database=replace(policy.database, events=events, assignments=None))


def _summed(policy: Policy, counts: Sequence[_Counts], seed: int, made_at: str) -> Calibration:
    """What all blocks come to, with days as what may be drawn again."""
    rng = np.random.default_rng(seed)
    days = sorted({count.day for count in counts})
    rollouts = [sum(count.rollouts for count in counts if count.day == day) for day in days]

    def by_day(of: Callable[[_Counts], int]) -> list[int]:
        return [sum(of(count) for count in counts if count.day == day) for day in days]

    backs = by_day(lambda count: count.rolled_back)
    lower, upper = interval(backs, rollouts, rng)
    parameters = judge_parameters(policy, 0.0)
    kpis = {}
    for kpi in parameters.kpis:
        failed = by_day(partial(_failed, kpi.name))
        low, high = interval(failed, rollouts, rng)
        kpis[kpi.name] = KpiCalibration(
            action=kpi.action.value,
            allowed_ratio=parameters.share_of(kpi),
            failed=sum(failed),
            lower_ratio=low,
            upper_ratio=high,
            over_dispersion=_ratio([count.dispersion[kpi.name] for count in counts]),
            harms=tuple(_found(harm, counts, kpi.name) for harm in HARMS),
        )
    return Calibration(
        service=policy.service,
        digest=digest_of(policy),
        made_at=made_at,
        days=len(days),
        rollouts=sum(rollouts),
        rolled_back=sum(backs),
        lower_ratio=lower,
        upper_ratio=upper,
        held=sum(count.held for count in counts),
        mismatched=sum(count.mismatched for count in counts),
        kpis=kpis,
    )


def _failed(kpi: str, count: _Counts) -> int:
    return count.failed.get(kpi, 0)


def _ratio(sums: Sequence[tuple[float, float]]) -> float | None:
    together, apart = (sum(column) for column in zip(*sums, strict=True))
    return together / apart if apart else None


def _found(harm: float, counts: Sequence[_Counts], kpi: str) -> HarmFound:
    seconds = [one for count in counts for one in count.found.get((kpi, harm), [])]
    proven = [one for one in seconds if np.isfinite(one)]
    return HarmFound(
        harm_ratio=harm,
        rollouts=len(seconds),
        found_ratio=len(proven) / len(seconds) if seconds else 0.0,
        median_seconds=float(np.median(proven)) if proven else None,
    )
