"""What the last releases add up to: ten that each cost 3 % pass one by one, and together cost 26 %.

Each release is compared with the version before it, so changes multiply. The product of the bands' lower ends and that
of their upper ends enclose the whole change whenever every one of the bands holds; that is wider than need be, and
assumes nothing of how the releases' errors go together. Only versions that all customers have got count: what was
rolled back is not in the shop.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Final

from canary.report.past import PastReport
from canary.report.review.money import Band
from canary.units import format_change

RELEASES: Final = 10
"""A few months of a shop that releases weekly or fortnightly; with more the bands' product says nothing any more."""


@dataclass(frozen=True)
class Drift:
    """What a KPI's changes add up to over the releases whose band is known."""

    kpi: str
    releases: int
    change: Band

    def __str__(self) -> str:
        band = self.change
        return (
            f"{self.kpi.replace('_', ' ')} {format_change(band.expected)} "
            f"({format_change(band.lower)} to {format_change(band.upper)}, releases with a band: {self.releases})"
        )


def drifts(reports: Iterable[PastReport]) -> list[Drift]:
    """By KPI, for the last `RELEASES` of *reports* (oldest first) that all customers have got."""
    shipped = [report for report in reports if report.shipped][-RELEASES:]
    bands: dict[str, list[Band]] = {}
    for report in shipped:
        for name, kpi in report.kpis.items():
            if kpi.band is not None:
                bands.setdefault(name, []).append(kpi.band)
    return [Drift(name, len(found), _together(found)) for name, found in sorted(bands.items())]


def _together(bands: list[Band]) -> Band:
    # A rate cannot fall by more than all of it: a band's end below -100 % would turn the product's sign.
    expected, lower, upper = (
        prod(max(0.0, 1 + end) for end in ends) - 1
        for ends in zip(*((band.expected, band.lower, band.upper) for band in bands), strict=True)
    )
    return Band(expected, lower, upper)
