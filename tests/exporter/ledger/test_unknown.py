"""The part of each event's rows that no version is known of."""

import math
from types import SimpleNamespace
from typing import cast

import pytest

from exporter.ledger.feed import Feed
from exporter.ledger.unknown import UnknownVersions


class Counted:
    """A feed whose ledger has counted so many rows."""

    def __init__(self, event: str, unknown: int, rows: int, *, counted: bool = True) -> None:
        self.stream = SimpleNamespace(event=event, counted=counted)
        self.ledger = self
        self.found = (unknown, rows)
        self.within: tuple[float, float] | None = None

    def bucket(self, moment: float) -> int:
        """Buckets of a second."""
        return int(moment)

    def unknown_within(self, low: int, high: float) -> tuple[int, int]:
        """Rows without a version, and all."""
        self.within = low, high
        return self.found


def looked(*feeds: Counted, rollout_since: float | None = None) -> UnknownVersions:
    """A look at these feeds at 1000 s, with a window of 60 s and a lateness of 5 s."""
    unknown = UnknownVersions(cast("list[Feed]", feeds), 60, 5)
    unknown.look(1000.0, rollout_since)
    return unknown


def test_an_events_streams_are_taken_together() -> None:
    """What is not counted, such as pending payments, is left out; an event without rows has no part."""
    pending, none = Counted("payments", 9, 9, counted=False), Counted("x", 0, 0)
    found = looked(Counted("payments", 1, 5), Counted("payments", 2, 5), pending, none)

    assert found.shares == {"payments": (0.3, 10)}


def test_only_the_window_is_looked_at() -> None:
    """Rows of long ago say nothing about a shop that has stopped writing versions."""
    feed = Counted("visits", 0, 1)
    looked(feed)

    assert feed.within == (940, math.inf)


@pytest.mark.parametrize(("began", "low"), [(100.0, 940), (970.0, 970)])
def test_while_a_rollout_runs_its_own_rows_count(began: float, low: int) -> None:
    """Neither those from before it, nor those that are so young that their assignments may still come."""
    feed = Counted("visits", 0, 1)
    looked(feed, rollout_since=began)

    assert feed.within == (low, 995)


def test_buckets_are_looked_through_now_and_then() -> None:
    """Not at every refresh."""
    feed = Counted("visits", 0, 4)
    unknown = looked(feed)
    feed.found = (4, 4)
    unknown.look(1001.0)
    assert unknown.shares["visits"].ratio == 0.0

    unknown.look(1015.0)

    assert unknown.shares["visits"].ratio == 1.0
