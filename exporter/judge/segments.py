"""The values of a column by which a KPI is looked at (`by`): payment providers, devices, countries.

Which values have a name is fixed before the start, by the rows before it; all others count together as `other`. So what
the canary brings along can neither choose where one looks nor how often alpha is shared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from canary.policy.kpis import Conversion, Success
from exporter.judge.joins import JoinedRows
from exporter.ledger.rows import Codes, Ints

OTHER = "other"
"""The segment of all values that were not frequent before the start."""


@dataclass(frozen=True, slots=True)
class Segments:
    """A KPI's segments.

    Attributes:
        codes: of the values that have a name, most frequent first.
        names: theirs, and `other`.
    """

    codes: tuple[int, ...]
    names: tuple[str, ...]

    @classmethod
    def before(
        cls, kpi: Conversion | Success, joined: JoinedRows, versions: Codes, window: tuple[float, float]
    ) -> Segments:
        """The most frequent values of the KPI's column within the window before the start."""
        codes = [code for code in _frequent(kpi, joined, window) if versions.texts[code] != OTHER]
        return cls(tuple(codes), (*(versions.texts[code] for code in codes), OTHER))

    def numbers(self, codes: Ints) -> Ints:
        """The number of the segment that each row is in."""
        found = np.full(len(codes), len(self.codes))
        for number, code in enumerate(self.codes):
            found[codes == code] = number
        return found

    def numbers_among(self, names: tuple[str, ...], codes: Ints) -> Ints:
        """The same by the numbers of some *names*, of which `other` is the last."""
        known = {name: number for number, name in enumerate(names)}
        numbers = np.asarray([known.get(name, len(names) - 1) for name in self.names])
        return numbers[self.numbers(codes)]


def _frequent(kpi: Conversion | Success, joined: JoinedRows, window: tuple[float, float]) -> list[int]:
    low, start = window
    event = kpi.from_ if isinstance(kpi, Conversion) else kpi.of
    if event not in joined.rows:
        return []
    table = joined.rows[event]
    counts = np.bincount(table.segment[(table.entered >= low) & (table.entered < start)])
    most = np.argsort(-counts, kind="stable")[: kpi.segments]
    return [int(code) for code in most if counts[code] > 0]
