"""Which part of each event's rows no version is known of.

Such rows are in no verdict and in no version's KPI, so a shop that stops writing versions would look as if its canary
had no customers. The part is therefore published, by event, and alerted on.
"""

from collections.abc import Sequence

from exporter.ledger.feed import Feed

_LOOK_SECONDS = 15
"""How often the rows are counted: all buckets of the window are looked through."""


class UnknownVersions:
    """Counts, now and then, the rows without a version.

    Args:
        feeds: all streams; those that are not counted are left out.
        window_seconds: how far back rows are looked at.

    Attributes:
        ratios: the part of each event's rows, 0 to 1; without the events that have no rows.
    """

    def __init__(self, feeds: Sequence[Feed], window_seconds: float) -> None:
        self.ratios: dict[str, float] = {}
        self._feeds = feeds
        self._window_seconds = window_seconds
        self._looked_at = float("-inf")

    def look(self, now: float) -> None:
        """Count anew, unless that was done a moment ago."""
        if now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = now
        found: dict[str, tuple[int, int]] = {}
        for feed in self._feeds:
            if feed.stream.counted:
                unknown, rows = found.get(feed.stream.event, (0, 0))
                more = feed.ledger.unknown_since(feed.bucket(now - self._window_seconds))
                found[feed.stream.event] = (unknown + more[0], rows + more[1])
        self.ratios = {event: unknown / rows for event, (unknown, rows) in found.items() if rows}
