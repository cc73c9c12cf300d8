"""Which part of each event's rows no version is known of.

Such rows are in no verdict and in no version's KPI, so a shop that stops writing versions would look as if its canary
had no customers. The part is therefore published, by event, and alerted on.

While a rollout runs, what counts is its own rows that are older than `database.lateness`: what the shop wrote before it
knew of versions says nothing of them, and the assignments of younger ones may still come.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from exporter.ledger.feed import Feed

_LOOK_SECONDS = 15
"""How often the rows are counted: all buckets of the window are looked through."""


class UnknownShare(NamedTuple):
    """The part of an event's rows that no version is known of, 0 to 1, and how many rows that is a part of."""

    ratio: float
    rows: int


class UnknownVersions:
    """Counts, now and then, the rows without a version.

    Args:
        feeds: all streams; those that are not counted are left out.
        window_seconds: how far back rows are looked at.
        lateness_seconds: how long after a row its version may become known.

    Attributes:
        shares: by event; without the events that have no rows.
    """

    def __init__(self, feeds: Sequence[Feed], window_seconds: float, lateness_seconds: float) -> None:
        self.shares: dict[str, UnknownShare] = {}
        self._feeds = feeds
        self._window_seconds = window_seconds
        self._lateness_seconds = lateness_seconds
        self._looked_at = float("-inf")

    def look(self, now: float, rollout_since: float | None = None) -> None:
        """Count anew, unless that was done a moment ago.

        Args:
            now: seconds since the epoch.
            rollout_since: when the running rollout began; None when none runs.
        """
        if now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = now
        low, high = now - self._window_seconds, math.inf
        if rollout_since is not None:
            low, high = max(low, rollout_since), now - self._lateness_seconds
        found: dict[str, tuple[int, int]] = {}
        for feed in self._feeds:
            if feed.stream.counted:
                unknown, rows = found.get(feed.stream.event, (0, 0))
                more = feed.ledger.unknown_within(feed.bucket(low), feed.bucket(high) if high < math.inf else high)
                found[feed.stream.event] = (unknown + more[0], rows + more[1])
        self.shares = {event: UnknownShare(unknown / rows, rows) for event, (unknown, rows) in found.items() if rows}
