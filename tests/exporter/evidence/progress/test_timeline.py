"""Buckets and segments of a rollout."""

import numpy as np
import pytest

from exporter.evidence.progress.timeline import Timeline

WEIGHTS = [(1000.0, 0.05), (1301.0, 0.25), (1301.0, 0.25), (2000.0, 1.0)]


def test_segments_lie_between_changes_of_the_weight() -> None:
    """A repeated weight opens no segment; the last one is open-ended."""
    timeline = Timeline.of(1000.0, 2.0, WEIGHTS)

    assert [(segment.start, segment.end, segment.weight) for segment in timeline.segments] == [
        (1000.0, 1301.0, 0.05),
        (1301.0, 2000.0, 0.25),
        (2000.0, np.inf, 1.0),
    ]
    assert [segment.comparable for segment in timeline.segments] == [True, True, False]
    assert timeline.judged_until == 2000.0


def test_times_before_the_rollout_belong_to_no_segment() -> None:
    """Units from before the rollout are nobody's comparison."""
    timeline = Timeline.of(1000.0, 2.0, WEIGHTS)

    assert timeline.segment_of(np.asarray([999.9, 1000.0, 1300.9, 1301.0, 5000.0])).tolist() == [-1, 0, 0, 1, 2]


def test_only_whole_buckets_are_complete() -> None:
    """A bucket counts from its end on, and a weight change takes effect at the next whole bucket."""
    timeline = Timeline.of(1000.0, 2.0, WEIGHTS)

    assert timeline.complete(1001.9) == 0
    assert timeline.complete(1002.0) == 1
    assert timeline.changes_within(0, 500) == [151, 500]
    assert timeline.changes_within(151, 400) == []
    assert timeline.bucket(np.asarray([1000.0, 1001.9, 1002.0])).tolist() == [0, 0, 1]
    assert timeline.bucket(np.asarray([np.nan]))[0] > timeline.complete(1e9)
    assert timeline.bucket(np.asarray([-np.inf, 900.0])).tolist() == [0, 0]


def test_a_rollout_without_a_weight_is_refused() -> None:
    """Without the canary's traffic weight nothing can be compared."""
    with pytest.raises(ValueError, match="weights: expected"):
        Timeline.of(1000.0, 2.0, [])


@pytest.mark.parametrize("weights", [(0.25, 0.0), (0.0, 0.25)])
def test_of_weights_at_one_moment_the_last_one_given_is_in_force(weights: tuple[float, float]) -> None:
    """A phase that is over when it begins has nobody in it, whether the weight then falls or rises."""
    timeline = Timeline.of(1000.0, 1.0, [(1010.0, weight) for weight in weights])

    assert timeline.segments[timeline.segment_of(np.asarray([1010.0]))[0]].weight == weights[-1]
    assert timeline.segments[-1].end == np.inf
