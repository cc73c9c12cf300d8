"""The reports that have been written: what each release came to, read back from its JSON file.

The files are people's: they delete and edit them. One that is damaged is told by name, and never an error; a point of
a curve that is no number is a point that is not there.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, FiniteFloat, TypeAdapter

from canary import files
from canary.policy import Policy
from canary.report.review.asking import Points
from canary.report.review.money import Band

# A report has some hundred kilobytes; what is larger is none of ours.
_MOST_BYTES = 64 * 1024**2


def _last(points: Any) -> Any:
    """The last point of a curve that is no gap: a value that was not known is null.

    Nobody asks for the others, and those of a few hundred reports are as much memory as all else that a receiver has.
    """
    if not isinstance(points, list):
        return points
    return list(islice((one for one in reversed(points) if not (isinstance(one, list) and None in one)), 1))


_Curve = Annotated[Points, BeforeValidator(_last)]


@dataclass(frozen=True)
class PastKpi:
    """A KPI's last values: of the band's ends as curves the last point that is known."""

    verdict: str = ""
    harmed_units_estimated: FiniteFloat | None = None
    relative_change: _Curve = ()
    relative_change_lower: _Curve = ()
    relative_change_upper: _Curve = ()

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
        return _READER.validate_python(json.loads(text, parse_constant=_number, parse_float=_number))
    except (ValueError, RecursionError):
        return None


def _number(text: str) -> float | None:
    """What is no number, or one without bound, is not known; so it is in every place where a report has numbers."""
    value = float(text)
    return value if math.isfinite(value) else None


@dataclass(frozen=True)
class Past:
    """What a folder of reports holds.

    Attributes:
        reports: by rollout, oldest end first.
        damaged: names of files that are no report, or only a part of one.
    """

    reports: Mapping[str, PastReport]
    damaged: Sequence[str] = ()


def folder_of(policy: Policy) -> Path:
    """Where a policy keeps its reports."""
    return Path(policy.base) / policy.state.reports


def past_reports(folder: Path, service: str) -> Past:
    """Every report of a service in the folder; those of other services are passed over."""
    found, damaged = [], []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            report = read(files.read_own(path, _MOST_BYTES).decode())
        except (OSError, UnicodeDecodeError):
            report = None
        if report is None:
            damaged.append(path.name)
        elif report.service == service and report.ended_at is not None:
            found.append((report.ended_at, report))
    return Past({report.rollout: report for _, report in sorted(found, key=lambda one: one[0])}, damaged)
