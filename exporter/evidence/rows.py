"""What the judge reads: the units of one rollout, as plain immutable arrays of equal length.

A unit is a customer. Times are seconds since the epoch (UTC). `assigned` is when the router put the unit
on a side: its first entry since the start, for visits, carts, orders and payments alike. `canary` is
the side of that entry, True for the canary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np

from exporter.evidence.grid import Bools, Floats


class _Rows:
    def __post_init__(self) -> None:
        lengths = {field.name: len(getattr(self, field.name)) for field in fields(self)}  # type: ignore[arg-type]  # every subclass is a dataclass
        if len(set(lengths.values())) != 1:
            raise ValueError(f"{type(self).__name__}: arrays of one length expected, found {lengths}")


@dataclass(frozen=True, slots=True, eq=False)
class ConversionRows(_Rows):
    """Units that may convert later: visits to orders, carts to orders, checkouts to orders."""

    assigned: Floats
    entered: Floats
    canary: Bools
    converted: Floats
    """Time of the unit's first conversion; nan while there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeRows(_Rows):
    """Units that succeed or fail: payments."""

    assigned: Floats
    entered: Floats
    canary: Bools
    resolved: Floats
    """When the outcome was known; nan while pending, infinite while that is fine however long it lasts. A shop without
    that time gives `entered`."""
    failed: Bools


@dataclass(frozen=True, slots=True, eq=False)
class MeanRows(_Rows):
    """Values whose mean is compared: order values, checkout seconds, satisfaction scores.

    A unit with several values has a row for each, with its mean so far.
    """

    assigned: Floats
    observed: Floats
    canary: Bools
    value: Floats
    """The unit's mean from this moment on."""
    entered: Floats
    """When the unit had its first value."""
    previous: Floats
    """The unit's mean until this moment; nan for the first."""

    @classmethod
    def single(cls, assigned: Floats, observed: Floats, canary: Bools, value: Floats) -> MeanRows:
        """Units with one value each."""
        return cls(assigned, observed, canary, value, observed, np.full(len(value), np.nan))


@dataclass(frozen=True, slots=True, eq=False)
class EntryRows(_Rows):
    """Units entering the shop (visits), for the sample-ratio check."""

    entered: Floats
    canary: Bools


Rows = ConversionRows | OutcomeRows | MeanRows


@dataclass(frozen=True, slots=True, eq=False)
class RolloutRows:
    """The rows of one rollout; a KPI whose source is missing is left out. Units from before the rollout are ignored."""

    kpis: Mapping[str, Rows]
    entries: EntryRows | None = None


_Some = TypeVar("_Some", OutcomeRows, Rows)


def some_rows(rows: _Some, chosen: Bools) -> _Some:
    """Some of a KPI's rows."""
    return replace(rows, **{field.name: getattr(rows, field.name)[chosen] for field in fields(rows)})


def segment_rows(kpi: str, number: int) -> str:
    """The name in `RolloutRows.kpis` under which the rows of one of a KPI's segments stand."""
    return f"{kpi}#{number}"
