"""The published counters: they start at 0, follow the ledgers' totals upwards, and never fall.

Prometheus reads a small fall as a reset and a huge rate. So when rows vanish (deleted, cancelled, corrected), a counter
stands still until the ledger has caught up with it; each such wait is counted. KPIs and evidence are computed from the
rows themselves and do not wait.

Labels are bounded: versions that have not been seen for long, and currencies beyond the policy's number, are `other`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from canary import names
from canary.policy.database.section import Event
from canary.rollout.state import Rollout
from exporter.ledger.feed import Feed
from exporter.ledger.ledger import MILLION, NOTHING, Key, Tally
from exporter.source.statements import OUTCOMES

MAX_VERSIONS = 10
"""Versions with series of their own, besides those of the running rollout; older ones are counted as `other`."""


class Series(NamedTuple):
    """One counter's labels; an empty text stands for a label that the metric does not have."""

    metric: str
    version: str
    label: str


@dataclass
class Counters:
    """All counters of the exporter.

    Attributes:
        values: what is published, in whole rows or in millionths of value.
        corrections: how often rows vanished from under a counter, by event.
    """

    max_currencies: int
    values: dict[Series, int] = field(default_factory=dict)
    corrections: dict[str, int] = field(default_factory=dict)
    _waiting: dict[Series, int] = field(default_factory=dict)
    _currencies: dict[str, set[str]] = field(default_factory=dict)

    def follow_ledgers(
        self, feeds: Sequence[Feed], events: Mapping[str, Event], rollout: Rollout | None
    ) -> Collection[str]:
        """Take over the ledgers' totals; an event is published once its past is counted.

        Returns:
            The versions that have series of their own.
        """
        kept = kept_versions(feeds, rollout, {series.version for series in self.values})
        running = () if rollout is None else (rollout.stable, rollout.canary)
        totals: dict[str, dict[Key, Tally]] = {}
        for feed in feeds:
            if feed.stream.counted:
                together = totals.setdefault(feed.stream.event, {})
                for key, tally in feed.ledger.totals.items():
                    held = together.get(key, NOTHING)
                    together[key] = Tally(held.rows + tally.rows, held.millionths + tally.millionths)
        unfinished = {feed.stream.event for feed in feeds if feed.stream.counted and not feed.filled}
        for event, found in totals.items():
            if event not in unfinished:
                self.follow(event, events[event], found, kept)
                self.start(event, events[event], running)
        return kept

    def follow(self, event: str, mapping: Event, totals: Mapping[Key, Tally], kept: Collection[str]) -> None:
        """Take over an event's totals; versions outside *kept* go to `other`."""
        wanted: dict[Series, int] = {}
        for key, tally in totals.items():
            version = key.version if key.version in kept else names.OTHER
            for series, amount in self._series(event, mapping, key, version, tally):
                wanted[series] = wanted.get(series, 0) + amount
        for series in [series for series in self.values if self._of(event, series)]:
            if series.version not in kept and series.version != names.OTHER:
                del self.values[series]  # from now on it is part of `other`
        for series, amount in wanted.items():
            self._raise(event, series, amount)
        for series in [series for series in self.values if self._of(event, series) and series not in wanted]:
            self._raise(event, series, 0)

    def start(self, event: str, mapping: Event, versions: Iterable[str]) -> None:
        """Begin the series of versions that nothing is known of at 0, so that `rate()` sees their first rows."""
        currencies = {series.label for series in self.values if series.metric == value_total(event)}
        for version in versions:
            if mapping.outcome is None:
                self.values.setdefault(Series(names.event_total(event), version, ""), 0)
            else:
                for outcome in OUTCOMES:
                    self.values.setdefault(Series(names.event_total(event), version, outcome), 0)
            if has_value(mapping):
                for currency in currencies:
                    self.values.setdefault(Series(value_total(event), version, currency), 0)

    def in_units(self) -> dict[Series, float]:
        """What is published: whole rows, and values in their own unit."""
        return {series: in_units(series, amount) for series, amount in self.values.items()}

    def _series(self, event: str, mapping: Event, key: Key, version: str, tally: Tally) -> Iterable[tuple[Series, int]]:
        yield Series(names.event_total(event), version, key.outcome), tally.rows
        if has_value(mapping) and key.outcome != "failed":
            yield Series(value_total(event), version, self._currency(event, key.currency)), tally.millionths

    def _currency(self, event: str, currency: str) -> str:
        """The currency's label; the first ones that are seen keep theirs."""
        known = self._currencies.setdefault(event, self._published_currencies(event))
        if currency and (currency in known or len(known) < self.max_currencies):
            known.add(currency)
            return currency
        return names.OTHER

    def _published_currencies(self, event: str) -> set[str]:
        return {series.label for series in self.values if series.metric == value_total(event)} - {names.OTHER}

    def _raise(self, event: str, series: Series, amount: int) -> None:
        published = self.values.get(series, 0)
        if amount >= published:
            self.values[series] = amount
            self._waiting.pop(series, None)
            return
        if amount < self._waiting.get(series, published):
            self.corrections[event] = self.corrections.get(event, 0) + 1
        self._waiting[series] = amount

    def _of(self, event: str, series: Series) -> bool:
        return series.metric in (names.event_total(event), value_total(event))


def has_value(mapping: Event) -> bool:
    """Whether an event's values are summed; sums need a currency to mean anything."""
    return mapping.value is not None and mapping.currency is not None


def value_total(event: str) -> str:
    """The counter of an event's values: `orders` -> `shop_order_value_total`."""
    return names.event_total(f"{event.removesuffix('s')}_value")


def in_units(series: Series, amount: int) -> float:
    """What is published for an amount as it is kept."""
    return amount / MILLION if series.metric.endswith("_value_total") else float(amount)


def kept_versions(feeds: Sequence[Feed], rollout: Rollout | None, published: Collection[str] = ()) -> set[str]:
    """The running rollout's versions and the most recently seen ones.

    Args:
        published: versions that have series now. One whose rows are all gone keeps its series while there is room: a
            counter that went away, and came back with the next row, would fall.
    """
    seen = dict.fromkeys(published, 0) | {key.version: 0 for feed in feeds for key in feed.ledger.totals}
    seen.pop(names.OTHER, None)
    kept = set() if rollout is None else {rollout.stable, rollout.canary}
    if len(seen) <= MAX_VERSIONS:
        return kept | seen.keys()
    for feed in feeds:
        for version, hour in feed.ledger.last_seen().items():
            seen[version] = max(seen.get(version, 0), hour)
    return kept | set(sorted(seen, key=lambda version: (-seen[version], version))[:MAX_VERSIONS])
