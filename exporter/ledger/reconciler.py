"""Compares the ledger with the database, little by little, so that no refresh becomes slow because of it.

What a refresh reads again ends at `database.lateness`. A row that appears or is deleted later (an import, a correction
by hand, a replica that was rebuilt) would be missed for ever; here it is found, put right and counted, so that somebody
sees that the lateness is set too short.

Each round looks at the last day; every round takes another part of the older days, so that all of them are looked at
within a day's rounds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from canary.timing.clock import Clock
from exporter.ledger.feed import Feed

_DAY_HOURS = 24
"""The last day is compared in every round; of what is older, every 24th hour, another one each round."""
_ROWS_AT_ONCE = 50_000
"""Rows that one comparison may count: few enough that the refresh it is part of stays short."""


@dataclass
class LedgerReconciler:
    """Works through rounds of comparisons, spread evenly over the period.

    Attributes:
        period_seconds: how long one round takes.
        repaired: rows that differed and were put right, by event.
    """

    feeds: Sequence[Feed]
    period_seconds: float
    clock: Clock
    mended: dict[str, int] = field(default_factory=dict)
    _waiting: list[tuple[Feed, int, int]] = field(default_factory=list)
    _round: int = 0
    _began: float | None = None
    _tasks: int = 0

    async def work(self, now: float) -> dict[str, int]:
        """Do the comparisons that are due; rows that differed, by event.

        Raises:
            DatabaseError: a comparison failed; it is left out in this round.
        """
        if self._began is None:
            self._began = now
        if now - self._began >= self.period_seconds and not self._waiting:
            self._waiting = list(self._plan(now))
            self._tasks = len(self._waiting)
            self._began = now
            self._round += 1
        due = self._tasks * min(1.0, (now - self._began) / self.period_seconds) if self.period_seconds else self._tasks
        found: dict[str, int] = {}
        while self._waiting and self._tasks - len(self._waiting) < due:
            feed, low, high = self._waiting.pop(0)
            rows = await feed.reconcile(low, high, now)
            if rows:
                event = feed.stream.event
                found[event] = found.get(event, 0) + rows
                self.mended[event] = self.mended.get(event, 0) + rows
        return found

    def _plan(self, now: float) -> Iterator[tuple[Feed, int, int]]:
        """Feeds and spans of hours, newest first."""
        for feed in self.feeds:
            if not feed.filled or not feed.stream.counted:
                continue
            hours = feed.reconcilable_hours(now)
            wanted = [
                hour
                for hour in reversed(hours)
                if hour >= hours.stop - _DAY_HOURS or hour % _DAY_HOURS == self._round % _DAY_HOURS
            ]
            yield from ((feed, low, high) for low, high in _spans(feed, wanted))


def _spans(feed: Feed, hours: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Neighbouring hours together, as long as they hold few rows and are kept in one form."""
    span: tuple[int, int] | None = None
    rows = 0
    for hour in hours:
        more = feed.ledger.rows_of(hour)
        joins = span is not None and hour == span[0] - 1 and rows + more <= _ROWS_AT_ONCE
        if span is not None and joins and feed.fine_hour(hour) == feed.fine_hour(span[0]):
            span, rows = (hour, span[1]), rows + more
            continue
        if span is not None:
            yield span
        span, rows = (hour, hour + 1), more
    if span is not None:
        yield span
