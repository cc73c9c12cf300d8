"""Units that succeed or fail (payments). The event that `cohort_test` waits for is the failure.

Whoever has not failed is at risk of it, settled or not. So successes that are known later are no failures, units that
are slow hold nobody up, and cohorts follow the order of attempts, never that of their resolution: right after the
canary's traffic weight grows its units are young, and what is known early (a refusal) would be over-represented.

That is fair where harm is to be proven. Health is another matter: of payments that hang nobody has failed yet, and a
canary that only times out would look well until then. So the bounds by which it may pass reckon that those fail of
which the outcome is open on the canary where stable's of the same cohorts is known, but for the youngest.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import numpy as np

from exporter.evidence.comparisons.cohort_test import CohortTest, Setting
from exporter.evidence.comparisons.events import Events
from exporter.evidence.grid import symmetric_grid
from exporter.evidence.progress.restarts import Plan
from exporter.evidence.rows import ConversionRows, OutcomeRows, Rows, some_rows

# Harm worth catching multiplies the odds of failure by 3 to 20: 97 % that becomes 91 % to 60 %.
GRID = symmetric_grid(((1.0, 0.05), (3.0, 0.1), (6.0, 0.25)), sd=2.0, harm_sign=+1, harm_mode=1.8, harm_sd=0.75)


def with_timeout(rows: OutcomeRows, timeout_seconds: float | None, *, may_wait: bool = False) -> OutcomeRows:
    """Units that stay pending longer than the timeout failed at that moment, whatever came later.

    Args:
        may_wait: some units are fine for as long as they are pending, and nothing in a final outcome tells that it was
            one of them: what came later counts, and only what has not come has failed.
    """
    if timeout_seconds is None:
        return rows
    deadline = rows.entered + timeout_seconds
    late = np.isnan(rows.resolved) if may_wait else ~(rows.resolved <= deadline)
    return replace(rows, resolved=np.where(late, deadline, rows.resolved), failed=rows.failed | late)


def outcomes_of(rows: Rows | None, timeout_seconds: float | None, *, may_wait: bool = False) -> OutcomeRows | None:
    """What a floor is judged on: a conversion is a success, a unit that did not convert in time a failure."""
    if isinstance(rows, OutcomeRows):
        known = with_timeout(rows, timeout_seconds, may_wait=may_wait)
        return some_rows(known, ~np.isposinf(known.resolved))  # no floor counts what is neither good nor bad
    if not isinstance(rows, ConversionRows):
        return None
    unknown = np.zeros(len(rows.entered), dtype=np.bool_)
    return with_timeout(OutcomeRows(rows.assigned, rows.entered, rows.canary, rows.converted, unknown), timeout_seconds)


class OutcomeTest(CohortTest):
    """The comparison of one success KPI."""

    @classmethod
    def new(cls, alpha: float, plan: Plan = Plan()) -> Self:  # noqa: B008 - immutable
        """A test that has seen nothing."""
        return cls.of(alpha, Setting(GRID, event_is_good=False, plan=plan))

    def events(self, rows: OutcomeRows) -> Events:
        """Failures."""
        return Events(
            rows.assigned, rows.entered, rows.canary, np.where(rows.failed, rows.resolved, np.nan), rows.resolved
        )
