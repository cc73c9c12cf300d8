"""What the judge reads: the units of one rollout, as plain immutable arrays of equal length.

Times are seconds since the epoch (UTC). `assigned` is when the router put the unit's visitor on a
side; for a visit that is its own time, for everything after it (cart, order, payment) the time of
the visit it descends from. `canary` is the side of that visit, True for the canary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

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
    """When the outcome was known; nan while pending. A shop without that time gives `entered`."""
    failed: Bools


@dataclass(frozen=True, slots=True, eq=False)
class MeanRows(_Rows):
    """Values whose mean is compared: order values, checkout seconds, satisfaction scores."""

    assigned: Floats
    observed: Floats
    canary: Bools
    value: Floats


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
