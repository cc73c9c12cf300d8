"""The sample-ratio check."""

import numpy as np
import pytest

from exporter.evidence.comparisons.mismatch import MismatchTest
from exporter.evidence.progress.timeline import Timeline
from exporter.evidence.rows import EntryRows
from tests.exporter.evidence.simulation import END, START, WEIGHTS, weight_at

TIMELINE = Timeline.of(START, 2.0, WEIGHTS)
ALL = TIMELINE.complete(END)


def visits(seed: int, count: int, factor: float = 1.0) -> EntryRows:
    """Visits of which the canary gets `factor` times its share."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(START, END, count))
    return EntryRows(times, rng.random(count) < weight_at(times) * factor)


def test_an_honest_router_is_rarely_accused() -> None:
    """At most alpha of rollouts whose router keeps its word are called mismatched."""
    accused = 0
    for seed in range(200):
        _, path = MismatchTest(0.05).advance(visits(seed, 1000), TIMELINE, ALL)
        accused += bool((path.log10_evidence >= -np.log10(0.05)).any())

    assert accused <= 19


def test_a_shift_that_is_let_pass_is_let_pass() -> None:
    """A tenth too few canary visits is not a mismatch of more than a fifth, however many there are."""
    _, path = MismatchTest(0.01).advance(visits(1, 200_000, factor=0.9), TIMELINE, ALL)

    assert path.log10_evidence.max() < 2
    assert path.estimate[-1] == pytest.approx(-0.1, abs=0.03)


@pytest.mark.parametrize("factor", [0.5, 1.5])
def test_a_large_shift_is_proven_in_either_direction(factor: float) -> None:
    """Half as many or half as many again canary visits are proven, with bounds around the truth."""
    _, path = MismatchTest(0.01).advance(visits(2, 20_000, factor), TIMELINE, ALL)

    assert path.log10_evidence[-1] > 2
    assert path.lower[-1] <= factor - 1 <= path.upper[-1]


def test_entries_around_a_weight_change_do_not_count() -> None:
    """Visits in the first seconds after a change are left out, since routers switch at different moments."""
    times = START + np.linspace(300.0, 309.9, 500)
    misrouted = EntryRows(times, np.zeros(500, dtype=np.bool_))

    test, _ = MismatchTest(0.01).advance(misrouted, TIMELINE, ALL)

    assert test.units == (0, 0)
