"""Past rollouts replayed from the order database: what would have been decided, when, and whom it would have spared.

The same judge is given the same rows, all at once instead of second by second; the evidence does not depend on when
anybody looked, so the decision's moment is exact and no clock needs to be simulated.
"""

from __future__ import annotations

import asyncio
import csv
import itertools
import math
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from canary.errors import InputError
from canary.policy.model import Policy
from canary.rollout.state import Rollout, State, Weight
from canary.times import from_text
from canary.units import parse_ratio
from exporter.evidence.judge import KpiEvidence, RolloutEvidence, Verdict
from exporter.judge.joins import JoinedRows
from exporter.judge.rollout import JudgedRollout, entry_event
from exporter.judge.values import role_values
from exporter.ledger.rows import Codes
from exporter.publish.complement import Change, failed_tests, shown_change
from exporter.source.database import Patience
from exporter.source.session import order_session
from exporter.source.versions import says_version
from exporter.study.history import History, needed_events

COLUMNS = ("rollout", "stable", "canary", "traffic", "started_at", "ended_at")

_FEW = 10
"""So many rollouts are replayed sooner than another process has started."""
_CHUNK = 50
"""Rollouts that one process replays at a time, at most."""
_DENSE = 0.2
"""Rollouts that fill this much of the time from the first to the last are read at one go: a table may lack an index."""


@dataclass(frozen=True)
class PastPhase:
    """One stretch of a past rollout; `traffic` is the canary's share, 0 to 1."""

    traffic: float
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True)
class PastRollout:
    """A rollout that was, phases in order of time."""

    name: str
    stable: str
    canary: str
    phases: tuple[PastPhase, ...]

    @property
    def started_at(self) -> datetime:
        """When its first phase began."""
        return self.phases[0].started_at

    @property
    def ended_at(self) -> datetime:
        """When its last phase ended."""
        return self.phases[-1].ended_at

    def as_rollout(self) -> Rollout:
        """As the judge knows running rollouts; between phases that do not touch, nobody is on the canary."""
        weights = []
        for phase, following in itertools.zip_longest(self.phases, self.phases[1:]):
            weights.append(Weight(phase.started_at, phase.traffic))
            if following is not None and following.started_at > phase.ended_at:
                weights.append(Weight(phase.ended_at, 0.0))
        return Rollout(
            id=self.name,
            stable=self.stable,
            canary=self.canary,
            traffic=tuple(phase.traffic for phase in self.phases),
            durations_seconds=tuple((phase.ended_at - phase.started_at).total_seconds() for phase in self.phases),
            state=State.PHASE,
            started_at=self.started_at,
            phase=0,
            phase_started_at=self.started_at,
            weights=tuple(weights),
        )


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


def read_rollouts(path: Path) -> list[PastRollout]:
    """Past rollouts from a CSV file, one row per phase.

    Raises:
        InputError: with one line per fault, `file:line: what was expected, what was found`.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"expected a CSV file with rollouts, found none that can be read: {error}", place=str(path)
        ) from error
    reader = csv.DictReader(text.splitlines())
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise InputError(
            f"expected a header with the columns {','.join(COLUMNS)}, found none of {', '.join(missing)}",
            place=f"{path}:1",
        )
    faults: list[str] = []
    rollouts: dict[str, list[tuple[dict[str, str], PastPhase]]] = {}
    for row in reader:
        try:
            rollouts.setdefault(_text(row, "rollout"), []).append((row, _phase(row)))
        except ValueError as error:
            faults.append(f"{path}:{reader.line_num}: {error}")
    if not rollouts and not faults:
        faults.append(f"{path}: expected at least one row below the header, found none")
    past = [] if faults else [_rollout(path, name, rows, faults) for name, rows in rollouts.items()]
    if faults:
        raise InputError("\n".join(faults))
    return past


def backtest(policy: Policy, rollouts: Sequence[PastRollout]) -> Iterator[Replay]:
    """Replay rollouts in their order, on all processors when there are many.

    Raises:
        InputError: nothing says which version a row counts for.
        SecretError: a secret of the order database cannot be read.
        DatabaseError: one of its kinds.
    """
    if not any(says_version(policy, name) for name in needed_events(policy)):
        raise InputError(
            "no version is known of any row, so that no canary can be told from its stable version",
            place="database.events",
            remedy="map a version column, or give database.assignments and each event's `unit`: docs/your-database.md",
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
    async with order_session(policy, Patience.STUDY) as session:
        history = History(policy, session)
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
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _moment(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _phase(row: dict[str, str]) -> PastPhase:
    started_at, ended_at = _time(row, "started_at"), _time(row, "ended_at")
    if ended_at <= started_at:
        raise ValueError(f"ended_at: expected a time after {row['started_at']}, found {row['ended_at']}")
    try:
        traffic = parse_ratio(_text(row, "traffic"))
    except ValueError as error:
        raise ValueError(f"traffic: {error}") from error
    _text(row, "stable")
    _text(row, "canary")
    return PastPhase(traffic, started_at, ended_at)


def _rollout(path: Path, name: str, rows: list[tuple[dict[str, str], PastPhase]], faults: list[str]) -> PastRollout:
    versions = {(row["stable"].strip(), row["canary"].strip()) for row, _ in rows}
    if len(versions) > 1:
        faults.append(f"{path}: rollout {name}: expected one stable and one canary version, found {sorted(versions)}")
    phases = tuple(sorted((phase for _, phase in rows), key=lambda phase: phase.started_at))
    for phase, following in itertools.pairwise(phases):
        if following.started_at < phase.ended_at:
            faults.append(f"{path}: rollout {name}: expected phases one after the other, found two at once")
    stable, canary = min(versions)
    return PastRollout(name, stable, canary, phases)


def _text(row: dict[str, str], column: str) -> str:
    value = (row.get(column) or "").strip()
    if not value:
        raise ValueError(f"{column}: expected a value, found none")
    return value


def _time(row: dict[str, str], column: str) -> datetime:
    value = _text(row, column)
    try:
        return from_text(value)
    except ValueError as error:
        raise ValueError(
            f"{column}: expected an ISO 8601 time such as 2026-01-31T12:00:00Z, found {value!r}"
        ) from error
