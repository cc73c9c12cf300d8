"""Past rollouts replayed from the order database: what would have been decided, when, and whom it would have spared.

The same judge is given the same rows, all at once instead of second by second; the evidence does not depend on when
anybody looked, so the decision's moment is exact and no clock needs to be simulated.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from canary.errors import InputError
from canary.policy.model import Policy
from canary.rollout.state import Rollout
from exporter.evidence.judge import KpiEvidence, RolloutEvidence, Verdict
from exporter.judge.joins import JoinedRows
from exporter.judge.parameters import entry_event
from exporter.judge.rollout import JudgedRollout
from exporter.judge.values import role_values
from exporter.ledger.rows import Codes
from exporter.publish.complement import Change, failed_tests, shown_change
from exporter.source.assignments.routed import RoutedVersions, TaggedVersions
from exporter.source.assignments.versions import Versions, says_version
from exporter.source.database import Patience
from exporter.source.dialects import Dialect
from exporter.source.sources import order_sources
from exporter.study.history import History, needed_events
from exporter.study.pastrollouts import PastRollout

_FEW = 10
"""So many rollouts are replayed sooner than another process has started."""
_CHUNK = 50
"""Rollouts that one process replays at a time, at most."""
_DENSE = 0.2
"""Rollouts that fill this much of the time from the first to the last are read at one go: a table may lack an index."""


@dataclass(frozen=True, eq=False)
class Replay:
    """What the judge would have said.

    Attributes:
        evidence: at the moment of the decision when it would have been rolled back, at the rollout's end otherwise.
        exposed: customers (entering units) on the canary until then.
        spared: customers who met the canary after that moment, and would not have.
        changes: by KPI, the change of what it publishes.
    """

    rollout: PastRollout
    evidence: RolloutEvidence
    exposed: int
    spared: int
    changes: Mapping[str, Change]

    def as_json(self) -> dict[str, Any]:
        """One line of `--format json`; what is unknown or without bound is null."""
        return {
            "rollout": self.rollout.name,
            "verdict": str(self.evidence.verdict),
            "kpi": self.evidence.kpi,
            "decided_at": _moment(self.evidence.decided_at),
            "kpis": {name: _kpi_as_json(kpi, self.changes[name]) for name, kpi in self.evidence.kpis.items()},
        }


def backtest(policy: Policy, rollouts: Sequence[PastRollout]) -> Iterator[Replay]:
    """Replay rollouts in their order, on all processors when there are many.

    Raises:
        InputError: nothing says which version a row counts for.
        SecretError: a secret of the order database cannot be read.
        DatabaseError: one of its kinds.
    """
    needed = needed_events(policy)
    given, keyed = policy.database.assignments, Versions(policy, Dialect("sqlite")).keyed
    computed = given is not None and given.from_ is not None
    if not any(says_version(policy, name) and not (computed and keyed(name) == "unit") for name in needed):
        raise InputError(
            "no version is known of any row, so that no canary can be told from its stable version",
            place="database.events",
            remedy=(
                "map a version column, the router's `tag`, or a table of assignments and each event's `unit`:"
                " docs/your-database.md"
            ),
        )
    processors = os.cpu_count() or 1
    if len(rollouts) <= _FEW:
        yield from _replayed(policy, rollouts)
        return
    size = math.ceil(len(rollouts) / (processors * math.ceil(len(rollouts) / (processors * _CHUNK))))
    chunks = [rollouts[start : start + size] for start in range(0, len(rollouts), size)]
    workers = min(len(chunks), processors)
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        for replays in pool.map(_replayed, itertools.repeat(policy), chunks):
            yield from replays


def _replayed(policy: Policy, rollouts: Sequence[PastRollout]) -> list[Replay]:
    return asyncio.run(_replay_all(policy, rollouts))


async def _replay_all(policy: Policy, rollouts: Sequence[PastRollout]) -> list[Replay]:
    async with order_sources(policy, Patience.STUDY) as sources:
        sides = RoutedVersions(None)
        sides.know(rollout.as_rollout() for rollout in rollouts)
        history = History(policy, sources, TaggedVersions(sides))
        start = min(rollout.started_at.timestamp() for rollout in rollouts)
        end = max(rollout.ended_at.timestamp() for rollout in rollouts)
        filled = sum((rollout.ended_at - rollout.started_at).total_seconds() for rollout in rollouts)
        dense = filled >= _DENSE * (end - start)
        everything = await history.between(start, end) if dense else None
        replays = []
        for rollout in rollouts:
            low, high = rollout.started_at.timestamp(), rollout.ended_at.timestamp()
            if everything is not None:
                joined = history.within(everything, low, high)
            else:
                joined = await history.between(low, high)
            replays.append(replay(policy, rollout, joined, history.versions))
        return replays


def replay(policy: Policy, past: PastRollout, joined: JoinedRows, versions: Codes) -> Replay:
    """Judge the rows of a whole rollout; a rollback would have ended it at the moment of the decision."""
    rollout, end = past.as_rollout(), past.ended_at.timestamp()
    evidence = JudgedRollout.of(policy, rollout).look(joined, versions, rollout, end, {})
    until = end
    if evidence.verdict is Verdict.FAIL and evidence.decided_at is not None:
        until = evidence.decided_at
        # Half a bucket later, so that no rounding loses the bucket that decided.
        moment = until + policy.evidence.bucket / 2
        evidence = JudgedRollout.of(policy, rollout).look(joined, versions, rollout, moment, {})
    entry = entry_event(policy)
    exposed = spared = 0
    if entry is not None and entry in joined.rows:
        table = joined.rows[entry]
        came = table.entered[table.version == versions.code(past.canary)]
        came = came[(came >= past.started_at.timestamp()) & (came < end)]
        exposed = int(np.count_nonzero(came < until))
        spared = len(came) - exposed
    return Replay(past, evidence, exposed, spared, _changes(policy, rollout, joined, versions, evidence, until))


def _changes(
    policy: Policy, rollout: Rollout, joined: JoinedRows, versions: Codes, evidence: RolloutEvidence, until: float
) -> dict[str, Change]:
    """By KPI, the change of what it publishes, from what had happened by then."""
    happened = JoinedRows(joined.events, {name: table.where(table.time < until) for name, table in joined.rows.items()})
    values = role_values(policy.kpis, happened, versions, rollout, {})
    return {
        name: shown_change(policy.kpis[name], kpi, values.get(name, {}).get("stable"))
        for name, kpi in evidence.kpis.items()
    }


def _kpi_as_json(kpi: KpiEvidence, change: Change) -> Mapping[str, Any]:
    return {
        "verdict": str(kpi.verdict),
        "failed_tests": list(failed_tests(kpi)),
        "estimate": _number(change.estimate),
        "lower": _number(change.lower),
        "upper": _number(change.upper),
        "log10_evidence": _number(kpi.log10_evidence),
        "canary_units": kpi.canary_units,
        "stable_units": kpi.stable_units,
        "hold_reason": kpi.hold_reason,
        "harmed_segments": [name for name, segment in kpi.segments.items() if segment.verdict is Verdict.FAIL],
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _moment(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
