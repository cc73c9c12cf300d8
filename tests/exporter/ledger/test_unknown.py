"""The part of each event's rows that no version is known of."""

from types import SimpleNamespace
from typing import cast

from exporter.ledger.feed import Feed
from exporter.ledger.unknown import UnknownVersions


class Counted:
    """A feed whose ledger has counted so many rows."""

    def __init__(self, event: str, unknown: int, rows: int, *, counted: bool = True) -> None:
        self.stream = SimpleNamespace(event=event, counted=counted)
        self.ledger = self
        self.found = (unknown, rows)
        self.since: float | None = None

    def bucket(self, moment: float) -> int:
        """Buckets of a second."""
        return int(moment)

    def unknown_since(self, low: int) -> tuple[int, int]:
        """Rows without a version, and all."""
        self.since = low
        return self.found


def looked(*feeds: Counted, window_seconds: float = 60) -> UnknownVersions:
    """A look at these feeds at 1000 s."""
    unknown = UnknownVersions(cast("list[Feed]", feeds), window_seconds)
    unknown.look(1000.0)
    return unknown


def test_an_events_streams_are_taken_together() -> None:
    """What is not counted, such as pending payments, is left out; an event without rows has no part."""
    pending, none = Counted("payments", 9, 9, counted=False), Counted("x", 0, 0)
    found = looked(Counted("payments", 1, 5), Counted("payments", 2, 5), pending, none)

    assert found.ratios == {"payments": 0.3}


def test_only_the_window_is_looked_at() -> None:
    """Rows of long ago say nothing about a shop that has stopped writing versions."""
    feed = Counted("visits", 0, 1)
    looked(feed, window_seconds=60)

    assert feed.since == 940


def test_buckets_are_looked_through_now_and_then() -> None:
    """Not at every refresh."""
    feed = Counted("visits", 0, 4)
    unknown = looked(feed)
    feed.found = (4, 4)
    unknown.look(1001.0)
    assert unknown.ratios == {"visits": 0.0}

    unknown.look(1015.0)

    assert unknown.ratios == {"visits": 1.0}
