"""Stable held against the shop as it was before the rollout."""

import numpy as np
import pytest

from exporter.evidence.comparisons.events import Events
from exporter.evidence.comparisons.level import CONVERTS_SECONDS, LevelTest
from exporter.evidence.progress.timeline import Timeline
from tests.exporter.evidence.simulation import END, START, WEIGHTS

TIMELINE = Timeline.of(START, 1.0, WEIGHTS)
ALL = TIMELINE.complete(END)


def stable(seed: int, rate: float, *, from_time: float = START, then: float | None = None) -> Events:
    """Units of stable, 60 a minute, to a share *rate* of whom something happens after a minute; later another share."""
    rng = np.random.default_rng(seed)
    entered = np.sort(rng.uniform(START, END, int(END - START)))
    share = np.where(entered >= from_time, rate if then is None else then, rate)
    happened = np.where(rng.random(len(entered)) < share, entered + rng.exponential(60.0, len(entered)), np.nan)
    return Events(entered, entered, np.zeros(len(entered), dtype=np.bool_), happened)


def log10_evidence(test: LevelTest, rows: Events, until: int = ALL) -> float:
    """What is known at the end."""
    return float(test.advance(rows, TIMELINE, until)[1].log10_evidence[-1])


def test_stable_at_the_limit_is_rarely_held() -> None:
    """Of rollouts in which stable is just as good as it must be, at most alpha are held, at any of forty looks."""
    held = 0
    for seed in range(100):
        rows = stable(seed, 0.07)
        held += max(log10_evidence(LevelTest(0.93), rows, until) for until in range(60, ALL, 60)) >= 1.0

    # alpha is 10 %, so that 10 are allowed; three standard deviations above it are 19.
    assert held <= 19


def test_a_harm_that_begins_with_a_larger_share_is_found() -> None:
    """Payments that fail from the third phase on are found, although the phases before were healthy."""
    third = WEIGHTS[2][0]
    rows = stable(1, 0.03, from_time=third, then=0.25)

    test, path = LevelTest(0.93).advance(rows, TIMELINE, TIMELINE.complete(third + 300.0))

    assert path.log10_evidence[-1] > 2.0
    assert 0.65 < path.estimate[-1] < 0.85
    assert test.units[0] == 0


def test_conversions_count_within_their_time() -> None:
    """A shop that converts as before is no harm, one that converts half as often is."""
    fine, half = (stable(2, rate) for rate in (0.4, 0.2))

    assert log10_evidence(LevelTest(0.33, CONVERTS_SECONDS), fine) < 0.0
    assert log10_evidence(LevelTest(0.33, CONVERTS_SECONDS), half) > 2.0


def test_whoever_may_have_been_moved_to_the_canary_does_not_count() -> None:
    """Customers of an earlier phase are on the canary by now in part: what happens to them is not stable's."""
    rows = stable(3, 0.5)
    late = rows.entered >= WEIGHTS[1][0]
    began = np.full(late.sum(), START)
    later = Events(began, rows.entered[late], rows.canary[late], rows.happened[late])

    test, path = LevelTest(0.93).advance(later, TIMELINE, ALL)

    assert test.units == (0, 0)
    assert path.log10_evidence[-1] == pytest.approx(0.0, abs=1e-9)


def test_the_rhythm_of_looks_changes_nothing() -> None:
    """Looked at every second minute or once, stable is as much worse."""
    rows = stable(4, 0.12)
    often = LevelTest(0.93)
    for until in range(120, ALL, 120):
        often, _ = often.advance(rows, TIMELINE, until)

    assert log10_evidence(often, rows) == log10_evidence(LevelTest(0.93), rows)
