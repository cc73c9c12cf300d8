"""How many customers are judged one by one: all of them, or in a large shop a sample of which the size does not grow.

Counting costs the database the same in any shop, and the exporter nothing: buckets of numbers come back. Single rows
cost both in proportion. So above so many rows a minute the database gives the rows of some customers only, chosen by a
hash of the customer that has nothing to do with the router's: whoever is in the sample is so in every event, on either
side, and a comparison of the two sides stays the same comparison with fewer customers.

One ratio holds for all events, halved until the largest of them brings no more than is wanted. It is decided by counts
of both sides together, and **only ever lowered**: customers who came into the sample later would be ones of whom half
is known. What was read for a rollout that is being judged stays; when none is, everything is read anew, so that all
rows in memory are of one sample.
"""

from collections import Counter
from collections.abc import Sequence

from canary.logs import Log
from canary.units import format_ratio
from exporter.ledger.feed import Feed
from exporter.source.streams import FINE_SECONDS

_LOOK_SECONDS = 15
"""How often the counts are looked at: all fine buckets are gone through."""
_STRETCH_SECONDS = 300
"""The rate is that of the busiest five minutes: a burst of one minute is worth no smaller sample."""
_SMALLEST_RATIO = 1.0 / 1024
"""Four values of the hash; a shop of twenty million rows a minute has other troubles."""


class Sampling:
    """Lowers the part of the customers whose single rows are held.

    Args:
        feeds: all streams.
        above: rows a minute of one event that all may be held of.

    Attributes:
        ratio: the part of the customers, 1 for all.
    """

    def __init__(self, feeds: Sequence[Feed], above: int, log: Log) -> None:
        self.ratio = 1.0
        self._feeds = feeds
        self._above = above
        self._log = log
        self._looked_at = float("-inf")

    def look(self, now: float, *, judged: bool) -> None:
        """See how many rows come.

        Args:
            now: seconds since the epoch.
            judged: whether a rollout or an experiment has been judged by the rows that are held.
        """
        if now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = now
        ratio, busiest = self.ratio, self._busiest()
        while busiest * ratio > self._above and ratio > _SMALLEST_RATIO:
            ratio /= 2
        if ratio < self.ratio:
            self.ratio = ratio
            self._log.info(
                "customers are judged by a sample; counters count all",
                sample=format_ratio(ratio),
                rows_a_minute=busiest,
            )
            for feed in self._feeds:
                feed.sample(ratio, anew=not judged)

    def _busiest(self) -> int:
        """The rows a minute of the event with the most, in its busiest stretch."""
        events: dict[str, Counter[int]] = {}
        for feed in self._feeds:
            if feed.rows_wanted:
                stretches = events.setdefault(feed.stream.event, Counter())
                for number, counts in feed.ledger.fine.items():
                    stretches[number * FINE_SECONDS // _STRETCH_SECONDS] += sum(tally.rows for tally in counts.values())
        most = max((rows for stretches in events.values() for rows in stretches.values()), default=0)
        return most * 60 // _STRETCH_SECONDS
