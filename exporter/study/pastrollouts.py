"""Past rollouts, as a person writes them into a CSV file: one row per phase.

Such a file is put together by hand from notes and memory, so everything in it is checked, and all faults are told at
once, each with its line.
"""

from __future__ import annotations

import csv
import itertools
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from canary.errors import InputError
from canary.rollout.state import Rollout, State, Weight
from canary.timing.times import from_text
from canary.units import parse_ratio

COLUMNS = ("rollout", "stable", "canary", "traffic", "started_at", "ended_at")


@dataclass(frozen=True)
class PastPhase:
    """One stretch of a past rollout; `traffic` is the canary's traffic weight, 0 to 1."""

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
