"""What is shown is a change of the rate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.evidence.comparisons.conversion import ConversionTest
from exporter.evidence.comparisons.stable_rate import Hazards
from exporter.evidence.progress.timeline import Timeline
from exporter.evidence.rows import ConversionRows
from tests.exporter.evidence.simulation import END, START, WEIGHTS, rollout

TIMELINE = Timeline.of(START, 2.0, WEIGHTS)


@given(st.lists(st.floats(0.0, 0.9), min_size=1, max_size=8), st.floats(-4.0, 4.0))
def test_a_change_of_a_rate_is_one_that_can_be(hazards: list[float], log_ratio: float) -> None:
    """No rate falls by more than all of it or rises above one, and no ratio but one changes it."""
    stable = Hazards(np.asarray([hazards]))
    rate = 1.0 - np.prod(1.0 - np.asarray(hazards))

    converted = float(stable.conversion_change(np.asarray([log_ratio]))[0])
    spared = float(stable.survival_change(np.asarray([log_ratio]))[0])

    assert converted >= -1.0
    assert rate == 0.0 or rate * (1.0 + converted) <= 1.0 + 1e-6
    assert (1.0 - rate) * (1.0 + spared) <= 1.0 + 1e-6
    assert float(stable.conversion_change(np.asarray([0.0]))[0]) == pytest.approx(0.0)


@pytest.mark.parametrize(("conversion", "harm", "lag"), [(0.9, 0.05, 0.001), (0.2, 0.1, 60.0), (0.03, 0.2, 60.0)])
def test_the_change_shown_is_that_of_the_rate_however_frequent(conversion: float, harm: float, lag: float) -> None:
    """Nine of ten or three of a hundred: a loss of so much is shown as so much, not as that of a hazard."""
    rows = rollout(np.random.default_rng(5), 6000.0, conversion=conversion, harm=harm, lag_seconds=lag)
    visits = rows.kpis["conversion_rate"]

    assert isinstance(visits, ConversionRows)
    _, path = ConversionTest.new(0.01).advance(visits, TIMELINE, TIMELINE.complete(END))

    assert path.estimate[-1] == pytest.approx(-harm, abs=0.2 * harm + 0.005)
    assert path.lower[-1] < -harm < path.upper[-1]
    assert path.upper[-1] < 1.0 / conversion - 1.0
