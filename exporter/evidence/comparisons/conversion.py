"""Units that may convert later: visits to orders, carts to orders. What `cohort_test` waits for is the order."""

from __future__ import annotations

from typing import Self

from exporter.evidence.comparisons.cohort_test import CohortTest, Setting
from exporter.evidence.comparisons.events import Events
from exporter.evidence.comparisons.slower import LagShape
from exporter.evidence.grid import symmetric_grid
from exporter.evidence.progress.restarts import Plan
from exporter.evidence.rows import ConversionRows

GRID = symmetric_grid(((0.5, 0.0125), (1.5, 0.05), (4.0, 0.25)), sd=0.5, harm_sign=-1)
"""Log hazard ratios: fine where harms of interest lie (-0.1 is 10 %), coarse out to a fiftieth of the conversions. Half
a unit of standard deviation says that changes of up to 40 % are not surprising."""


class ConversionTest(CohortTest):
    """The comparison of one conversion KPI."""

    @classmethod
    def new(
        cls,
        alpha: float,
        plan: Plan = Plan(),  # noqa: B008 - immutable
        *,
        lags: LagShape | None = None,
        against_weight: bool = False,
    ) -> Self:
        """A test that has seen nothing; *against_weight* where the units are those who enter the shop."""
        return cls.of(alpha, Setting(GRID, event_is_good=True, plan=plan, lags=lags, against_weight=against_weight))

    def events(self, rows: ConversionRows) -> Events:
        """Orders."""
        return Events(rows.assigned, rows.entered, rows.canary, rows.converted)
