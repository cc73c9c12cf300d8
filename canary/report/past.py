"""The reports that have been written: what each release came to, read back from its JSON file.

The files are people's: they delete and edit them. One that is missing or damaged is left out, and never an error.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import AwareDatetime, TypeAdapter

from canary.report.review.asking import Points
from canary.report.review.money import Band


@dataclass(frozen=True)
class PastKpi:
    """A KPI's last values: the band's ends as curves, as the report has them."""

    verdict: str = ""
    harmed_units_estimated: float | None = None
    relative_change: Points = ()
    relative_change_lower: Points = ()
    relative_change_upper: Points = ()

    @property
    def band(self) -> Band | None:
        """The last change and its band; None where it was never known."""
        ends = self.relative_change, self.relative_change_lower, self.relative_change_upper
        return Band(*(points[-1][1] for points in ends)) if all(ends) else None


@dataclass(frozen=True)
class PastMoney:
    """What it came to in one currency; a positive loss is one."""

    currency: str
    turnover: float
    lost: Band


@dataclass(frozen=True)
class PastReport:
    """What one report says; keys that an older version did not write are empty."""

    service: str
    rollout: str
    stable: str
    canary: str
    state: str
    cause: str = ""
    ended_at: AwareDatetime | None = None
    kpis: Mapping[str, PastKpi] = field(default_factory=dict)
    money: Sequence[PastMoney] = ()

    @property
    def shipped(self) -> bool:
        """Whether all customers have got the version."""
        return self.state in ("promoted", "finishing", "finished")


_READER = TypeAdapter(PastReport)


def read(text: str) -> PastReport | None:
    """A report from its JSON; None where it is none."""
    try:
        return _READER.validate_python(json.loads(text))
    except (ValueError, RecursionError):
        return None


def past_reports(folder: Path, service: str) -> dict[str, PastReport]:
    """By rollout: every report of a service in the folder that can be read, oldest end first."""
    found = []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            report = read(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            continue
        if report is not None and report.service == service and report.ended_at is not None:
            found.append((report.ended_at, report))
    return {report.rollout: report for _, report in sorted(found, key=lambda one: one[0])}
