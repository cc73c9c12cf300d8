"""The table of cases: for every alert rule a row that says what makes it fire, and what close by does not.

What comes in is a policy, whose limits the rows are about; out come rows, from which `files.py` makes promtool's tests.
"""

from collections.abc import Iterator

from canary.policy import Policy
from rules.promtool.row import Row
from rules.promtool.table import (
    against_stable,
    business,
    drift,
    experiments,
    finishing,
    guard,
    health,
    phases,
    ranges,
    technical,
)


def rows(policy: Policy) -> Iterator[Row]:
    """The whole table, but for what promtool cannot be given: its notation has no native histograms."""
    signals = policy.signals
    native = signals.preset == "application" and signals.histograms == "native"
    for part in (technical, against_stable, business, guard, ranges, experiments, health, finishing, drift, phases):
        yield from (row for row in part.rows(policy) if not (native and row.histogram))
