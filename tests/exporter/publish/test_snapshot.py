"""A snapshot that knows nothing claims nothing."""

import dataclasses

import pytest

from exporter.judge.blindness import BLIND_REASONS
from exporter.publish.snapshot import Snapshot


def test_before_anything_is_known_nothing_is_claimed() -> None:
    """No zeros: values are absent, the database is neither up nor down, and the reason is that it has just started."""
    snapshot = Snapshot("shop")

    assert snapshot.counters == {}
    assert (snapshot.kpis, snapshot.evidence, snapshot.database_up, snapshot.schema_compatible) == (None,) * 4
    assert (snapshot.refreshed_at, snapshot.data_lag_seconds, snapshot.replica_lag_seconds) == (None,) * 3
    assert snapshot.blind == {"starting"}


def test_its_reasons_are_those_that_are_published() -> None:
    """The reason of a fresh snapshot is one of the label's values, and none is there twice."""
    assert Snapshot("shop").blind <= set(BLIND_REASONS)
    assert len(set(BLIND_REASONS)) == len(BLIND_REASONS)


def test_a_scrape_cannot_change_it() -> None:
    """Scrapes read in another thread than refreshes write: a snapshot is replaced, never changed."""
    snapshot = Snapshot("shop")

    with pytest.raises(dataclasses.FrozenInstanceError):
        snapshot.database_up = True  # type: ignore[misc]  # that is the point
